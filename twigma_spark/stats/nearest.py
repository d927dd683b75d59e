"""Measures by nearest neighbours: divergence without bins, and precision, recall, density and coverage.

Each is a mean over rows, so that its interval is that of a mean over groups with the neighbours kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from twigma_spark.stats.sample import Floats, Vectors


def knn_kl(p: Vectors, q: Vectors, k: int) -> Floats:
    """Return each row's part of KL(p || q) in nats, whose mean is the estimate: (n,), NaN where a distance is 0.

    With r the distance of a row of p to its k-th neighbour in p, s to its k-th neighbour in q, d dimensions:
    d log(s / r) + log(m / (n - 1)). It has no bins, but in many dimensions much bias; it can be negative.

    Args:
        p: (n, d), n > k.
        q: (m, d), m >= k.
        k: neighbour.

    Source: Wang, Kulkarni & Verdu 2009 (the k-NN estimator).
    """
    n, m = len(p), len(q)
    # The nearest of a row in its own sample is the row itself.
    own, other = radii(p, p, k + 1), radii(p, q, k)
    usable = (own > 0) & (other > 0)
    parts = np.full(n, np.nan)
    parts[usable] = p.shape[1] * np.log(other[usable] / own[usable]) + np.log(m / (n - 1))
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
    """Return precision, density, recall and coverage of p against q, row by row.

    The ball of a row reaches to its k-th neighbour in its own sample.

    Args:
        p: (n, d), n > k; the images that are judged ("fake").
        q: (m, d), m > k; the images they are judged against ("real").
        k: neighbour.

    Source: Naeem et al. 2020, "Reliable fidelity and diversity metrics"; precision and
        recall of Kynkaanniemi et al. 2019.
    """
    ball_p, ball_q = radii(p, p, k + 1), radii(q, q, k + 1)
    # A row at the edge is inside, also where its distance was rounded up; so is one that equals the row of a ball
    # without a radius, as that of an image with more than k copies.
    distances = _distances(p, q) - _bound_rounding(np.concatenate([p, q]))
    inside = distances <= ball_q[None, :]
    return Manifolds(
        precision=inside.any(axis=1).astype(np.float64),
        density=inside.sum(axis=1) / k,
        recall=(distances <= ball_p[:, None]).any(axis=0).astype(np.float64),
        coverage=inside.any(axis=0).astype(np.float64),
    )


def radii(of: Vectors, among: Vectors, k: int) -> Floats:
    """Return the distance of each row of `of` to its k-th nearest row of `among`, itself included: (n,)."""
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(among.astype(np.float64))
    found: Floats = search.kneighbors(of.astype(np.float64))[0][:, -1]
    return np.where(found < _bound_rounding(among), 0.0, found)


def _bound_rounding(rows: Vectors) -> float:
    """Return what a distance between rows may be off by: squares are differences of large numbers."""
    return 1e-6 * (float(np.linalg.norm(rows.astype(np.float64), axis=1).max(initial=0.0)) or 1.0)


def _distances(p: Vectors, q: Vectors) -> Floats:
    a, b = p.astype(np.float64), q.astype(np.float64)
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2.0 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)), np.float64)
