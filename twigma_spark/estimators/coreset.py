"""Weighted summaries of unit vectors and weighted spherical k-means of them; plain arrays, by FAISS."""

from __future__ import annotations

from collections.abc import Iterable

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from twigma_spark.io import arrow

Vectors = NDArray[np.float32]

# Groups are found on a sample of so many rows a group, in so many rounds; every row then joins the nearest.
ROWS_A_GROUP, ROUNDS = 32, 6
# Rounds on the driver, where a round costs next to nothing.
DRIVER_ROUNDS = 50


def centres(points: Vectors, weights: Vectors, k: int, seeds: Iterable[int]) -> Vectors:
    """Return the best centres (k, d) of weighted k-means over starts by k-means++ from some seeds.

    The points may be shorter than 1: a mean of unit vectors weighs as its rows together would, so that the
    objective, the sum of w <point, centre>, is that of the rows as long as a group stays together.

    Args:
        points: means (n, d).
        weights: rows that each stands for (n,).
        k: centres; where there are no more points than that, points repeat.
        seeds: of the starts; of equally good ones the first is kept.
    """
    if len(points) <= k:
        return arrow.unit(np.resize(points, (k, points.shape[1])))
    fits = [_trained(points, weights, k, seed) for seed in seeds]
    gains = [float(weights @ (points @ fit.T).max(axis=1)) for fit in fits]
    return fits[int(np.argmax(gains))]


def summary(vectors: Vectors, weights: Vectors, most: int, seed: int) -> tuple[Vectors, Vectors]:
    """Return at most `most` weighted means (m, d), (m,) that stand for weighted vectors (n, d), (n,).

    Weighted sums are kept: the means times their weights add up to the vectors times theirs.
    """
    if len(vectors) <= most:
        return vectors, weights
    groups = faiss.Kmeans(
        vectors.shape[1], most, niter=ROUNDS, seed=seed % 2**31, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=ROWS_A_GROUP,
    )  # fmt: skip
    # A group has to be of like vectors only; training with the weights made it no better.
    groups.train(vectors)
    labels = groups.index.search(vectors, 1)[1].ravel()
    shares = sparse.csr_matrix((weights, (labels, np.arange(len(vectors)))), shape=(most, len(vectors)))
    totals = np.bincount(labels, weights, most).astype(np.float32)
    taken = totals > 0
    return (shares @ vectors)[taken] / totals[taken, None], totals[taken]


def _trained(points: Vectors, weights: Vectors, k: int, seed: int) -> Vectors:
    kmeans = faiss.Kmeans(
        points.shape[1], k, niter=DRIVER_ROUNDS, seed=seed % 2**31, spherical=True,
        init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
        min_points_per_centroid=1, max_points_per_centroid=len(points),
    )  # fmt: skip
    kmeans.train(points, weights)
    return arrow.unit(np.asarray(kmeans.centroids))
