"""Variation: reference implementations, hand-worked numbers, planted truth and small or odd input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import joined
from scipy.spatial.distance import pdist
from scipy.stats import entropy as shannon

from twigma_spark.results import Result
from twigma_spark.stats import pairs, resampling
from twigma_spark.stats.groups import within_groups
from twigma_spark.stats.matching import match_on_words
from twigma_spark.stats.moments import add_moments, moments
from twigma_spark.stats.sample import Sample
from twigma_spark.stats.spread import (
    effective_rank,
    generalised_variance,
    inverse_explained_variance,
    pseudo_multivariate_variance,
    vendi,
    vendi_of_rows,
)
from twigma_spark.stats.texts import of_texts
from twigma_spark.stats.variation import VariationSpec, entropies, of_moments, of_pairs, within

SPEC = VariationSpec(pairs=4000, clusters=4, bootstrap=60, seed=2)


def unit(n: int, seed: int, d: int = 5, mean: float = 1.0) -> np.ndarray:
    rows = mean + np.random.default_rng(seed).normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def by_metric(found: list[Result]) -> dict[str, Result]:
    return {s.metric: s for s in found}


@given(cuts=st.lists(st.integers(0, 50), max_size=4))
def test_moments_of_parts_add_up(cuts: list[int]) -> None:
    x = unit(50, 1)
    parts = [part for part in np.split(x, sorted(cuts)) if len(part)]
    whole, sum_of_parts = moments(x), add_moments(moments(part) for part in parts)
    assert sum_of_parts.n == whole.n == 50
    np.testing.assert_allclose(sum_of_parts.outer, whole.outer, rtol=1e-12)
    np.testing.assert_allclose((whole - moments(x[:20])).total, moments(x[20:]).total, atol=1e-12)


def test_eigenvalues_are_those_of_numpys_covariance() -> None:
    x = unit(80, 1)
    truth = np.linalg.eigvalsh(np.cov(x.T.astype(float)))[::-1]
    np.testing.assert_allclose(moments(x).variances(), truth, rtol=1e-9)
    assert generalised_variance(moments(x).variances()) == pytest.approx(
        np.linalg.det(np.cov(x.T.astype(float))) ** 0.2
    )
    assert effective_rank(truth) == pytest.approx(np.trace(np.cov(x.T.astype(float))) / truth[0])
    np.testing.assert_allclose(moments(x).feature_variances(), x.astype(float).var(axis=0, ddof=1), rtol=1e-9)
    assert moments(np.ones((9, 3))).feature_variances().tolist() == [0, 0, 0]


def test_spread_worked_by_hand() -> None:
    assert effective_rank(np.array([4.0, 2.0, 2.0])) == 2.0 and effective_rank(np.zeros(3)) is None
    assert generalised_variance(np.array([8.0, 1.0, 1.0])) == pytest.approx(2.0)
    assert generalised_variance(np.full(768, 1e-3)) == pytest.approx(1e-3)
    assert inverse_explained_variance(np.array([16.0, 4.0, 1.0])) == pytest.approx((4 + 2 + 1) / 4)
    assert pseudo_multivariate_variance(np.array([64.0, 1.0, 1.0])) == pytest.approx(2.0)
    assert vendi(np.array([0.5, 0.5, 0.0])) == pytest.approx(2.0)
    assert vendi_of_rows(np.eye(4)[[0, 0, 1, 2]]) == pytest.approx(np.exp(shannon([0.5, 0.25, 0.25])))


def test_vendi_by_moments_is_that_of_the_matrix_of_cosines() -> None:
    x = unit(40, 3)
    values = np.linalg.eigvalsh(x.astype(float) @ x.T / 40)
    truth = np.exp(shannon(values[values > 1e-12]))
    assert vendi(moments(x).second()) == pytest.approx(truth, rel=1e-5)
    assert vendi_of_rows(x) == pytest.approx(truth, rel=1e-5)


def test_all_pairs_are_those_of_scipy_and_sampled_ones_are_near_with_a_stated_error() -> None:
    x = unit(200, 1)
    every = pairs.sample_pairs(x, 200 * 199 // 2, np.random.default_rng(0))
    assert every.complete and every.monte_carlo_error == 0
    assert every.distance.mean() == pytest.approx(pdist(x.astype(float)).mean())
    errors = []
    for seed in range(200):
        some = pairs.sample_pairs(x, 500, np.random.default_rng(seed))
        assert (some.first != some.second).all()
        errors.append((some.distance.mean() - every.distance.mean()) / some.monte_carlo_error)
    assert np.std(errors) == pytest.approx(1.0, abs=0.15) and abs(np.mean(errors)) < 0.25


def test_weights_of_pairs_are_those_of_the_pairs_of_a_resample() -> None:
    x, codes = unit(6, 1), np.array([0, 0, 1, 1, 2, 2])
    found = pairs.sample_pairs(x, 15, np.random.default_rng(0))
    weights = np.array([[2, 0, 1]], np.float32)
    copies = [(g, i) for g, times in enumerate([2, 0, 1]) for i in range(times)]
    rows = [(copy, r) for copy in copies for r in np.flatnonzero(codes == copy[0])]
    drawn = [np.linalg.norm(x[a] - x[b]) for i, (one, a) in enumerate(rows) for other, b in rows[:i]
             if one == other or one[0] != other[0]]  # fmt: skip
    mean = pairs.weighted_means(found.distance, pairs.pair_weights(found, codes, weights))
    assert mean[0] == pytest.approx(np.mean(drawn), rel=1e-5)


def test_bins_of_distances_hold_all_pairs() -> None:
    found = by_metric_group(of_pairs(Sample(unit(60, 1)), {"corpus": "posts"}, SPEC))
    shares = [s for (metric, _), s in found.items() if metric == "pair_share"]
    assert sum(s.estimate or 0.0 for s in shares) == pytest.approx(1.0)
    assert all(s.low is not None and s.high is not None and s.low <= s.high for s in shares)
    assert pairs.bins(np.array([0.0, 0.0499, 0.05, 0.15, 2.0])).tolist() == [0, 0, 1, 3, 40]


def by_metric_group(found: list[Result]) -> dict[tuple[str, str], Result]:
    return {(s.metric, joined(s)): s for s in found}


def test_pair_distance_of_right_angles() -> None:
    """Orthogonal unit vectors are the root of 2 apart; images of one post do not make more posts."""
    x = np.eye(6, dtype=np.float32)
    one = by_metric(of_pairs(Sample(x, np.array([0, 0, 1, 1, 2, 2]), "posts"), {"corpus": "posts"}, SPEC))[
        "pair_distance"
    ]
    assert one.estimate == pytest.approx(2**0.5) and one.low == pytest.approx(2**0.5, rel=1e-5)
    assert (one.n, one.unit) == (3, "posts")
    assert "15 all pairs, Monte-Carlo error 0; 95% percentile bootstrap, 60 resamples of posts" in one.method


def test_intervals_of_distances_are_wider_where_images_come_in_groups() -> None:
    x = np.repeat(unit(40, 1), 6, axis=0)
    codes = np.repeat(np.arange(40), 6)
    spec = VariationSpec(pairs=20_000, bootstrap=200, seed=1)
    alone = by_metric(of_pairs(Sample(x), {"corpus": "p"}, spec))["pair_distance"]
    grouped = by_metric(of_pairs(Sample(x, codes, "posts"), {"corpus": "p"}, spec))["pair_distance"]
    widths = [s.high - s.low for s in (grouped, alone) if s.high is not None and s.low is not None]
    assert 1.7 < widths[0] / widths[1] < 3.5


def test_moments_give_measures_with_jackknife_intervals() -> None:
    x = unit(400, 1)
    found = by_metric(of_moments([moments(x[i::10]) for i in range(10)], {"corpus": "posts"}, "posts", 0.95))
    assert list(found) == ["iev", "pmv", "effective_rank", "generalised_variance", "vendi"]
    for metric in ("iev", "pmv", "vendi"):
        s = found[metric]
        assert s.low is not None and s.high is not None and s.estimate is not None
        assert s.low < s.estimate < s.high and s.n == 400
        assert "less its jackknife bias; 95% jackknife over 10 blocks of posts" in s.method
    for metric in ("effective_rank", "generalised_variance"):
        assert found[metric].low is None and "would cover less than stated" in found[metric].method


@pytest.mark.slow
@pytest.mark.parametrize("groups", [60, 300])
def test_intervals_of_moments_cover_where_images_come_in_groups(groups: int) -> None:
    """Without the bias taken off, those of the Vendi score covered in 0 and 52% of such worlds."""

    def world(seed: int, many: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([21, seed])
        scale = np.linspace(1.5, 0.2, 24)
        x = np.repeat(rng.normal(size=(many, 24)) * scale, 3, axis=0) + 0.7 * rng.normal(size=(3 * many, 24)) * scale
        x[:, 0] += 2
        return x / np.linalg.norm(x, axis=1, keepdims=True), rng.permutation(many).repeat(3) % 10

    def measured(seed: int, many: int) -> dict[str, Result]:
        x, block = world(seed, many)
        return by_metric(of_moments([moments(x[block == b]) for b in range(10)], {"corpus": "p"}, "posts", 0.95))

    truth = measured(10_000, 20_000)
    for metric in ("iev", "pmv", "vendi"):
        covered = 0
        for seed in range(100):
            one = measured(seed, groups)[metric]
            covered += one.low <= truth[metric].estimate <= one.high  # type: ignore[operator]
        assert covered >= 90, (metric, covered)


@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), d=st.integers(1, 60))
def test_iev_and_pmv_are_the_paper_s(seed: int, n: int, d: int) -> None:
    """From the singular values and the columns' standard deviations, also with fewer vectors than dimensions."""
    x = np.random.default_rng(seed).normal(size=(n, d)) + 1.0
    singular = np.linalg.svd(x, compute_uv=False)
    found = by_metric(of_moments([moments(x[:1]), moments(x[1:])], {"corpus": "p"}, "posts", 0.95))
    assert found["iev"].estimate == pytest.approx(singular.sum() / singular[0], rel=1e-5)
    assert found["pmv"].estimate == pytest.approx(np.prod(x.std(axis=0, ddof=1) ** (1 / d)), rel=1e-9)


