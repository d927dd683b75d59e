"""Shares and means of units that come in groups: images of one post, one prompt or one artist are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from twigma_spark.results import Value, finite, not_computed
from twigma_spark.stats.intervals import wilson

Floats = NDArray[np.float64]
Codes = NDArray[np.integer[Any]]


def dense(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the group of each row as a number from 0 to groups - 1, (n,)."""
    _, codes = np.unique(labels, return_inverse=True)
    return np.asarray(codes, np.int64)


def group_sums(values: ArrayLike, groups: Codes) -> Floats:
    """Return the sum of the values (n,) or (n, p) over each group, (groups,) or (groups, p).

    Args:
        values: numbers of the rows.
        groups: group of each row, from `dense`.
    """
    table = np.asarray(values, np.float64)
    if table.ndim == 1:
        return np.asarray(np.bincount(groups, weights=table), np.float64)
    return np.stack([np.bincount(groups, weights=column) for column in table.T], axis=1)


def clustered_mean(values: ArrayLike, groups: Codes, unit: str, of: str, confidence: float = 0.95) -> Value:
    """Return the mean over rows with Student's interval, its error clustered by group (`mean_error`).

    Args:
        values: numbers of the rows (n,).
        groups: group of each row, from `dense`.
        unit: what a row is, such as "images".
        of: what a group is, such as "posts".
        confidence: of the interval.
    """
    y = np.asarray(values, np.float64)
    if not y.size:
        return not_computed("there are no rows", 0, unit)
    sums, sizes = group_sums(y, groups), np.bincount(groups).astype(np.float64)
    count, mean = len(sizes), float(y.mean())
    if count < 2:
        return Value(mean, None, None, y.size, unit, f"mean; no interval: all {unit} are of one of the {of}")
    error, freedom = mean_error(sums, sizes)
    half = error * float(t.ppf((1 + confidence) / 2, freedom))
    method = (
        f"mean; {confidence:.0%} t interval of {freedom:.0f} degrees of freedom, errors clustered by {count:,} {of}"
    )
    return Value(mean, mean - half, mean + half, y.size, unit, method)


def skewed_mean(values: ArrayLike, groups: Codes, unit: str, of: str, confidence: float = 0.95) -> Value:
    """Return the mean over rows of something skewed and not negative, such as likes, with an interval by group.

    As `clustered_mean`, on the scale of logarithms: where few groups hold most, a sample without them has a low mean
    and a small error, which a symmetric interval misses from below.

    Args:
        values: numbers of the rows, 0 or more (n,).
        groups: group of each row, from `dense`.
        unit: what a row is, such as "images".
        of: what a group is, such as "authors".
        confidence: of the interval.
    """
    plain = clustered_mean(values, groups, unit, of, confidence)
    if not plain.estimate or plain.high is None:
        return plain
    factor = float(np.exp((plain.high - plain.estimate) / plain.estimate))
    method = plain.method.replace("t interval", "t interval of its logarithm")
    return Value(plain.estimate, plain.estimate / factor, plain.estimate * factor, plain.n, unit, method)


def mean_error(sums: Floats, sizes: Floats) -> tuple[float, float]:
    """Return the standard error of a mean over rows that come in groups, and its degrees of freedom.

    The error leaves out each group in turn (CR3), the degrees of freedom are Satterthwaite's where rows of a group
    are equal: with groups of very unequal sizes they are far fewer than groups, and Student's interval of all groups
    covers less often than it says.

    Args:
        sums: of the values over each group (groups,), two groups or more.
        sizes: rows of each group (groups,), none of them empty.

    Source: Bell & McCaffrey 2002; Pustejovsky & Tipton 2018, for CR3 and the degrees of freedom.
    """
    total = float(sizes.sum())
    weights = 1.0 / (1.0 - sizes / total) ** 2
    error = float(np.sqrt((weights * (sums - sizes * sums.sum() / total) ** 2).sum())) / total
    # Covariance of the groups' residual sums: diag(d) - (n d' + d n') / N + n n' sum(d) / N^2, with d = n^2, without
    # a table of groups by groups.
    n, d, spread = sizes / total, (sizes / total) ** 2, float(((sizes / total) ** 2).sum())
    own = weights * (d - 2 * n * d + n * n * spread)
    nn, dd, nd = (float((weights * x).sum()) for x in (n * n, d * d, n * d))
    mixed = 2 * nn * dd + 2 * nd**2 - 4 * spread * nn * nd + spread**2 * nn**2
    squares = mixed + float((weights**2 * d * (d + 2 * (n * n * spread - 2 * n * d))).sum())
    return error, float(own.sum()) ** 2 / squares


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


