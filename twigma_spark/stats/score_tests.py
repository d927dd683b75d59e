"""Tests and intervals of a coefficient that hold where a few groups hold most of what is counted.

A Wald interval of likes by author rejects a true null too often: where a coefficient is low, no author with a
hundred times the likes of the others happened to be there, and the estimated error is low too. Here the hypothesis
is taken as true, each group's contribution to the score of the coefficient is computed under it, and the sum is
compared with the sums that the same contributions give under random signs: the wild bootstrap of scores, clustered
by group, with the null imposed (Kline & Santos 2012). The interval holds all values that are not rejected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from twigma_spark.stats.shares import Codes, Floats, group_sums

# Sets of random signs. The largest contributions get a sign of their own, the sum of the others is normal.
SIGNS, LARGEST = 1999, 200
# Groups whose signs are drawn at once.
BLOCK = 2_000
# Coefficients further from the estimate than this, on the log scale, are infinite.
FURTHEST = 30.0


@dataclass(frozen=True)
class Cells:
    """Counts by group and by cell of the design: the rows of a cell have equal columns.

    Attributes:
        x: columns of each cell (cells, p), of full rank.
        group: of each row (rows,), from `shares.dense`.
        cell: of each row (rows,).
        counts: of each row: a sum of counts, or hits among its units (rows,).
        sizes: units of each row (rows,).
        family: ``poisson`` (log link: the mean count of a unit) or ``binomial`` (logit link: the share of hits).
    """

    x: Floats
    group: Codes
    cell: Codes
    counts: Floats
    sizes: Floats
    family: Literal["poisson", "binomial"]

    def means(self, linear: Floats) -> tuple[Floats, Floats]:
        """Return mean and variance of a unit of each cell (cells,) at linear predictors (cells,)."""
        if self.family == "poisson":
            mean = np.exp(np.minimum(linear, 700.0))
            return mean, mean
        mean = 1 / (1 + np.exp(-np.clip(linear, -700.0, 700.0)))
        return mean, mean * (1 - mean)


class SignFlips:
    """Random signs, the same for all tests of a run."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 0x51605])
        self._signs = rng.choice(np.array([-1.0, 1.0]), (SIGNS, LARGEST))
        self._normal = rng.normal(size=SIGNS)

    def sums(self, contributions: Floats) -> Floats:
        """Return the absolute sum of contributions (groups,) under each set of signs, over their norm (SIGNS,)."""
        size = np.abs(contributions)
        top = np.partition(size, len(size) - LARGEST)[-LARGEST:] if len(size) > LARGEST else size
        rest = max(float(size @ size) - float(top @ top), 0.0)
        drawn = self._signs[:, : len(top)] @ np.sort(top)[::-1] + self._normal * np.sqrt(rest)
        return np.asarray(np.abs(drawn) / np.sqrt(float(size @ size)))

    def p_value(self, contributions: Floats) -> float:
        """Return the two-sided p-value of the sum of contributions (groups,); 1 where all are 0."""
        norm = float(np.sqrt(contributions @ contributions))
        if not norm > 0:
            return 1.0
        seen = abs(float(contributions.sum())) / norm
        return (1 + int((self.sums(contributions) >= seen - 1e-12).sum())) / (1 + SIGNS)


@lru_cache(maxsize=2)
def sign_flips(seed: int) -> SignFlips:
    """Return the signs of a seed; to draw them takes as long as a test of a few hundred groups."""
    return SignFlips(seed)


def fit_cells(data: Cells, offset: Floats, start: Floats) -> Floats:
    """Return the coefficients (p,) of maximum likelihood with an offset of each cell (cells,), by Newton's method.

    Args:
        data: the counts.
        offset: added to the linear predictor (cells,).
        start: first guess (p,).
    """
    counts, sizes = (np.bincount(data.cell, v, minlength=len(data.x)) for v in (data.counts, data.sizes))
    beta = start
    for _ in range(100):
        mean, variance = data.means(data.x @ beta + offset)
        information = (data.x * (sizes * variance)[:, None]).T @ data.x
        step = np.linalg.lstsq(information, data.x.T @ (counts - sizes * mean), rcond=None)[0]
        beta = beta + step / max(1.0, float(np.abs(step).max(initial=0.0)))
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return np.asarray(beta)


