"""Frames put together and counted, in a way that Spark Connect understands too."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def union(frames: Iterable[DataFrame]) -> DataFrame:
    """Return the rows of all frames, at least one, whose columns have the same names in any order.

    `reduce(DataFrame.unionByName, frames)` is of the classic frame, and fails on those of Spark Connect.
    """
    return reduce(lambda one, other: one.unionByName(other), frames)


def count_rows(frame: DataFrame) -> int:
    """Return the number of rows; that of Spark Connect 3.5 is NumPy's, of which there is no JSON."""
    return int(frame.count())


def broadcast_few(frame: DataFrame, few: int) -> DataFrame:
    """Return the rows, to be sent to every task of a join where there are at most `few`.

    Spark does not know how few they are before it has shuffled the other side.
    """
    return F.broadcast(frame) if count_rows(frame) <= few else frame
