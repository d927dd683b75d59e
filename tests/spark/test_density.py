"""The map's points counted in cells."""

from __future__ import annotations

from datetime import datetime

import pytest
from pyspark.sql import SparkSession

from twigma_spark.transforms.density import cells

MAP = "image_id STRING, corpus STRING, x DOUBLE, y DOUBLE"


def test_every_point_is_in_one_cell(spark: SparkSession) -> None:
    rows = [
        ("a", "p", 0.0, 0.0),
        ("b", "p", 0.4, 0.1),
        ("c", "q", 0.2, 0.0),
        ("d", "p", 10.0, 1.0),
        ("e", "p", 6.0, 0.9),
    ]
    images = spark.createDataFrame(
        [("a", datetime(2022, 1, 1)), ("b", datetime(2023, 1, 1)), ("d", None)],
        "image_id STRING, created_at TIMESTAMP",
    )
    found = {
        (r.corpus, round(r.x, 6), round(r.y, 6)): r
        for r in cells(spark.createDataFrame(rows, MAP), images, 10).collect()
    }
    assert {key: r.images for key, r in found.items()} == {
        ("p", 0.5, 0.05): 1, ("p", 0.5, 0.15): 1, ("q", 0.5, 0.05): 1,
        ("p", 9.5, 0.95): 1, ("p", 6.5, 0.95): 1,
    }  # fmt: skip
    assert found["p", 0.5, 0.05].year == pytest.approx(2022) and found["q", 0.5, 0.05].year is None
    assert found["p", 9.5, 0.95].dated == 0
    assert {r.image_id for r in found.values()} == {"a", "b", "c", "d", "e"}


def test_a_cell_is_shown_by_the_image_nearest_to_its_middle(spark: SparkSession) -> None:
    rows = [("ends", "p", 0.0, 0.0), ("too", "p", 4.0, 4.0), ("edge", "p", 0.1, 0.9), ("middle", "p", 0.9, 1.1)]
    none = spark.createDataFrame([], "image_id STRING, created_at TIMESTAMP")
    found = {(r.x, r.y): r.image_id for r in cells(spark.createDataFrame(rows, MAP), none, 2).collect()}
    assert found == {(1.0, 1.0): "middle", (3.0, 3.0): "too"}


def test_points_at_one_place_are_one_cell(spark: SparkSession) -> None:
    rows = [("a", "p", 1.0, 2.0), ("b", "p", 1.0, 2.0)]
    none = spark.createDataFrame([], "image_id STRING, created_at TIMESTAMP")
    (row,) = cells(spark.createDataFrame(rows, MAP), none, 5).collect()
    assert (row.x, row.y, row.images) == (1.0, 2.0, 2)
    assert cells(spark.createDataFrame([], MAP), none, 5).count() == 0