def test_the_jackknife_worked_by_hand() -> None:
    """Logs 0 and, left out, -2a, -a, 0, a, 2a: error sqrt(4/5 * 10 a^2); t of 4 degrees at 95% is 2.7764."""
    a = 0.01
    value, low, high = resampling.jackknife(1.0, [float(np.exp(i * a)) for i in range(-2, 3)], 0.95)
    reach = 2.7764 * 8**0.5 * a
    assert (value, low, high) == (
        pytest.approx(1),
        pytest.approx(np.exp(-reach), rel=1e-5),
        pytest.approx(np.exp(reach), rel=1e-5),
    )


def test_the_jackknife_takes_off_a_bias_that_falls_with_the_rows() -> None:
    """The log of the estimate is 1 + 1/n: of five blocks of 20 rows, 1.01, and of four 1.0125."""
    value, _, _ = resampling.jackknife(float(np.exp(1.01)), [float(np.exp(1 + 1 / 80))] * 5, 0.95)
    assert value == pytest.approx(np.e)
    for left_out in ([1.0] * 4, [1.0, 1.0, 1.0, 1.0, 0.0]):
        assert resampling.jackknife(1.0, left_out, 0.95) == (1.0, None, None)
    assert resampling.jackknife(1.0, [0.9, 1.1, 1.0, 1.0, 1.0], 0.95, least=1.0)[1] == 1.0


