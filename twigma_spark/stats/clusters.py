"""How good a number of clusters is: silhouette, and agreement of clusterings from several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_samples
from sklearn.metrics.pairwise import pairwise_distances

from twigma_spark.results import Value
from twigma_spark.stats.intervals import percentiles

Labels = NDArray[np.int64]
UNIT = "images"


def distances(vectors: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Return the distances (n, n) between all vectors (n, d); "cosine" or "euclidean"."""
    between = np.maximum(pairwise_distances(vectors, metric=metric), 0.0)
    np.fill_diagonal(between, 0.0)
    return np.asarray(between, np.float32)


def silhouette(
    apart: NDArray[np.float32], labels: Labels, rng: np.random.Generator, replicates: int, confidence: float = 0.95
) -> Value | None:
    """Return the mean silhouette, -1 to 1, with a percentile bootstrap interval; None of fewer than two clusters.

    Args:
        apart: distances (n, n).
        labels: cluster of each image (n,).
        rng: source of the bootstrap's randomness.
        replicates: bootstrap samples of images.
        confidence: of the two-sided interval.

    Source: Rousseeuw 1987, as scikit-learn computes it.
    """
    n = len(labels)
    if not 2 <= len(np.unique(labels)) < n:
        return None
    each = silhouette_samples(apart, labels, metric="precomputed")
    means = [each[rng.integers(0, n, n)].mean() for _ in range(replicates)]
    method = f"mean silhouette; {_bootstrap(replicates, confidence)}"
    return Value(float(each.mean()), *percentiles(means, confidence), n, UNIT, method)


def stability(
    labelings: Sequence[Labels], rng: np.random.Generator, replicates: int, confidence: float = 0.95
) -> Value | None:
    """Return the mean adjusted Rand index of all pairs of clusterings; None of fewer than two clusterings.

    1 says that every seed found the same clusters, 0 that they agree no more than by chance. The interval is
    the percentile bootstrap's, moved onto the estimate.

    Args:
        labelings: clusters of the same images (n,), one array a seed.
        rng: source of the bootstrap's randomness.
        replicates: bootstrap samples of images.
        confidence: of the two-sided interval.
    """
    if len(labelings) < 2:
        return None
    n = len(labelings[0])
    pairs = list(combinations(labelings, 2))
    means = []
    for _ in range(replicates):
        drawn = rng.integers(0, n, n)
        means.append(np.mean([adjusted_rand(a[drawn], b[drawn]) for a, b in pairs]))
    value = float(np.mean([adjusted_rand(a, b) for a, b in pairs]))
    # An image drawn twice agrees with itself in every clustering, which lifts all resamples by about 1 / n.
    low, high = percentiles(np.array(means) - np.mean(means) + value, confidence)
    method = f"mean over {len(pairs)} pairs of seeds; {_bootstrap(replicates, confidence)}"
    return Value(value, min(low, value), min(max(high, value), 1.0), n, UNIT, method)


def _bootstrap(replicates: int, confidence: float) -> str:
    return f"{confidence:.0%} percentile bootstrap, {replicates} resamples of images"


def adjusted_rand(a: Labels, b: Labels) -> float:
    """Return the adjusted Rand index of two clusterings of the same images (Hubert & Arabie 1985, equation 5)."""
    wide = int(b.max()) + 1
    cells = np.bincount(a * wide + b, minlength=(int(a.max()) + 1) * wide).reshape(-1, wide).astype(np.float64)
    both, left, right = (_pairs(counts).sum() for counts in (cells, cells.sum(axis=1), cells.sum(axis=0)))
    chance, most = left * right / _pairs(np.float64(len(a))), (left + right) / 2
    return 1.0 if most == chance else float((both - chance) / (most - chance))


def _pairs(counts: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    return np.asarray(counts * (counts - 1) / 2)
