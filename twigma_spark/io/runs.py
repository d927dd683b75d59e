"""The `runs` table: what each run of a stage read, wrote and cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version

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
    """

    state: str
    output_versions: Mapping[str, int]
    ended_at: datetime

    def wrote(self, table: str, found: State) -> bool:
        """Return whether a table is the one that the run left, or has only been added to since.

        A table of the same version that was committed after the run is another one, which has been made anew.
        """
        version = self.output_versions.get(table, 0)
        if found.version != version:
            return found.version > version
        return found.committed is None or found.committed <= self.ended_at + CLOCKS


def now() -> datetime:
    """Return the time in UTC without a zone, as Spark's UTC session takes it."""
    return datetime.now(UTC).replace(tzinfo=None)


def package_versions() -> dict[str, str]:
    """Return the version of each package that the results depend on, where it is installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


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
    last = F.max_by(F.struct("state", "output_versions", "started_at", "seconds"), "started_at").alias("last")
    rows = store.read("runs").where("status = 'ok'").groupBy("stage").agg(last).collect()
    return {
        row["stage"]: LastRun(
            row["last"]["state"],
            row["last"]["output_versions"],
            row["last"]["started_at"] + timedelta(seconds=row["last"]["seconds"]),
        )
        for row in rows
    }
