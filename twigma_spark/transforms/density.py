"""All points of the map, counted in the cells of a square grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


@dataclass(frozen=True)
class Square:
    """The square of the plane that a grid divides.

    Attributes:
        left: its lowest x.
        below: its lowest y.
        width: its length a side; 0 where all points are at one place.
        bins: cells a side.
    """

    left: float
    below: float
    width: float
    bins: int

    def middle(self, cell: int) -> tuple[float, float]:
        """Return x and y of the middle of a cell."""
        row, column = divmod(cell, self.bins)
        step = self.width / self.bins
        return self.left + (column + 0.5) * step, self.below + (row + 0.5) * step

    def share(self, x: float, y: float) -> tuple[float, float]:
        """Return a place in units of the square, 0 to 1."""
        return ((x - self.left) / self.width, (y - self.below) / self.width) if self.width else (0.5, 0.5)


def bounds(projection: DataFrame) -> DataFrame:
    """Return the one row min_x, max_x, min_y, max_y; nulls where there are no points."""
    return projection.agg(*[f(c).alias(f"{n}_{c}") for c in "xy" for n, f in (("min", F.min), ("max", F.max))])


def square(min_x: float, max_x: float, min_y: float, max_y: float, bins: int) -> Square:
    """Return the smallest square around all points, its middle theirs."""
    width = max(max_x - min_x, max_y - min_y)
    return Square((min_x + max_x - width) / 2, (min_y + max_y - width) / 2, width, bins)


def cells(placed: DataFrame, layers: Mapping[str, Column], on: Square) -> DataFrame:
    """Return layer, group, cell, images, dated and years: the points of each group of each layer, counted in cells.

    `years` is the sum of the dates as decimal years. One pass counts all layers, and since it keeps numbers alone,
    Spark counts in hash tables.

    Args:
        placed: x, y, created_at, and the columns that `layers` read; one row an image.
        layers: by name the group of an image as text; an image for which it is null is not counted there.
        on: the grid.
    """
    entries = [F.struct(F.lit(name).alias("layer"), group.alias("group")) for name, group in layers.items()]
    year = F.year("created_at") + (F.dayofyear("created_at") - 1) / 366.0
    return (
        placed.select(_cell(on).alias("cell"), year.alias("year"), F.explode(F.array(*entries)).alias("of"))
        .where("of.group IS NOT NULL")
        .groupBy("of.layer", "of.group", "cell")
        .agg(
            F.count("*").alias("images"),
            F.count("year").alias("dated"),
            F.coalesce(F.sum("year"), F.lit(0.0)).alias("years"),
        )
    )


def nearest_to_middles(projection: DataFrame, chosen: DataFrame, on: Square) -> DataFrame:
    """Return corpus, cell, image_id, x and y: of each of a few cells the corpus's image that is nearest to its middle.

    Args:
        projection: image_id, corpus, x, y.
        chosen: corpus and cell; few.
        on: the grid.
    """
    inside = projection.withColumn("cell", _cell(on)).join(F.broadcast(chosen), ["corpus", "cell"])
    nearest = F.min(F.struct(_off_middle(on), "image_id", "x", "y")).alias("nearest")
    closest = inside.groupBy("corpus", "cell").agg(nearest)
    return closest.select("corpus", "cell", *[f"nearest.{name}" for name in ("image_id", "x", "y")])


def _cell(on: Square) -> Column:
    """Return the number of the cell that a point is in: row * bins + column."""
    return (_place("y", on.below, on) * on.bins + _place("x", on.left, on)).cast("int")


def _place(axis: str, low: float, on: Square) -> Column:
    if not on.width:
        return F.lit(0)
    place = F.floor((F.col(axis) - low) / (on.width / on.bins))
    return F.greatest(F.lit(0), F.least(place, F.lit(on.bins - 1)))


def _off_middle(on: Square) -> Column:
    """Return the squared distance of a point from the middle of its cell."""
    step = on.width / on.bins
    x, y = (
        F.col(axis) - (low + (_place(axis, low, on) + 0.5) * step) for axis, low in (("x", on.left), ("y", on.below))
    )
    return (x * x + y * y).alias("off")
