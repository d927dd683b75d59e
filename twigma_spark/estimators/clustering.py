"""What a clustering is: what to fit, the fitted centres, and which of them a vector is nearest to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.coreset import Metric, Vectors
from twigma_spark.estimators.nearest_centres import Centres

# What comes from the partitions is merged in so many tasks, so that the driver's share is bounded.
MERGERS = 4
# Fewer rows cost next to nothing to fit.
LEAST_ROWS = 50_000
# Clusters up to which the means of a summary are fine enough: 128 and more for each. For more clusters the fit is made
# on the driver on rows that were drawn, so many for each, and at most so many in all (805 MB at 768 elements). After so
# many rounds on them, two over the table gain more than further ones.
MOST_SUMMARISED, DRAWN, MOST_DRAWN, DRAWN_ROUNDS = 256, 128, 262_144, 20


@dataclass(frozen=True)
class KMeansSpec:
    """What to fit.

    Attributes:
        k: clusters.
        seed: of the groups in the blocks; the driver's starts use seed, seed + 1, ...
        metric: "cosine" clusters directions, "euclidean" points.
        rows_a_cluster: vectors that the fit is made on, for each cluster; `LEAST_ROWS` in all at least. `DRAWN` at most
            where it is made on rows that were drawn.
        summaries: weighted means that a block of rows is reduced to; raised to 2 k where that is more.
        restarts: starts on the driver, the best is kept; one where rows were drawn, which takes longer and varies less.
        refine: exact Lloyd rounds over the table at most, one pass each; None for two where rows were drawn, else none.
        tol: relative gain that ends them.
    """

    k: int
    seed: int
    metric: Metric = "cosine"
    rows_a_cluster: int = 1000
    summaries: int = 512
    restarts: int = 5
    refine: int | None = None
    tol: float = 1e-4

    @property
    def rows(self) -> int:
        """Vectors that the fit is made on."""
        if self.draws:
            return min(MOST_DRAWN, max(LEAST_ROWS, min(self.rows_a_cluster, DRAWN) * self.k))
        return max(LEAST_ROWS, self.rows_a_cluster * self.k)

    @property
    def draws(self) -> bool:
        """Whether the fit is made on rows and not on means of them."""
        return self.k > MOST_SUMMARISED

    @property
    def rounds(self) -> int:
        """Exact Lloyd rounds over the table at most."""
        return 2 * self.draws if self.refine is None else self.refine

    @property
    def groups(self) -> int:
        """Weighted means a block."""
        return max(self.summaries, 2 * self.k)

    @property
    def seeds(self) -> range:
        """Seeds of the driver's starts."""
        return range(self.seed, self.seed + (1 if self.draws else self.restarts))


@dataclass(frozen=True)
class KMeansModel:
    """A fitted clustering: `centroids` (k, d) float32, of unit length under the cosine."""

    centroids: Vectors
    metric: Metric = "cosine"


def assign_rows(rows: Vectors, norms: Vectors, centres: Centres) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest centre and the distance to it of rows (n, d) of lengths (n,); of equals the first."""
    nearest = centres.nearest(rows, norms)
    own = np.einsum("ij,ij->i", rows, centres.vectors[nearest], dtype=np.float32).astype(np.float64)
    if centres.metric == "cosine":
        return nearest, (1.0 - own / norms).clip(0.0, 2.0)
    squares = np.einsum("ij,ij->i", centres.vectors, centres.vectors)[nearest]
    return nearest, np.sqrt(np.maximum(norms.astype(np.float64) ** 2 - 2 * own + squares, 0.0))


def in_parts(parts: DataFrame, *order: str) -> DataFrame:
    """Return rows with a column `part` in `MERGERS` partitions, in a fixed order."""
    gathered = parts.repartition(MERGERS, F.pmod("part", F.lit(MERGERS)))
    return gathered.sortWithinPartitions("part", *order)
