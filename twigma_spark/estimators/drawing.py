"""Rows drawn by the hash of their ids: the same ones however a table is cut, in the pass that reads it."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

# Shares of a table that can be distinguished.
GRAINS = 1 << 30


def draw_rows(vectors: DataFrame, share: float, seed: int) -> DataFrame:
    """Return about this share of the rows; all of them where it is 1 or more.

    Args:
        vectors: has image_id.
        share: of the rows, from 0.
        seed: another seed draws others.
    """
    if share >= 1:
        return vectors
    grain = F.pmod(F.xxhash64("image_id", F.lit(seed)), F.lit(GRAINS))
    return vectors.where(grain < int(share * GRAINS))
