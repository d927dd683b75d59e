"""A number with what belongs to it: interval, n, unit and method, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A statistic as it goes into `results`.

    Attributes:
        estimate: the value; None where it could not be computed, and `method` says why.
        low: lower end of the interval, None where there is none.
        high: upper end of the interval, None where there is none.
        n: units that it rests on.
        unit: what n counts.
        method: estimator and interval, in words.
    """

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    unit: str
    method: str


@dataclass(frozen=True)
class Named:
    """An estimate and its place in `results`: analysis, metric and group."""

    analysis: str
    metric: str
    group: str
    value: Estimate


def not_computed(reason: str, n: int, unit: str) -> Estimate:
    """Return a statistic that could not be computed, with the reason as its method."""
    return Estimate(None, None, None, n, unit, f"not computed: {reason}")


def finite(value: float) -> float | None:
    """Return the value, or None where it is NaN or infinite."""
    return float(value) if math.isfinite(value) else None
