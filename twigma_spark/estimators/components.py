"""Connected components: on the driver by SciPy while the edges fit, else on Spark in a few rounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from scipy import sparse

from twigma_spark.errors import ModelError

# Rounds until the edges stand still; a path of a billion nodes needs some thirty.
ROUNDS = 60
Once = Callable[[DataFrame], DataFrame]


def least_members(edges: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return the least row of each row's component (n,).

    Args:
        edges: pairs of rows (m, 2).
        n: rows.
    """
    graph = sparse.coo_matrix((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(n, n))
    _, label = sparse.csgraph.connected_components(graph, directed=False)
    first = np.full(n, n, np.int64)
    np.minimum.at(first, label, np.arange(n))
    return np.asarray(first[label], np.int64)


def on_spark(edges: DataFrame, once: Once, rounds: int = ROUNDS) -> DataFrame:
    """Return node and group: each node that has an edge, and the least node of its component.

    Large and small stars in turn until no edge changes (Kiveris et al. 2014, "Connected Components in
    MapReduce and Beyond"): each component ends as a star around its least node.

    Args:
        edges: a, b (STRING); nulls and loops join nothing.
        once: computes a frame and returns what was computed, so that a round does not repeat the earlier ones.
        rounds: at most; more are an error.

    Raises:
        ModelError: where the edges still change after that many rounds.
    """
    stars = once(edges.where("a <> b").select("a", "b").distinct())
    before = _state(stars)
    for _ in range(rounds):
        stars = once(_small_star(_large_star(stars)))
        now = _state(stars)
        if now == before:
            around = stars.select(F.col("a").alias("node"), F.col("b").alias("group"))
            return around.union(stars.select(F.col("b").alias("node"), F.col("b").alias("group"))).distinct()
        before = now
    raise ModelError(f"connected components must be found within {rounds} rounds. Got {before[0]} edges that change.")


def _large_star(edges: DataFrame) -> DataFrame:
    """Return each node's larger neighbours, joined to the least of the node and its neighbours."""
    both = edges.union(edges.select("b", "a"))
    least = F.least("a", F.min("b").over(Window.partitionBy("a")))
    return both.withColumn("least", least).where("b > a").select(F.col("b").alias("a"), F.col("least").alias("b"))


def _small_star(edges: DataFrame) -> DataFrame:
    """Return each node and its smaller neighbours, joined to the least of these."""
    falling = edges.select(F.greatest("a", "b").alias("a"), F.least("a", "b").alias("b")).distinct()
    seen = falling.withColumn("least", F.min("b").over(Window.partitionBy("a")))
    moved = seen.where("b <> least").select(F.col("b").alias("a"), F.col("least").alias("b"))
    return moved.union(seen.select("a", F.col("least").alias("b"))).distinct()


def _state(edges: DataFrame) -> tuple[int, int]:
    """Return how many edges there are, and a sum of their hashes."""
    total = F.sum(F.xxhash64("a", "b").cast("decimal(38,0)"))
    row = edges.agg(F.count("*").alias("n"), F.coalesce(total, F.lit(0)).alias("sum")).collect()[0]
    return int(row["n"]), int(row["sum"])
