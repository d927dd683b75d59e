"""The map's points counted in cells."""

from __future__ import annotations

from datetime import datetime

import pytest
from pyspark.sql import SparkSession

from twigma_spark.io.arrow import local_frame
from twigma_spark.transforms.density import Square, bounds, cells, group_cells, square

MAP = "image_id STRING, corpus STRING, x DOUBLE, y DOUBLE"
IMAGES = "image_id STRING, created_at TIMESTAMP"


def test_every_point_is_in_one_cell_with_the_image_nearest_to_its_middle(spark: SparkSession) -> None:
    rows = [
        ("a", "p", 0.0, 0.0), ("b", "p", 0.4, 0.1), ("c", "q", 0.2, 0.0), ("d", "p", 10.0, 10.0), ("e", "p", 6.0, 2.0),
    ]  # fmt: skip
    points = local_frame(spark, rows, MAP)
    dates = [("a", datetime(2022, 1, 1)), ("b", datetime(2023, 1, 1)), ("d", None)]
    (ends,) = bounds(points).collect()
    on = square(**ends.asDict(), bins=10)
    found = {(r.corpus, r.cell): r for r in cells(points, local_frame(spark, dates, IMAGES), on).collect()}
    assert {key: (r.images, r.image_id) for key, r in found.items()} == {
        ("p", 0): (2, "b"), ("q", 0): (1, "c"), ("p", 99): (1, "d"), ("p", 26): (1, "e"),
    }  # fmt: skip
    both = found["p", 0]
    assert (both.dated, both.years, both.x, both.y) == (2, 2022.0 + 2023.0, 0.4, 0.1)
    assert (found["q", 0].dated, found["q", 0].years) == (0, 0.0)
    groups = local_frame(spark, [("a", 1), ("c", 1), ("d", 0), ("gone", 0)], "image_id STRING, group INT")
    counted = {(r.group, r.cell): r.images for r in group_cells(points, groups, on).collect()}
    assert counted == {(1, 0): 2, (0, 99): 1}


def test_points_at_one_place_are_one_cell(spark: SparkSession) -> None:
    points = local_frame(spark, [("a", "p", 1.0, 2.0), ("b", "p", 1.0, 2.0)], MAP)
    on = square(1.0, 1.0, 2.0, 2.0, 8)
    (row,) = cells(points, local_frame(spark, [], IMAGES), on).collect()
    assert (row.cell, row.images, row.image_id) == (0, 2, "a") and on.share(1.0, 2.0) == (0.5, 0.5)


def test_a_square_is_around_all_points_and_knows_its_middles() -> None:
    on = square(0.0, 4.0, 1.0, 3.0, 4)
    assert on == Square(0.0, 0.0, 4.0, 4)
    assert on.middle(6) == (2.5, 1.5) and on.share(2.0, 1.0) == pytest.approx((0.5, 0.25))
