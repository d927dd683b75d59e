"""Score tests by random signs: against statsmodels, by hand, and at their level where a few authors hold most likes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import statsmodels.api as sm

from twigma_spark.stats import counts
from twigma_spark.stats.score_tests import (
    Cells,
    SignFlips,
    cells_of,
    fit_cells,
    score_contributions,
    score_interval,
)
from twigma_spark.stats.shares import dense

FLIPS = SignFlips(0)


def heavy_likes(seed: int, authors: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return likes of heavy tails that quintiles have nothing to do with, columns, and authors of many posts."""
    rng = np.random.default_rng([16, seed])
    author = np.repeat(np.arange(authors), np.minimum(rng.zipf(2.5, authors), 100))
    n, fame = len(author), rng.normal(0, 2, authors)
    level = 0.5 * fame + 1.6 * rng.normal(size=authors)
    similar = rng.normal(size=authors)[author] + 0.7 * rng.normal(size=n)
    likes = rng.poisson(np.exp(np.minimum(level[author] + 1.2 * rng.normal(size=n), 10)))
    fifth, band = counts.quintiles(similar), np.digitize(fame, [-0.5, 1.5])[author]
    x = np.column_stack([np.ones(n), counts.dummies(fifth, range(4)), counts.dummies(band, (1, 2))])
    return likes.astype(float), x, dense(author)


def test_the_restricted_fit_is_that_of_statsmodels() -> None:
    y, x, author = heavy_likes(0)
    data = cells_of(y, x, author)
    assert data.counts.sum() == y.sum() and data.sizes.sum() == len(y) and len(data.x) <= 15
    rest = Cells(data.x[:, [0, *range(2, 7)]], data.group, data.cell, data.counts, data.sizes, "poisson")
    found = fit_cells(rest, 0.3 * data.x[:, 1], np.zeros(6))
    model = sm.GLM(y, x[:, [0, *range(2, 7)]], family=sm.families.Poisson(), offset=0.3 * x[:, 1])
    assert found == pytest.approx(model.fit(tol=1e-12).params, abs=1e-6)


def test_the_statistic_is_the_robust_score_test_of_statsmodels() -> None:
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(400), rng.integers(0, 2, (400, 2))])
    y = rng.poisson(np.exp(0.5 + 0.4 * x[:, 2])).astype(float)
    data = cells_of(y, x, np.arange(400))
    found, _ = score_contributions(data, 1, 0.0, np.zeros(2))
    robust = sm.GLM(y, x[:, [0, 2]], family=sm.families.Poisson()).fit(cov_type="HC0", tol=1e-12)
    mean, rest = robust.fittedvalues, x[:, [0, 2]]
    shared = np.linalg.solve((rest * mean[:, None]).T @ rest, rest.T @ (mean * x[:, 1]))
    assert found == pytest.approx((x[:, 1] - rest @ shared) * (y - mean), abs=1e-8)
    # statsmodels' own test differs in the third digit of the variance.
    wanted = robust.score_test(exog_extra=x[:, [1]])
    assert found.sum() ** 2 / (found @ found) == pytest.approx(float(wanted[0]), rel=5e-3)


def test_signs_of_few_groups_are_all_that_there_are() -> None:
    contributions = np.array([3.0, 1.0, 1.0])
    sums = [abs(np.dot(signs, contributions)) for signs in product((-1, 1), repeat=3)]
    share = np.mean(np.array(sums) >= 5)
    assert FLIPS.p_value(contributions) == pytest.approx(share, abs=0.03)
    assert FLIPS.p_value(np.zeros(3)) == 1


def test_small_contributions_are_normal() -> None:
    many = np.full(10_000, 0.01)
    assert np.quantile(FLIPS.sums(many), 0.95) == pytest.approx(1.96, abs=0.1)
    alternating = many * np.resize([1, -1], 10_000)
    assert FLIPS.p_value(alternating) > 0.9


def test_the_interval_holds_what_is_not_rejected() -> None:
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(900), np.arange(900) % 2])
    y = rng.poisson(np.exp(1 + 0.3 * x[:, 1])).astype(float)
    data, fit = cells_of(y, x, np.arange(900)), counts.poisson(y, x)
    found = score_interval(data, 1, fit.params, 0.05, FLIPS)
    half = 1.96 * np.sqrt(fit.cov[1, 1])
    assert (found.low, found.high) == pytest.approx((fit.params[1] - half, fit.params[1] + half), abs=0.02)
    assert found.p < 0.01
    for end in (found.low, found.high):
        inside, outside = (end + (fit.params[1] - end) * part for part in (0.1, -0.1))
        ps = [FLIPS.p_value(score_contributions(data, 1, at, np.zeros(1))[0]) for at in (inside, outside)]
        assert ps[0] > 0.05 > ps[1]


def test_one_author_with_all_likes_leaves_no_end() -> None:
    y, x = np.array([50.0, 0, 0, 0]), np.column_stack([np.ones(4), [1, 0, 1, 0]])
    data = cells_of(y, x, np.arange(4))
    found = score_interval(data, 1, np.array([-5.0, 8.0]), 1.0, FLIPS)
    assert found.low == -np.inf and found.p > 0.1


@pytest.mark.slow
def test_likes_of_heavy_tails_are_rejected_at_the_nominal_rate_where_walds_are_not() -> None:
    score, wald = [], []
    for seed in range(150):
        y, x, author = heavy_likes(seed)
        data, fit = cells_of(y, x, author), counts.poisson(y, x)
        errors = np.sqrt(np.diag(counts.clustered_covariance(fit, y, x, author)))
        for k in range(1, 5):
            found, _ = score_contributions(data, k, 0.0, np.zeros(6))
            score.append(FLIPS.p_value(found) < 0.05)
            wald.append(abs(fit.params[k]) > 1.97 * errors[k])
    assert 0.03 <= np.mean(score) <= 0.07, np.mean(score)
    assert np.mean(wald) > 0.1, np.mean(wald)
