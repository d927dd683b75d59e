"""Silhouette and stability of clusterings."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

from twigma_spark.stats.clusters import adjusted_rand, distances, silhouette, stability


def blobs(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, k, n)
    return (np.eye(k, 12)[label] + 0.2 * rng.normal(size=(n, 12))).astype(np.float32), label


def test_the_silhouette_is_scikit_learns_and_best_at_the_planted_number() -> None:
    vectors, label = blobs(200, 4, 0)
    apart = distances(vectors, "cosine")
    found = silhouette(apart, label, np.random.default_rng(0), 50)
    assert found is not None and found.n == 200
    assert found.estimate == pytest.approx(silhouette_score(vectors, label, metric="cosine"), abs=1e-5)
    assert found.low < found.estimate < found.high
    merged = silhouette(apart, label // 2, np.random.default_rng(0), 50)
    assert merged is not None and merged.high < found.low


def test_one_cluster_or_one_a_point_has_no_silhouette() -> None:
    apart = distances(np.eye(4, dtype=np.float32), "euclidean")
    for labels in (np.zeros(4, np.int64), np.arange(4)):
        assert silhouette(apart, labels, np.random.default_rng(0), 10) is None


@pytest.mark.parametrize("seed", range(5))
def test_adjusted_rand_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, 60), rng.integers(0, 5, 60)
    assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b))
    assert adjusted_rand(a, a) == 1.0


def test_stability_is_one_for_renamed_clusters_and_near_zero_for_chance() -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 3, 300)
    same = stability([label, (label + 1) % 3, (label + 2) % 3], rng, 20)
    assert same is not None and (same.estimate, same.low, same.high, same.n) == (1.0, 1.0, 1.0, 300)
    chance = stability([rng.integers(0, 3, 300) for _ in range(4)], rng, 50)
    assert chance is not None and abs(chance.estimate) < 0.02 and chance.low < chance.estimate < chance.high
    assert stability([label], rng, 10) is None
