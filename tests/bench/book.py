"""Records that are written as soon as they are measured, and how figures become records."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tests.bench.records import FOLDER, Record


def progress(text: str) -> None:
    """Say what is being done, and when."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def keep(name: str, record: Record) -> None:
    """Write a record into build/bench/<name>.json, in the place of one of its name, and show it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"{name}.json"
    before = json.loads(file.read_text()) if file.exists() else []
    kept = [*(row for row in before if row["name"] != record.name), asdict(record)]
    file.write_text(json.dumps(kept, indent=2) + "\n")
    figures = " ".join(f"{x:,.4g}" if x is not None else "-" for x in (record.value, record.baseline, record.ratio))
    verdict = {True: "holds", False: "MISSED", None: ""}[record.holds]
    progress(f"{record.name}: {figures} {record.unit}; {record.target} {verdict}")


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
