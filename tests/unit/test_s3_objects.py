"""What is removed from S3 is one folder and all of it; where that cannot be, the caller is told."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from twigma_spark.io import s3_objects, staging
from twigma_spark.io.tables import Store

moto = pytest.importorskip("moto", reason="moto is not installed")
boto3: Any = pytest.importorskip("boto3", reason="boto3 is not installed")

# Of a session that was told nothing of S3.
SPARK: Any = SimpleNamespace(conf=SimpleNamespace(get=lambda key, default: default))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of a storage with the bucket `tables-test`."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="tables-test")
        yield client


def keys(s3: Any) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket="tables-test").get("Contents", [])]


def put(s3: Any, *names: str) -> None:
    for name in names:
        s3.put_object(Bucket="tables-test", Key=name, Body=b"x")


def test_a_staging_table_is_gone_with_its_log_and_its_neighbours_stay(s3: Any) -> None:
    staging_table = "t/_staging_embed_x_1"
    kept = ["t/_staging_embed_x_10/a.parquet", "t/_staging_embed_x_1.parquet", "t/images/a.parquet"]
    put(
        s3,
        *kept,
        f"{staging_table}/a.parquet",
        f"{staging_table}/_delta_log/0.json",
        f"{staging_table}/_delta_log/0.crc",
    )
    store = Store(SPARK, "s3a://tables-test/t")
    staging.drop(store, "_staging_embed_x_1")
    assert keys(s3) == sorted(kept)


def test_more_objects_than_a_page_holds_are_removed(s3: Any) -> None:
    put(s3, *(f"t/old/{n}" for n in range(1001)))
    assert s3_objects.try_remove_folder(SPARK, "s3://tables-test/t/old")
    assert keys(s3) == []


def test_a_whole_bucket_and_other_storages_are_left_alone(s3: Any) -> None:
    put(s3, "t/a")
    for url in ("s3://tables-test", "s3://tables-test/", "abfss://tables-test/t", "file:///t"):
        assert not s3_objects.try_remove_folder(SPARK, url)
    assert keys(s3) == ["t/a"]


def test_what_s3_does_not_allow_is_said(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not s3_objects.try_remove_folder(SPARK, "s3://no-such-bucket/t")
    put(s3, "t/old/a")
    client = s3_objects.client_of(SPARK)
    monkeypatch.setattr(client, "delete_objects", lambda **_: {"Errors": [{"Key": "t/old/a", "Code": "AccessDenied"}]})
    monkeypatch.setattr(s3_objects, "client_of", lambda spark: client)
    assert not s3_objects.try_remove_folder(SPARK, "s3://tables-test/t/old")


def test_where_s3_does_not_allow_it_the_rows_go(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    spark: Any = SimpleNamespace(sql=said.append, conf=SimpleNamespace(set=lambda key, value: None))
    store = Store(spark, "s3://b/t")
    monkeypatch.setattr(staging, "try_remove_folder", lambda spark, url: False)
    monkeypatch.setattr(Store, "exists", lambda self, name: True)
    staging.drop(store, "_staging_embed_x_0")
    assert [text.split()[0] for text in said] == ["DELETE", "VACUUM"]
