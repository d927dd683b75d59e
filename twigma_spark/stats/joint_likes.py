"""A joint model of what a post got: similarities, followers, age, month, theme, NSFW score and hashtags at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import t
from sklearn.preprocessing import SplineTransformer

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats import counts
from twigma_spark.stats.shares import Floats, dense

ANALYSIS, UNIT = "likes_joint", "images"
# Quantiles at which a cubic spline has its knots, those between which a term's change is given, and the curve's.
KNOTS = (0.05, 0.35, 0.65, 0.95)
FROM, TO = 0.1, 0.9
CURVE = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
# Levels of fewer images are one level together.
FEWEST = 30
# Authors that each column needs, so that errors clustered by them say something.
AUTHORS_A_COLUMN = 3


@dataclass(frozen=True)
class Engagement:
    """The images of the posts, what their posts got, and what may go with it; each (n,).

    Attributes:
        outcomes: counts by name, such as "likes"; below 0 where they are not known.
        smooth: numbers by name, whose effect is a curve; NaN where they are not known.
        levels: labels by name, of which each has an effect of its own.
        flags: 0 or 1 by name.
        author: any label of the author.
    """

    outcomes: Mapping[str, NDArray[Any]]
    smooth: Mapping[str, NDArray[np.floating[Any]]]
    levels: Mapping[str, NDArray[Any]]
    flags: Mapping[str, NDArray[Any]]
    author: NDArray[Any]


@dataclass(frozen=True)
class _Term:
    """Columns of a term; those of a number's spline also at other values."""

    name: str
    columns: Floats
    values: Floats = field(default_factory=lambda: np.zeros(0))
    spline: SplineTransformer | None = None

    def basis(self, at: float) -> Floats:
        """Return the columns of one value (p,)."""
        return np.asarray(self.spline.transform([[at]])[0] if self.spline else [], np.float64)


def joint_results(data: Engagement, confidence: float = 0.95) -> Iterator[Result]:
    """Yield, for each outcome, the change that goes with each term while the others stay, and its curve.

    A Poisson regression with log link: cubic splines of the numbers, an effect of each level. The estimand of a number
    is the percent difference of the expected outcome between its 90th and its 10th percentile, all else equal; of a
    level, that it has any effect. Errors are clustered by author. Images of which a number is not known are left out.

    Args:
        data: the images.
        confidence: of the intervals.
    """
    known = {name: values for name, values in data.smooth.items() if np.isfinite(values).any()}
    for name in data.smooth.keys() - known.keys():
        yield Result.of(ANALYSIS, "change", not_computed("no image has it", 0, UNIT), outcome="likes", term=name)
    complete = np.ones(len(data.author), bool)
    for values in known.values():
        complete &= np.isfinite(values)
    for outcome, count in data.outcomes.items():
        yield from _model(data, known, outcome, complete & (np.asarray(count) >= 0), confidence)


def _model(
    data: Engagement, smooth: Mapping[str, NDArray[Any]], outcome: str, rows: NDArray[np.bool_], confidence: float
) -> Iterator[Result]:
    y = np.asarray(data.outcomes[outcome], np.float64)[rows]
    if not y.sum():
        why = f"no image with all columns has {outcome}"
        yield Result.of(ANALYSIS, "change", not_computed(why, len(y), UNIT), outcome=outcome)
        return
    terms = [_spline(name, values[rows]) for name, values in smooth.items()]
    terms += [_dummies(name, values[rows], y) for name, values in data.levels.items()]
    terms += [_Term(name, np.asarray(values[rows], np.float64)[:, None]) for name, values in data.flags.items()]
    terms = [term for term in terms if term.columns.size and np.ptp(term.columns, axis=0).min() > 0]
    x = np.concatenate([np.ones((len(y), 1)), *(term.columns for term in terms)], axis=1)
    author = dense(data.author[rows])
    why = _unfit(x, author)
    if why:
        yield Result.of(ANALYSIS, "change", not_computed(why, len(y), UNIT), outcome=outcome)
        return
    fit = counts.poisson_of_rows(y, x)
    cov = counts.clustered_covariance(fit, y, x, author)
    groups = int(author.max()) + 1
    start = 1
    for term in terms:
        place = slice(start, start + term.columns.shape[1])
        start = place.stop
        p = _wald(fit.params[place], cov[place, place], groups)
        words = f"Poisson regression of {outcome} on all terms; errors clustered by {groups:,} authors; p = {p:.2g}"
        reach = _Reach(fit.params[place], cov[place, place], groups, confidence, len(y), words)
        yield Result.of(ANALYSIS, "p_value", reach.tested(p, term), outcome=outcome, term=term.name)
        yield from _effects(term, reach, outcome)


