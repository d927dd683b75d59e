"""Shares explained by groups, Kendall's tau and clustered shares: references, hand-worked numbers, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f_oneway, kendalltau
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.proportion import proportion_confint

from twigma_spark.stats.association import _bootstrap_tau, kendall
from twigma_spark.stats.explained import explain_by_groups, explain_variance, group_sums
from twigma_spark.stats.intervals import wilson
from twigma_spark.stats.prompts import length_and_distance
from twigma_spark.stats.sample import Sample
from twigma_spark.stats.shares import ShareSums, clustered_share


def effects(groups: int, seed: int, between: float = 1.0, d: int = 3, sizes: tuple[int, int] = (2, 6)) -> Sample:
    """Return a Gaussian random-effects world whose true share of variance is between / (between + 1)."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), rng.integers(*sizes, groups))
    centres = np.sqrt(between) * rng.normal(size=(groups, d))
    return Sample((centres[codes] + rng.normal(size=(len(codes), d))).astype(np.float32), codes, "prompts")


def test_sums_of_squares_are_those_of_statsmodels() -> None:
    sample = effects(9, 1, d=1)
    table = anova_lm(ols("y ~ C(g)", {"y": sample.vectors[:, 0].astype(float), "g": sample.codes}).fit())
    between, within = table["sum_sq"]
    found = explain_variance(group_sums(sample.vectors, sample.codes), np.ones((1, 9)))
    assert found.share[0] == pytest.approx(between / (between + within), rel=1e-6)
    n = np.bincount(sample.codes)
    balance = (n.sum() - (n**2).sum() / n.sum()) / 8
    effect = (table["mean_sq"].iloc[0] - table["mean_sq"].iloc[1]) / balance
    assert found.component[0] == pytest.approx(effect / (effect + table["mean_sq"].iloc[1]), rel=1e-6)


def test_the_ratio_of_mean_squares_is_scipys_f() -> None:
    sample = effects(9, 2, d=1)
    share = explain_variance(group_sums(sample.vectors, sample.codes), np.ones((1, 9))).share[0]
    ratio = share / (1 - share) * (len(sample.vectors) - 9) / 8
    parts = [sample.vectors[sample.codes == g, 0].astype(float) for g in range(9)]
    assert ratio == pytest.approx(f_oneway(*parts).statistic, rel=1e-5)


def test_a_resample_is_the_statistic_of_the_rows_drawn() -> None:
    sample, weight = effects(5, 3), np.array([2.0, 0, 1, 1, 1])
    copies = [g for g, times in enumerate(weight) for _ in range(int(times))]
    rows = np.concatenate([np.flatnonzero(sample.codes == g) for g in copies])
    codes = np.concatenate([np.full((sample.codes == g).sum(), i) for i, g in enumerate(copies)])
    direct = explain_variance(group_sums(sample.vectors[rows], codes), np.ones((1, 5)))
    drawn = explain_variance(group_sums(sample.vectors, sample.codes), weight[None])
    assert (drawn.share[0], drawn.component[0]) == pytest.approx((direct.share[0], direct.component[0]))


def test_all_nothing_and_little() -> None:
    same = Sample(np.repeat(np.eye(3, dtype=np.float32), 4, axis=0), np.repeat(np.arange(3), 4), "prompts")
    assert [s.estimate for s in explain_by_groups(same, "d", 20, 0.95, 0)] == pytest.approx([1.0, 1.0])
    equal = Sample(np.ones((12, 3), np.float32), np.repeat(np.arange(3), 4), "prompts")
    assert [s.estimate for s in explain_by_groups(equal, "d", 20, 0.95, 0)] == [0.0, 0.0]
    one = explain_by_groups(Sample(np.eye(4, dtype=np.float32), np.zeros(4), "prompts"), "d", 20, 0.95, 0)
    assert all(s.estimate is None and "there are 4 images in 1 prompts" in s.method for s in one)
    apart = explain_by_groups(Sample(np.eye(4, dtype=np.float32), np.arange(4), "prompts"), "d", 20, 0.95, 0)
    assert all("more images than prompts are needed, there are 4 images in 4 prompts" in s.method for s in apart)
    assert explain_by_groups(Sample(np.empty((0, 4), np.float32)), "d", 20, 0.95, 0)[0].estimate is None


