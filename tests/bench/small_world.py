"""What the sample world costs: `twigma demo` from nothing, again with all skipped, and a command without Spark.

Against a checkout of another commit (`--old DIR`, its .venv linked), both sides take turns; else against what was
recorded of the commit before the work on it, where that was on a processor of this kind. Counts of Spark's jobs, its
SQL executions and Delta's commits do not depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.book import progress
from tests.bench.records import Record, keep, machine, seconds

PART = "small world"
BEFORE = "commit eca6496"
# Of commit eca6496, `twigma run` and `twigma truth` on conf/sample.yaml, one round.
OLD_MACHINE = "AMD EPYC, 2 cores, avx512_bf16"
OLD = {"first": 304.9, "again": 62.3, "help": 5.83, "jobs": 1254, "executions": 1416}


@dataclass(frozen=True)
class Side:
    """One checkout.

    Attributes:
        root: its folder.
        commands: arguments of `twigma`, one after another.
        module: where its `main` is.
    """

    root: Path
    commands: tuple[tuple[str, ...], ...]
    module: str = "twigma_spark.cli.main"

    def run(self, folder: Path, *settings: str) -> None:
        """Run the commands in `folder`, where the sample's paths begin."""
        for command in self.commands:
            words = [word for setting in settings for word in ("--set", setting)]
            self._twigma(folder, *command, *words)

    def help(self, folder: Path) -> None:
        """Run `twigma --help`."""
        self._twigma(folder, "--help")

    def _twigma(self, folder: Path, *arguments: str) -> None:
        env = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-c", f"from {self.module} import main; main()", *arguments]
        subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)


def demo_of(root: Path) -> Side:
    """Return the demo of this checkout."""
    return Side(root, (("demo",),))


def demo_before(root: Path) -> Side:
    """Return the demo of a checkout that has no such command yet: two starts of Spark."""
    conf = str(root / "conf" / "sample.yaml")
    return Side(root, (("run", "--conf", conf), ("truth", "--conf", conf)), "twigma_spark.cli")


def times(side: Side) -> dict[str, float]:
    """Return seconds of the demo from nothing, of the same again, and of the help."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, again = seconds(lambda: side.run(folder)), seconds(lambda: side.run(folder))
        helps = statistics.median(seconds(lambda: side.help(folder)) for _ in range(5))
    return {"first": first, "again": again, "help": helps}


def counts(side: Side) -> dict[str, int]:
    """Return jobs, SQL executions and commits of a demo from nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name), Path(name) / "events"
        log.mkdir()
        settings = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": log.as_uri()}
        side.run(folder, f"spark.conf={json.dumps(settings)}")
        kinds = [json.loads(line)["Event"] for file in log.iterdir() for line in file.read_text().splitlines()]
        commits = len([*folder.glob("build/demo/tables/*/_delta_log/*.json")])
    jobs = kinds.count("SparkListenerJobStart")
    executions = sum(kind.endswith("SparkListenerSQLExecutionStart") for kind in kinds)
    return {"jobs": jobs, "executions": executions, "commits": commits}


def main() -> None:
    """Measure, and write build/bench/small_world.json."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--old", type=Path)
    options = asked.parse_args()
    own = demo_of(Path(__file__).resolve().parents[2])
    rounds: list[tuple[dict[str, float], dict[str, float | None]]] = []
    recorded = {k: v for k, v in OLD.items() if k in ("first", "again", "help")} if machine() == OLD_MACHINE else {}
    for number in range(options.rounds):
        progress(f"round {number + 1} of {options.rounds}")
        theirs = times(demo_before(options.old.resolve())) if options.old else recorded
        rounds.append((times(own), dict(theirs)))
    for name, unit, bound in (("first", "s", 0.4), ("again", "s", None), ("help", "s", None)):
        keep("small_world", PART, _record(name, unit, bound, rounds))
    for name, count in counts(own).items():
        keep(
            "small_world",
            PART,
            Record(f"{NAMES[name]} of a demo from nothing", count, "", OLD.get(name), beside=BEFORE),
        )


NAMES = {"jobs": "Spark jobs", "executions": "SQL executions", "commits": "Delta commits"}
TITLES = {
    "first": ("make demo from nothing, without the installation", "≤ 0.4 of the commit before"),
    "again": ("make demo again, all stages skipped", "≤ 15 s"),
    "help": ("twigma --help", "< 1 s"),
}
SECONDS = {"again": 15.0, "help": 1.0}


def _record(
    name: str, unit: str, bound: float | None, rounds: list[tuple[dict[str, float], dict[str, float | None]]]
) -> Record:
    """Return medians of both sides; a target is of the ratio where there is a bound, else of the seconds."""
    title, target = TITLES[name]
    value = statistics.median(own[name] for own, _ in rounds)
    others = [other[name] for _, other in rounds if other.get(name) is not None]
    record = Record(title, value, unit, target=target, notes=f"median of {len(rounds)}", beside=BEFORE)
    if bound is None:
        record = replace(record, holds=value <= SECONDS[name])
    if not others:
        return record
    baseline = statistics.median(each for each in others if each is not None)
    ratio = value / baseline
    return replace(record, baseline=baseline, ratio=ratio, holds=record.holds if bound is None else ratio <= bound)


if __name__ == "__main__":
    main()
