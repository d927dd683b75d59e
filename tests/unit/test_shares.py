"""Shares and means of grouped units, against statsmodels, by hand and by coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, t

from twigma_spark.stats.intervals import wilson
from twigma_spark.stats.shares import (
    clustered_mean,
    clustered_shares,
    dense,
    group_sums,
    mean_error,
    share_estimates,
    skewed_mean,
)


def written_out_error(y: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """The jackknife's error over groups, and Satterthwaite's degrees of freedom by the full matrices."""
    n = np.bincount(groups).astype(float)
    total, count = n.sum(), len(n)
    left_out = np.array([y[groups != g].mean() for g in range(count)])
    project = np.eye(count) - np.outer(n, np.ones(count)) / total
    weigh = np.diag(1 / (1 - n / total))
    spread = weigh @ project @ np.diag(n**2) @ project.T @ weigh
    return float(np.sqrt(((left_out - y.mean()) ** 2).sum())), float(np.trace(spread) ** 2 / (spread**2).sum())


@pytest.mark.parametrize("seed", range(5))
def test_the_error_of_a_mean_is_that_of_leaving_each_group_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = dense(rng.zipf(1.8, 150).clip(max=40))
    y = rng.poisson(5, 150) + groups % 7
    found = mean_error(group_sums(y, groups), np.bincount(groups).astype(float))
    assert found == pytest.approx(written_out_error(y, groups))
    value = clustered_mean(y, groups, "images", "posts")
    half = found[0] * t.ppf(0.975, found[1])
    assert (value.estimate, value.low, value.high) == pytest.approx((y.mean(), y.mean() - half, y.mean() + half))
    assert (value.n, value.unit) == (150, "images") and f"{groups.max() + 1} posts" in value.method


def test_equal_groups_have_one_degree_of_freedom_fewer_than_groups() -> None:
    assert mean_error(np.array([3.0, 1.0, 2.0, 6.0]), np.full(4, 2.0))[1] == pytest.approx(3.0)


def test_the_interval_of_likes_is_one_of_logarithms() -> None:
    likes, groups = np.array([0.0, 1.0, 2.0, 90.0, 7.0, 4.0]), np.array([0, 0, 1, 2, 3, 3])
    plain, skewed = (f(likes, groups, "images", "authors") for f in (clustered_mean, skewed_mean))
    assert plain.low < 0 < skewed.low < skewed.estimate == plain.estimate < plain.high < skewed.high
    assert skewed.low * skewed.high == pytest.approx(skewed.estimate**2)
    assert skewed_mean([0.0, 0.0], np.array([0, 1]), "images", "authors").high == 0.0


def test_one_group_has_a_mean_and_no_interval() -> None:
    found = clustered_mean([1.0, 3.0], np.array([0, 0]), "images", "posts")
    assert (found.estimate, found.low, found.high) == (2.0, None, None) and "no interval" in found.method


def test_no_rows_are_a_sentence() -> None:
    found = clustered_mean([], np.array([], int), "images", "posts")
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
    (found,) = share_estimates(np.zeros((0, 1)), np.zeros(0), "images", "posts")
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
