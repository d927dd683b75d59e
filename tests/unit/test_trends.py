"""Trends against statsmodels and by rule; the planted slopes and the nulls of many seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import false_discovery_control

from twigma_spark.stats.trends import Trend, arrow, correct_p_values, growth, trend

FLAT = Trend((0.0, -0.2, 0.2), (0.0, -0.1, 0.1), 0.9, 10, 10, 5)


def posts(seed: int, slope: float = 0.0, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hits, sizes and months of posts whose images are of one theme or not, mostly together."""
    rng = np.random.default_rng([9, seed])
    month, size = rng.integers(0, 27, n), rng.integers(1, 5, n)
    p = 1 / (1 + np.exp(-(-1.5 + slope * (month - 13))))
    of_theme = rng.random(n) < p
    return np.where(of_theme, size, rng.binomial(size, 0.0)), size, month


def test_the_slope_is_that_of_statsmodels_on_the_posts() -> None:
    hits, sizes, months = posts(0, 0.05)
    found = trend(hits, sizes, months + 24_000)
    x = np.column_stack([np.ones(len(months)), months])
    wanted = sm.GLM(np.stack([hits, sizes - hits], axis=1), x, family=sm.families.Binomial()).fit()
    assert isinstance(found, Trend) and found.slope[0] == pytest.approx(wanted.params[1], rel=1e-6)
    ends = 1 / (1 + np.exp(-(wanted.params[0] + wanted.params[1] * np.array([0, 26]))))
    assert found.change[0] == pytest.approx(ends[1] / ends[0] - 1, rel=1e-6)
    assert found.change[1] < found.change[0] < found.change[2] and found.slope[1] < found.slope[0] < found.slope[2]


def test_many_posts_have_the_interval_of_a_sandwich() -> None:
    hits, sizes, months = posts(1, 0.05, n=4000)
    found = trend(hits, sizes, months)
    x = np.column_stack([np.ones(len(months)), months])
    model = sm.GLM(np.stack([hits, sizes - hits], axis=1), x, family=sm.families.Binomial())
    robust = model.fit(cov_type="cluster", cov_kwds={"groups": np.arange(len(months))})
    assert isinstance(found, Trend)
    assert (found.slope[2] - found.slope[1]) / 2 == pytest.approx(1.96 * robust.bse[1], rel=0.06)


def test_the_ends_of_the_change_are_those_of_the_slope() -> None:
    hits, sizes, months = posts(2, 0.05)
    found = trend(hits, sizes, months)
    assert isinstance(found, Trend)
    for slope, change in zip(found.slope, found.change, strict=True):
        model = sm.GLM(
            np.stack([hits, sizes - hits], axis=1), np.ones((300, 1)), family=sm.families.Binomial(),
            offset=slope * (months - 13),
        )  # fmt: skip
        (middle,) = model.fit().params
        first, last = (1 / (1 + np.exp(-(middle + slope * month))) for month in (-13, 13))
        assert change == pytest.approx(last / first - 1, rel=1e-5)


@pytest.mark.parametrize(
    ("hits", "sizes", "months", "why"),
    [
        ([1, 0, 1, 0], [1, 1, 1, 1], [3, 3, 3, 3], "two months"),
        ([1, 0, 1], [1, 1, 1], [1, 2, 3], "four groups"),
        ([0, 0, 0, 0], [1, 1, 1, 1], [1, 2, 3, 4], "none or all"),
        ([1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 2, 2], "two months"),
    ],
)
def test_what_has_no_trend_is_a_sentence(hits: list[int], sizes: list[int], months: list[int], why: str) -> None:
    found = trend(hits, sizes, np.array(months))
    assert isinstance(found, str) and why in found


@pytest.mark.parametrize("hits", [[2, 2, 1, 0, 0], [2, 2, 2, 0, 0], [0, 0, 1, 2, 2], [0, 0, 0, 0, 1]])
def test_a_month_that_parts_a_theme_from_the_others_leaves_no_slope(hits: list[int]) -> None:
    found = trend(hits, [2] * 5, np.arange(5))
    assert isinstance(found, str) and "without error" in found


