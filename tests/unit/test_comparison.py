"""Measures without bins: reference implementations, hand-worked numbers and small or odd input."""

from __future__ import annotations

import numpy as np
import pytest
from made_results import joined
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal
from sklearn.metrics.pairwise import rbf_kernel

from twigma_spark.stats import kernels, nearest, resampling
from twigma_spark.stats.comparison import COMPARED, KERNELS, ROWS, ComparisonSpec, comparisons
from twigma_spark.stats.sample import Sample

SPEC = ComparisonSpec(images=200, k=3, bootstrap=80, seed=1)


def draw(n: int, seed: int, shift: float = 0.0, d: int = 3) -> np.ndarray:
    return (shift + np.random.default_rng(seed).normal(size=(n, d))).astype(np.float32)


def test_knn_divergence_worked_by_hand() -> None:
    """Points 0, 1, 3 against 0.5, 5, k = 1: own distances 1, 1, 2, others 0.5, 0.5, 2; log(m / (n - 1)) = log 1."""
    p, q = np.array([[0.0], [1.0], [3.0]], np.float32), np.array([[0.5], [5.0]], np.float32)
    np.testing.assert_allclose(nearest.knn_kl(p, q, 1), [np.log(0.5), np.log(0.5), np.log(2 / 2)], atol=1e-12)


def test_knn_divergence_finds_that_of_two_normals() -> None:
    """KL of N(0, I) and N(m, I) is |m|^2 / 2."""
    found = nearest.knn_kl(draw(4000, 1, d=2), draw(4000, 2, shift=1.0, d=2), 5).mean()
    assert found == pytest.approx(1.0, abs=0.12)
    x = draw(4000, 1, d=2)
    by_density = multivariate_normal([0, 0]).logpdf(x) - multivariate_normal([1, 1]).logpdf(x)
    assert found == pytest.approx(by_density.mean(), abs=0.12)


def test_equal_images_have_no_distance_and_are_left_out() -> None:
    p = np.array([[0.0], [0.0], [1.0], [3.0]], np.float32)
    parts = nearest.knn_kl(p, np.array([[0.5], [5.0]], np.float32), 1)
    assert np.isnan(parts[:2]).all() and np.isfinite(parts[2:]).all()


def test_manifolds_worked_by_hand() -> None:
    """k = 1; balls of q: 0 and 1 reach 1, 5 reaches 4; balls of p: 0.5 reaches 1.5, 2 reaches 1.5, 20 reaches 18."""
    p, q = np.array([[0.5], [2.0], [20.0]], np.float32), np.array([[0.0], [1.0], [5.0]], np.float32)
    found = nearest.manifolds(p, q, 1)
    assert found.precision.tolist() == [1.0, 1.0, 0.0]
    assert found.density.tolist() == [2.0, 2.0, 0.0]
    assert found.recall.tolist() == [1.0, 1.0, 1.0]
    assert found.coverage.tolist() == [1.0, 1.0, 1.0]


def test_manifolds_equal_a_direct_count() -> None:
    p, q = draw(40, 1), draw(50, 2, shift=0.7)
    found, k = nearest.manifolds(p, q, 4), 4
    own = np.sort(cdist(q, q), axis=1)[:, k]
    inside = cdist(p, q) <= own
    assert found.density.mean() == pytest.approx(inside.sum() / (k * len(p)))
    assert found.coverage.mean() == pytest.approx(inside.any(axis=0).mean())
    assert found.precision.mean() == pytest.approx(inside.any(axis=1).mean())
    assert found.recall.mean() == pytest.approx(nearest.manifolds(q, p, 4).precision.mean())


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_images_that_occur_many_times_are_in_their_own_balls(scale: float) -> None:
    """Each image six times, more than k copies: its ball has no radius. The other corpus has the same images."""
    rows = scale * np.random.default_rng(5).normal(size=(40, 64)).astype(np.float32)
    found = nearest.manifolds(np.repeat(rows, 6, axis=0), np.repeat(rows, 6, axis=0), 3)
    for measure in (found.precision, found.recall, found.coverage):
        assert measure.mean() == 1.0
    np.testing.assert_array_equal(found.density, 6 / 3)
    # Other images are not in a ball without a radius, however near.
    apart = nearest.manifolds(np.repeat(rows, 6, axis=0) + np.float32(0.01 * scale), np.repeat(rows, 6, axis=0), 3)
    assert apart.precision.mean() == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_a_row_at_the_edge_of_a_ball_is_inside(seed: int) -> None:
    """p are the k-th neighbours themselves, so that every ball of q holds one just at its edge."""
    q = np.random.default_rng(seed).normal(size=(50, 32)).astype(np.float32)
    order = np.argsort(cdist(q.astype(np.float64), q.astype(np.float64)), axis=1)
    found = nearest.manifolds(q[order[:, 3]], q, 3)
    assert found.coverage.mean() == found.precision.mean() == 1.0


def test_mmd_equals_sklearns_kernels_without_the_diagonal() -> None:
    p, q, width = draw(30, 1), draw(40, 2, shift=0.5), 1.7
    pp, qq, pq = (
        rbf_kernel(a.astype(float), b.astype(float), gamma=1 / (2 * width**2)) for a, b in ((p, p), (q, q), (p, q))
    )
    truth = (pp.sum() - 30) / (30 * 29) + (qq.sum() - 40) / (40 * 39) - 2 * pq.mean()
    assert kernels.mmd(kernels.kernels(p, q, width)) == pytest.approx(truth, abs=1e-9)


