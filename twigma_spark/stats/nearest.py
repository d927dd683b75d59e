"""Measures by nearest neighbours: divergence without bins, and precision, recall, density and coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twigma_spark.stats.sample import Floats, Vectors


@dataclass(frozen=True)
class Distances:
    """Euclidean distances within and between two samples p (n, d) and q (m, d).

    Attributes:
        pp: within p (n, n).
        qq: within q (m, m).
        pq: from p to q (n, m).
        dimensions: d.
        rounding: what a distance may be off by: squares are differences of large numbers.
    """

    pp: Floats
    qq: Floats
    pq: Floats
    dimensions: int
    rounding: float

    @property
    def swapped(self) -> Distances:
        """The same with p and q in each other's place."""
        return Distances(self.qq, self.pp, self.pq.T, self.dimensions, self.rounding)

    def of(self, p: NDArray[np.bool_], q: NDArray[np.bool_]) -> Distances:
        """Return those of some rows of p (n,) and of q (m,)."""
        pp = self.pp if p.all() else self.pp[np.ix_(p, p)]
        qq = self.qq if q.all() else self.qq[np.ix_(q, q)]
        return Distances(pp, qq, self.pq[np.ix_(p, q)], self.dimensions, self.rounding)

    def radii(self, table: Floats, k: int) -> Floats:
        """Return the k-th least of each row of a table of distances; what may be rounding is 0."""
        nearest = np.partition(table, k - 1, axis=1)[:, k - 1]
        return np.where(nearest < self.rounding, 0.0, nearest)


def distances(p: Vectors, q: Vectors) -> Distances:
    """Return the distances within and between p (n, d) and q (m, d)."""
    largest = max(float(np.linalg.norm(rows.astype(np.float64), axis=1).max(initial=0.0)) for rows in (p, q))
    return Distances(_euclidean(p, p), _euclidean(q, q), _euclidean(p, q), p.shape[1], 1e-6 * (largest or 1.0))


def knn_kl(p: Vectors, q: Vectors, k: int) -> Floats:
    """Return `knn_kl_of` the distances of p (n, d), n > k, and q (m, d), m >= k."""
    return knn_kl_of(distances(p, q), k)


def knn_kl_of(of: Distances, k: int) -> Floats:
    """Return each row's part of KL(p || q) in nats, whose mean is the estimate: (n,), NaN where a distance is 0.

    With r the distance of a row of p to its k-th neighbour in p, s to its k-th neighbour in q, d dimensions:
    d log(s / r) + log(m / (n - 1)). It has no bins, but in many dimensions much bias; it can be negative.

    Args:
        of: distances of p and q.
        k: neighbour.

    Source: Wang, Kulkarni & Verdu 2009 (the k-NN estimator).
    """
    n, m = of.pq.shape
    # The nearest of a row in its own sample is the row itself.
    own, other = of.radii(of.pp, k + 1), of.radii(of.pq, k)
    usable = (own > 0) & (other > 0)
    parts = np.full(n, np.nan)
    parts[usable] = of.dimensions * np.log(other[usable] / own[usable]) + np.log(m / (n - 1))
    return parts


@dataclass(frozen=True)
class Manifolds:
    """Rows whose means are the four measures of Naeem et al. 2020; p are the fakes, q the reals.

    Attributes:
        precision: whether a row of p is inside a ball of q (n,).
        density: in how many balls of q a row of p is, over k (n,).
        recall: whether a row of q is inside a ball of p (m,).
        coverage: whether the ball of a row of q holds a row of p (m,).
    """

    precision: Floats
    density: Floats
    recall: Floats
    coverage: Floats


def manifolds(p: Vectors, q: Vectors, k: int) -> Manifolds:
    """Return `manifolds_of` the distances of p (n, d), n > k, the "fake", and q (m, d), m > k, the "real"."""
    return manifolds_of(distances(p, q), k)


def manifolds_of(of: Distances, k: int) -> Manifolds:
    """Return precision, density, recall and coverage of p against q, row by row.

    The ball of a row reaches to its k-th neighbour in its own sample.

    Args:
        of: distances of p and q.
        k: neighbour.

    Source: Naeem et al. 2020, "Reliable fidelity and diversity metrics"; precision and
        recall of Kynkaanniemi et al. 2019.
    """
    return manifolds_both_ways(of, k)[0]


def manifolds_both_ways(of: Distances, k: int) -> tuple[Manifolds, Manifolds]:
    """Return the measures of p against q, as `manifolds_of`, and of q against p: both come from the same balls."""
    ball_p, ball_q = of.radii(of.pp, k + 1), of.radii(of.qq, k + 1)
    # A row at the edge is inside, also where its distance was rounded up; so is one that equals the row of a ball
    # without a radius, as that of an image with more than k copies.
    near = of.pq - of.rounding
    inside_p, inside_q = near <= ball_p[:, None], near <= ball_q[None, :]
    return _manifolds(inside_p, inside_q, k), _manifolds(inside_q.T, inside_p.T, k)


def _manifolds(inside_p: NDArray[np.bool_], inside_q: NDArray[np.bool_], k: int) -> Manifolds:
    """Return the measures, of whether rows of p and q are inside the ball of the one of p, and of q (n, m)."""
    return Manifolds(
        precision=inside_q.any(axis=1).astype(np.float64),
        density=inside_q.sum(axis=1) / k,
        recall=inside_p.any(axis=0).astype(np.float64),
        coverage=inside_q.any(axis=0).astype(np.float64),
    )


def _euclidean(p: Vectors, q: Vectors) -> Floats:
    a, b = p.astype(np.float64), q.astype(np.float64)
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2.0 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)), np.float64)