def score_contributions(data: Cells, column: int, value: float, start: Floats) -> tuple[Floats, Floats]:
    """Return what each group adds to the efficient score of a coefficient (groups,), and the other coefficients.

    The others are at their maximum under the hypothesis, and what the score shares with theirs is taken out.

    Args:
        data: the counts.
        column: of the coefficient.
        value: of the coefficient under the hypothesis.
        start: first guess of the others (p - 1,).
    """
    own, rest = data.x[:, column], np.delete(data.x, column, axis=1)
    beta = fit_cells(replace(data, x=rest), value * own, start)
    mean, variance = data.means(rest @ beta + value * own)
    weight = np.bincount(data.cell, data.sizes, minlength=len(own)) * variance
    shared = np.linalg.lstsq((rest * weight[:, None]).T @ rest, rest.T @ (weight * own), rcond=None)[0]
    left = own - rest @ shared
    return group_sums(left[data.cell] * (data.counts - data.sizes * mean[data.cell]), data.group), beta


@dataclass(frozen=True)
class Tested:
    """What a score test says of a coefficient.

    Attributes:
        low: lower end of the interval; -infinity where no value is rejected on that side.
        high: upper end; infinity likewise.
        p: two-sided p-value of the hypothesis that it is 0.
    """

    low: float
    high: float
    p: float


def score_interval(
    data: Cells, column: int, params: Floats, reach: float, flips: SignFlips, confidence: float = 0.95
) -> Tested:
    """Return the interval of a coefficient by inversion of its score test, and the p-value of 0.

    Args:
        data: the counts.
        column: of the coefficient.
        params: coefficients of maximum likelihood (p,).
        reach: a first guess of half of the interval, above 0.
        flips: the random signs.
        confidence: of the interval.
    """
    estimate, start = float(params[column]), np.delete(params, column)

    def excess(value: float) -> float:
        """Return how far the test's statistic is above its critical value; below 0 where it is not rejected."""
        contributions, _ = score_contributions(data, column, value, start)
        norm = float(np.sqrt(contributions @ contributions))
        if not norm > 0:
            return -1.0
        return abs(float(contributions.sum())) / norm - float(np.quantile(flips.sums(contributions), confidence))

    ends = [_end(excess, estimate, side * reach) for side in (-1, 1)]
    return Tested(ends[0], ends[1], flips.p_value(score_contributions(data, column, 0.0, start)[0]))


def _end(excess: Callable[[float], float], estimate: float, step: float) -> float:
    """Return where a value is first rejected on one side of the estimate; infinite where none is."""
    inside, distance = estimate, step
    while abs(distance) <= FURTHEST:
        outside = estimate + distance
        if excess(outside) > 0:
            return float(brentq(excess, inside, outside, xtol=0.01 * abs(step)))
        inside, distance = outside, 2 * distance
    return float(np.inf * np.sign(step))


def term_p_value(data: Cells, columns: slice, start: Floats, seed: int) -> float:
    """Return the p-value that several coefficients are 0, by their score under random signs of the groups.

    The statistic is the score's quadratic form with the inverse of the groups' own sum of squares.

    Args:
        data: the counts.
        columns: of the coefficients.
        start: first guess of the other coefficients.
        seed: of the signs.
    """
    own = data.x[:, columns]
    rest = np.delete(data.x, columns, axis=1)
    beta = fit_cells(replace(data, x=rest), np.zeros(len(rest)), start)
    mean, variance = data.means(rest @ beta)
    weight = np.bincount(data.cell, data.sizes, minlength=len(own)) * variance
    shared = np.linalg.lstsq((rest * weight[:, None]).T @ rest, rest.T @ (own * weight[:, None]), rcond=None)[0]
    left = (own - rest @ shared)[data.cell] * (data.counts - data.sizes * mean[data.cell])[:, None]
    score = group_sums(left, data.group)
    inverse = np.linalg.pinv(score.T @ score, hermitian=True)
    rng = np.random.default_rng([seed, 0x7E57])
    drawn = np.zeros((SIGNS, own.shape[1]))
    for block in range(0, len(score), BLOCK):
        part = score[block : block + BLOCK]
        drawn += rng.choice(np.array([-1.0, 1.0]), (SIGNS, len(part))) @ part
    seen = score.sum(axis=0)
    reached = np.einsum("ij,jk,ik->i", drawn, inverse, drawn) >= float(seen @ inverse @ seen)
    return float((1 + reached.sum()) / (1 + SIGNS))


def cells_of(y: Floats, x: Floats, groups: Codes) -> Cells:
    """Return counts y (n,) by group and by equal rows of x (n, p), for the Poisson family."""
    weights = np.random.default_rng(0).normal(size=x.shape[1])
    _, first, cell = np.unique(x @ weights, return_index=True, return_inverse=True)
    rows, place = np.unique(groups * len(first) + cell, return_inverse=True)
    return Cells(
        x[first],
        rows // len(first),
        rows % len(first),
        np.bincount(place, y).astype(np.float64),
        np.bincount(place).astype(np.float64),
        "poisson",
    )
