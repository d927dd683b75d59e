"""All points of the map, counted in the cells of a grid."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def cells(projection: DataFrame, images: DataFrame, bins: int) -> DataFrame:
    """Return corpus, x, y (the cell's middle), images, dated, year and image_id.

    `year` is the mean of the dates as a decimal year, `image_id` the image nearest to the middle of the cell.

    Every point is counted; the grid has `bins` cells a side over the whole map.

    Args:
        projection: image_id, corpus, x, y.
        images: image_id, created_at.
        bins: cells a side.
    """
    ends = projection.agg(*[f(c).alias(f"{n}_{c}") for c in "xy" for n, f in (("min", F.min), ("max", F.max))])
    dated = projection.join(images.select("image_id", "created_at"), "image_id", "left")
    placed = dated.crossJoin(F.broadcast(ends))
    years = F.year("created_at") + (F.dayofyear("created_at") - 1) / 366.0
    return (
        placed.select(
            "corpus", *[_middle(c, bins).alias(c) for c in "xy"], years.alias("year"), "image_id", _off_middle(bins)
        )
        .groupBy("corpus", "x", "y")
        .agg(
            F.count("*").alias("images"),
            F.count("year").alias("dated"),
            F.avg("year").alias("year"),
            F.min(F.struct("off", "image_id"))["image_id"].alias("image_id"),
        )
    )


def _middle(axis: str, bins: int) -> Column:
    """Return the middle of the cell that a coordinate is in; one cell where all are the same."""
    low, width = F.col(f"min_{axis}"), (F.col(f"max_{axis}") - F.col(f"min_{axis}")) / bins
    cell = F.least(F.floor((F.col(axis) - low) / width), F.lit(bins - 1))
    return F.when(width > 0, low + (cell + 0.5) * width).otherwise(low)


def _off_middle(bins: int) -> Column:
    """Return the squared distance of a point from the middle of its cell."""
    x, y = (F.col(axis) - _middle(axis, bins) for axis in "xy")
    return (x * x + y * y).alias("off")
