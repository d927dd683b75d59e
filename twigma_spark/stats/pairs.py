"""Pairwise Euclidean distances: sampled over a corpus, all of them within small groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from twigma_spark.stats.sample import Codes, Floats, Vectors

# Width of the bins in which distances are drawn; unit vectors are 0 to 2 apart.
WIDTH = 0.05
# Pairs that are subtracted at once.
BLOCK = 8192


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows of a sample.

    Attributes:
        first: one row of each pair (m,).
        second: the other (m,).
        distance: Euclidean (m,).
        complete: whether these are all pairs.
    """

    first: Codes
    second: Codes
    distance: Floats
    complete: bool

    @property
    def monte_carlo_error(self) -> float:
        """Standard error of the mean distance from drawing pairs alone; 0 where all pairs are there."""
        if self.complete or len(self.distance) < 2:
            return 0.0
        return float(self.distance.std(ddof=1) / np.sqrt(len(self.distance)))


def sample_pairs(vectors: Vectors, at_most: int, rng: np.random.Generator) -> Pairs:
    """Return `at_most` pairs of different rows, drawn with replacement; all pairs where there are no more.

    Args:
        vectors: (n, d); unit vectors for the distances of the paper.
        at_most: pairs.
        rng: source of randomness.

    Source: Chen & Zou 2023 (TWIGMA), on variation, where all pairs are taken.
    """
    n = len(vectors)
    complete = n * (n - 1) // 2 <= at_most
    if complete:
        first, second = (np.asarray(side, np.int64) for side in np.triu_indices(n, 1))
    else:
        first = rng.integers(0, n, at_most)
        second = (first + rng.integers(1, n, at_most)) % n
    return Pairs(first, second, distances(vectors, first, second), complete)


def distances(vectors: Vectors, first: Codes, second: Codes) -> Floats:
    """Return the Euclidean distance of each pair of rows (m,), in bounded memory."""
    between = np.empty(len(first))
    for start in range(0, len(first), BLOCK):
        part = slice(start, start + BLOCK)
        between[part] = np.linalg.norm(vectors[first[part]].astype(np.float64) - vectors[second[part]], axis=1)
    return between


def pair_weights(pairs: Pairs, codes: Codes, weights: Vectors) -> Vectors:
    """Return the weight of each pair in each bootstrap sample of groups (replicates, m).

    A pair across groups counts once for each combination of their copies; a pair within a group once a copy,
    since the copies of one group are not pairs of different images.

    Args:
        pairs: of rows.
        codes: group of each row (n,).
        weights: of the groups (replicates, groups).
    """
    one, other = codes[pairs.first], codes[pairs.second]
    # Square roots make the product of a group with itself its weight.
    products = weights[:, one]
    products *= np.where(one == other, np.float32(1.0), weights[:, other])
    return products


def weighted_means(values: Floats, weights: Vectors) -> Floats:
    """Return the weighted mean of `values` (m,) or (m, k) by each row of weights (replicates, m)."""
    whole = np.maximum(weights.sum(axis=1, dtype=np.float64), 1e-300)
    sums = np.asarray(weights @ values.astype(np.float32), np.float64)
    return np.asarray(sums / (whole if sums.ndim == 1 else whole[:, None]), np.float64)


def bins(distance: Floats) -> Codes:
    """Return the bin of each distance; bin b holds [b WIDTH, (b + 1) WIDTH)."""
    return np.asarray(np.floor(distance / WIDTH + 1e-9), np.int64)


def binned_shares(which: Codes, weights: Vectors, count: int) -> Floats:
    """Return the weighted share of pairs in each bin (replicates, count).

    Args:
        which: bin of each pair (m,).
        weights: (replicates, m).
        count: bins.
    """
    table = sparse.csr_matrix((np.ones(len(which), np.float32), (np.arange(len(which)), which)), (len(which), count))
    sums = np.asarray((table.T @ weights.T).T, np.float64)
    return np.asarray(sums / np.maximum(weights.sum(axis=1, dtype=np.float64), 1e-300)[:, None], np.float64)