def test_entropy_over_common_clusters() -> None:
    places = 3 * np.eye(4, 5, dtype=np.float32)
    samples = {"even": Sample(np.repeat(places, 25, axis=0)), "one": Sample(np.repeat(places[:1], 30, axis=0))}
    found, bins = entropies(samples, SPEC)
    even, one = found
    assert even.estimate == pytest.approx(np.log(4)) and one.estimate == 0 == one.high
    assert even.low is not None and even.low < np.log(4) and set(bins) == set(samples)
    assert "4 k-means clusters of" in even.method and "of all corpora" in even.method


def test_within_groups_worked_by_hand() -> None:
    x = np.eye(4, dtype=np.float32)[[0, 1, 0, 0, 2, 3]]
    codes, bins = np.array([7, 7, 3, 3, 3, 5]), np.array([0, 1, 0, 0, 1, 0])
    found = within_groups(x, codes, bins)
    assert found.code.tolist() == [3, 7] and found.size.tolist() == [3, 2]
    np.testing.assert_allclose(found.distance, [2 * 2**0.5 / 3, 2**0.5])
    np.testing.assert_allclose(found.vendi, [np.exp(shannon([2 / 3, 1 / 3])), 2.0])
    np.testing.assert_allclose(found.entropy, [shannon([2 / 3, 1 / 3]), np.log(2)])
    np.testing.assert_allclose(found.shares.sum(axis=1), 1.0)


