"""The tail of best-match similarities: which similarity no background image is expected to reach.

Copies and dense styles (many images alike) are closer than chance makes images. Where they are few, they lie above
the part of the tail that is fitted. Where they are more, that part ends below them: `calibrate` finds where.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import kstwo

from twigma_spark.stats.intervals import percentiles

Floats = NDArray[np.float64]
# Distances below float32's rounding of a cosine are copies beyond doubt and have no logarithm to speak of.
LEAST = 1e-6
# Fewer similarities than this in the fitted part of the tail say nothing of what lies beyond.
FEWEST = 30
# Quantiles at which the fitted part of the tail may end, and its width. Copies may be as many as lie above the first.
ENDS = (0.77, 0.81, 0.85, 0.89, 0.93, 0.97)
WIDTH = 0.07
# A step up to the next end has an excess where it holds so many times what the fit says, and by so many deviations.
EXCESS, DEVIATIONS = 1.5, 3.3
# A fit is refused where the Kolmogorov-Smirnov distance is so large, and so unlikely.
MISFIT, MISFIT_P = 0.1, 1e-3
# Of the images above the threshold, the most that may lie within twice its distance, where they are more than chance.
NOT_APART = 0.1
TOO_FEW = "too few or too equal best matches to distinguish copies from chance"
TOO_MANY = "more than a fifth of the best matches may be copies: they cannot be distinguished from chance"
# A threshold nearer to 1 than this would find images only that are equal but for rounding.
NEAREST = 1e-4
ALL_CLOSE = "at this rate images that are no copies reach a similarity of 1: copies are not unusual here"
NOT_SEPARATE = "many matches are closer than chance makes them, and not apart from the others: a dense style, or copies"


@dataclass(frozen=True)
class Tail:
    """The upper tail of best-match similarities of images that are not copies.

    P(similarity > s) = share * ((1 - s) / distance) ** dimension, for s above the lower quantile.

    Attributes:
        distance: cosine distance at which the tail begins.
        share: of the background beyond it.
        dimension: exponent of the power law: the intrinsic dimension, halved, that the distances show.
        n: similarities that the fit rests on.
        upper: quantile of the similarities at which the fitted part ends.
    """

    distance: float
    share: float
    dimension: float
    n: int
    upper: float = 0.97

    def rate(self, similarities: ArrayLike) -> Floats:
        """Return how often the background reaches each similarity (n,): the false-match rate, at most 1."""
        far = np.maximum(1.0 - np.asarray(similarities, np.float64), LEAST)
        return np.minimum(self.share * (far / self.distance) ** self.dimension, 1.0)

    def threshold(self, rate: float) -> float:
        """Return the similarity that the background reaches at `rate`; never below the start of the tail."""
        return float(1.0 - self.distance * min(rate / self.share, 1.0) ** (1.0 / self.dimension))


def fit_tail(values: Floats, lower: float = 0.9, upper: float = 0.97) -> Tail | None:
    """Return the tail fitted between two quantiles; None where too few or too equal similarities lie there.

    The distance to the nearest of many points has a power law near 0 (extreme value theory; Amsaleg and
    others 2015 for the exponent), so -log(1 - s) has an exponential tail. Its rate is estimated by maximum
    likelihood from the values between the two quantiles only, as an exponential that is truncated at both:
    copies are the most similar pairs, so that what lies above `upper` must not decide what is unusual. This
    holds while less than 1 - `upper` of the images are copies.

    Args:
        values: best cosine of each image (n,), in rising order.
        lower: quantile at which the tail begins.
        upper: quantile above which copies may be.
    """
    if not len(values):
        return None
    first, last = _quantile(values, lower), _quantile(values, upper)
    start, end = (-np.log(max(1.0 - value, LEAST)) for value in (first, last))
    within = -np.log(np.maximum(1.0 - _select_between(values, first, last), LEAST)) - start
    wide = float(end - start)
    if len(within) < FEWEST or wide <= 0 or not 0 < within.mean() < wide:
        return None
    slope = _truncated_rate(float(within.mean()), wide)
    # Of the background, this share lies between the quantiles of all images.
    share = len(within) / len(values) / -np.expm1(-slope * wide)
    return Tail(float(np.exp(-start)), float(min(share, 1.0)), slope, len(within), upper)


@dataclass(frozen=True)
class Calibration:
    """The tail of the background; None where it cannot be distinguished from what is closer, and why."""

    tail: Tail | None
    why: str = ""


def calibrate(similarities: ArrayLike, rate: float) -> Calibration:
    """Return the tail of the background, fitted below where copies begin.

    The fitted part moves up by steps as long as the next step holds no more images than the fit says. Where one does,
    copies or a dense style begin there, and the part ends a step before it. They are taken for copies only if they are
    apart: few within twice the distance of the threshold, where the background's own neighbours would be.

    Args:
        similarities: best cosine of each image (n,); fewer than a fifth of them copies.
        rate: false-match rate of the threshold that will be used.
    """
    values = np.sort(np.asarray(similarities, np.float64))
    accepted: Tail | None = None
    for end, after in zip(ENDS, (*ENDS[1:], 1.0), strict=True):
        tail = fit_tail(values, end - WIDTH, end)
        if tail is None:
            return Calibration(None, TOO_FEW)
        if _is_misfit(values, tail) or (after < 1.0 and _has_excess(values, tail, after)):
            # The excess may have begun within this part already, so the one before it counts.
            return Calibration(None, TOO_MANY) if accepted is None else _require_apart(values, accepted, rate)
        accepted = tail
    return _require_distance(accepted, rate)


def _require_distance(tail: Tail | None, rate: float) -> Calibration:
    """Return the tail where its threshold is not as good as 1."""
    if tail is not None and 1.0 - tail.threshold(rate) < NEAREST:
        return Calibration(None, ALL_CLOSE)
    return Calibration(tail)


def _is_misfit(values: Floats, tail: Tail) -> bool:
    """Return whether the fitted part is far from the law that was fitted, as where it spans a gap before copies."""
    start, end = 1.0 - tail.distance, _quantile(values, tail.upper)
    within = _select_between(values, start, end)
    rates = tail.rate(np.array([start, end]))
    law = (rates[0] - tail.rate(within)) / (rates[0] - rates[1])
    n = len(within)
    apart = float(np.max(np.maximum(np.arange(1, n + 1) / n - law, law - np.arange(n) / n), initial=0.0))
    return apart > MISFIT and float(kstwo.sf(apart, n)) < MISFIT_P


def _has_excess(values: Floats, tail: Tail, after: float) -> bool:
    """Return whether more similarities lie between the fitted part and the quantile `after` than the fit says."""
    end, beyond = _quantile(values, tail.upper), _quantile(values, after)
    held = float(len(_select_between(values, end, beyond)))
    wide = float(np.log(tail.distance / max(1.0 - end, LEAST)))

    def expect(dimension: float) -> float:
        other = replace(tail, dimension=dimension, share=tail.n / len(values) / -np.expm1(-dimension * wide))
        return len(values) * float(other.rate(end) - other.rate(beyond))

    # The standard error of the rate of a truncated exponential, by its Fisher information.
    slope = tail.dimension
    growth = np.exp(min(slope * wide, 50.0))
    error = 1.0 / np.sqrt(tail.n * max(1.0 / slope**2 - wide**2 * growth / (growth - 1.0) ** 2, 1e-12))
    low, high = expect(max(slope - error, 0.01 / wide)), expect(slope + error)
    deviation = np.sqrt(held + ((high - low) / 2.0) ** 2)
    expected = expect(slope)
    return bool(held > EXCESS * expected and held - expected > DEVIATIONS * deviation)


def _require_apart(values: Floats, tail: Tail, rate: float) -> Calibration:
    """Return the tail where what lies above its threshold is apart from the background."""
    distance = 1.0 - tail.threshold(rate)
    above = 1.0 - values[np.searchsorted(values, 1.0 - distance) :]
    expected = len(values) * float(tail.rate(1.0 - distance) - tail.rate(1.0 - distance / 2.0))
    near = float((above > distance / 2.0).sum())
    if near - expected > DEVIATIONS * np.sqrt(expected + 1.0) and near > NOT_APART * len(above):
        return Calibration(None, NOT_SEPARATE)
    return _require_distance(tail, rate)


def threshold_interval(
    similarities: ArrayLike, rate: float, rng: np.random.Generator, replicates: int = 200, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Return the ends of the percentile bootstrap interval of the threshold at `rate`; None without a tail."""
    values = np.asarray(similarities, np.float64)
    fits = (calibrate(values[rng.integers(0, len(values), len(values))], rate).tail for _ in range(replicates))
    thresholds = [fit.threshold(rate) for fit in fits if fit is not None]
    return percentiles(thresholds, confidence) if thresholds else None


def _quantile(values: Floats, at: float) -> float:
    """Return a quantile of values in rising order, as `numpy.quantile` does and without another pass over them."""
    place = at * (len(values) - 1)
    low = int(place)
    return float(values[low] + (place - low) * (values[min(low + 1, len(values) - 1)] - values[low]))


def _select_between(values: Floats, low: float, high: float) -> Floats:
    """Return those of values in rising order that are above `low`, up to `high`."""
    return values[np.searchsorted(values, low, "right") : np.searchsorted(values, high, "right")]


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
