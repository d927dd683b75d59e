"""A joint model of what a post got: similarities, followers, age, month, theme, NSFW score and hashtags at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import SplineTransformer

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats import counts
from twigma_spark.stats.score_tests import Cells, SignFlips, fit_cells, score_interval, sign_flips, term_p_value
from twigma_spark.stats.shares import Floats, dense
from twigma_spark.stats.trends import clustered_error

ANALYSIS, UNIT = "likes_joint", "images"
# Quantiles at which a quadratic spline has its knots, and those of a term's curve: against the first one.
KNOTS = (0.1, 0.5, 0.9)
CURVE = (0.1, 0.3, 0.5, 0.7, 0.9)
# A number of which the others explain more, such as the age of posts collected at once by their month, is left out.
MOST_EXPLAINED = 0.98
# Levels of fewer images are one level together.
FEWEST = 30
# Images at most; the tests fit the model again for each end of each interval.
MOST = 50_000
# A coefficient above this is no number as percent.
LARGEST_LOG = 50.0
# Authors that each coefficient needs to be fitted, and for its tests to hold their level.
AUTHORS_NEEDED, AUTHORS_ENOUGH = 3, 40


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
    is_flag: bool = False

    def basis(self, at: float) -> Floats:
        """Return the columns of one value (p,)."""
        return np.asarray(self.spline.transform([[at]])[0] if self.spline else [], np.float64)


def joint_results(data: Engagement, confidence: float = 0.95, seed: int = 0) -> Iterator[Result]:
    """Yield, for each outcome, the change that goes with each term while the others stay, and the curve of likes.

    A Poisson regression with log link: quadratic splines of the numbers, an effect of each level. The estimand of a
    number is the percent difference of the expected outcome between its 90th and its 10th percentile, all else equal;
    of a level, that it has any effect. Tests and intervals are those of scores with random signs of the authors
    (`score_tests`). Images of which a number is not known are left out; of many, whole authors are drawn.

    Args:
        data: the images.
        confidence: of the intervals.
        seed: of the draws.
    """
    known = {name: values for name, values in data.smooth.items() if np.isfinite(values).any()}
    for name in sorted(data.smooth.keys() - known.keys()):
        yield Result.of(ANALYSIS, "change", not_computed("no image has it", 0, UNIT), outcome="likes", term=name)
    complete = np.ones(len(data.author), bool)
    for values in known.values():
        complete &= np.isfinite(values)
    for place, (outcome, count) in enumerate(data.outcomes.items()):
        rows = _whole_authors(data.author, complete & (np.asarray(count) >= 0), seed)
        yield from _model(data, known, outcome, rows, _Rule(confidence, seed, with_curve=place == 0))


@dataclass(frozen=True)
class _Rule:
    confidence: float
    seed: int
    with_curve: bool


def _whole_authors(author: NDArray[Any], rows: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Return the rows of as many authors, drawn at random, as have `MOST` images or fewer together."""
    if rows.sum() <= MOST:
        return rows
    codes = dense(author)
    images = np.bincount(codes, weights=rows)
    order = np.random.default_rng(seed).permutation(len(images))
    drawn = np.zeros(len(images), bool)
    drawn[order[np.cumsum(images[order]) <= MOST]] = True
    return np.asarray(rows & drawn[codes])


def _model(
    data: Engagement, smooth: Mapping[str, NDArray[Any]], outcome: str, rows: NDArray[np.bool_], rule: _Rule
) -> Iterator[Result]:
    y = np.asarray(data.outcomes[outcome], np.float64)[rows]
    if not y.sum():
        why = f"no image with all columns has {outcome}"
        yield Result.of(ANALYSIS, "change", not_computed(why, len(y), UNIT), outcome=outcome)
        return
    terms = [_spline(name, values[rows]) for name, values in smooth.items()]
    for term in list(terms):
        others = [each.columns for each in terms if each is not term and each.columns.size]
        if term.columns.size and others and (share := _explained_variance(term.values, others)) > MOST_EXPLAINED:
            terms.remove(term)
            absent = not_computed(f"the other numbers explain {share:.1%} of its variance: left out", len(y), UNIT)
            yield Result.of(ANALYSIS, "change", absent, outcome=outcome, term=term.name)
    terms += [_dummies(name, values[rows], y) for name, values in data.levels.items()]
    terms += [
        _Term(name, np.asarray(values[rows], np.float64)[:, None], is_flag=True) for name, values in data.flags.items()
    ]
    terms = [term for term in terms if term.columns.size and np.ptp(term.columns, axis=0).min() > 0]
    x = np.concatenate([np.ones((len(y), 1)), *(term.columns for term in terms)], axis=1)
    author = dense(data.author[rows])
    why = _unfit(x, author)
    if why:
        yield Result.of(ANALYSIS, "change", not_computed(why, len(y), UNIT), outcome=outcome)
        return
    cells = Cells(x, author, np.arange(len(y)), y, np.ones(len(y)), "poisson")
    # Starting from the mean, Newton's steps do not overshoot.
    begin = np.concatenate([[np.log(y.mean())], np.zeros(x.shape[1] - 1)])
    fit = _Fit(cells, fit_cells(cells, np.zeros(len(y)), begin), sign_flips(rule.seed), outcome, rule)
    start = 1
    for term in terms:
        columns = slice(start, start + term.columns.shape[1])
        start = columns.stop
        yield from _effects(term, columns, fit)


