"""How a store stands: who holds it, its last runs, what is stale and why, rejects, and how its tables grow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from twigma_spark.config.settings import Config
from twigma_spark.errors import TwigmaError
from twigma_spark.io.lease import Held
from twigma_spark.io.reject_shares import format_reasons
from twigma_spark.io.runs import LastRun, RunSummary, last_good, recent_runs, rows_written
from twigma_spark.io.store import find_holder
from twigma_spark.io.tables import Store
from twigma_spark.redaction import hide
from twigma_spark.runner import Progress, Runner, quiet
from twigma_spark.schedule import dependencies
from twigma_spark.stages.stage import Stage

# Runs that are shown, of the store and of each table.
RUNS, WRITES = 5, 3


@dataclass(frozen=True)
class TableStatus:
    """A table, and the rows that its last runs wrote, newest first."""

    name: str
    rows: int
    version: int
    changed: datetime | None
    written: Sequence[int]


@dataclass(frozen=True)
class Status:
    """How a store stands.

    Attributes:
        store: its root.
        lease: who holds it, or held it last; None where nobody has.
        runs: the last ones, newest first.
        stale: why a run would run each stage now, by stage; an empty list where it would be skipped.
        rejects: by stage and reason.
        tables: those that there are.
    """

    store: str
    lease: Held | None
    runs: Sequence[RunSummary]
    stale: Mapping[str, Sequence[str]]
    rejects: Mapping[str, Mapping[str, int]]
    tables: Sequence[TableStatus]


def read_status(cfg: Config, store: Store, stages: Sequence[Stage]) -> Status:
    """Return how the store stands; nothing is written."""
    written = rows_written(store, WRITES)
    tables = [
        TableStatus(each.name, each.rows, each.version, store.state(each.name).committed, written.get(each.name, ()))
        for each in store.listing()
    ]
    rejects: dict[str, dict[str, int]] = {}
    for row in store.read("rejects").groupBy("stage", "reason").count().collect():
        rejects.setdefault(row["stage"], {})[row["reason"]] = row["count"]
    runs, stale = recent_runs(store, RUNS), find_stale(cfg, store, stages)
    return Status(hide(store.root), find_holder(store), runs, stale, rejects, tables)


def find_stale(cfg: Config, store: Store, stages: Sequence[Stage]) -> dict[str, list[str]]:
    """Return why a run would run each stage now; an empty list where it would be skipped."""
    known = last_good(store)
    own = {stage.name: _reasons(cfg, store, stage, known.get(stage.name)) for stage in stages}
    return add_waiting(own, dependencies(stages))


def add_waiting(own: Mapping[str, list[str]], waits_for: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the reasons of each stage, in order; one without any waits for those that have some."""
    waiting: dict[str, list[str]] = {}
    for name, reasons in own.items():
        stale = [earlier for earlier in waits_for[name] if waiting[earlier]]
        waiting[name] = reasons or ([f"it waits for {', '.join(stale)}"] if stale else [])
    return waiting


def _reasons(cfg: Config, store: Store, stage: Stage, known: LastRun | None) -> list[str]:
    try:
        return Runner(stage, cfg, store, "", Progress(quiet, quiet)).reasons_to_run(known)
    except TwigmaError as error:  # such as a corpus that is not there
        return [hide(f"what it reads cannot be looked at: {error}")]


def as_json(status: Status) -> str:
    """Return the status as JSON."""
    return json.dumps(asdict(status), indent=1, default=str)


def as_text(status: Status) -> str:
    """Return the status for people."""
    blocks = [
        [f"store     {status.store}", f"held      {_describe_lease(status.lease)}"],
        ["last runs (UTC)", *(_describe_run(run) for run in status.runs)],
        ["stages", *(f"  {name:<16} {_describe_stage(why)}" for name, why in status.stale.items())],
        ["rejects", *(f"  {stage:<16} {format_reasons(reasons)}" for stage, reasons in sorted(status.rejects.items()))],
        [f"tables {'rows':>24} {'version':>9}  {'changed (UTC)':<19}  rows written in the last runs"],
    ]
    blocks[-1] += [_describe_table(table) for table in status.tables]
    return "\n\n".join("\n".join(lines if len(lines) > 1 else [*lines, "  none"]) for lines in blocks)


def _describe_lease(lease: Held | None) -> str:
    if lease is None:
        return "by nobody"
    if not lease.free:
        return f"by {lease.describe()}"
    if lease.holder is not None and lease.holder.released is not None:
        return f"by nobody; last by {lease.holder.describe()} to {lease.holder.released}"
    return f"by nobody: the next run takes it over from {lease.describe()}"


def _describe_run(run: RunSummary) -> str:
    failed = "".join(f"; {stage} failed: {error}" for stage, error in run.failed.items())
    return f"  {run.started_at:%Y-%m-%d %H:%M:%S}  {run.run_id}  {run.seconds:9.1f} s  {run.ended_well} stages{failed}"


def _describe_stage(why: Sequence[str]) -> str:
    return f"stale: {'; '.join(why)}" if why else "up to date"


def _describe_table(table: TableStatus) -> str:
    changed = f"{table.changed:%Y-%m-%d %H:%M:%S}" if table.changed else ""
    written = ", ".join(f"{rows:,}" for rows in table.written)
    return f"  {table.name:<16} {table.rows:>12,} {table.version:>9}  {changed:<19}  {written}"
