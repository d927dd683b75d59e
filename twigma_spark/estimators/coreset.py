"""Weighted summaries of vectors and weighted k-means of them; plain arrays, no Spark.

Cosine (spherical k-means, Dhillon & Modha 2001) and Euclidean (Lloyd 1982) differ in two places only: which
centre is nearest, and that centres of directions are scaled to length 1. A summary is a coreset in the sense
of Har-Peled & Mazumdar (2004): weighted means of small groups of like vectors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from twigma_spark.estimators.products import inner_products
from twigma_spark.vectors import unit_rows

Vectors = NDArray[np.float32]
Metric = Literal["cosine", "euclidean"]

# Groups are found on a sample of so many rows a group, in so many rounds; every row then joins the nearest.
ROWS_A_GROUP, ROUNDS = 16, 4
# Rows multiplied with the groups at once: 12 MB at 768 dimensions, which stay in the processor's cache.
CHUNK = 4096
# Rounds on the driver, where a round costs next to nothing, and the relative gain that ends them.
DRIVER_ROUNDS, DRIVER_TOL = 50, 1e-5
# Points among which k-means++ looks for starts; each of its k steps reads all of them.
START_POINTS = 8192


def centres(
    points: Vectors,
    weights: Vectors,
    k: int,
    seeds: Iterable[int],
    metric: Metric = "cosine",
    rounds: int = DRIVER_ROUNDS,
) -> Vectors:
    """Return the best centres (k, d) float32 of weighted k-means over starts by k-means++ from some seeds.

    Points may be shorter than 1 under the cosine: a mean of unit vectors weighs as its rows together would,
    so that the objective, the sum of w <point, centre>, is that of the rows as long as a group stays together.

    Args:
        points: means (n, d).
        weights: rows that each stands for (n,).
        k: centres; where there are no more points than that, points repeat.
        seeds: of the starts; of equally good ones the first is kept.
        metric: "cosine" or "euclidean".
        rounds: of a start at most.
    """
    if len(points) <= k:
        return _scale(np.resize(points, (k, points.shape[1])), metric)
    fits = [lloyd(points, weights, starts(points, weights, k, seed, metric), metric, rounds) for seed in seeds]
    if len(fits) == 1:
        return fits[0]
    return fits[int(np.argmax([gain(points, weights, fit, metric) for fit in fits]))]


def gain(points: Vectors, weights: Vectors, centres: Vectors, metric: Metric) -> float:
    """Return what k-means maximises: the weighted sum of each point's closeness to its nearest centre."""
    return float(weights.astype(np.float64) @ _nearest(points, centres, metric)[1])


def nearest(vectors: Vectors, centres: Vectors, metric: Metric) -> NDArray[np.int64]:
    """Return the nearest centre of each vector (n,); of equals the first. Lengths do not matter to the cosine."""
    return _nearest(vectors, centres, metric)[0]


def starts(points: Vectors, weights: Vectors, k: int, seed: int, metric: Metric) -> Vectors:
    """Return k points far from one another as starting centres (k, d), by k-means++ (Arthur & Vassilvitskii 2007).

    Of more than `START_POINTS` points, so many are looked at, drawn by weight.
    """
    rng = np.random.default_rng(seed)
    if len(points) > max(START_POINTS, 4 * k):
        share = weights.astype(np.float64) / weights.sum(dtype=np.float64)
        taken = np.sort(rng.choice(len(points), max(START_POINTS, 4 * k), replace=False, p=share))
        points, weights = points[taken], weights[taken]
    scaled = _scale(points, metric)
    squares = np.einsum("ij,ij->i", scaled, scaled)
    far = np.ones(len(points))
    chosen: list[int] = []
    for _ in range(k):
        mass = np.cumsum(far * weights)
        pick = int(np.searchsorted(mass, rng.random() * mass[-1], side="right")) if mass[-1] > 0 else 0
        chosen.append(min(pick, len(points) - 1))
        away = np.maximum(squares + squares[chosen[-1]] - 2 * (scaled @ scaled[chosen[-1]]), 0.0)
        # A point itself must not be taken twice because of what rounding leaves of its distance to itself.
        away[chosen[-1]] = 0.0
        far = np.minimum(far, away) if len(chosen) > 1 else away.astype(np.float64)
    return scaled[chosen]


