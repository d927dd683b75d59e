"""Parts of a table that are committed one after another."""

from __future__ import annotations

from math import ceil

from pyspark.sql import Column
from pyspark.sql import functions as F


def chunks(key: str, rows: int, at_most: int) -> list[Column]:
    """Return conditions on the column `key` that part `rows` rows into ranges of about `at_most`.

    Keys are hex digits of a hash, evenly spread, so a range of them is a share of the rows.
    """
    n = max(1, ceil(rows / at_most))
    bounds = [f"{i * 2**32 // n:08x}" for i in range(n)]
    ranges = []
    for i, low in enumerate(bounds):
        inside = F.col(key) >= low
        ranges.append(inside & (F.col(key) < bounds[i + 1]) if i + 1 < n else inside)
    return ranges
