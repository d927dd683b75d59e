"""Count regressions against statsmodels and by hand; the planted coefficients and the nulls of many seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.discrete._diagnostics_count import test_poisson_dispersion as reference_dispersion

from twigma_spark.sample.corpora.likes import BAND_SHARES, LIKES, draw_likes
from twigma_spark.stats import counts
from twigma_spark.stats.fixed_effects import conditional_poisson, informative
from twigma_spark.stats.shares import dense

BANDS = list(LIKES.bands)


def drawn(seed: int, n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return likes, columns (constant, quintiles 1 to 4, upper bands) and post of images that share likes."""
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [np.ones(n), counts.dummies(rng.integers(0, 5, n), range(4)), counts.dummies(rng.integers(0, 3, n), (1, 2))]
    )
    mean = np.exp(x @ [1.5, 0.4, 0.3, 0.2, 0.1, 0.8, 1.6])
    y, times = rng.poisson(mean * rng.gamma(1 / 0.7, 0.7, n)), rng.integers(1, 4, n)
    return np.repeat(y, times), np.repeat(x, times, axis=0), np.repeat(np.arange(n), times)


def test_quintiles_are_those_of_pandas() -> None:
    values = np.random.default_rng(0).normal(size=503).round(2)
    assert (counts.quintiles(values) == pd.qcut(values, 5, labels=False)).all()


def test_equal_values_are_in_one_quintile() -> None:
    assert set(counts.quintiles(np.ones(20)).tolist()) == {0}


def test_equal_rows_are_collapsed_and_found_again() -> None:
    y, x, _ = drawn(0)
    kept, times, back = counts.collapse_rows(y.astype(float), x)
    assert len(kept) < len(y) / 3 and times.sum() == len(y)
    assert (y[kept][back] == y).all() and (x[kept][back] == x).all()


@pytest.mark.parametrize("kind", ["of few values", "of any values", "with an offset", "with a continuous column"])
def test_poisson_and_its_clustered_errors_are_those_of_statsmodels(kind: str) -> None:
    y, x, post = drawn(1)
    noise = np.random.default_rng(5).normal(3, 1, size=len(y))
    offset = noise if kind == "with an offset" else None
    x = np.column_stack([x, noise]) if kind == "with a continuous column" else x
    fit = counts.poisson(y, x) if kind == "of few values" else counts.poisson_of_rows(y, x, offset)
    wanted = sm.GLM(y, x, family=sm.families.Poisson(), offset=offset)
    assert fit.params == pytest.approx(wanted.fit().params, abs=1e-8)
    assert fit.cov == pytest.approx(wanted.fit().cov_params(), rel=1e-6)
    robust = wanted.fit(cov_type="cluster", cov_kwds={"groups": post})
    assert counts.clustered_covariance(fit, y, x, post) == pytest.approx(robust.cov_params(), rel=1e-6)


def test_the_negative_binomial_is_that_of_statsmodels() -> None:
    y, x, post = drawn(2)
    fit = counts.negative_binomial(y, x)
    assert fit is not None
    wanted = sm.NegativeBinomial(y, x).fit(disp=0, method="newton", maxiter=100)
    assert [*fit.params, fit.alpha] == pytest.approx(wanted.params, rel=1e-4)
    family = sm.families.NegativeBinomial(alpha=fit.alpha)
    robust = sm.GLM(y, x, family=family).fit(cov_type="cluster", cov_kwds={"groups": post})
    assert counts.clustered_covariance(fit, y, x, post) == pytest.approx(robust.cov_params(), rel=1e-5)


def test_a_poisson_has_next_to_no_dispersion() -> None:
    rng = np.random.default_rng(3)
    fit = counts.negative_binomial(rng.poisson(4, 3000), np.ones((3000, 1)))
    assert fit is not None and fit.alpha < 0.02


