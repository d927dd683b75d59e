"""The map's points counted in cells."""

from __future__ import annotations

from datetime import datetime

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from twigma_spark.io.arrow import local_frame
from twigma_spark.transforms.density import Square, bounds, cells, nearest_to_middles, square

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
    themes = [("a", 1), ("c", 1), ("d", 0), ("gone", 0)]
    placed = points.join(local_frame(spark, dates, IMAGES), "image_id", "left").join(
        local_frame(spark, themes, "image_id STRING, theme INT"), "image_id", "left"
    )
    layers = {"corpus": F.col("corpus"), "theme": F.col("theme").cast("string")}
    found = {(r.layer, r.group, r.cell): r for r in cells(placed, layers, on).collect()}
    assert {key: r.images for key, r in found.items()} == {
        ("corpus", "p", 0): 2, ("corpus", "q", 0): 1, ("corpus", "p", 99): 1, ("corpus", "p", 26): 1,
        ("theme", "1", 0): 2, ("theme", "0", 99): 1,
    }  # fmt: skip
    both, none = found["corpus", "p", 0], found["corpus", "q", 0]
    assert (both.dated, both.years) == (2, 2022.0 + 2023.0) and (none.dated, none.years) == (0, 0.0)
    chosen = local_frame(spark, [("p", 0), ("p", 99), ("q", 26)], "corpus STRING, cell INT")
    nearest = nearest_to_middles(points, chosen, on).collect()
    assert {(r.corpus, r.cell, r.image_id, r.x, r.y) for r in nearest} == {
        ("p", 0, "b", 0.4, 0.1), ("p", 99, "d", 10.0, 10.0),
    }  # fmt: skip


def test_points_at_one_place_are_one_cell(spark: SparkSession) -> None:
    points = local_frame(spark, [("a", "p", 1.0, 2.0), ("b", "p", 1.0, 2.0)], MAP)
    on = square(1.0, 1.0, 2.0, 2.0, 8)
    (row,) = cells(points.withColumn("created_at", F.lit(None).cast("date")), {"all": F.lit("x")}, on).collect()
    (nearest,) = nearest_to_middles(points, local_frame(spark, [("p", 0)], "corpus STRING, cell INT"), on).collect()
    assert (row.cell, row.images, nearest.image_id) == (0, 2, "a") and on.share(1.0, 2.0) == (0.5, 0.5)


def test_a_square_is_around_all_points_and_knows_its_middles() -> None:
    on = square(0.0, 4.0, 1.0, 3.0, 4)
    assert on == Square(0.0, 0.0, 4.0, 4)
    assert on.middle(6) == (2.5, 1.5) and on.share(2.0, 1.0) == pytest.approx((0.5, 0.25))
