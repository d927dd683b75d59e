"""Shares and means of grouped units, against statsmodels, by hand and by coverage."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import norm, t

from twigma_spark.stats.intervals import wilson
from twigma_spark.stats.shares import clustered_mean, clustered_shares, dense, group_sums, share_estimates


def test_the_mean_and_its_interval_are_those_of_a_regression_on_a_constant() -> None:
    rng = np.random.default_rng(1)
    groups = dense(rng.integers(0, 40, 150))
    y = rng.poisson(5, 150) + groups % 7
    found = clustered_mean(y, groups, "images", "tweets")
    fit = sm.OLS(y, np.ones(150)).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    assert (found.estimate, found.low, found.high) == pytest.approx((fit.params[0], *fit.conf_int()[0]))
    assert (found.n, found.unit) == (150, "images") and f"{groups.max() + 1} tweets" in found.method


def test_one_group_has_a_mean_and_no_interval() -> None:
    found = clustered_mean([1.0, 3.0], np.array([0, 0]), "images", "tweets")
    assert (found.estimate, found.low, found.high) == (2.0, None, None) and "no interval" in found.method


def test_no_rows_are_a_sentence() -> None:
    found = clustered_mean([], np.array([], int), "images", "tweets")
    assert found.estimate is None and "no rows" in found.method


def test_shares_by_hand() -> None:
    # Posts of 2, 1 and 1 images, 1, 1 and 0 of them hits: p = 1/2, residuals h - pn = 0, 1/2, -1/2.
    share, low, high = clustered_shares([[1], [1], [0]], [2, 1, 1])
    variance = (0.25 + 0.25) * 3 / 2 / 16
    effective = 0.25 / variance
    assert effective > 4  # more than there are images: cut to 4
    effective = 4 * (norm.ppf(0.975) / t.ppf(0.975, 2)) ** 2
    _, by_hand_low, by_hand_high = wilson(0.5 * effective, effective)
    assert (share[0], low[0], high[0]) == pytest.approx((0.5, by_hand_low, by_hand_high))


def test_independent_units_give_about_wilsons_interval() -> None:
    hits = np.zeros((4000, 1))
    hits[:900] = 1
    _, low, high = clustered_shares(hits, np.ones(4000))
    _, plain_low, plain_high = wilson(900, 4000)
    assert (low[0], high[0]) == pytest.approx((plain_low, plain_high), abs=2e-4)


def test_images_of_one_post_count_as_one_where_they_are_all_alike() -> None:
    hits = np.repeat([[1.0], [0.0]], [60, 140], axis=0)
    _, low, high = clustered_shares(hits, np.ones(200))
    _, many_low, many_high = clustered_shares(hits * 4, np.full(200, 4.0))
    assert (many_low[0], many_high[0]) == pytest.approx((low[0], high[0]), rel=1e-6)


def test_no_hit_leaves_an_upper_end_by_posts_and_not_by_images() -> None:
    share, low, high = clustered_shares(np.zeros((10, 1)), np.full(10, 100.0))
    assert share[0] == low[0] == 0 and high[0] > 0.25


def test_posts_without_images_say_nothing_and_none_at_all_are_a_sentence() -> None:
    with_empty = clustered_shares([[1], [0], [0]], [1, 1, 0])
    without = clustered_shares([[1], [0]], [1, 1])
    assert np.allclose(with_empty, without)
    (found,) = share_estimates(np.zeros((0, 1)), np.zeros(0), "images", "tweets")
    assert found.estimate is None and "no images" in found.method


def test_intervals_of_shares_cover_where_posts_have_a_mind_of_their_own() -> None:
    rng, covered = np.random.default_rng(3), 0
    for _ in range(400):
        own, sizes = rng.beta(0.6, 1.4, 80), rng.integers(1, 5, 80)  # mean 0.3, alike within a post
        _, low, high = clustered_shares(rng.binomial(sizes, own)[:, None], sizes)
        covered += low[0] <= 0.3 <= high[0]
    assert 370 <= covered <= 392  # 0.95 of 400 is 380; plain Wilson intervals cover 0.88


def test_group_sums_take_columns() -> None:
    assert group_sums([[1, 2], [3, 4], [5, 6]], np.array([1, 0, 1])).tolist() == [[3, 4], [6, 8]]
