"""Duplicates found in tables."""

from __future__ import annotations

from datetime import datetime

import pytest
from pyspark.sql import DataFrame, SparkSession

from twigma_spark.estimators.duplicates import find_duplicates

IMAGES = "image_id STRING, corpus STRING, media_key STRING, sha256 STRING, created_at TIMESTAMP, width INT, height INT"
VECTORS = "image_id STRING, corpus STRING, embedding ARRAY<FLOAT>"
DAY = [datetime(2022, 1, day) for day in range(1, 9)]


def images(spark: SparkSession) -> DataFrame:
    rows = [
        ("a", "posts", "m1", "s1", DAY[0], 8, 8),
        ("b", "posts", "m1", "s1", DAY[1], 8, 8),  # a's media
        ("c", "posts", "m2", "s1", DAY[2], 8, 8),  # a's bytes
        ("d", "posts", "m3", "s2", DAY[3], 9, 9),  # a's embedding to four decimals
        ("e", "posts", "m4", "s3", None, 8, 8),  # like nothing
        ("f", "art", None, "s1", DAY[0], 8, 8),  # a's bytes, in another corpus
        ("g", "art", None, "s1", DAY[0], 8, 9),  # f's bytes, and larger
        ("h", "posts", "m1", "s1", DAY[0], 8, 8),  # a's media, without a vector
    ]
    return spark.createDataFrame(rows, IMAGES)


def vectors(spark: SparkSession) -> DataFrame:
    rows = [(i, "", [3.0, 4.0]) for i in "abcfg"] + [("d", "", [3.00001, 4.0]), ("e", "", [4.0, 3.0])]
    return spark.createDataFrame(rows, VECTORS)


def test_duplicates_of_every_tier(spark: SparkSession) -> None:
    found = find_duplicates(images(spark), vectors(spark), 4)
    assert found.columns == ["image_id", "canonical_id", "tier", "similarity"]
    rows = {r.image_id: (r.canonical_id, r.tier, r.similarity) for r in found.collect()}
    assert {i: r[:2] for i, r in rows.items()} == {
        "b": ("a", "media"),
        "c": ("a", "bytes"),
        "d": ("a", "embedding"),
        "f": ("g", "bytes"),
    }
    assert all(r[2] == pytest.approx(1, abs=1e-6) for r in rows.values())


def test_more_decimals_tell_more_apart(spark: SparkSession) -> None:
    assert "d" not in {r.image_id for r in find_duplicates(images(spark), vectors(spark), 6).collect()}


def test_no_duplicates_give_an_empty_table(spark: SparkSession) -> None:
    lonely = images(spark).where("image_id IN ('a', 'e')")
    assert find_duplicates(lonely, vectors(spark), 4).count() == 0
    assert find_duplicates(images(spark), vectors(spark).limit(0), 4).count() == 0
