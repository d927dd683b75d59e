"""How figures become records."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.bench.records import Record


def progress(text: str) -> None:
    """Say what is being done, and when."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a call, and what it returned."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def at_most(name: str, value: float, unit: str, baseline: float, bound: float, target: str) -> Record:
    """Return a record whose ratio, value to baseline, must not exceed a bound."""
    return Record(name, value, unit, baseline, value / baseline, target, value / baseline <= bound)


def at_least(name: str, value: float, unit: str, baseline: float, bound: float, target: str) -> Record:
    """Return a record whose ratio, value to baseline, must reach a bound."""
    return Record(name, value, unit, baseline, value / baseline, target, value / baseline >= bound)


def printed(name: str, value: float, unit: str, baseline: float | None = None) -> Record:
    """Return a record without a bound."""
    return Record(name, value, unit, baseline, value / baseline if baseline else None, "printed")
