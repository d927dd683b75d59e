"""Poisson regression with a fixed effect of each author, by its conditional likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twigma_spark.stats.shares import Codes, Floats, dense, group_sums


@dataclass(frozen=True)
class Within:
    """A model of what differs within groups.

    Attributes:
        params: coefficients (p,) of the log mean.
        cov: their covariance (p, p), clustered by group.
        n: rows that say something: of groups with two rows or more and some count above 0.
        groups: groups of these rows.
    """

    params: Floats
    cov: Floats
    n: int
    groups: int


def informative(y: ArrayLike, groups: Codes) -> NDArray[np.bool_]:
    """Return which rows (n,) are of a group of two rows or more with some count above 0."""
    return np.asarray((np.bincount(groups) > 1)[groups] & (group_sums(y, groups) > 0)[groups])


def conditional_poisson(y: ArrayLike, x: ArrayLike, groups: Codes) -> Within | None:
    """Return the Poisson regression with a fixed effect of each group, or None where no row says anything.

    Given the total of a group its counts are multinomial, and the effects fall out (Hausman, Hall & Griliches
    1984); for a Poisson this equals the estimate with a dummy of each group, PPML with fixed effects (Santos
    Silva & Tenreyro 2006). Newton's method, over all groups at once: statsmodels' ConditionalPoisson loops
    over them, too slowly for 100,000 authors. The covariance is the sandwich clustered by group (Wooldridge
    1999), which holds whatever the distribution of the counts.

    Args:
        y: counts (n,).
        x: columns (n, p) that vary within groups; no constant.
        groups: group of each row, from `shares.dense`.
    """
    use = informative(y, groups)
    if not use.any():
        return None
    counts, columns, own = np.asarray(y, np.float64)[use], np.asarray(x, np.float64)[use], dense(groups[use])
    totals, beta = group_sums(counts, own), np.zeros(columns.shape[1])
    for _ in range(100):
        scores, information = _derivatives(beta, counts, columns, own, totals)
        if np.linalg.matrix_rank(information, hermitian=True) < len(beta):
            return None
        step = np.linalg.solve(information, scores.sum(axis=0))
        beta = beta + step / max(1.0, float(np.abs(step).max()) / 2)
        if np.abs(step).max() < 1e-10:
            break
    scores, information = _derivatives(beta, counts, columns, own, totals)
    bread, many = np.linalg.inv(information), len(totals)
    cov = bread @ (scores.T @ scores) @ bread * many / max(many - 1, 1)
    return Within(beta, cov, int(use.sum()), many)


def _derivatives(beta: Floats, y: Floats, x: Floats, groups: Codes, totals: Floats) -> tuple[Floats, Floats]:
    """Return the score of each group (groups, p) and the information (p, p)."""
    linear = x @ beta
    top = np.full(len(totals), -np.inf)
    np.maximum.at(top, groups, linear)
    weight = np.exp(linear - top[groups])
    share = weight / group_sums(weight, groups)[groups]
    mean = group_sums(share[:, None] * x, groups)
    off = x - mean[groups]
    information = (off * (share * totals[groups])[:, None]).T @ off
    return group_sums(y[:, None] * off, groups), information