def lloyd(points: Vectors, weights: Vectors, centres: Vectors, metric: Metric, rounds: int = DRIVER_ROUNDS) -> Vectors:
    """Return centres (k, d) after rounds of assignment and weighted means, until the gain stands still.

    A centre that loses all its points moves to the worst served one. Where every point is a centre, as with
    fewer different points than centres, it stays and is empty.
    """
    before = -np.inf
    for _ in range(rounds):
        labels, best = _nearest(points, centres, metric)
        now = float(weights.astype(np.float64) @ best)
        if now <= before + DRIVER_TOL * abs(now):
            break
        before = now
        sums = sums_by_label(points, weights, labels, len(centres))
        totals = np.bincount(labels, weights, len(centres)).astype(np.float64)
        centres = move_centres(centres, sums, totals, metric)
        for empty in np.flatnonzero(totals == 0):
            worst = int((weights * _cost(points, best, metric)).argmax())
            centres[empty] = _scale(points[worst][None], metric)[0]
            best[worst] = np.inf if metric == "euclidean" else np.linalg.norm(points[worst])
    return centres


def move_centres(centres: Vectors, sums: NDArray[np.float64], totals: NDArray[np.float64], metric: Metric) -> Vectors:
    """Return the centres of weighted sums (k, d); one without weight stays where it was."""
    means = np.where(totals[:, None] > 0, sums / np.where(totals > 0, totals, 1.0)[:, None], centres)
    return _scale(means.astype(np.float32), metric)


def summary(
    vectors: Vectors, weights: Vectors, most: int, seed: int, metric: Metric = "cosine", scale: Vectors | None = None
) -> tuple[Vectors, Vectors]:
    """Return at most `most` weighted means (m, d), (m,) that stand for weighted vectors (n, d), (n,).

    Weighted sums are kept: the means times their weights add up to the vectors times theirs. One matrix
    product with the groups and one sparse sum a row; no copy of the vectors is made.

    Args:
        vectors: rows, in an order that does not depend on how they arrived.
        weights: rows that each stands for.
        most: groups.
        seed: of the sample that the groups are found on.
        metric: what makes vectors like.
        scale: factor that each row is summed with, such as 1 / length for directions; None for 1.
    """
    ones = np.ones(len(vectors), np.float32) if scale is None else scale
    if len(vectors) <= most:
        return vectors * ones[:, None], weights
    centres = groups(vectors, ones, most, seed, metric)
    labels, _ = _nearest(vectors, centres, metric)
    sums, totals = sums_by_label(vectors, weights * ones, labels, most), np.bincount(labels, weights, most)
    taken = totals > 0
    return (sums[taken] / totals[taken, None]).astype(np.float32), totals[taken].astype(np.float32)


def groups(vectors: Vectors, scale: Vectors, most: int, seed: int, metric: Metric) -> Vectors:
    """Return centres (most, d) of small groups of vectors (n, d), by a few rounds on a sample of them.

    Each row counts times its scale; weights made the groups no better.
    """
    picked = np.random.default_rng(seed).permutation(len(vectors))[: most * ROWS_A_GROUP]
    sample = vectors[picked] * scale[picked, None]
    return lloyd(sample, np.ones(len(sample), np.float32), _scale(sample[:most], metric), metric, ROUNDS)


def _nearest(vectors: Vectors, centres: Vectors, metric: Metric) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the nearest centre of each vector (n,), of equals the first, and how close it is (n,)."""
    labels, best = np.empty(len(vectors), np.int64), np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), CHUNK):
        part = slice(start, start + CHUNK)
        close = _closeness(vectors[part], centres, metric)
        labels[part] = close.argmax(axis=1)
        best[part] = np.take_along_axis(close, labels[part, None], axis=1)[:, 0]
    return labels, best


def _closeness(vectors: Vectors, centres: Vectors, metric: Metric) -> NDArray[np.float32]:
    """Return (n, k), larger is nearer: <v, c>, and for the Euclidean metric <v, c> - |c|²/2."""
    close = inner_products(vectors, centres)
    if metric == "euclidean":
        close -= np.einsum("ij,ij->i", centres, centres) / 2
    return close


def _cost(points: Vectors, best: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """Return how badly each point is served (n,), up to a factor; of best values from `_closeness`."""
    squares = np.einsum("ij,ij->i", points, points)
    return np.asarray(squares / 2 - best if metric == "euclidean" else np.sqrt(squares) - best, np.float32)


def sums_by_label(vectors: Vectors, factors: NDArray[Any], labels: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Return the sum of the vectors (n, d) of each label (k, d), each times its factor (n,).

    Rows of a label are summed in float32 within a block of `CHUNK`, and the blocks in float64.
    """
    sums = np.zeros((k, vectors.shape[1]))
    for start in range(0, len(vectors), CHUNK):
        part = slice(start, start + CHUNK)
        own = labels[part]
        shares = sparse.csr_matrix((factors[part].astype(np.float32), (own, np.arange(len(own)))), shape=(k, len(own)))
        there = np.flatnonzero(np.diff(shares.indptr))
        sums[there] += shares[there] @ vectors[part]
    return sums


def _scale(centres: Vectors, metric: Metric) -> Vectors:
    return unit_rows(centres) if metric == "cosine" else np.ascontiguousarray(centres, np.float32)
