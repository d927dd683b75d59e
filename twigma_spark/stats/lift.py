"""Lift: how much more often two things come together than by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]


def lift(
    together: ArrayLike, first: ArrayLike, second: ArrayLike, total: ArrayLike, confidence: float = 0.95
) -> tuple[Floats, Floats, Floats]:
    """Return lifts and the ends of their intervals, each (n,); NaN where one of the counts is 0.

    The lift is P(A and B) / (P(A) P(B)), 1 for independent ones. The interval is that of its logarithm by the delta
    method for a multinomial: the variance is (1 / P(A and B) - 1 / P(A) - 1 / P(B) - 1 + 2 lift) / total.

    Args:
        together: how often both come (n,).
        first: how often A comes.
        second: how often B comes.
        total: of how many independent units.
        confidence: of the two-sided interval.

    Source: Agresti, Categorical Data Analysis (2013), section 16.1, the delta method.
    """
    both, a, b, n = (np.asarray(x, np.float64) for x in (together, first, second, total))
    z = float(norm.ppf((1.0 + confidence) / 2.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        lifts = np.where(both > 0, both * n / (a * b), np.nan)
        variance = 1.0 / both - 1.0 / a - 1.0 / b - 1.0 / n + 2.0 * lifts / n
        half = z * np.sqrt(np.maximum(variance, 0.0))
        return lifts, lifts * np.exp(-half), lifts * np.exp(half)
