"""Regressions of counts, such as likes, on groups of images: Poisson, quasi-Poisson and negative binomial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from scipy.stats import norm, t
from sklearn.linear_model import PoissonRegressor

from twigma_spark.results import Value
from twigma_spark.stats.shares import Codes, Floats, group_sums

# Dispersions that a negative binomial is searched between; below, it is a Poisson.
ALPHA = (1e-6, 1e4)


@dataclass(frozen=True)
class Fit:
    """A fitted log-linear model of counts.

    Attributes:
        params: coefficients (p,), of the log mean.
        cov: their covariance (p, p), of the model itself.
        mu: fitted means (n,).
        alpha: dispersion, variance = mu + alpha mu^2; 0 of a Poisson.
    """

    params: Floats
    cov: Floats
    mu: Floats
    alpha: float = 0.0

    @classmethod
    def none(cls, x: Floats) -> Fit:
        """Return where a search starts: no coefficients yet."""
        return cls(np.empty(0), np.empty((0, 0)), np.empty(len(x)))


def quintiles(values: ArrayLike) -> NDArray[np.int8]:
    """Return the fifth of each value (n,), 0 the lowest to 4; equal values are in the same one.

    The edges are the quantiles 0.2 to 0.8 by linear interpolation, and belong to the lower fifth, as in
    pandas' `qcut`. With many ties fifths may be of unequal size, or empty.
    """
    x = np.asarray(values, np.float64)
    edges = np.quantile(x, [0.2, 0.4, 0.6, 0.8]) if x.size else np.zeros(4)
    return np.searchsorted(edges, x, side="left").astype(np.int8)


def dummies(codes: NDArray[np.integer[Any]], levels: Sequence[int]) -> Floats:
    """Return 0/1 columns (n, levels): whether a row's code is each of the levels."""
    return np.asarray(codes[:, None] == np.asarray(levels)[None, :], np.float64)


def poisson(y: ArrayLike, x: ArrayLike) -> Fit:
    """Return the Poisson regression of counts y (n,) on columns x (n, p) of few values, by statsmodels.

    Args:
        y: counts; some above 0.
        x: columns of full rank, the constant among them.
    """
    counts, columns = np.asarray(y, np.float64), np.asarray(x, np.float64)
    kept, times, back = collapse_rows(counts, columns)
    fit = _glm(counts[kept], columns[kept], times, Fit.none(columns))
    return replace(fit, mu=fit.mu[back])


def poisson_of_rows(y: ArrayLike, x: ArrayLike, offset: ArrayLike | None = None) -> Fit:
    """Return the Poisson regression of counts y (n,) on columns x (n, p) of any values, by scikit-learn.

    Rows with an offset or a continuous column do not collapse, and statsmodels takes twenty times the columns'
    memory. With the offset o, counts are rates y / exp(o) with the weights exp(o).

    Args:
        y: counts; some above 0.
        x: columns of full rank, the constant first.
        offset: added to the log mean (n,), such as the log of the time to collect likes.
    """
    counts, columns = np.asarray(y, np.float64), np.asarray(x, np.float64)
    added = np.zeros(len(counts)) if offset is None else np.asarray(offset, np.float64)
    times = np.exp(added - added.mean())
    model = PoissonRegressor(alpha=0.0, fit_intercept=False, solver="newton-cholesky", tol=1e-10, max_iter=200)
    params = model.fit(columns, counts / times, sample_weight=times).coef_.copy()
    params[0] -= added.mean()
    mu = np.exp(columns @ params + added)
    return Fit(params, np.linalg.inv(columns.T @ (columns * mu[:, None])), mu)


def negative_binomial(y: ArrayLike, x: ArrayLike) -> Fit | None:
    """Return the NB2 regression of counts y (n,) on columns x (n, p) by maximum likelihood; None where none is found.

    The coefficients at a dispersion, by statsmodels, and the dispersion at the coefficients are fitted in
    turn until neither moves (Venables & Ripley 2002, section 7.4); they are orthogonal (Lawless 1987), so
    the covariance of the coefficients needs no correction for the fitted dispersion.
    """
    kept, times, back = collapse_rows(np.asarray(y, np.float64), np.asarray(x, np.float64))
    counts, columns = np.asarray(y, np.float64)[kept], np.asarray(x, np.float64)[kept]
    fit = _glm(counts, columns, times, Fit.none(columns))
    for _ in range(50):
        following = _glm(counts, columns, times, replace(fit, alpha=dispersion(counts, fit.mu, times)))
        moved = np.abs(following.params - fit.params).max() + abs(following.alpha - fit.alpha) / following.alpha
        fit = following
        if moved < 1e-7:
            break
    score = columns.T @ (times * (counts - fit.mu) / (1 + fit.alpha * fit.mu))
    converged = np.isfinite(fit.cov).all() and np.abs(score).max() <= 1e-4 * (times @ counts)
    return replace(fit, mu=fit.mu[back]) if converged else None


