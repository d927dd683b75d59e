"""How well a layout in the plane keeps the neighbourhoods of a space, and how far two layouts differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import procrustes
from scipy.spatial.distance import cdist

from twigma_spark.results import Value
from twigma_spark.stats.intervals import percentiles

Points = NDArray[np.float64]
UNIT = "images"


def trustworthiness(space: Points, plane: Points, k: int) -> NDArray[np.float64]:
    """Return a value for each point (n,) whose mean is the trustworthiness: 1 where no stranger came near.

    The continuity is the same with the two exchanged: 1 where no neighbour was torn away.

    Args:
        space: points (n, d).
        plane: the same points (n, 2).
        k: neighbours that count, fewer than n / 2.

    Source: Venna & Kaski 2001; the mean is that of scikit-learn's `trustworthiness`.
    """
    n = len(space)
    rank = _ranks(space)
    near = _order(plane)[:, :k]
    excess = np.maximum(np.take_along_axis(rank, near, axis=1) - k, 0).sum(axis=1)
    return np.asarray(1.0 - excess * 2.0 / (k * (2.0 * n - 3.0 * k - 1.0)), np.float64)


def mean(values: NDArray[np.float64], rng: np.random.Generator, replicates: int, confidence: float = 0.95) -> Value:
    """Return the mean of values (n,) with a percentile bootstrap interval."""
    n = len(values)
    means = [values[rng.integers(0, n, n)].mean() for _ in range(replicates)]
    method = f"mean; {confidence:.0%} percentile bootstrap, {replicates} resamples of images"
    return Value(float(values.mean()), *percentiles(means, confidence), n, UNIT, method)


def drift(one: Points, other: Points, rng: np.random.Generator, replicates: int, confidence: float = 0.95) -> Value:
    """Return how far two layouts (n, 2) of the same points differ after the best shift, turn, mirroring and scaling.

    0 says that they are the same but for those, 1 that they have nothing in common: the root of the Procrustes
    statistic, which is the share of the squared lengths that is left (Gower 1975). Percentile bootstrap of points.
    """
    n = len(one)
    drawn = [rng.integers(0, n, n) for _ in range(replicates)]
    disparities = [procrustes(one[rows], other[rows])[2] ** 0.5 for rows in drawn]
    value = float(procrustes(one, other)[2] ** 0.5)
    method = (
        f"root of the Procrustes statistic; {confidence:.0%} percentile bootstrap, {replicates} resamples of images"
    )
    return Value(value, *percentiles(disparities, confidence), n, UNIT, method)


def _order(points: Points) -> NDArray[np.int64]:
    """Return all other points by distance (n, n - 1); of equals the first."""
    apart = cdist(points, points)
    np.fill_diagonal(apart, -1.0)
    return np.asarray(np.argsort(apart, axis=1, kind="stable")[:, 1:], np.int64)


def _ranks(points: Points) -> NDArray[np.int64]:
    """Return the rank (n, n) of each point among the others, from 1; 0 for the point itself."""
    n = len(points)
    rank = np.zeros((n, n), np.int64)
    np.put_along_axis(rank, _order(points), np.broadcast_to(np.arange(1, n), (n, n - 1)), axis=1)
    return rank
