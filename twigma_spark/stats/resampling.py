"""Resampling of whole groups (posts, prompts, artists): bootstrap weights, ratios of them, and the jackknife."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from twigma_spark.stats import intervals
from twigma_spark.stats.sample import Codes, Floats, Vectors

Ends = tuple[float | None, float | None]
# Blocks that a bias and an error can be known from.
LEAST_BLOCKS = 5


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
    sums = np.zeros((groups, array.shape[1]))
    np.add.at(sums, codes, array)
    return sums


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


def jackknife(
    estimate: float, left_out: Sequence[float], confidence: float, least: float = 0.0
) -> tuple[float, float | None, float | None]:
    """Return a positive quantity less its bias, with its interval, from its values with one block left out at a time.

    On the scale of logarithms: the bias is blocks - 1 times what the values without a block are off on average
    (Quenouille 1956), as it is where it falls with the number of rows; the interval is Student's with blocks - 1
    degrees of freedom (Kott 2001, "The delete-a-group jackknife"). As it came, and without an interval, where a value
    is not positive and finite, or there are fewer than LEAST_BLOCKS.

    Args:
        estimate: of all blocks.
        left_out: estimate without each block.
        confidence: of the two-sided interval.
        least: the quantity's own lower bound, which nothing crosses.
    """
    values = np.asarray([estimate, *left_out], np.float64)
    if len(left_out) < LEAST_BLOCKS or not (np.isfinite(values) & (values > 0)).all():
        return estimate, None, None
    logs, blocks = np.log(values), len(left_out)
    middle = blocks * logs[0] - (blocks - 1) * logs[1:].mean()
    error = np.sqrt((blocks - 1) / blocks * np.square(logs[1:] - logs[1:].mean()).sum())
    reach = float(stats.t.ppf((1.0 + confidence) / 2.0, blocks - 1)) * error
    bounds = np.maximum(np.exp([middle, middle - reach, middle + reach]), least)
    return float(bounds[0]), float(bounds[1]), float(bounds[2])


def words(confidence: float, replicates: int, unit: str, groups: int) -> str:
    """Return how `ends` made an interval, in words."""
    if groups < 2:
        return f"no interval: {groups} of {unit} cannot be resampled"
    return f"{confidence:.0%} percentile bootstrap, {replicates} resamples of {unit}"
