"""What a benchmark writes: build/bench/<name>.json, one record a figure, and a line of a table for each."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from twigma_spark.models.device import cpu_features

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
        holds: whether the ratio is within the target; None where there is no target for this machine.
        notes: what else was seen.
        beside: what the baseline is.
    """

    name: str
    value: float | None
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    target: str = ""
    holds: bool | None = None
    notes: str = ""
    beside: str = ""

    def line(self) -> str:
        """Return the record as a line of the table."""
        if self.value is None:
            return f"{self.name}: not measured. {self.notes}"
        figures = f"{self.value:,.4g} {self.unit}"
        if self.baseline is not None:
            figures += f" against {self.baseline:,.4g}"
        if self.ratio is not None:
            figures += f": {self.ratio:.3g}"
        verdict = {True: ", holds", False: ", MISSED", None: ""}[self.holds]
        asked = f" (target {self.target}{verdict})" if self.target else ""
        return f"{self.name}: {figures}{asked}" + (f"; {self.notes}" if self.notes else "")


@dataclass(frozen=True)
class Times:
    """Seconds of both sides: their medians, and the median of theirs / ours round by round."""

    ours: float
    theirs: float
    speedup: float
    rounds: int


def alternate(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int, before: Callable[[], object] = tuple
) -> Times:
    """Return the times of both sides; they take turns, since a machine's speed drifts.

    `before` is called before each turn of ours and is not timed: Spark ends Python workers that were idle for a
    minute, and their start is reported by itself.
    """
    pairs = []
    for _ in range(rounds):
        before()
        pairs.append((seconds(ours), seconds(theirs)))
    mine, other = zip(*pairs, strict=True)
    speedup = statistics.median(b / a for a, b in pairs)
    return Times(statistics.median(mine), statistics.median(other), speedup, rounds)


def seconds(side: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    side()
    return time.perf_counter() - start


def keep(name: str, part: str, record: Record, on: str = "") -> None:
    """Print a record, and put it into build/bench/<name>.json in the place of an older one of the same name.

    `on` is the machine; else `machine` says which.
    """
    print(record.line(), flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"{name}.json"
    kept = json.loads(file.read_text()) if file.exists() else []
    new = {"part": part, **asdict(record), "machine": on or machine(), "at": time.strftime("%Y-%m-%dT%H:%M:%S")}
    kept = [each for each in kept if (each["part"], each["name"]) != (part, record.name)] + [new]
    file.write_text(json.dumps(kept, indent=2) + "\n")


def machine() -> str:
    """Return the CPU as Linux names it, and what of it counts here."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    fast = sorted(cpu_features() & {"amx_bf16", "avx512_bf16"})
    return f"{names[0] if names else platform.machine()}, {len(names)} cores, {', '.join(fast) or 'no bf16'}"


def has_amx() -> bool:
    """Return whether the targets for a CPU with AMX are for this machine."""
    return "amx_bf16" in cpu_features()
