"""The tail of best-match similarities: which similarity no background image is expected to reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from twigma_spark.stats.intervals import percentiles

Floats = NDArray[np.float64]
# Distances below float32's rounding of a cosine are copies beyond doubt and have no logarithm to speak of.
LEAST = 1e-6
# Fewer similarities than this in the fitted part of the tail say nothing of what lies beyond.
FEWEST = 30


@dataclass(frozen=True)
class Tail:
    """The upper tail of best-match similarities of images that are not copies.

    P(similarity > s) = share * ((1 - s) / distance) ** dimension, for s above the lower quantile.

    Attributes:
        distance: cosine distance at which the tail begins.
        share: of the background beyond it.
        dimension: exponent of the power law: the intrinsic dimension, halved, that the distances show.
        n: similarities that the fit rests on.
    """

    distance: float
    share: float
    dimension: float
    n: int

    def rate(self, similarities: ArrayLike) -> Floats:
        """Return how often the background reaches each similarity (n,): the false-match rate, at most 1."""
        far = np.maximum(1.0 - np.asarray(similarities, np.float64), LEAST)
        return np.minimum(self.share * (far / self.distance) ** self.dimension, 1.0)

    def threshold(self, rate: float) -> float:
        """Return the similarity that the background reaches at `rate`; never below the start of the tail."""
        return float(1.0 - self.distance * min(rate / self.share, 1.0) ** (1.0 / self.dimension))


def fit_tail(similarities: ArrayLike, lower: float = 0.9, upper: float = 0.97) -> Tail | None:
    """Return the tail fitted between two quantiles; None where too few or too equal similarities lie there.

    The distance to the nearest of many points has a power law near 0 (extreme value theory; Amsaleg and
    others 2015 for the exponent), so -log(1 - s) has an exponential tail. Its rate is estimated by maximum
    likelihood from the values between the two quantiles only, as an exponential that is truncated at both:
    copies are the most similar pairs, so that what lies above `upper` must not decide what is unusual. This
    holds while less than 1 - `upper` of the images are copies.

    Args:
        similarities: best cosine of each image (n,).
        lower: quantile at which the tail begins.
        upper: quantile above which copies may be.
    """
    depth = np.sort(-np.log(np.maximum(1.0 - np.asarray(similarities, np.float64), LEAST)))
    if not len(depth):
        return None
    start, end = np.quantile(depth, [lower, upper])
    within = depth[(depth > start) & (depth <= end)] - start
    wide = float(end - start)
    if len(within) < FEWEST or wide <= 0 or not 0 < within.mean() < wide:
        return None
    slope = _truncated_rate(float(within.mean()), wide)
    # Of the background, this share lies between the quantiles of all images.
    share = len(within) / len(depth) / -np.expm1(-slope * wide)
    return Tail(float(np.exp(-start)), float(min(share, 1.0)), slope, len(within))


def threshold_interval(
    similarities: ArrayLike, rate: float, rng: np.random.Generator, replicates: int = 200, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Return the ends of the percentile bootstrap interval of the threshold at `rate`; None without a tail."""
    values = np.asarray(similarities, np.float64)
    fits = (fit_tail(values[rng.integers(0, len(values), len(values))]) for _ in range(replicates))
    found = [fit.threshold(rate) for fit in fits if fit is not None]
    return percentiles(found, confidence) if found else None


def _truncated_rate(mean: float, wide: float) -> float:
    """Return the rate of an exponential truncated to [0, wide] with this mean, by its likelihood equation.

    A mean beyond the middle, which no falling density has, gives the smallest rate that is looked for.
    """

    def excess(rate: float) -> float:
        return float(1.0 / rate - wide / np.expm1(rate * wide) - mean)

    low, high = 0.01 / wide, 700.0 / wide
    if excess(low) <= 0:
        return low
    return float(brentq(excess, low, high)) if excess(high) < 0 else high