def collapse_rows(y: Floats, x: Floats) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Return of equal rows (y, x) the first (m,), how many there are (m,), and the place of each row (n,).

    Rows are distinguished by their product with fixed random weights: two different rows have the same one with
    probability 0. With 0/1 columns a million images are a few thousand rows.
    """
    weights = np.random.default_rng(0).normal(size=x.shape[1])
    _, cell = np.unique(x @ weights, return_inverse=True)
    _, kept, back, times = np.unique(
        cell * (y.max() + 1.0) + y, return_index=True, return_inverse=True, return_counts=True
    )
    return kept, times.astype(np.float64), back


def dispersion(y: Floats, mu: Floats, times: Floats) -> float:
    """Return the maximum-likelihood dispersion of an NB2 with the means mu (n,), each row seen `times`."""

    def loss(log_alpha: float) -> float:
        size = np.exp(-log_alpha)
        each = gammaln(y + size) - gammaln(size) + size * np.log(size) + y * np.log(mu) - (y + size) * np.log(size + mu)
        return -float(times @ each)

    best = minimize_scalar(loss, bounds=tuple(np.log(ALPHA)), method="bounded", options={"xatol": 1e-10})
    return float(np.exp(best.x))


def _glm(y: Floats, x: Floats, times: Floats, start: Fit) -> Fit:
    """Return the model at the dispersion of `start`, fitted from its coefficients on.

    Reweighted least squares may run away where a level has few likes; a search along the gradient does not.
    """
    import statsmodels.api as sm

    family = sm.families.NegativeBinomial(alpha=start.alpha) if start.alpha else sm.families.Poisson()
    model = sm.GLM(y, x, family=family, freq_weights=times)
    begin = start.params if start.params.size else None
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        try:
            fitted = model.fit(start_params=begin, maxiter=200, tol=1e-10, scale=1.0)
        except ValueError:
            fitted = model.fit(start_params=begin, method="bfgs", maxiter=500, gtol=1e-6, scale=1.0, disp=False)
    return Fit(np.asarray(fitted.params), np.asarray(fitted.normalized_cov_params), np.asarray(fitted.mu), start.alpha)


def clustered_covariance(fit: Fit, y: ArrayLike, x: ArrayLike, groups: Codes) -> Floats:
    """Return the covariance (p, p) of the coefficients with errors clustered by group.

    The sandwich of Liang & Zeger 1986 times G/(G-1) (n-1)/(n-p), as statsmodels and Stata have it.

    Args:
        fit: of `poisson` or `negative_binomial`.
        y: counts (n,).
        x: columns (n, p).
        groups: group of each row, from `shares.dense`; two groups or more.
    """
    columns, counts, n = np.asarray(x, np.float64), np.asarray(y, np.float64), len(fit.mu)
    size = 1 + fit.alpha * fit.mu
    scores = group_sums(columns * ((counts - fit.mu) / size)[:, None], groups)
    # The observed information; of a Poisson it is the expected one too.
    weight = fit.mu * (1 + fit.alpha * counts) / size**2
    bread = np.linalg.inv(columns.T @ (columns * weight[:, None]))
    count, p = len(scores), columns.shape[1]
    factor = count / (count - 1) * (n - 1) / max(n - p, 1)
    return np.asarray(bread @ (scores.T @ scores) @ bread * factor)


def pearson_scale(fit: Fit, y: ArrayLike, p: int) -> float:
    """Return Pearson's chi-squared over its degrees of freedom: the dispersion of a quasi-Poisson model."""
    off = np.asarray(y, np.float64) - fit.mu
    return float((off**2 / fit.mu).sum() / max(len(fit.mu) - p, 1))


def percent_change(coefficient: float, variance: float, groups: int | None, confidence: float = 0.95) -> Floats:
    """Return 100 (exp(b) - 1) and the ends of its interval, (3,).

    Args:
        coefficient: b, of the log mean.
        variance: of b.
        groups: groups that the errors are clustered by, for Student's quantile; None takes the normal one.
        confidence: of the interval.
    """
    tail = (1 + confidence) / 2
    quantile = float(norm.ppf(tail) if groups is None else t.ppf(tail, max(groups - 1, 1)))
    half = quantile * np.sqrt(max(variance, 0.0))
    with np.errstate(over="ignore"):
        return np.asarray(100 * np.expm1([coefficient, coefficient - half, coefficient + half]))


def overdispersion(y: ArrayLike, mu: Floats, groups: Codes, unit: str, of: str) -> tuple[Value, float]:
    """Return alpha of Var = mu + alpha mu^2, and the one-sided p-value of the test that it is 0.

    The regression of ((y - mu)^2 - y) / mu on mu without a constant (Cameron & Trivedi 1990), with errors
    clustered by group, since rows of one group have one count.

    Args:
        y: counts (n,).
        mu: means of a Poisson regression (n,).
        groups: group of each row, from `shares.dense`; two groups or more.
        unit: what a row is.
        of: what a group is.
    """
    counts = np.asarray(y, np.float64)
    z, square = ((counts - mu) ** 2 - counts) / mu, float(mu @ mu)
    alpha = float(z @ mu) / square
    off = group_sums(mu * (z - alpha * mu), groups)
    error = float(np.sqrt((off**2).sum() * len(off) / (len(off) - 1))) / square
    half, p = error * float(t.ppf(0.975, len(off) - 1)), float(t.sf(alpha / error, len(off) - 1))
    method = (
        f"Cameron & Trivedi's regression test, variance = mean + alpha mean^2; one-sided p = {p:.2g}; "
        f"95% t interval, errors clustered by {len(off):,} {of}"
    )
    return Value(alpha, alpha - half, alpha + half, counts.size, unit, method), p