def test_variation_within_prompts_is_less_than_between() -> None:
    centres = np.repeat(unit(30, 1, mean=0.0), 4, axis=0)
    x = centres + 0.1 * np.random.default_rng(0).normal(size=centres.shape)
    sample = Sample(x.astype(np.float32), np.repeat(np.arange(30), 4), "prompts")
    found, groups = within(sample, np.zeros(120, np.int64), "diffusion", SPEC)
    own = by_metric(found)
    assert groups is not None and len(groups.code) == 30
    assert own["pair_distance"].labels == {"corpus": "diffusion", "within": "prompts"} and own["pair_distance"].n == 30
    assert own["pair_distance"].estimate == pytest.approx(0.1 * (2 * 5) ** 0.5, rel=0.15)
    assert own["pmv"].estimate == pytest.approx(0.1, rel=0.12) and "pooled within prompts" in own["pmv"].method
    assert own["generalised_variance"].estimate == pytest.approx(0.01, rel=0.25)
    assert own["effective_rank"].estimate is not None and 3 < own["effective_rank"].estimate < 5
    assert own["entropy"].estimate == 0


def test_little_and_equal_images_are_said() -> None:
    assert (
        of_pairs(Sample(unit(1, 1)), {"corpus": "p"}, SPEC)[0].method
        == "not computed: a pair needs two vectors, there are 1"
    )
    assert of_pairs(Sample(np.empty((0, 5), np.float32)), {"corpus": "p"}, SPEC)[0].estimate is None
    assert all(s.method == "not computed: no vectors" for s in of_moments([], {"corpus": "p"}, "posts", 0.95))
    one = by_metric(of_moments([moments(unit(1, 1))], {"corpus": "p"}, "posts", 0.95))
    assert one["effective_rank"].method == "not defined: one vector, there is no variance"
    assert one["iev"].estimate == pytest.approx(1) and one["vendi"].estimate == 1
    same = np.repeat(unit(1, 1), 50, axis=0)
    equal = by_metric(of_moments([moments(same[:20]), moments(same[20:])], {"corpus": "p"}, "posts", 0.95))
    assert equal["effective_rank"].method == "not defined: all vectors are equal, there is no variance"
    assert equal["iev"].estimate == pytest.approx(1) and equal["pmv"].estimate == 0
    assert equal["vendi"].estimate == pytest.approx(1.0)
    few = by_metric(of_moments([moments(unit(4, 1))], {"corpus": "p"}, "posts", 0.95))
    assert few["generalised_variance"].estimate == 0
    assert "4 vectors of 5 dimensions leave directions without variance" in few["generalised_variance"].method
    assert few["pmv"].estimate is not None and few["pmv"].estimate > 0
    single, groups = within(Sample(unit(5, 1), np.arange(5), "prompts"), np.zeros(5, np.int64), "d", SPEC)
    assert groups is None and single[0].method == "not computed: none of the prompts has two images"
    alone = by_metric(of_pairs(Sample(unit(5, 1), np.zeros(5), "artists"), {"corpus": "p"}, SPEC))["pair_distance"]
    assert alone.low is None and "no interval: 1 of artists cannot be resampled" in alone.method
    assert entropies({"none": Sample(np.empty((0, 5), np.float32))}, SPEC) == ([], {})


