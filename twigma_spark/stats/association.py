"""Rank correlation of two quantities whose rows come in groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from twigma_spark.stats import intervals
from twigma_spark.stats.sample import Codes, Floats

# Rows whose pairs are compared all at once for all samples, ten times as fast as SciPy sample by sample.
MOST_ROWS_BY_PAIRS = 1000


@dataclass(frozen=True)
class Kendall:
    """Kendall's tau-b, its interval and its p-value.

    Attributes:
        tau: -1 to 1.
        low: lower end of the interval.
        high: upper end.
        p: two-sided, of no association.
        groups: groups that were resampled.
        method: of interval and p-value, in words.
    """

    tau: float
    low: float
    high: float
    p: float
    groups: int
    method: str


def kendall(x: Floats, y: Floats, codes: Codes, bootstrap: int, confidence: float, seed: int) -> Kendall | None:
    """Return Kendall's tau-b with a cluster bootstrap interval; None where a quantity does not vary.

    The p-value is scipy's where each row is its own group, and else that of Student's t of groups - 1 degrees
    of freedom for tau over its bootstrap error, since rows of one group are not independent.

    Args:
        x: (n,).
        y: (n,).
        codes: group of each row (n,), from 0 without gaps.
        bootstrap: resamples of the groups.
        confidence: of the interval.
        seed: of the resamples.

    Source: Kendall 1945 (tau-b); Cameron, Gelbach & Miller 2008 (groups).
    """
    groups = int(codes.max()) + 1 if len(codes) else 0
    if groups < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    tau = stats.kendalltau(x, y)
    drawn = _bootstrap_tau(x, y, codes, groups, bootstrap, np.random.default_rng(seed))
    low, high = intervals.percentiles(drawn, confidence)
    alone = groups == len(codes)
    p = float(tau.pvalue) if alone else _by_t(float(tau.statistic), drawn, groups)
    method = "p-value of independent rows" if alone else "p-value by Student's t and the bootstrap error"
    return Kendall(float(tau.statistic), low, high, p, groups, f"Kendall's tau-b; {method}")


def _bootstrap_tau(x: Floats, y: Floats, codes: Codes, groups: int, bootstrap: int, rng: np.random.Generator) -> Floats:
    """Return tau of bootstrap samples of groups; a sample without variation says nothing and has 0."""
    if len(x) <= MOST_ROWS_BY_PAIRS:
        drawn = [np.bincount(rng.integers(0, groups, groups), minlength=groups)[codes] for _ in range(bootstrap)]
        return np.nan_to_num(_tau_by_pairs(x, y, np.array(drawn, float)), nan=0.0)
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes, minlength=groups))[:-1])
    taus = np.empty(bootstrap)
    for i in range(bootstrap):
        rows = np.concatenate([members[g] for g in rng.integers(0, groups, groups)])
        taus[i] = stats.kendalltau(x[rows], y[rows]).statistic
    return np.nan_to_num(taus, nan=0.0)


def _tau_by_pairs(x: Floats, y: Floats, times: Floats) -> Floats:
    """Return tau-b of samples in which row i comes times[s, i] times: Kendall's own sums over all pairs of rows."""
    of_x, of_y = (np.sign(np.subtract.outer(values, values)) for values in (x, y))
    both, untied_x, untied_y = (
        np.einsum("si,si->s", times @ signs, times) for signs in (of_x * of_y, of_x * of_x, of_y * of_y)
    )
    with np.errstate(invalid="ignore"):
        return np.asarray(both / np.sqrt(untied_x) / np.sqrt(untied_y))


def _by_t(tau: float, drawn: Floats, groups: int) -> float:
    error = float(drawn.std(ddof=1))
    return float(2.0 * stats.t.sf(abs(tau) / error, groups - 1)) if error > 0 else 1.0
