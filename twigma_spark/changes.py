"""This run beside an earlier one: the statistics of both, and the page that says what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io.export import write_text
from twigma_spark.io.tables import Store
from twigma_spark.report.changes import render_changes
from twigma_spark.results import Result
from twigma_spark.stages.records import read_results
from twigma_spark.stats.changes import Changes, compare_runs

PREVIOUS = "previous"
SHOWN = 5


@dataclass(frozen=True)
class PastRun:
    """A run that wrote statistics.

    Attributes:
        run_id: its id.
        started_at: when, in UTC.
        version: of the table `results` at its end.
    """

    run_id: str
    started_at: datetime
    version: int

    def __str__(self) -> str:
        return f"{self.run_id} of {self.started_at:%Y-%m-%d %H:%M}"


def write_changes(cfg: Config, store: Store, against: str, path: str) -> tuple[Changes, str]:
    """Return what changed since a run, and where the page was written.

    Args:
        cfg: the configuration.
        store: the tables.
        against: id of a run, or `previous`, the one before the last.
        path: a file or URL.

    Raises:
        ConfigError: where there is no such run, or its statistics have been removed.
    """
    run = choose_run(past_runs(store), against)
    changes = compare_runs(_results_of(store, run), read_results(store.read("results")))
    now = datetime.now(UTC).replace(tzinfo=None)
    return changes, write_text(path, render_changes(cfg.report.title, f"run {run}", now, changes))


def past_runs(store: Store) -> list[PastRun]:
    """Return the runs that wrote statistics, the last one first."""
    version = F.col("output_versions")["results"]
    rows = store.read("runs").where("status = 'ok'").where(version.isNotNull())
    by_run = rows.groupBy("run_id").agg(F.min("started_at").alias("started_at"), F.max(version).alias("version"))
    return [PastRun(*row) for row in by_run.orderBy(F.desc("version")).collect()]


def choose_run(runs: Sequence[PastRun], against: str) -> PastRun:
    """Return the run of this id, or the one before the last.

    Raises:
        ConfigError: names those that there are.
    """
    chosen = runs[1:2] if against == PREVIOUS else [run for run in runs if run.run_id == against]
    if not chosen:
        there = ", ".join(map(str, runs[:SHOWN])) or "none"
        raise ConfigError(
            f"--against must be {PREVIOUS} or the id of a run that wrote statistics ({there}). Got {against!r}."
        )
    return chosen[0]


def _results_of(store: Store, run: PastRun) -> list[Result]:
    try:
        return read_results(store.read_version("results", run.version))
    except Exception as error:
        if not is_removed(error):
            raise
        raise ConfigError(
            f"--against must be a run whose statistics are still there. Got {run}: its files were removed, as "
            "twigma maintain does with versions older than --vacuum-hours."
        ) from error


def is_removed(error: Exception) -> bool:
    """Return whether Delta says that a version, or a file of it, is no longer there."""
    signs = ("DELTA_VERSION_NOT_FOUND", "DELTA_FILE_NOT_FOUND", "FileNotFoundException", "SparkFileNotFoundException",
             "VersionNotFoundException", "FILE_NOT_EXIST")  # fmt: skip
    return any(sign in str(error) for sign in signs)
