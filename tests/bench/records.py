"""What a benchmark writes: build/bench/<name>.json, a list of records, and the same as a table."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path("build/bench")


@dataclass(frozen=True)
class Record:
    """One measured figure.

    Attributes:
        name: what was measured, and on how much.
        value: ours; None where it could not be measured here.
        unit: of value and baseline.
        baseline: the other side's, in the same run.
        ratio: ours in units of the baseline, as the target states it.
        target: the bound in words.
        holds: whether the ratio is within the target; None where there is no target or no measurement.
    """

    name: str
    value: float | None
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    target: str = ""
    holds: bool | None = None


def alternate(sides: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the median seconds of each side; they take turns, since a machine's speed drifts."""
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, taken in zip(sides, seconds, strict=True):
            start = time.perf_counter()
            side()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def write(name: str, records: Sequence[Record]) -> None:
    """Write the records and print them as a table."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps([asdict(record) for record in records], indent=2) + "\n")
    for r in records:
        figures = [f"{x:,.3g}" if x is not None else "-" for x in (r.value, r.baseline, r.ratio)]
        verdict = {True: "holds", False: "MISSED", None: ""}[r.holds] if r.value is not None else "not measured"
        print(
            f"{r.name:<58} {figures[0]:>9} {r.unit:<9} against {figures[1]:>9}  {figures[2]:>6}  {r.target} {verdict}"
        )