@dataclass(frozen=True)
class _Reach:
    """Coefficients of a term with their covariance, and how its changes are put into words."""

    params: Floats
    cov: Floats
    groups: int
    confidence: float
    n: int
    words: str

    def change(self, contrast: Floats, what: str) -> Value:
        """Return the percent change of a contrast of the columns."""
        middle = float(contrast @ self.params)
        error = float(np.sqrt(max(float(contrast @ self.cov @ contrast), 0.0)))
        half = error * float(t.ppf((1 + self.confidence) / 2, self.groups - 1))
        with np.errstate(over="ignore"):
            value, low, high = (100 * float(np.expm1(end)) for end in (middle, middle - half, middle + half))
        method = f"percent change {what}; {self.confidence:.0%} t interval; {self.words}"
        return Value(value, low, high if np.isfinite(high) else None, self.n, UNIT, method)

    def tested(self, p: float, term: _Term) -> Value:
        """Return the p-value of the term as a whole."""
        method = f"Wald test that all {term.columns.shape[1]} coefficients are 0; no interval; {self.words}"
        return Value(p, None, None, self.n, UNIT, method)


def _effects(term: _Term, reach: _Reach, outcome: str) -> Iterator[Result]:
    if term.spline is None:
        if term.columns.shape[1] == 1 and len(reach.params) == 1:
            value = reach.change(np.ones(1), "of an image that has it")
            yield Result.of(ANALYSIS, "change", value, outcome=outcome, term=term.name)
        return
    low, middle, high = (float(end) for end in np.quantile(term.values, [FROM, 0.5, TO]))
    value = reach.change(
        term.basis(high) - term.basis(low), f"from {low:.3g} to {high:.3g}, the 10th to the 90th percentile"
    )
    yield Result.of(ANALYSIS, "change", value, outcome=outcome, term=term.name)
    for at in np.unique(np.quantile(term.values, CURVE)):
        value = reach.change(term.basis(float(at)) - term.basis(middle), f"against the median {middle:.3g}")
        yield Result.of(ANALYSIS, "curve", value, outcome=outcome, term=term.name, at=f"{at:.6g}")


def _spline(name: str, values: NDArray[Any]) -> _Term:
    """Return a cubic spline that is straight beyond its knots; no columns of what does not vary."""
    x = np.asarray(values, np.float64)
    knots = np.unique(np.quantile(x, KNOTS))
    if len(knots) < 2:
        return _Term(name, np.zeros((len(x), 0)))
    spline = SplineTransformer(knots=knots[:, None], degree=3, include_bias=False, extrapolation="linear")
    return _Term(name, np.asarray(spline.fit_transform(x[:, None]), np.float64), x, spline)


def _dummies(name: str, values: NDArray[Any], y: Floats) -> _Term:
    """Return a column for each level but the most frequent; levels that are rare or got nothing are one."""
    codes = dense(values)
    images, got = np.bincount(codes), np.bincount(codes, weights=y)
    pooled = (images < FEWEST) | (got == 0)
    codes = dense(np.where(pooled[codes], -1, codes))
    return _Term(name, counts.dummies(codes, np.argsort(-np.bincount(codes), kind="stable")[1:].tolist()))


def _unfit(x: Floats, author: NDArray[np.int64]) -> str:
    """Return why the regression cannot be fitted; "" where it can."""
    groups, p = int(author.max()) + 1, x.shape[1]
    if groups < AUTHORS_A_COLUMN * p:
        return f"{p} coefficients need {AUTHORS_A_COLUMN * p:,} authors, there are {groups:,}"
    scale = np.sqrt(np.square(x).sum(axis=0))
    if np.linalg.matrix_rank((x / scale).T @ (x / scale), hermitian=True, tol=1e-9) < p:
        return "some terms are the same in other words, such as age and month of posts collected at once"
    return ""


def _wald(params: Floats, cov: Floats, groups: int) -> float:
    """Return the p-value that all coefficients are 0, by F with groups - 1 degrees of freedom."""
    statistic = float(params @ np.linalg.pinv(cov, hermitian=True) @ params) / len(params)
    return float(f_distribution.sf(statistic, len(params), groups - 1))