def test_without_an_effect_the_component_is_0_and_the_share_is_not() -> None:
    share, component = explain_by_groups(effects(300, 4, between=0.0, sizes=(4, 5)), "d", 100, 0.95, 0)
    assert share.estimate == pytest.approx(299 / 1199, abs=0.03)
    assert component.estimate == pytest.approx(0.0, abs=0.03) and component.low == 0.0


@pytest.mark.slow
def test_intervals_of_the_component_cover_the_truth() -> None:
    covered = 0
    for seed in range(100):
        one = explain_by_groups(effects(80, seed), "d", 200, 0.95, seed)[1]
        assert one.low is not None and one.high is not None
        covered += one.low <= 0.5 <= one.high
    assert covered >= 90


def clustered(groups: int, seed: int, slope: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two quantities that vary between groups, as prompts of one author do, and the groups of the rows."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), rng.integers(2, 6, groups))
    x = rng.normal(size=groups)[codes] + 0.5 * rng.normal(size=len(codes))
    return x, slope * x + rng.normal(size=groups)[codes] + 0.5 * rng.normal(size=len(codes)), codes


def test_tau_is_scipys_and_its_interval_holds_it() -> None:
    x, y, codes = clustered(60, 1, slope=1.0)
    found, truth = kendall(x, y, codes, 200, 0.95, 0), kendalltau(x, y)
    assert found is not None and found.tau == truth.statistic and found.low < found.tau < found.high
    assert found.groups == 60 and 0 < found.p < 1e-4
    alone = kendall(x, y, np.arange(len(x)), 200, 0.95, 0)
    assert alone is not None and alone.p == truth.pvalue
    assert alone.high - alone.low < found.high - found.low, "rows of one group say less"


def test_samples_have_scipys_tau_ties_and_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """By all pairs of rows at once, and by SciPy one after the other."""
    x, y, codes = clustered(30, 2, slope=1.0)
    x, y = x.round(), y.round(1)
    by_pairs = _bootstrap_tau(x, y, codes, 30, 50, np.random.default_rng(0))
    monkeypatch.setattr("twigma_spark.stats.association.MOST_ROWS_BY_PAIRS", 0)
    np.testing.assert_allclose(by_pairs, _bootstrap_tau(x, y, codes, 30, 50, np.random.default_rng(0)), rtol=1e-12)
    assert np.ptp(by_pairs) > 0.1
    two = np.array([0.0, 1.0])
    assert set(_bootstrap_tau(two, two, np.arange(2), 2, 20, np.random.default_rng(0))) == {0.0, 1.0}


def test_what_does_not_vary_has_no_tau() -> None:
    y = np.arange(5.0)
    assert kendall(np.ones(5), y, np.arange(5), 20, 0.95, 0) is None
    assert kendall(y, y, np.array([0, 0, 1, 1, 1]), 20, 0.95, 0) is None
    assert kendall(y[:0], y[:0], np.arange(0), 20, 0.95, 0) is None


@pytest.mark.slow
def test_tau_rejects_nulls_at_its_level_also_where_rows_come_in_groups() -> None:
    """400 worlds without an association; scipy's own p-value would reject far more often."""
    ours = naive = 0
    for seed in range(400):
        x, y, codes = clustered(40, seed)
        found = kendall(x, y, codes, 100, 0.95, seed)
        assert found is not None
        ours += found.p < 0.05
        naive += kendalltau(x, y).pvalue < 0.05
    assert 0.03 <= ours / 400 <= 0.07 < naive / 400


@pytest.mark.slow
def test_tau_of_independent_rows_rejects_nulls_at_its_level() -> None:
    rng, rejected = np.random.default_rng(5), 0
    for seed in range(400):
        found = kendall(rng.normal(size=40), rng.normal(size=40), np.arange(40), 2, 0.95, seed)
        rejected += found is not None and found.p < 0.05
    assert 0.03 <= rejected / 400 <= 0.07


@pytest.mark.slow
def test_intervals_of_tau_cover_the_truth() -> None:
    """Tau of a bivariate normal is 2 / pi asin(rho)."""
    rho, covered = 0.6, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=80)
        y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=80)
        found = kendall(x, y, np.arange(80), 200, 0.95, seed)
        assert found is not None
        covered += found.low <= 2 / np.pi * np.arcsin(rho) <= found.high
    assert covered >= 90


