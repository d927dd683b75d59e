"""Quantisation: several samples become histograms over common clusters, as Pillutla et al. 2021 prescribe."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from twigma_spark.stats.sample import Vectors

Bins = NDArray[np.int64]


@dataclass(frozen=True)
class QuantiseSpec:
    """How vectors are put into bins.

    Attributes:
        clusters: bins; fewer where there are fewer different vectors.
        variance: share of the joint variance that the principal components keep.
        seed: of k-means.
        restarts: starts of k-means, the best is kept.
    """

    clusters: int = 10
    variance: float = 0.9
    seed: int = 0
    restarts: int = 5


def quantise(samples: Sequence[Vectors], spec: QuantiseSpec) -> tuple[list[Bins], str]:
    """Return the bin of each row of each sample, from 0 without gaps, and how they were made.

    Principal components of all samples together, not whitened (a direction counts as much as it varies),
    k-means of all samples together.

    Source: Pillutla et al. 2021 (MAUVE), section 3; its code, with the variance kept at 0.9.
    """
    joint = np.concatenate(list(samples)).astype(np.float32, copy=False)
    kept = reduce_dimensions(joint, spec.variance)
    labels = cluster_points(kept, spec.clusters, spec.seed, spec.restarts)
    method = f"{labels.max() + 1} k-means clusters of {kept.shape[1]} joint principal components"
    ends = np.cumsum([len(sample) for sample in samples])[:-1]
    return list(np.split(labels, ends)), f"{method} ({spec.variance:g} of the variance)"


def reduce_dimensions(joint: Vectors, variance: float) -> Vectors:
    """Return the principal components (n, r) that keep `variance`; the vectors themselves where all is kept."""
    if variance >= 1.0 or not np.any(joint != joint[0]):
        return joint
    reduced: Vectors = PCA(variance, svd_solver="covariance_eigh").fit_transform(joint)
    return reduced


def cluster_points(points: Vectors, clusters: int, seed: int, restarts: int = 1) -> Bins:
    """Return the k-means cluster of each point (n,), from 0 without gaps; at most as many as there are points."""
    kmeans = KMeans(min(clusters, len(points)), n_init=restarts, random_state=seed % 2**32)
    with warnings.catch_warnings():
        # Fewer different vectors than clusters: then there are fewer bins, and the words say how many.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, labels = np.unique(kmeans.fit_predict(points), return_inverse=True)
    return np.asarray(labels, np.int64)
