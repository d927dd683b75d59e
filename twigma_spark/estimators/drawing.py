"""Rows drawn by the hash of their ids: the same ones however a table is cut, in the pass that reads it."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
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
    return vectors if share >= 1 else vectors.where(is_drawn(share, seed))


def is_drawn(share: float, seed: int) -> Column:
    """Return whether a row, which has image_id, is among those that `draw_rows` returns."""
    grain = F.pmod(F.xxhash64("image_id", F.lit(seed)), F.lit(GRAINS))
    return grain < min(int(share * GRAINS), GRAINS)


def draw_evenly(vectors: DataFrame, fewest: int, seed: int) -> DataFrame:
    """Return about as many rows of each corpus as the smallest has; all where there is one corpus.

    A corpus of fewer than `fewest` rows does not set the number, and comes whole.

    Args:
        vectors: has image_id and corpus.
        fewest: rows that a corpus needs to set the number.
        seed: another seed draws others.
    """
    sizes = {row["corpus"]: row["count"] for row in vectors.groupBy("corpus").count().collect()}
    least = min((size for size in sizes.values() if size >= fewest), default=0)
    large = {corpus: least / size for corpus, size in sizes.items() if least and size > least}
    if not large:
        return vectors
    limit = F.lit(GRAINS)
    for corpus, share in large.items():
        limit = F.when(F.col("corpus") == corpus, F.lit(int(share * GRAINS))).otherwise(limit)
    # Another seed than that of `draw_rows`, which may thin these rows again.
    return vectors.where(F.pmod(F.xxhash64("image_id", F.lit(seed), F.lit("evenly")), F.lit(GRAINS)) < limit)