def test_word_counts_are_made_alike() -> None:
    words = {"a": np.array([3, 3, 3, 5, 9]), "b": np.array([5, 3, 3, 5, 1, 0])}
    rows = match_on_words(words, 0)
    assert {name: sorted(words[name][r].tolist()) for name, r in rows.items()} == {"a": [3, 3, 5], "b": [3, 3, 5]}
    assert [len(set(r.tolist())) for r in rows.values()] == [3, 3]
    assert [len(r) for r in match_on_words({"a": np.array([1]), "b": np.array([2])}, 0).values()] == [0, 0]
    assert match_on_words({}, 0) == {}
    with_none = match_on_words({"a": np.array([1]), "b": np.array([], np.int64)}, 0)
    assert [len(r) for r in with_none.values()] == [0, 0]


def test_matching_draws_evenly() -> None:
    words = {"a": np.full(10, 4), "b": np.full(5, 4)}
    times = np.zeros(10)
    for seed in range(400):
        times[match_on_words(words, seed)["a"]] += 1
    assert np.abs(times / 400 - 0.5).max() < 0.1


def test_each_kind_is_matched_with_the_prompts_alone() -> None:
    """Matched all at once, captions of ten words and news of forty would leave nothing of the prompts."""
    rng = np.random.default_rng(0)
    words = {
        "gen captions": rng.integers(8, 12, 300),
        "gen prompts": rng.integers(5, 60, 900),
        "news": rng.integers(40, 50, 400),
    }
    assert len(match_on_words(words, 0)["gen prompts"]) == 0
    samples = {name: Sample(unit(len(w), i, mean=2.0 * i), None, "texts") for i, (name, w) in enumerate(words.items())}
    found = of_texts(samples, words, SPEC)
    distances = {(s.labels["kind"], s.labels["versus"]): s for s in found if s.metric == "pair_distance"}
    others = ("gen captions", "news")
    assert set(distances) == {pair for o in others for pair in ((o, "gen prompts"), ("gen prompts", o))}
    for (kind, versus), one in distances.items():
        assert one.n == distances[versus, kind].n > 40 and one.estimate is not None and one.low is not None
        assert f"matched on word count: {one.n} of" in one.method and f"{len(words[kind])} {kind}" in one.method
        assert "fewer than 200: read with care" in one.method
    for metric in ("iev", "vendi", "entropy"):
        (one,) = [s for s in found if s.metric == metric and s.labels == {"kind": "news", "versus": "gen prompts"}]
        assert one.n == distances["news", "gen prompts"].n and one.low is not None


def test_the_largest_kind_takes_the_place_of_prompts_and_one_kind_stands_alone() -> None:
    words = {name: np.full(n, 5) for name, n in {"haiku": 30, "book": 50, "news": 20}.items()}
    samples = {name: Sample(unit(len(w), i), None, "texts") for i, (name, w) in enumerate(words.items())}
    pairs = {(s.labels["kind"], s.labels["versus"]) for s in of_texts(samples, words, SPEC)}
    assert pairs == {("haiku", "book"), ("book", "haiku"), ("news", "book"), ("book", "news")}
    alone = of_texts({"haiku": samples["haiku"]}, words, SPEC)
    assert {tuple(s.labels)[:1] for s in alone} == {("kind",)} and all("versus" not in s.labels for s in alone)


def test_texts_without_a_common_length_are_said() -> None:
    words = {"haiku": np.full(9, 5), "book": np.full(9, 90)}
    samples = {name: Sample(unit(9, i), None, "texts") for i, name in enumerate(words)}
    found = of_texts(samples, words, SPEC)
    assert found and all(s.estimate is None and "no word count occurs in both" in s.method for s in found)
    assert of_texts({}, {}, SPEC) == []
