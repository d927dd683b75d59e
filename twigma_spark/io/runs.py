"""The `runs` table: what each run of a stage read, wrote and cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version

from pyspark.sql import Row
from pyspark.sql import functions as F

from twigma_spark.io import arrow
from twigma_spark.io.tables import State, Store
from twigma_spark.schemas import RUNS

# By which the clock of a run and that of a commit may differ.
CLOCKS = timedelta(seconds=5)
PACKAGES = [
    *("twigma_spark", "pyspark", "delta-spark", "numpy", "pandas", "pillow", "scikit-learn"),
    *("torch", "open_clip_torch", "transformers", "onnxruntime", "faiss-cpu", "faiss-gpu"),
]


@dataclass(frozen=True)
class Run:
    """One row of `runs`."""

    run_id: str
    stage: str
    status: str
    started_at: datetime
    seconds: float
    state: str
    config_hash: str
    rows_in: Mapping[str, int] = field(default_factory=dict)
    rows_out: Mapping[str, int] = field(default_factory=dict)
    rejects: Mapping[str, int] = field(default_factory=dict)
    account: Mapping[str, int] = field(default_factory=dict)
    input_versions: Mapping[str, int] = field(default_factory=dict)
    output_versions: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class LastRun:
    """What is known of the last run of a stage that ended well.

    Attributes:
        state: hash of all that its result depended on.
        output_versions: versions of its tables when it ended.
        ended_at: when it ended, in UTC, without a zone.
        config_hash: of the stage's part of the configuration.
        input_versions: versions of the tables that it read.
        package: version of this package.
    """

    state: str
    output_versions: Mapping[str, int]
    ended_at: datetime
    config_hash: str = ""
    input_versions: Mapping[str, int] = field(default_factory=dict)
    package: str | None = None

    def wrote(self, table: str, state: State) -> bool:
        """Return whether a table is the one that the run left, or has only been added to since.

        A table of the same version that was committed after the run is another one, which has been made anew.
        """
        version = self.output_versions.get(table, 0)
        if state.version != version:
            return state.version > version
        return state.committed is None or state.committed <= self.ended_at + CLOCKS


def now() -> datetime:
    """Return the time in UTC without a zone, as Spark's UTC session takes it."""
    return datetime.now(UTC).replace(tzinfo=None)


def package_versions() -> dict[str, str]:
    """Return the version of each package that the results depend on, where it is installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def state_of(config_hash: str, sources: str, input_stamps: Mapping[str, str]) -> str:
    """Return a hash of all that a stage's result depends on."""
    parts = [config_hash, sources, dict(sorted(input_stamps.items())), package_versions().get("twigma_spark")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def record(store: Store, run: Run) -> None:
    """Add the row of a run."""
    row = {k: dict(v) if isinstance(v, Mapping) else v for k, v in asdict(run).items()}
    ordered = tuple(row[name] for name in RUNS.column_names)
    store.write("runs", arrow.local_frame(store.spark, [ordered], RUNS.schema), stage=run.stage)


def last_good(store: Store) -> dict[str, LastRun]:
    """Return the last run of each stage that ended well."""
    kept = ("state", "output_versions", "started_at", "seconds", "config_hash", "input_versions", "versions")
    last = F.max_by(F.struct(*kept), "started_at").alias("last")
    rows = store.read("runs").where("status = 'ok'").groupBy("stage").agg(last).collect()
    return {row["stage"]: _last_run(row["last"]) for row in rows}


def _last_run(row: Row) -> LastRun:
    return LastRun(
        row["state"],
        row["output_versions"],
        row["started_at"] + timedelta(seconds=row["seconds"]),
        row["config_hash"],
        row["input_versions"] or {},
        (row["versions"] or {}).get("twigma_spark"),
    )


@dataclass(frozen=True)
class RunSummary:
    """All stages of one run.

    Attributes:
        run_id: of the run.
        started_at: of its first stage, in UTC, without a zone.
        seconds: from there to the end of its last stage.
        ended_well: how many stages did.
        failed: what each of the others said, by stage.
    """

    run_id: str
    started_at: datetime
    seconds: float
    ended_well: int
    failed: Mapping[str, str]


def recent_runs(store: Store, number: int) -> list[RunSummary]:
    """Return the last runs that recorded a stage, newest first."""
    ended = (F.col("started_at").cast("double") + F.col("seconds")).alias("ended")
    failed = F.when(F.col("status") == "failed", F.struct("stage", F.coalesce("error", F.lit("")).alias("error")))
    rows = (
        store.read("runs")
        .select("run_id", "started_at", "status", ended, failed.alias("failed"))
        .groupBy("run_id")
        .agg(
            F.min("started_at").alias("started_at"),
            (F.max("ended") - F.min("started_at").cast("double")).alias("seconds"),
            F.count_if(F.col("status") == "ok").alias("ok"),
            F.collect_list("failed").alias("failed"),
        )
        .orderBy(F.desc("started_at"))
        .limit(number)
        .collect()
    )
    return [
        RunSummary(
            r["run_id"], r["started_at"], round(r["seconds"], 1), r["ok"], {f["stage"]: f["error"] for f in r["failed"]}
        )
        for r in rows
    ]


def rows_written(store: Store, number: int) -> dict[str, list[int]]:
    """Return how many rows each table was written in its last runs, newest first."""
    each = store.read("runs").select("run_id", "started_at", F.explode("rows_out").alias("table", "rows"))
    runs = each.groupBy("table", "run_id").agg(F.max("started_at").alias("at"), F.sum("rows").alias("rows"))
    newest = F.slice(F.sort_array(F.collect_list(F.struct("at", "rows")), asc=False), 1, number)
    rows = runs.groupBy("table").agg(newest.alias("newest")).collect()
    return {row["table"]: [int(run["rows"]) for run in row["newest"]] for row in rows}
