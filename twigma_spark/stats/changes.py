"""Whether a statistic has changed from one run to another by more than its intervals allow."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from twigma_spark.results import Result, Value

METHOD = "difference with a 95% interval by MOVER (Zou & Donner 2008), the two runs taken as independent"


@dataclass(frozen=True)
class Change:
    """A statistic of both runs and how much more it is now.

    Attributes:
        before: of the earlier run.
        now: of this run, with the same analysis, metric and labels.
        difference: now - before; None where one of the two is no finite number.
        low: lower end of its interval; None where one of the two has none.
        high: upper end.
    """

    before: Result
    now: Result
    difference: float | None
    low: float | None
    high: float | None

    @property
    def beyond(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Changes:
    """Two runs side by side.

    Attributes:
        both: statistics of both, in the order of this run.
        new: of this run alone.
        gone: of the earlier run alone.
    """

    both: tuple[Change, ...]
    new: tuple[Result, ...]
    gone: tuple[Result, ...]

    @property
    def compared(self) -> tuple[Change, ...]:
        """Those whose difference has an interval."""
        return tuple(change for change in self.both if change.low is not None)

    @property
    def beyond(self) -> tuple[Change, ...]:
        """Those that changed by more than their interval, by analysis and metric."""
        return tuple(change for change in self.both if change.beyond)


def compare_runs(before: Iterable[Result], now: Iterable[Result]) -> Changes:
    """Return the statistics of two runs side by side, those of the same analysis, metric and labels together."""
    earlier = {_key(result): result for result in before}
    both, new = [], []
    for result in now:
        old = earlier.pop(_key(result), None)
        if old is None:
            new.append(result)
        else:
            both.append(Change(old, result, *difference(old.value, result.value)))
    return Changes(tuple(both), tuple(new), tuple(earlier.values()))


def difference(before: Value, now: Value) -> tuple[float | None, float | None, float | None]:
    """Return now - before and the ends of its interval, which allow for intervals that are not symmetric.

    With the estimates b and a and their intervals, the ends are d - sqrt((a - a_low)² + (b_high - b)²) and
    d + sqrt((a_high - a)² + (b - b_low)²) for d = a - b (Zou & Donner 2008, equation 8).
    """
    if not (_is_number(before.estimate) and _is_number(now.estimate)):
        return None, None, None
    b, a = float(before.estimate or 0.0), float(now.estimate or 0.0)
    ends = (before.low, before.high, now.low, now.high)
    if not all(_is_number(end) for end in ends):
        return a - b, None, None
    b_low, b_high, a_low, a_high = (float(end or 0.0) for end in ends)
    return a - b, a - b - math.hypot(a - a_low, b_high - b), a - b + math.hypot(a_high - a, b - b_low)


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _key(result: Result) -> tuple[str, str, str]:
    return result.analysis, result.metric, result.key
