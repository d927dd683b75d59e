"""Weighted summaries and weighted spherical k-means, without Spark."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from twigma_spark.estimators import table_summary
from twigma_spark.estimators.coreset import Metric, centres, lloyd, starts, summary
from twigma_spark.estimators.kmeans import KMeansSpec
from twigma_spark.io import arrow
from twigma_spark.vectors import unit_rows


def planted(n: int, d: int, groups: int, seed: int, spread: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, groups, n)
    centre = np.random.default_rng(99).normal(size=(groups, d))
    return unit_rows((centre[label] + spread * rng.normal(size=(n, d))).astype(np.float32)), label


def gain(vectors: np.ndarray, centroids: np.ndarray) -> float:
    return float((vectors @ centroids.T).max(axis=1).mean())


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 400), d=st.integers(2, 9), most=st.integers(2, 40), seed=st.integers(0, 2**40))
def test_a_summary_keeps_weighted_sums(n: int, d: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit_rows(rng.normal(size=(n, d)).astype(np.float32))
    weights = rng.integers(1, 9, n).astype(np.float32)
    means, totals = summary(vectors, weights, most, seed)
    assert 1 <= len(means) <= max(most, 1) and len(means) == len(totals)
    assert totals.sum() == weights.sum() and (totals > 0).all()
    np.testing.assert_allclose(totals @ means, weights @ vectors, atol=2e-3)


def test_few_vectors_are_their_own_summary() -> None:
    vectors, _ = planted(20, 5, 3, 1)
    means, totals = summary(vectors, np.ones(20, np.float32), 20, 0)
    assert (means == vectors).all() and (totals == 1).all()


def test_centres_reach_the_optimum_that_scikit_learn_finds() -> None:
    """On the sphere the squared distance is 2 - 2 cosine, so that both look for nearly the same centres."""
    vectors, _ = planted(900, 8, 5, 2)
    ours = centres(vectors, np.ones(900, np.float32), 5, range(5))
    theirs = unit_rows(KMeans(5, n_init=10, random_state=0).fit(vectors).cluster_centers_)
    assert gain(vectors, ours) >= gain(vectors, theirs) - 1e-5
    np.testing.assert_allclose((ours @ theirs.T).max(axis=1), 1.0, atol=1e-4)


def test_a_summary_loses_next_to_nothing() -> None:
    vectors, _ = planted(4000, 16, 12, 3, spread=1.5)
    ones = np.ones(4000, np.float32)
    full = gain(vectors, centres(vectors, ones, 6, range(5)))
    reduced = gain(vectors, centres(*summary(vectors, ones, 256, 0), 6, range(5)))
    assert reduced > full - 0.004


def test_a_weight_counts_as_so_many_copies() -> None:
    vectors = unit_rows(np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0.2]], np.float32))
    weights = np.array([1, 1, 5, 3], np.float32)
    weighted = centres(vectors, weights, 2, range(8))
    repeated = centres(np.repeat(vectors, weights.astype(int), axis=0), np.ones(10, np.float32), 2, range(8))
    order = [np.lexsort(c.T) for c in (weighted, repeated)]
    np.testing.assert_allclose(weighted[order[0]], repeated[order[1]], atol=1e-6)


def test_points_repeat_where_there_are_too_few_of_them() -> None:
    points = np.array([[0.5, 0], [0, 0.25]], np.float32)
    found = centres(points, np.array([3, 4], np.float32), 5, [0])
    np.testing.assert_array_equal(found, [[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]])


def batches(vectors: np.ndarray, size: int) -> list[pa.RecordBatch]:
    ids = pa.array([f"{n:05d}" for n in range(len(vectors))])
    whole = pa.record_batch([ids, arrow.lists(vectors)], ["image_id", "embedding"])
    return [whole.slice(start, size) for start in range(0, len(vectors), size)]


def test_a_partition_is_summarised_the_same_in_any_order_of_its_rows() -> None:
    vectors, _ = planted(500, 6, 4, 5)
    forward = batches(vectors, 64)
    table = pa.Table.from_batches(forward)
    shuffled = table.take(np.random.default_rng(0).permutation(500)).combine_chunks().to_batches()
    one, other = (list(table_summary._summaries(b, KMeansSpec(2, 7, summaries=32))) for b in (forward, shuffled))
    assert one[0].equals(other[0])


def test_large_partitions_are_summarised_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_summary, "BLOCK", 3000)
    monkeypatch.setattr(table_summary, "HELD", 2)
    vectors, _ = planted(950, 6, 4, 5)
    blocks = list(table_summary._blocks(batches(vectors, 30), "cosine"))
    assert len(blocks) > 8 and max(len(rows) for rows, _ in blocks) < 130
    (found,) = table_summary._summaries(batches(vectors, 30), KMeansSpec(2, 7, summaries=32))
    means, weights = arrow.matrix(found.column("mean")), found.column("weight").to_numpy()
    assert len(means) <= 32 and weights.sum() == 950
    np.testing.assert_allclose(weights @ means, vectors.sum(axis=0), atol=1e-2)
    assert len(means) > 4 and gain(vectors, centres(means, weights.astype(np.float32), 4, [0, 1])) > 0.8


def test_an_empty_partition_has_no_summary() -> None:
    spec = KMeansSpec(4, 0)
    assert list(table_summary._summaries([], spec)) == []
    assert list(table_summary._summaries([batches(np.ones((1, 2), np.float32), 1)[0].slice(0, 0)], spec)) == []


def reference(points: np.ndarray, weights: np.ndarray, found: np.ndarray, metric: Metric) -> np.ndarray:
    """Weighted k-means by its definition, one point and one centre at a time, in double precision."""
    points, found = points.astype(np.float64), found.astype(np.float64)
    for _ in range(200):
        labels = []
        for point in points:
            if metric == "cosine":
                labels.append(int(np.argmin([1 - point @ c / np.linalg.norm(c) for c in found])))
            else:
                labels.append(int(np.argmin([((point - c) ** 2).sum() for c in found])))
        means = []
        for c in range(len(found)):
            own = [n for n, label in enumerate(labels) if label == c]
            mean = sum(weights[n] * points[n] for n in own) / sum(weights[n] for n in own)
            means.append(mean / np.linalg.norm(mean) if metric == "cosine" else mean)
        if np.abs(np.array(means) - found).max() < 1e-12:
            break
        found = np.array(means)
    return found


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("seed", range(4))
def test_k_means_is_that_of_the_definition_from_the_same_start(metric: Metric, seed: int) -> None:
    vectors, _ = planted(300, 6, 4, 10 + seed, spread=0.8)
    if metric == "euclidean":
        vectors = vectors * np.random.default_rng(seed).uniform(0.5, 3, (300, 1)).astype(np.float32)
    weights = np.random.default_rng(seed).integers(1, 6, 300).astype(np.float32)
    points, totals = summary(vectors, weights, 120, 3, metric)
    start = starts(points, totals, 4, seed, metric)
    np.testing.assert_allclose(
        lloyd(points, totals, start, metric), reference(points, totals, start, metric), atol=2e-4
    )


def test_euclidean_centres_reach_the_optimum_that_scikit_learn_finds() -> None:
    rng = np.random.default_rng(7)
    vectors = (rng.normal(size=(5, 8))[rng.integers(0, 5, 900)] * 3 + rng.normal(size=(900, 8))).astype(np.float32)
    ours = centres(vectors, np.ones(900, np.float32), 5, range(5), "euclidean")
    theirs = KMeans(5, n_init=10, random_state=0).fit(vectors)
    inertia = ((vectors[:, None] - ours) ** 2).sum(axis=2).min(axis=1).sum()
    assert inertia <= theirs.inertia_ * 1.0005


def test_a_centre_without_points_moves_to_the_worst_served_one() -> None:
    points = np.array([[0, 0], [0.1, 0], [9, 0], [9, 0.1]], np.float32)
    found = lloyd(points, np.ones(4, np.float32), np.array([[0, 0], [-50, 0]], np.float32), "euclidean")
    np.testing.assert_allclose(sorted(found[:, 0]), [0.05, 9], atol=1e-5)


def test_starts_are_different_points_while_there_are_any() -> None:
    points = np.repeat(np.eye(3, dtype=np.float32), 50, axis=0)
    for metric in ("cosine", "euclidean"):
        for seed in range(5):
            found = starts(points, np.ones(150, np.float32), 3, seed, metric)
            assert sorted(found.argmax(axis=1)) == [0, 1, 2]
