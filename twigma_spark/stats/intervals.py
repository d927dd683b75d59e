"""Intervals: Wilson's for shares, the percentile bootstrap over groups for anything that is made of counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, norm

from twigma_spark.results import Value

Floats = NDArray[np.float64]


def wilson(successes: ArrayLike, totals: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats, Floats]:
    """Return shares and the ends of their Wilson score intervals, each (n,); NaN where the total is 0.

    Holds for independent units: where posts carry several images, count posts or use the bootstrap.

    Args:
        successes: counts (n,).
        totals: counts that they are shares of (n,).
        confidence: of the two-sided interval.

    Source: Wilson 1927; Brown, Cai & DasGupta 2001, equation 4.
    """
    x, n = np.asarray(successes, np.float64), np.asarray(totals, np.float64)
    z = float(norm.ppf((1.0 + confidence) / 2.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = x / n
        centre = (x + z * z / 2.0) / (n + z * z)
        half = z * np.sqrt(n) / (n + z * z) * np.sqrt(share * (1.0 - share) + z * z / (4.0 * n))
        # Rounding must not carry an end past the share itself, nor out of [0, 1].
        low, high = np.minimum(centre - half, share), np.maximum(centre + half, share)
    return share, np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)


def wilson_value(successes: int, total: int, unit: str, method: str) -> Value:
    """Return one share with its Wilson interval of 95%, as `wilson`; NaN where the total is 0."""
    share, low, high = (float(x) for x in wilson(successes, total))
    return Value(share, low, high, total, unit, method)


def poisson(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the ends of the exact interval of the mean of a Poisson variable of which `count` was seen.

    Source: Garwood 1936.
    """
    tail = (1.0 - confidence) / 2.0
    low = chi2.ppf(tail, 2 * count) / 2 if count else 0.0
    return float(low), float(chi2.ppf(1.0 - tail, 2 * count + 2) / 2)


def count_table(groups: NDArray[Any] | None, bins: NDArray[np.integer[Any]], k: int) -> Floats:
    """Return counts (groups, k): how many rows of each group are in each bin.

    Args:
        groups: label of each row (n,); None makes each row a group of its own.
        bins: bin of each row (n,), from 0 to k - 1.
        k: bins.
    """
    _, codes = np.unique(np.arange(len(bins)) if groups is None else groups, return_inverse=True)
    size = int(codes.max()) + 1 if len(codes) else 0
    return np.bincount(codes * k + bins, minlength=size * k).reshape(size, k).astype(np.float64)


def take_off_bias(estimate: float, replicates: ArrayLike) -> tuple[float, Floats]:
    """Return an estimate less its bootstrap bias, and its replicates (m,) less twice that.

    The bias is the mean of the replicates less the estimate (Efron & Tibshirani 1993, section 10.2); of a biased
    statistic the replicates are off by it twice. Where one of them is infinite the bias is not known: both come as
    they are.
    """
    values = np.asarray(replicates, np.float64)
    if not np.isfinite(estimate) or not np.isfinite(values).all():
        return estimate, values
    bias = float(values.mean()) - estimate
    return estimate - bias, values - 2.0 * bias


def bias_corrected(
    estimate: float, replicates: ArrayLike, confidence: float, least: float = -np.inf, most: float = np.inf
) -> tuple[float, float, float]:
    """Return an estimate less its bias and the ends of its percentile interval less twice the bias, within bounds.

    Divergences of histograms are too large, entropies too small, and those of resamples once more (`take_off_bias`).

    Args:
        estimate: of the data.
        replicates: of its bootstrap samples (m,).
        confidence: of the interval.
        least: the quantity's lower bound.
        most: its upper bound.
    """
    middle, values = take_off_bias(estimate, replicates)
    low, high = percentiles(values, confidence)
    ends = np.clip([middle, min(low, middle), max(high, middle)], least, most)
    return float(ends[0]), float(ends[1]), float(ends[2])


def percentiles(replicates: ArrayLike, confidence: float) -> tuple[float, float]:
    """Return the ends of the percentile interval (Efron & Tibshirani 1993, section 13.3).

    Ends are replicates themselves, rounded outwards: between a number and infinity there is no mean.
    """
    values = np.asarray(replicates, np.float64)
    # 1 - 0.9 is a little less than 0.1, which must not move an end to the next replicate.
    tail = round((1.0 - confidence) / 2.0, 12)
    low = np.quantile(values, tail, method="lower")
    high = np.quantile(values, 1.0 - tail, method="higher")
    return float(low), float(high)
