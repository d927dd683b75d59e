"""Frames put together and counted, in a way that Spark Connect understands too."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from pyspark.sql import DataFrame


def union(frames: Iterable[DataFrame]) -> DataFrame:
    """Return the rows of all frames, at least one, whose columns have the same names in any order.

    `reduce(DataFrame.unionByName, frames)` is of the classic frame, and fails on those of Spark Connect.
    """
    return reduce(lambda one, other: one.unionByName(other), frames)


def count_rows(frame: DataFrame) -> int:
    """Return the number of rows; that of Spark Connect 3.5 is NumPy's, of which there is no JSON."""
    return int(frame.count())