def effective_sizes(
    p: Floats, squares: Floats, total: float, groups: int, alike: float, confidence: float = 0.95
) -> Floats:
    """Return how many independent units the shares p (k,) are worth, (k,).

    A share is a ratio of two sums over groups. Its variance is that of the linearised ratio, and the effective
    number of units is p(1-p)/variance, which is at most the true one and is corrected for the degrees of freedom
    (Korn & Graubard 1998; with Wilson's interval, Franco, Little, Louis & Slud 2019). Where no unit or every
    unit is a hit there is no such variance, and units of a group are taken as alike.

    Args:
        p: shares (k,).
        squares: sums over groups of (hits - p size) squared (k,).
        total: units.
        groups: groups, two or more.
        alike: the effective number where units of a group are alike: the squared sum of sizes over the sum of
            their squares (Kish 1965).
        confidence: of the interval that will use it.
    """
    variance = np.maximum(squares, 0.0) * groups / (groups - 1) / total**2
    known = variance > 1e-15
    worth = np.where(known, p * (1 - p) / np.where(known, variance, 1.0), alike)
    tail = (1 + confidence) / 2
    return np.asarray(np.minimum(worth, total) * (norm.ppf(tail) / t.ppf(tail, groups - 1)) ** 2, np.float64)


def clustered_share(sums: ShareSums, confidence: float = 0.95) -> ClusteredShare | None:
    """Return the share of hits with Wilson's interval at the effective sample size; None of nothing."""
    if sums.total <= 0:
        return None
    share = sums.hits / sums.total
    if sums.groups < 2:
        return ClusteredShare(share, 0.0, 1.0, 0.0)
    squares = sums.hits_squared - 2.0 * share * sums.hits_total + share * share * sums.total_squared
    alike = sums.total**2 / sums.total_squared
    (effective,) = effective_sizes(np.array([share]), np.array([squares]), sums.total, sums.groups, alike, confidence)
    _, low, high = wilson(share * effective, effective, confidence)
    return ClusteredShare(share, float(low), float(high), float(effective))


def clustered_shares(hits: ArrayLike, sizes: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats, Floats]:
    """Return shares (k,) of all units and the ends of their intervals (k,); NaN where there are no units.

    Args:
        hits: hits of each group in each of k categories (groups, k).
        sizes: units of each group (groups,).
        confidence: of the intervals, which are Wilson's at `effective_sizes`.
    """
    h, n = np.asarray(hits, np.float64), np.asarray(sizes, np.float64)
    h, n = h[n > 0], n[n > 0]
    groups, total = len(n), n.sum()
    if not groups:
        nothing = np.full(h.shape[1], np.nan)
        return nothing, nothing.copy(), nothing.copy()
    p = h.sum(axis=0) / total
    if groups == 1:
        return wilson(p, np.ones(len(p)), confidence)
    # n*p - h squared and summed, without a second table of the size of the first.
    squares = (h**2).sum(axis=0) - 2 * p * (n @ h) + p**2 * (n @ n)
    effective = effective_sizes(p, squares, total, groups, total**2 / (n @ n), confidence)
    return wilson(p * effective, effective, confidence)


def share_estimates(hits: ArrayLike, sizes: ArrayLike, unit: str, of: str, confidence: float = 0.95) -> list[Value]:
    """Return the shares of `clustered_shares` as estimates, one for each category."""
    n = np.asarray(sizes, np.int64)
    groups, total = int((n > 0).sum()), int(n.sum())
    if not total:
        return [not_computed(f"there are no {unit}", 0, unit)] * np.asarray(hits).shape[1]
    method = f"share; {confidence:.0%} Wilson interval at the effective n, clustered by {groups:,} {of}"
    ends = zip(*clustered_shares(hits, n, confidence), strict=True)
    return [Value(float(p), finite(low), finite(high), total, unit, method) for p, low, high in ends]
