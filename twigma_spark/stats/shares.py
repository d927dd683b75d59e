"""Intervals of shares whose units come in groups, from a few sums over the groups."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import stats

from twigma_spark.stats import intervals


@dataclass(frozen=True)
class ShareSums:
    """Sums over groups; h is the hits of a group and t its size.

    Attributes:
        hits: sum of h.
        total: sum of t.
        groups: groups.
        hits_squared: sum of h squared.
        hits_total: sum of h t.
        total_squared: sum of t squared.
    """

    hits: int
    total: int
    groups: int
    hits_squared: float
    hits_total: float
    total_squared: float


@dataclass(frozen=True)
class ClusteredShare:
    """A share with its interval, and the number of independent units that it is worth."""

    estimate: float
    low: float
    high: float
    effective: float


def clustered_share(sums: ShareSums, confidence: float = 0.95) -> ClusteredShare | None:
    """Return the share of hits with Wilson's interval at the effective sample size; None of nothing.

    The effective size is p (1 - p) over the variance of the ratio over groups, at most the number of units,
    corrected for few groups by Student's t. Where no or all units are hits there is no such variance, and the
    groups are taken as alike inside (Kish).

    Source: Korn & Graubard 1998; Franco, Little, Louis & Slud 2019 (Wilson at the effective size).
    """
    if sums.total <= 0:
        return None
    share = sums.hits / sums.total
    if sums.groups < 2:
        return ClusteredShare(share, 0.0, 1.0, 0.0)
    squares = sums.hits_squared - 2.0 * share * sums.hits_total + share * share * sums.total_squared
    variance = max(squares, 0.0) / sums.total**2 * sums.groups / (sums.groups - 1)
    alike = sums.total**2 / sums.total_squared
    worth = share * (1.0 - share) / variance if variance > 1e-15 else alike
    tail = (1.0 + confidence) / 2.0
    few = float((stats.norm.ppf(tail) / stats.t.ppf(tail, sums.groups - 1)) ** 2)
    effective = min(worth, float(sums.total)) * few
    _, low, high = intervals.wilson(share * effective, effective, confidence)
    return ClusteredShare(share, float(low), float(high), effective)