def test_length_and_distance_says_what_it_rests_on() -> None:
    rng = np.random.default_rng(0)
    words = np.append(rng.integers(3, 30, 50), np.nan)
    distance = 1.0 - words / 60 + 0.05 * rng.normal(size=51)
    tau, p = length_and_distance(words, distance, np.arange(51), "diffusion", 0.95, 100, 0)
    assert tau.estimate is not None and tau.estimate < -0.6 and tau.high is not None and tau.high < 0
    assert (tau.n, tau.unit, tau.labels) == (
        50,
        "prompts",
        {"corpus": "diffusion"},
    ) and "100 resamples of 50 prompts" in tau.method
    assert p.estimate is not None and p.estimate < 1e-6 and p.method.endswith("no interval: a p-value")
    by_author = length_and_distance(words, distance, np.arange(51) // 5, "diffusion", 0.95, 100, 0)[0]
    assert "of 10 authors of 50 prompts" in by_author.method
    for one in length_and_distance(words[:1], distance[:1], np.arange(1), "d", 0.95, 100, 0):
        assert one.estimate is None and "there are 1" in one.method


def sums(hits: np.ndarray, sizes: np.ndarray) -> ShareSums:
    return ShareSums(
        int(hits.sum()), int(sizes.sum()), len(hits), float(hits @ hits), float(hits @ sizes), float(sizes @ sizes)
    )


def test_a_share_of_single_images_is_about_wilsons() -> None:
    hits = np.r_[np.ones(300), np.zeros(700)].astype(int)
    found = clustered_share(sums(hits, np.ones(1000, int)))
    truth = wilson(300, 1000)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((truth[1], truth[2]), abs=2e-4)
    assert (truth[1], truth[2]) == pytest.approx(proportion_confint(300, 1000, method="wilson"))


def test_a_share_of_posts_of_four_alike_is_worth_a_quarter() -> None:
    hits = 4 * np.r_[np.ones(75), np.zeros(175)].astype(int)
    found = clustered_share(sums(hits, np.full(250, 4)))
    assert found is not None and found.estimate == 0.3 and found.effective == pytest.approx(250, rel=0.02)
    none = clustered_share(sums(0 * hits, np.full(250, 4)))
    assert none is not None and (none.estimate, none.low) == (0.0, 0.0) and none.high == pytest.approx(0.015, abs=2e-3)
    one = clustered_share(sums(np.array([3]), np.array([9])))
    assert one is not None and (one.low, one.high) == (0.0, 1.0)
    assert clustered_share(sums(np.array([], int), np.array([], int))) is None


@pytest.mark.slow
def test_intervals_of_clustered_shares_cover_the_truth() -> None:
    covered = naive = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(1, 9, 120)
        hits = rng.binomial(sizes, rng.beta(0.6, 1.4, 120))
        found = clustered_share(sums(hits, sizes))
        assert found is not None
        covered += found.low <= 0.3 <= found.high
        _, low, high = wilson(hits.sum(), sizes.sum())
        naive += bool(low <= 0.3 <= high)
    assert covered >= 90 > naive
