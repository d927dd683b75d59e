"""Where the course of a share bends: the month from which it moves otherwise than before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from twigma_spark.stats.score_tests import Cells, SignFlips, fit_cells, score_contributions, score_interval
from twigma_spark.stats.shares import Codes
from twigma_spark.stats.trends import Trend, clustered_error, rows_with_units, trend

# Months with data before and after a bend at least, and months that are tried at most.
MARGIN, TRIED = 3, 12


@dataclass(frozen=True)
class ChangePoint:
    """The bend that the data speak for most.

    Attributes:
        month: from which the share moves otherwise.
        bend: log odds a month after it less before it, with the ends of its interval, which takes the month as known.
        p: p-value that there is no bend in any month, corrected for the months that were tried.
        tried: months.
        n: units, such as images.
        groups: groups whose units are alike, such as authors.
    """

    month: int
    bend: tuple[float, float, float]
    p: float
    tried: int
    n: int
    groups: int


def change_point(
    hits: ArrayLike, sizes: ArrayLike, months: Codes, groups: Codes | None, confidence: float, flips: SignFlips
) -> ChangePoint | str:
    """Return where the log odds of a share bend, or why that cannot be estimated.

    A binomial regression on the month and on the months since each of several candidates in turn; that a candidate's
    coefficient is 0 is tested by score tests with random signs of the groups (`score_tests`). The one of the largest
    statistic is the bend, and its p-value is multiplied by the number of candidates (Bonferroni).

    Args:
        hits: units of each row that are in the cluster (rows,).
        sizes: units of each row (rows,).
        months: month of each row, counted from any start (rows,).
        groups: group of each row, such as its author (rows,); None where each row is one.
        confidence: of the interval of the bend.
        flips: the random signs.
    """
    line = trend(hits, sizes, months, groups, confidence, flips)
    if not isinstance(line, Trend):
        return line
    h, n, when, group = rows_with_units(hits, sizes, months, groups)
    there = np.unique(when)
    inner = there[MARGIN:-MARGIN]
    if not len(inner):
        return f"a bend needs {2 * MARGIN + 1} months with data, there are {len(there)}"
    candidates = np.unique(inner[np.linspace(0, len(inner) - 1, min(TRIED, len(inner))).round().astype(int)])
    cells = [_cells(there, int(month), h, n, when, group) for month in candidates]
    start = np.array([0.0, line.slope[0]])
    scores = [score_contributions(data, 2, 0.0, start)[0] for data in cells]
    # Several p-values may be the least that so many draws can give; the statistic still ranks the months.
    best = int(np.argmax([abs(each.sum()) / max(float(np.sqrt(each @ each)), 1e-300) for each in scores]))
    data = cells[best]
    params = fit_cells(data, np.zeros(len(there)), np.zeros(3))
    interval = score_interval(data, 2, params, max(2 * clustered_error(data, params, 2), 1e-3), flips, confidence)
    p = min(1.0, len(cells) * flips.p_value(scores[best]))
    return ChangePoint(
        int(candidates[best]), (float(params[2]), interval.low, interval.high), p, len(cells), line.n, line.groups
    )


def _cells(there: Codes, bend: int, h: ArrayLike, n: ArrayLike, when: Codes, group: Codes) -> Cells:
    middle = (there[0] + there[-1]) / 2
    x = np.stack([np.ones(len(there)), there - middle, np.maximum(there - bend, 0)], axis=1).astype(np.float64)
    return Cells(x, group, np.searchsorted(there, when), np.asarray(h), np.asarray(n), "binomial")