def test_mmd_of_one_distribution_is_0_on_average() -> None:
    values = [kernels.mmd(kernels.kernels(draw(30, 2 * s), draw(30, 2 * s + 1), 1.5)) for s in range(100)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 10 and min(values) < 0


def test_mmd_of_two_points_worked_by_hand() -> None:
    """Kernel 1 within (equal rows) and exp(-1/2) between at distance 1 and bandwidth 1: 2 - 2 exp(-1/2)."""
    p, q = np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32)
    assert kernels.mmd(kernels.kernels(p, q, 1.0)) == pytest.approx(2 - 2 * np.exp(-0.5))
    assert kernels.median_bandwidth(p, q) == 1.0 == kernels.median_bandwidth(p, p)


def test_a_resample_leaves_out_pairs_of_a_row_and_its_copy() -> None:
    p, q = draw(8, 1), draw(8, 2)
    found = kernels.kernels(p, q, 1.0)
    w = np.array([[2.0, 0, 1, 1, 1, 1, 1, 1]])
    rows = np.repeat(np.arange(8), w[0].astype(int))
    pairs = [found.pp[a, b] for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j and a != b]
    truth = np.mean(pairs) + (found.qq.sum() - 8) / 56 - 2 * found.pq[rows].mean()
    assert kernels.weighted_mmd(found, w, np.ones((1, 8)))[0] == pytest.approx(truth)


def test_bootstrap_means_equal_those_of_the_rows_drawn() -> None:
    rng = np.random.default_rng(0)
    values, codes = rng.normal(size=9), np.array([0, 0, 1, 1, 1, 2, 2, 2, 3])
    weights = resampling.multiplicities(4, 20, rng)
    assert (weights.sum(axis=1) == 4).all()
    for weight, mean in zip(weights, resampling.row_means(values, codes, weights), strict=True):
        assert np.average(values, weights=weight[codes]) == pytest.approx(mean)


def test_all_pairs_have_all_measures_with_intervals() -> None:
    samples = {
        "p": Sample(draw(90, 1), np.arange(90) // 3, "posts"),
        "q": Sample(draw(80, 2, 0.5)),
        "r": Sample(draw(80, 3)),
    }
    found = comparisons(samples, SPEC)
    assert {s.metric for s in found} == set(COMPARED)
    assert len(found) == 6 * len(ROWS) + 3 * len(KERNELS)
    for s in found:
        assert s.estimate is not None and s.low is not None and s.high is not None and s.low <= s.high
    one = next(s for s in found if (s.metric, joined(s)) == ("precision", "p|q"))
    assert (one.n, one.unit) == (110, "posts and images")
    assert "jackknife interval, 20 blocks of posts and images" in one.method
    assert found == comparisons(samples, SPEC)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "group"), [(150, 1), (150, 3)])
def test_jackknife_intervals_cover_what_is_expected_of_such_samples(n: int, group: int) -> None:
    """With one side resampled and the neighbours kept, 73 to 79% of intervals did."""
    spec, found = ComparisonSpec(images=n, k=5, bootstrap=10, variance=1.0), []
    for seed in range(80):
        rng = np.random.default_rng([8, seed])
        rows = rng.normal(size=(2, n // group, 6)).repeat(group, axis=1) * (0.8 if group > 1 else 1.0)
        rows = rows + (0.6 * rng.normal(size=rows.shape) if group > 1 else 0.0)
        rows[1, :, 0] += 1.0
        samples = {
            name: Sample(each.astype(np.float32), np.arange(n) // group, "posts")
            for name, each in zip("pq", rows, strict=True)
        }
        found.append({s.metric: s for s in comparisons(samples, spec) if joined(s) == "p|q"})
    for metric in ROWS:
        truth = np.mean([each[metric].estimate for each in found])
        covered = np.mean([each[metric].low <= truth <= each[metric].high for each in found])
        assert covered >= 0.92, (metric, covered)


def test_little_and_equal_images_are_said() -> None:
    samples = {
        "none": Sample(np.empty((0, 3), np.float32)), "one": Sample(draw(1, 1)),
        "same": Sample(np.ones((20, 3), np.float32)), "rest": Sample(draw(20, 2)),
    }  # fmt: skip
    found = {(s.metric, joined(s)): s for s in comparisons(samples, SPEC)}
    assert all(np.isfinite(v) for s in found.values() for v in (s.estimate, s.low, s.high) if v is not None)
    assert found["precision", "none|rest"].method == "not computed: 0 images of none, more than k = 3 are needed"
    assert found["cmmd", "one|rest"].method == "not computed: 1 images of one, more than k = 3 are needed"
    assert "no image of same has a 3-th neighbour" in found["knn_kl", "same|rest"].method
    assert found["mmd", "same|rest"].estimate is not None


def test_one_group_has_no_interval() -> None:
    samples = {"p": Sample(draw(20, 1), np.zeros(20), "artists"), "q": Sample(draw(20, 2))}
    one = next(s for s in comparisons(samples, SPEC) if (s.metric, joined(s)) == ("precision", "p|q"))
    assert (one.low, one.high) == (
        None,
        None,
    ) and "no interval: too few of artists and images can be left out" in one.method


def test_whole_groups_are_drawn() -> None:
    sample = Sample(draw(90, 1), np.repeat(np.arange(30), 3), "posts")
    part = sample.draw_groups(31, 5)
    assert len(part.vectors) == 30 and np.bincount(part.codes).tolist() == [3] * 10
    assert len(Sample(draw(9, 1), np.zeros(9)).draw_groups(4, 0).vectors) == 9