@pytest.mark.parametrize("hits", [[2, 2, 1, 1, 0], [2, 1, 2, 0, 0], [0, 1, 0, 0, 1]])
def test_months_that_overlap_have_a_finite_slope(hits: list[int]) -> None:
    found = trend(hits, [2] * 5, np.arange(5))
    assert isinstance(found, Trend) and abs(found.slope[0]) < 10 and found.change[1] < found.change[2]


def test_q_values_are_scipys_and_what_has_no_p_has_no_q() -> None:
    trends = [replace(FLAT, p=p) for p in (0.01, 0.04, 0.03)]
    found = correct_p_values([trends[0], "no trend", *trends[1:]])
    assert found[1] is None
    assert [found[0], *found[2:]] == pytest.approx(false_discovery_control([0.01, 0.04, 0.03]))
    assert correct_p_values([]) == []


@pytest.mark.parametrize(
    ("slope", "change", "q", "sign"),
    [(0.1, 0.5, 0.01, 1), (-0.1, -0.4, 0.01, -1), (0.1, 0.5, 0.06, 0), (0.1, 0.09, 0.01, 0), (-0.1, -0.08, 0.01, 0),
     (-0.1, -0.0999, 0.01, -1)],
)  # fmt: skip
def test_the_rule_of_the_arrow(slope: float, change: float, q: float, sign: int) -> None:
    assert arrow(replace(FLAT, slope=(slope, 0.0, 0.0), change=(change, 0.0, 0.0)), q, 0.05, 0.1) == sign


def test_growth_is_quasi_poisson_over_all_months() -> None:
    y = np.array([4, 0, 7, 9, 12, 15])
    found = growth(y)
    fit = sm.GLM(y, np.column_stack([np.ones(6), np.arange(6)]), family=sm.families.Poisson()).fit(scale="X2")
    assert found.estimate == pytest.approx(100 * np.expm1(fit.params[1]))
    assert found.low < found.estimate < found.high and found.n == 6
    assert growth([3, 4]).estimate is None and "four months" in growth([3, 4]).method


@pytest.mark.slow
def test_planted_slopes_are_inside_their_intervals_in_90_of_100_seeds() -> None:
    found = [trend(*posts(seed, 0.06)) for seed in range(100)]
    inside = [isinstance(each, Trend) and each.slope[1] <= 0.06 <= each.slope[2] for each in found]
    assert sum(inside) >= 90, sum(inside)


@pytest.mark.slow
def test_a_steady_theme_is_rejected_at_the_nominal_rate() -> None:
    found = [trend(*posts(seed)) for seed in range(400)]
    rate = np.mean([isinstance(each, Trend) and each.p < 0.05 for each in found])
    assert 0.03 <= rate <= 0.07, rate


def posts_of_faithful_authors(seed: int) -> tuple[np.ndarray, ...]:
    """Return hits, sizes, months and authors: each keeps to a theme and posts, often much, for some months."""
    rng = np.random.default_rng([15, seed])
    many = np.minimum(rng.zipf(1.8, 120), 60)
    author = np.repeat(np.arange(120), many)
    begins = rng.integers(0, 20, 120)[author]
    faithful = (rng.random(120) < 0.3)[author]
    month = begins + rng.integers(0, 7, len(author))
    size = rng.integers(1, 5, len(author))
    return np.where(faithful ^ (rng.random(len(author)) < 0.05), size, 0), size, month, author


@pytest.mark.slow
def test_authors_who_keep_to_a_theme_make_no_trend() -> None:
    worlds = [posts_of_faithful_authors(seed) for seed in range(300)]
    rates = [
        np.mean([isinstance(each, Trend) and each.p < 0.05 for each in found])
        for found in ([trend(*world) for world in worlds], [trend(*world[:3]) for world in worlds])
    ]
    assert rates[0] <= 0.08 and rates[1] >= 0.15, rates
