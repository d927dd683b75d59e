"""How the share of each cluster moves with time: a binomial regression on the month, and an arrow by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control, t

from twigma_spark.results import Value, not_computed
from twigma_spark.stats.shares import Codes, Floats, group_sums

ARROWS = {1: "rising", 0: "steady", -1: "falling"}


@dataclass(frozen=True)
class Trend:
    """How a share moves over the months of its data.

    Attributes:
        slope: change of the log odds a month.
        error: its standard error, clustered by group.
        change: relative change of the fitted share over the span, last over first month minus 1.
        low: lower end of its interval.
        high: upper end of its interval.
        p: two-sided p-value of the slope.
        n: units, such as images.
        groups: groups that the errors are clustered by.
        months: months that have units.
    """

    slope: float
    error: float
    change: float
    low: float
    high: float
    p: float
    n: int
    groups: int
    months: int


def trend(hits: ArrayLike, sizes: ArrayLike, months: Codes, confidence: float = 0.95) -> Trend | str:
    """Return how the share of hits among units moves with the month, or why that cannot be told.

    A binomial regression of the units on the month, logit link, by statsmodels. All groups of a month share
    its fitted share, so the fit is made on the totals of the months and only the error on the groups: the
    sandwich clustered by group (Liang & Zeger 1986), times G/(G-1), and Student's quantile with G - 2 degrees
    of freedom. The interval of the relative change is that of its log, by the delta method.

    Args:
        hits: units of each group that are in the cluster (groups,).
        sizes: units of each group (groups,).
        months: month of each group, counted from any start (groups,).
        confidence: of the interval.
    """
    h, n, when = _nonempty_groups(hits, sizes, months)
    there = np.unique(when)
    if len(there) < 2:
        return f"a trend needs two months with data, there are {len(there)}"
    if len(h) < 4:
        return f"a trend needs four groups, there are {len(h)}"
    if not 0 < h.sum() < n.sum():
        return "none or all of the images are in it"
    if _is_separated(when[h > 0], when[h < n]):
        return "a month tells its images from the others without error"
    x = np.stack([np.ones(len(when)), when - (there[0] + there[-1]) / 2], axis=1)
    beta, bread = _logit(group_sums(h, when - there[0]), group_sums(n, when - there[0]), there)
    fitted = 1 / (1 + np.exp(-(x @ beta)))
    scores, count = x * (h - fitted * n)[:, None], len(h)
    cov = bread @ (scores.T @ scores) @ bread * count / (count - 1)
    error = float(np.sqrt(cov[1, 1]))
    if not error > 0:
        return "its share has no error to test against"
    quantile = float(t.ppf((1 + confidence) / 2, count - 2))
    p = 2 * float(t.sf(abs(beta[1]) / error, count - 2))
    change = _change(beta, cov, quantile, float(there[-1] - there[0]) / 2)
    return Trend(float(beta[1]), error, *change, p, int(n.sum()), count, len(there))


def _is_separated(with_hits: Codes, with_others: Codes) -> bool:
    """Return whether one month parts the hits from the others: no finite slope fits (Albert & Anderson 1984)."""
    return bool(with_hits.max() <= with_others.min() or with_others.max() <= with_hits.min())


def _nonempty_groups(hits: ArrayLike, sizes: ArrayLike, months: Codes) -> tuple[Floats, Floats, Codes]:
    n = np.asarray(sizes, np.float64)
    return np.asarray(hits, np.float64)[n > 0], n[n > 0], np.asarray(months)[n > 0]


def _logit(hits: Floats, sizes: Floats, there: Codes) -> tuple[Floats, Floats]:
    """Return coefficients (2,) and inverse information (2, 2) of totals by month, months from the first on."""
    import statsmodels.api as sm

    month = there - there[0]
    x = np.stack([np.ones(len(month)), month - month[-1] / 2], axis=1)
    table = np.stack([hits[month], sizes[month] - hits[month]], axis=1)
    found = sm.GLM(table, x, family=sm.families.Binomial()).fit(scale=1.0, tol=1e-10)
    return np.asarray(found.params), np.asarray(found.normalized_cov_params)


def _change(beta: Floats, cov: Floats, quantile: float, half: float) -> tuple[float, float, float]:
    """Return the relative change of the share from month -half to +half, and the ends of its interval."""
    ends = np.array([[1.0, -half], [1.0, half]])
    logits = ends @ beta
    # log of a logistic share, and its derivative 1 - share.
    logs, slack = -np.logaddexp(0, -logits), 1 / (1 + np.exp(logits))
    gradient = slack[1] * ends[1] - slack[0] * ends[0]
    centre, reach = logs[1] - logs[0], quantile * float(np.sqrt(gradient @ cov @ gradient))
    low, middle, high = np.expm1([centre - reach, centre, centre + reach])
    return float(middle), float(low), float(high)


def correct_p_values(trends: Sequence[Trend | str]) -> list[float | None]:
    """Return Benjamini & Hochberg's q-values (1995, by scipy) of the trends that have a p-value."""
    known = [i for i, found in enumerate(trends) if isinstance(found, Trend)]
    found = [trends[i] for i in known]
    values = false_discovery_control([each.p for each in found if isinstance(each, Trend)]) if known else []
    q: list[float | None] = [None] * len(trends)
    for i, value in zip(known, values, strict=True):
        q[i] = float(value)
    return q


def arrow(found: Trend, q: float, level: float, least: float) -> int:
    """Return 1 (rising), -1 (falling) or 0 (steady) by the stated rule.

    Rising or falling is a share with q below `level` whose fitted value changed, from the first to the last
    month, by `least` of the smaller of the two or more. All else is steady: no change is shown, which is not
    a proof that there is none.

    Args:
        found: the trend.
        q: its p-value, corrected for the number of trends.
        level: such as 0.05.
        least: such as 0.1, for 10%.
    """
    large = max(1 + found.change, 1 / (1 + found.change)) - 1 >= least
    return int(np.sign(found.slope)) if q < level and large else 0


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