@dataclass(frozen=True)
class _Fit:
    """A fitted model, and how its terms are tested."""

    data: Cells
    params: Floats
    flips: SignFlips
    outcome: str
    rule: _Rule

    def result(self, metric: str, value: Value, term: str, **labels: str) -> Result:
        """Return a row of the model's outcome."""
        return Result.of(ANALYSIS, metric, value, outcome=self.outcome, term=term, **labels)

    def p_value(self, columns: slice) -> Value:
        """Return the p-value of a term as a whole."""
        start = np.delete(self.params, columns)
        p = term_p_value(self.data, columns, start, self.rule.seed)
        many = columns.stop - columns.start
        method = f"score test that all {many} coefficients are 0; no interval; {self._words}"
        return Value(p, None, None, len(self.data.counts), UNIT, method)

    def change(self, columns: slice, contrast: Floats, what: str) -> Value:
        """Return the percent change of a contrast of a term's columns."""
        data, params, place = _with_contrast(self.data, self.params, columns, contrast)
        reach = max(2 * clustered_error(data, params, place), 1e-3)
        interval = score_interval(data, place, params, reach, self.flips, self.rule.confidence)
        ends = (float(params[place]), interval.low, interval.high)
        value, low, high = (100 * float(np.expm1(end)) if end < LARGEST_LOG else None for end in ends)
        method = f"percent change {what}; {self.rule.confidence:.0%} interval by score tests; {self._words}"
        return Value(value, low, high, len(self.data.counts), UNIT, method)

    @property
    def _words(self) -> str:
        many, p = int(self.data.group.max()) + 1, self.data.x.shape[1]
        few = (
            f"; fewer than {AUTHORS_ENOUGH} authors a coefficient: read with care" if many < AUTHORS_ENOUGH * p else ""
        )
        return f"Poisson regression of {self.outcome} on all terms, with the signs of {many:,} authors drawn{few}"


def _with_contrast(data: Cells, params: Floats, columns: slice, contrast: Floats) -> tuple[Cells, Floats, int]:
    """Return the same model where one coefficient is the contrast of a term's columns, and the place of that one."""
    pivot = int(np.argmax(np.abs(contrast)))
    x, moved = data.x.copy(), params.copy()
    own = data.x[:, columns][:, pivot] / contrast[pivot]
    x[:, columns] -= own[:, None] * contrast
    x[:, columns.start + pivot] = own
    moved[columns.start + pivot] = float(contrast @ params[columns])
    return replace(data, x=x), moved, columns.start + pivot


def _effects(term: _Term, columns: slice, fit: _Fit) -> Iterator[Result]:
    yield fit.result("p_value", fit.p_value(columns), term.name)
    if term.spline is None:
        if term.columns.shape[1] == 1 and term.is_flag:
            yield fit.result("change", fit.change(columns, np.ones(1), "of an image that has it"), term.name)
        return
    first, *others = (float(end) for end in np.quantile(term.values, CURVE))
    words = f"against {first:.3g}, the {100 * CURVE[0]:.0f}th percentile"
    for share, at in zip(CURVE[1:], others, strict=True):
        if at == first or not (fit.rule.with_curve or share == CURVE[-1]):
            continue
        value = fit.change(
            columns, term.basis(at) - term.basis(first), f"at {at:.3g}, the {100 * share:.0f}th, {words}"
        )
        if fit.rule.with_curve:
            yield fit.result("curve", value, term.name, at=f"{at:.6g}", against=f"{first:.6g}")
        if share == CURVE[-1]:
            yield fit.result("change", value, term.name)


def _spline(name: str, values: NDArray[Any]) -> _Term:
    """Return a quadratic spline that is straight beyond its knots; no columns of what does not vary."""
    x = np.asarray(values, np.float64)
    knots = np.unique(np.quantile(x, KNOTS))
    if len(knots) < 2:
        return _Term(name, np.zeros((len(x), 0)))
    spline = SplineTransformer(knots=knots[:, None], degree=2, include_bias=False, extrapolation="linear")
    return _Term(name, np.asarray(spline.fit_transform(x[:, None]), np.float64), x, spline)


def _explained_variance(values: Floats, others: list[Floats]) -> float:
    """Return the share of the variance of values (n,) that a regression on other columns explains."""
    x = np.concatenate([np.ones((len(values), 1)), *others], axis=1)
    off = values - x @ np.linalg.lstsq(x, values, rcond=None)[0]
    return float(1 - off.var() / values.var())


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
    if groups < AUTHORS_NEEDED * p:
        return f"{p} coefficients need {AUTHORS_NEEDED * p:,} authors, there are {groups:,}"
    scale = np.sqrt(np.square(x).sum(axis=0))
    if np.linalg.matrix_rank((x / scale).T @ (x / scale), hermitian=True, tol=1e-9) < p:
        return "some terms are the same in other words, such as two hashtags of the same posts"
    return ""
