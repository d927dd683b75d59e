"""How the share of each cluster moves with time: a binomial regression on the month, and an arrow by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control

from twigma_spark.results import Value, not_computed
from twigma_spark.stats.score_tests import Cells, SignFlips, fit_cells, score_interval, sign_flips
from twigma_spark.stats.shares import Codes, Floats, dense, group_sums

ARROWS = {1: "rising", 0: "steady", -1: "falling"}


@dataclass(frozen=True)
class Trend:
    """How a share moves over the months of its data.

    Attributes:
        slope: change of the log odds a month, with the ends of its interval.
        change: relative change of the fitted share over the span, last over first month minus 1, likewise.
        p: two-sided p-value of the slope.
        n: units, such as images.
        groups: groups whose units are alike, such as authors.
        months: months that have units.
    """

    slope: tuple[float, float, float]
    change: tuple[float, float, float]
    p: float
    n: int
    groups: int
    months: int


def trend(
    hits: ArrayLike,
    sizes: ArrayLike,
    months: Codes,
    groups: Codes | None = None,
    confidence: float = 0.95,
    flips: SignFlips | None = None,
) -> Trend | str:
    """Return how the share of hits among units moves with the month, or why that cannot be estimated.

    A binomial regression of the units on the month, logit link. All rows of a month share its fitted share, so it is
    fitted to the totals of the months. P-value and interval of the slope are those of score tests with random signs
    of the groups (`score_tests`); the ends of the change are those of the models with the slope's ends.

    Args:
        hits: units of each row, such as images of a post, that are in the cluster (rows,).
        sizes: units of each row (rows,).
        months: month of each row, counted from any start (rows,).
        groups: group of each row, such as its author, whose rows need not be of one month (rows,); None where each
            row is one.
        confidence: of the intervals.
        flips: the random signs; None draws some.
    """
    h, n, when, group = rows_with_units(hits, sizes, months, groups)
    there, count = np.unique(when), int(group.max(initial=-1)) + 1
    if len(there) < 2:
        return f"a trend needs two months with data, there are {len(there)}"
    if count < 4:
        return f"a trend needs four groups, there are {count}"
    if not 0 < h.sum() < n.sum():
        return "none or all of the images are in it"
    if _is_separated(when[h > 0], when[h < n]):
        return "a month tells its images from the others without error"
    half = float(there[-1] - there[0]) / 2
    x = np.stack([np.ones(len(there)), there - there[0] - half], axis=1)
    data = Cells(x, group, np.searchsorted(there, when), h, n, "binomial")
    params = fit_cells(data, np.zeros(len(x)), np.zeros(2))
    error = clustered_error(data, params, 1)
    if not error > 0:
        return "its share has no error to test against"
    interval = score_interval(data, 1, params, 2 * error, flips or sign_flips(0), confidence)
    slopes = (float(params[1]), interval.low, interval.high)
    changes = [_change(data, slope, params[:1], half) for slope in slopes]
    return Trend(slopes, (changes[0], changes[1], changes[2]), interval.p, int(n.sum()), count, len(there))


def clustered_error(data: Cells, params: Floats, column: int) -> float:
    """Return the error of a coefficient that is clustered by group (Liang & Zeger 1986), to begin a search with."""
    share, variance = data.means(data.x @ params)
    weight = np.bincount(data.cell, data.sizes, minlength=len(share)) * variance
    bread = np.linalg.pinv((data.x * weight[:, None]).T @ data.x)
    rows = data.x[data.cell] * (data.counts - data.sizes * share[data.cell])[:, None]
    return float(np.sqrt(((group_sums(rows, data.group) @ bread[column]) ** 2).sum()))


def _is_separated(with_hits: Codes, with_others: Codes) -> bool:
    """Return whether one month parts the hits from the others: no finite slope fits (Albert & Anderson 1984)."""
    return bool(with_hits.max() <= with_others.min() or with_others.max() <= with_hits.min())


def rows_with_units(
    hits: ArrayLike, sizes: ArrayLike, months: Codes, groups: Codes | None
) -> tuple[Floats, Floats, Codes, Codes]:
    """Return hits, sizes, months and groups of the rows that have units."""
    n = np.asarray(sizes, np.float64)
    own = np.arange(len(n)) if groups is None else np.asarray(groups)
    return np.asarray(hits, np.float64)[n > 0], n[n > 0], np.asarray(months)[n > 0], dense(own[n > 0])


def _change(data: Cells, slope: float, start: Floats, half: float) -> float:
    """Return the relative change of the fitted share from month -half to +half at a slope."""
    if not np.isfinite(slope):
        return float(np.inf if slope > 0 else -1.0)
    (middle,) = fit_cells(replace(data, x=data.x[:, :1]), slope * data.x[:, 1], start)
    # The log of a logistic share.
    first, last = (-np.logaddexp(0, -(middle + slope * month)) for month in (-half, half))
    return float(np.expm1(last - first))


def correct_p_values(trends: Sequence[Trend | str]) -> list[float | None]:
    """Return Benjamini & Hochberg's q-values (1995, by scipy) of the trends that have a p-value."""
    known = [i for i, trend in enumerate(trends) if isinstance(trend, Trend)]
    trend = [trends[i] for i in known]
    values = false_discovery_control([each.p for each in trend if isinstance(each, Trend)]) if known else []
    q: list[float | None] = [None] * len(trends)
    for i, value in zip(known, values, strict=True):
        q[i] = float(value)
    return q


def arrow(trend: Trend, q: float, level: float, least: float) -> int:
    """Return 1 (rising), -1 (falling) or 0 (steady) by the stated rule.

    Rising or falling is a share with q below `level` whose fitted value changed, from the first to the last
    month, by `least` of the smaller of the two or more. All else is steady: no change is shown, which is not
    a proof that there is none.

    Args:
        trend: the trend.
        q: its p-value, corrected for the number of trends.
        level: such as 0.05.
        least: such as 0.1, for 10%.
    """
    ratio = 1 + trend.change[0]
    large = max(ratio, 1 / ratio) - 1 >= least
    return int(np.sign(trend.slope[0])) if q < level and large else 0


def rule(level: float, least: float) -> str:
    """Return the rule of `arrow` in words."""
    return (
        f"rising or falling where q < {level:g} (Benjamini-Hochberg over all of this table) and the fitted share "
        f"changed by {least:.0%} or more from the first to the last month; steady: no such change is shown"
    )


def growth(counts: ArrayLike, confidence: float = 0.95) -> Value:
    """Return the growth of a count by month in percent, by a quasi-Poisson regression on the month.

    Args:
        counts: of every month of the span, those without any among them (months,).
        confidence: of the interval; Student's quantile, the variance times Pearson's dispersion.
    """
    from twigma_spark.stats.counts import pearson_scale, percent_change, poisson

    y = np.asarray(counts, np.float64)
    if len(y) < 4 or not y.sum():
        return not_computed(f"growth needs four months, there are {len(y)}", len(y), "months")
    x = np.stack([np.ones(len(y)), np.arange(len(y)) - (len(y) - 1) / 2], axis=1)
    fit = poisson(y, x)
    variance = float(fit.cov[1, 1]) * pearson_scale(fit, y, 2)
    value, low, high = (float(v) for v in percent_change(float(fit.params[1]), variance, len(y) - 1, confidence))
    return Value(value, low, high, len(y), "months", f"percent a month, quasi-Poisson; {confidence:.0%} t interval")
