"""Resampling of whole groups (posts, prompts, artists): bootstrap weights, ratios of them, and the jackknife."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from twigma_spark.stats import intervals
from twigma_spark.stats.sample import Codes, Floats, Vectors

Ends = tuple[float | None, float | None]


def multiplicities(groups: int, replicates: int, rng: np.random.Generator) -> Vectors:
    """Return how often each group is in each bootstrap sample: (replicates, groups) float32.

    As many groups as there are, with replacement; every statistic of group totals then is one matrix product.

    Source: Efron & Tibshirani 1993, section 6.2; for groups, Field & Welsh 2007 (cluster bootstrap).
    """
    if groups == 0:
        return np.empty((replicates, 0), np.float32)
    return rng.multinomial(groups, np.full(groups, 1.0 / groups), replicates).astype(np.float32)


def totals(values: ArrayLike, codes: Codes, groups: int) -> Floats:
    """Return the sum of `values` (n,) or (n, m) by group: (groups,) or (groups, m)."""
    array = np.asarray(values, np.float64)
    if array.ndim == 1:
        return np.asarray(np.bincount(codes, array, groups), np.float64)
    found = np.zeros((groups, array.shape[1]))
    np.add.at(found, codes, array)
    return found


def row_means(values: ArrayLike, codes: Codes, weights: Vectors) -> Floats:
    """Return the mean of `values` over the rows of each bootstrap sample: (replicates,) or (replicates, m).

    Args:
        values: of each row (n,) or (n, m).
        codes: group of each row (n,).
        weights: from `multiplicities` (replicates, groups).
    """
    groups = weights.shape[1]
    sums = weights @ totals(values, codes, groups)
    rows = weights @ np.bincount(codes, minlength=groups).astype(np.float64)
    return np.asarray(sums / (rows if sums.ndim == 1 else rows[:, None]), np.float64)


def ends(replicates: ArrayLike, groups: int, confidence: float) -> Ends:
    """Return the percentile interval of bootstrap replicates; none where fewer than two groups were resampled."""
    if groups < 2:
        return None, None
    return intervals.percentiles(replicates, confidence)


def jackknife(estimate: float, left_out: Sequence[float], confidence: float, least: float = 0.0) -> Ends:
    """Return an interval of a positive quantity from its values with one block of groups left out at a time.

    On the scale of logarithms, with Student's t of blocks - 1 degrees of freedom; none where a value is not
    positive and finite, or there are fewer than two blocks.

    Args:
        estimate: of all blocks.
        left_out: estimate without each block.
        confidence: of the two-sided interval.
        least: the quantity's own lower bound, which the interval does not cross.

    Source: Kott 2001, "The delete-a-group jackknife".
    """
    values = np.asarray([estimate, *left_out], np.float64)
    if len(left_out) < 2 or not (np.isfinite(values) & (values > 0)).all():
        return None, None
    logs, blocks = np.log(values), len(left_out)
    error = np.sqrt((blocks - 1) / blocks * np.square(logs[1:] - logs[1:].mean()).sum())
    reach = float(stats.t.ppf((1.0 + confidence) / 2.0, blocks - 1)) * error
    return max(least, float(np.exp(logs[0] - reach))), float(np.exp(logs[0] + reach))


def words(confidence: float, replicates: int, unit: str, groups: int) -> str:
    """Return how `ends` made an interval, in words."""
    if groups < 2:
        return f"no interval: {groups} of {unit} cannot be resampled"
    return f"{confidence:.0%} percentile bootstrap, {replicates} resamples of {unit}"
