"""Sessions: settings for small data, sessions beside the first, and rows that are made on the driver."""

from __future__ import annotations

import os
from datetime import datetime

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as t

from twigma_spark.config.overlays import load
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.session import (
    ARROW,
    LOCAL,
    PAGE,
    PARQUET,
    PARTITIONS,
    SHORT,
    has_sessions,
    new_session,
    picture_batches,
    sizes,
)
from twigma_spark.io.store import is_short

pytestmark = pytest.mark.spark4

SCHEMA = t.StructType(
    [
        t.StructField("name", t.StringType(), False),
        t.StructField("n", t.LongType()),
        t.StructField("x", t.DoubleType()),
        t.StructField("vector", t.ArrayType(t.FloatType())),
        t.StructField("labels", t.MapType(t.StringType(), t.StringType())),
        t.StructField("at", t.TimestampType()),
        t.StructField("data", t.BinaryType()),
    ]
)


def plan(frame: DataFrame) -> str:
    return str(frame._jdf.queryExecution().executedPlan())


def test_a_short_session_has_the_settings_for_small_data(spark: SparkSession) -> None:
    assert {key: spark.conf.get(key) for key in (*SHORT, *PAGE)} == {**SHORT, **PAGE}


def test_the_jvm_frees_native_memory(spark: SparkSession) -> None:
    assert spark.sparkContext._jvm.System.getenv("MALLOC_ARENA_MAX") == os.environ["MALLOC_ARENA_MAX"]


def test_a_session_beside_it_starts_alike_and_keeps_its_changes_for_itself(spark: SparkSession) -> None:
    assert has_sessions(spark)
    other, before = new_session(spark), spark.conf.get(ARROW)
    assert {key: other.conf.get(key) for key in SHORT} == SHORT
    with picture_batches(other, 7):
        assert (other.conf.get(ARROW), spark.conf.get(ARROW)) == ("7", before)
        assert other.conf.get(PARQUET) == "7" != spark.conf.get(PARQUET)
    assert other.conf.get(ARROW) == before
    assert other.range(3).count() == 3


@pytest.mark.parametrize(
    ("local", "short", "slots", "partitions"),
    [
        (True, True, 4, "2"),
        (True, False, 64, "8"),
        (False, True, 4, "8"),
        (False, True, 64, "64"),
        (False, False, 64, None),
        (False, False, 640, "640"),
    ],
)
def test_partitions_follow_the_data_and_the_slots(local: bool, short: bool, slots: int, partitions: str | None) -> None:
    found = sizes(local, short, slots)
    assert found.get(PARTITIONS) == partitions
    assert (LOCAL.keys() <= found.keys()) == (local or short)


def test_only_small_and_local_data_make_a_session_short(tmp_path: object) -> None:
    assert is_short(load([], [f"store.root={tmp_path}/tables"]))
    assert not is_short(load([], ["store.root=s3://bucket/tables"]))
    assert not is_short(load([], [f"store.root={tmp_path}/tables", "spark.short_session=false"]))
    assert is_short(load([], ["store.root=main.twigma", "spark.short_session=true"]))


def test_rows_made_on_the_driver_are_a_part_of_the_plan_and_come_back_as_they_are(spark: SparkSession) -> None:
    rows = [
        ("a", 2**53 + 1, 1.5, [1.0, 2.0], {"k": "v"}, datetime(2020, 1, 2, 3, 4, 5, 600), bytearray(b"x")),
        ("b", None, None, None, None, None, None),
        ("c", -1, float("inf"), [], {}, datetime(1500, 1, 1), bytearray(b"")),
    ]
    frame = local_frame(spark, rows, SCHEMA)
    assert [tuple(row) for row in frame.collect()] == rows
    assert frame.schema == SCHEMA
    assert "LocalTableScan" in plan(frame)


def test_no_rows_are_an_empty_relation_of_the_same_columns(spark: SparkSession) -> None:
    frame = local_frame(spark, [], SCHEMA)
    assert frame.collect() == []
    assert [(f.name, f.dataType) for f in frame.schema] == [(f.name, f.dataType) for f in SCHEMA]
    assert "LocalTableScan <empty>" in plan(frame)
    assert local_frame(spark, [("x", b"y")], "a STRING, b BINARY").collect() == [("x", bytearray(b"y"))]