def few_and_famous(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return likes and columns of some fifty images of thirty authors, of whom one has most likes."""
    rng = np.random.default_rng([14, seed])
    author = np.repeat(np.arange(30), np.minimum(rng.zipf(2.2, 30), 60))
    fame = rng.normal(0, 2, 30)
    level = (0.5 * fame + 1.6 * rng.normal(size=30))[author]
    likes = rng.poisson(np.exp(np.minimum(level + 1.2 * rng.normal(size=len(author)), 10)))
    fifth, band = counts.quintiles(rng.normal(size=len(author))), np.digitize(fame, [-0.5, 1.5])[author]
    return likes.astype(float), np.column_stack(
        [np.ones(len(author)), counts.dummies(fifth, range(4)), counts.dummies(band, (1, 2))]
    )


@pytest.mark.parametrize("seed", [74, 138, 253])
def test_where_reweighted_least_squares_run_away_the_negative_binomial_is_found_all_the_same(seed: int) -> None:
    y, x = few_and_famous(seed)
    fit = counts.negative_binomial(y, x)
    assert fit is not None
    assert np.abs(x.T @ ((y - fit.mu) / (1 + fit.alpha * fit.mu))).max() < 1e-4 * y.sum()


def test_pearsons_scale_is_that_of_statsmodels() -> None:
    y, x, _ = drawn(4)
    wanted = sm.GLM(y, x, family=sm.families.Poisson()).fit(scale="X2").scale
    assert counts.pearson_scale(counts.poisson(y, x), y, x.shape[1]) == pytest.approx(wanted)


def test_cameron_and_trivedis_coefficient_is_that_of_the_auxiliary_regression() -> None:
    y, x, post = drawn(5)
    fit = counts.poisson(y, x)
    found, p = counts.overdispersion(y, fit.mu, post, "images", "posts")
    z = ((y - fit.mu) ** 2 - y) / fit.mu
    robust = sm.OLS(z, fit.mu).fit(cov_type="cluster", cov_kwds={"groups": post, "use_correction": False})
    assert found.estimate == pytest.approx(robust.params[0])
    assert p < 1e-4 and found.low > 0
    one_each, _ = counts.overdispersion(y, fit.mu, np.arange(len(y)), "images", "posts")
    stat = (one_each.high - one_each.low) / 2
    hc0 = sm.OLS(z, fit.mu).fit(cov_type="HC0").bse[0]
    assert stat == pytest.approx(1.96 * hc0, rel=2e-3)
    # statsmodels' own test agrees that there is overdispersion.
    assert reference_dispersion(sm.Poisson(y, x).fit(disp=0)).pvalue.max() < 1e-4


def test_percent_change_by_hand() -> None:
    value, low, high = counts.percent_change(np.log(3), 0.01, None)
    assert (value, low, high) == pytest.approx(
        (200, 100 * (3 * np.exp(-0.196) - 1), 100 * (3 * np.exp(0.196) - 1)), rel=1e-3
    )
    assert counts.percent_change(0.0, 0.01, 5)[2] > counts.percent_change(0.0, 0.01, None)[2]


def test_author_effects_are_those_of_a_dummy_for_each_author() -> None:
    y, x, _ = drawn(6, 120)
    author = dense(np.random.default_rng(6).integers(0, 30, len(y)))
    found = conditional_poisson(y, x[:, 1:5], author)
    use = informative(y, author)
    columns = np.concatenate([x[use, 1:5], np.eye(30)[author[use]][:, np.unique(author[use])]], axis=1)
    wanted = sm.GLM(y[use], columns, family=sm.families.Poisson()).fit(tol=1e-12)
    assert found is not None and found.params == pytest.approx(wanted.params[:4], abs=1e-6)
    assert (found.n, found.groups) == (use.sum(), len(np.unique(author[use])))
    how = {"groups": author[use], "use_correction": False}
    clustered = sm.GLM(y[use], columns, family=sm.families.Poisson()).fit(tol=1e-12, cov_type="cluster", cov_kwds=how)
    factor = found.groups / (found.groups - 1)
    np.testing.assert_allclose(found.cov, clustered.cov_params()[:4, :4] * factor, rtol=1e-4, atol=1e-8)


def test_an_author_of_one_image_or_without_likes_says_nothing() -> None:
    y, x = np.array([3, 0, 0, 5, 2]), np.array([[1.0], [0.0], [1.0], [0.0], [1.0]])
    assert informative(y, np.array([0, 1, 1, 2, 2])).tolist() == [False, False, False, True, True]
    assert conditional_poisson(y, x, np.arange(5)) is None
    assert conditional_poisson(y, np.ones((5, 1)), np.zeros(5, int)) is None


def small_world(seed: int, planted: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return likes, columns (constant, bands, closeness) and post, drawn as the sample world draws them."""
    rng = np.random.default_rng([77, seed])
    n = 500
    band = rng.choice(3, n, p=BAND_SHARES)
    mix = np.where(rng.random(n) < 0.25, rng.uniform(0.5, 0.95, n), 0.4 * rng.random(n) ** 1.5)
    likes = draw_likes(LIKES, [BANDS[b] for b in band], mix if planted else np.zeros(n), rng)
    x, times = np.column_stack([np.ones(n), counts.dummies(band, (1, 2)), mix]), rng.integers(1, 5, n)
    return np.repeat(likes, times), np.repeat(x, times, axis=0), np.repeat(np.arange(n), times)


@pytest.mark.slow
def test_the_planted_coefficients_are_inside_their_intervals_in_90_of_100_seeds() -> None:
    planted = np.array([LIKES.intercept, LIKES.bands["500-5000"], LIKES.bands[">5000"], LIKES.style_mix])
    inside = np.zeros((100, 4), bool)
    for seed in range(100):
        y, x, post = small_world(seed)
        fit = counts.negative_binomial(y, x)
        reach = 1.965 * np.sqrt(np.diag(counts.clustered_covariance(fit, y, x, post)))
        inside[seed] = np.abs(fit.params - planted) <= reach
    assert (inside.sum(axis=0) >= 90).all(), inside.sum(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("model", [counts.poisson, counts.negative_binomial])
def test_a_closeness_that_does_nothing_is_rejected_at_its_nominal_rate(model) -> None:
    rejected = 0
    for seed in range(400):
        y, x, post = small_world(seed, planted=False)
        fit = model(y, x)
        _, low, high = counts.percent_change(
            fit.params[3], counts.clustered_covariance(fit, y, x, post)[3, 3], post.max() + 1
        )
        rejected += not low <= 0 <= high
    assert 0.03 <= rejected / 400 <= 0.07, rejected / 400


@pytest.mark.slow
def test_a_poisson_is_called_overdispersed_at_the_nominal_rate() -> None:
    rejected = 0
    for seed in range(400):
        rng = np.random.default_rng([5, seed])
        n = 800
        x = np.column_stack([np.ones(n), counts.dummies(rng.integers(0, 3, n), (1, 2))])
        y = rng.poisson(np.exp(x @ [1.9, 1.1, 2.4]))
        rejected += counts.overdispersion(y, counts.poisson(y, x).mu, np.arange(n), "images", "posts")[1] < 0.05
    assert 0.03 <= rejected / 400 <= 0.07, rejected / 400
