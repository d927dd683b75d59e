"""Candidates: each file and each name once, with its metadata or the reason against it."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from twigma_spark.io.arrow import local_frame
from twigma_spark.io.corpora import IMAGE_FILES
from twigma_spark.transforms import candidates

ROWS = "row BIGINT, bad STRING, line STRING, file STRING, title STRING, created_at STRING"


def files(spark: SparkSession, *keys: str) -> DataFrame:
    return local_frame(spark, [(key, None, 3, b"abc", None, None) for key in keys], IMAGE_FILES)


def reasons(frame: DataFrame) -> dict[tuple[str, str | None], int]:
    """Return how often each (source_key, reason) is there."""
    return {(r.source_key, r.reason): r["count"] for r in frame.groupBy("source_key", "reason").count().collect()}


def test_files_and_names_are_matched_and_nothing_is_lost(spark: SparkSession) -> None:
    rows = [
        (0, None, None, "a.jpg", "A", "2022-03-04T05:06:07Z"),
        (1, None, None, "gone.jpg", "G", None),
        (2, None, None, "a.jpg", "again", None),
        (3, None, None, "gone.jpg", "again", None),
        (4, "metadata_not_utf8", None, "b.jpg", "\ufffd", None),
        (5, "metadata_unreadable", "{", None, None, None),
    ]
    found = candidates.from_folder(files(spark, "a.jpg", "b.jpg"), local_frame(spark, rows, ROWS))
    assert found.columns == list(candidates.COLUMNS)
    assert reasons(found) == {
        ("a.jpg", None): 1,
        ("b.jpg", None): 1,
        ("a.jpg", "duplicate_key"): 1,
        ("gone.jpg", "missing_file"): 1,
        ("gone.jpg", "duplicate_key"): 1,
    }
    used = {r.source_key: r for r in found.where("reason IS NULL").collect()}
    assert (used["a.jpg"].title, used["b.jpg"].title) == ("A", None)
    assert used["a.jpg"].created_at.isoformat() == "2022-03-04T05:06:07"


def test_without_metadata_every_file_is_a_candidate(spark: SparkSession) -> None:
    assert reasons(candidates.from_folder(files(spark, "a.jpg", "b.jpg"), None)) == {
        ("a.jpg", None): 1,
        ("b.jpg", None): 1,
    }


def test_rows_that_say_nothing_become_rejects_with_their_place(spark: SparkSession) -> None:
    rows = [
        (7, "metadata_not_utf8", None, "b.jpg", "x", None),
        (2**33 + 2, "metadata_unreadable", "{oops", None, None, None),
        (9, None, None, "c.jpg", "fine", None),
        (10, None, None, "d.jpg", "fine", "circa 1880"),
        (11, None, None, "e.jpg", "fine", "12023-01-01"),
        (12, None, None, "f.jpg", "fine", "1889"),
    ]
    refused = candidates.unreadable_metadata(local_frame(spark, rows, ROWS), "m.csv").collect()
    assert sorted((r.key, r.reason, r.detail) for r in refused) == [
        ("m.csv#10", "value_unusable", "created_at: circa 1880"),
        ("m.csv#11", "value_unusable", "created_at: 12023-01-01"),
        ("m.csv#1:2", "metadata_unreadable", "{oops"),
        ("m.csv#7", "metadata_not_utf8", "of file b.jpg"),
    ]


def test_posts_and_their_pictures(spark: SparkSession) -> None:
    media = local_frame(
        spark,
        [("t1", "m1", "photo"), ("t2", "m1", "photo"), ("t1", "m2", "video"), ("t2", "m3", "photo")],
        "post_id STRING, media_key STRING, type STRING",
    )
    posts = local_frame(spark, [("t1", True), ("t2", None)], "post_id STRING, possibly_sensitive BOOLEAN").selectExpr(
        "post_id", "TIMESTAMP'2022-01-01' AS created_at", "possibly_sensitive"
    )
    found = candidates.from_posts(files(spark, "m1.jpg", "m1.png", "m2.jpg", "stray.jpg"), media, posts)
    assert found.columns == list(candidates.COLUMNS)
    assert reasons(found) == {
        ("t1/m1", None): 1,
        ("t2/m1", None): 1,
        ("t1/m2", "not_a_photo"): 1,
        ("t2/m3", "missing_file"): 1,
        ("stray.jpg", "no_post"): 1,
    }
    assert {r.post_id: r.sensitive for r in found.where("reason IS NULL").collect()} == {
        "t1": True,
        "t2": None,
    }


def test_a_limit_takes_the_first_keys(spark: SparkSession) -> None:
    found = candidates.limit_images(candidates.from_folder(files(spark, "c", "a", "b"), None), 2)
    assert sorted(r.source_key for r in found.collect()) == ["a", "b"]
