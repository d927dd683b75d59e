"""Runs one stage: reads its tables, calls it, writes what it gives back, and records how it went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

from pyspark.sql import DataFrame

from twigma_spark.config.settings import Config
from twigma_spark.errors import ExitCode, HeldError, StageError, exit_code_of
from twigma_spark.io.reject_shares import format_reasons
from twigma_spark.io.runs import LastRun, Run, now, package_versions, record, state_of
from twigma_spark.io.session import is_alive, name_jobs
from twigma_spark.io.staging import Staging, drop_older
from twigma_spark.io.tables import State, Store
from twigma_spark.redaction import hide
from twigma_spark.stages.stage import Account, Stage, StageContext

Log = Callable[[str], None]
# Writes and counts of a stage that run side by side.
AT_ONCE = 2
SPARK_ENDED = (
    "Spark has ended, most often for lack of memory. Give its driver more, such as "
    "--set 'spark.conf={spark.driver.memory: 4g}', or take in less at once: ingest.max_bytes, embed.arrow_batch. "
    "What was committed is kept; the same command goes on from there."
)


@dataclass(frozen=True)
class Outcome:
    """How a stage went; `rejects` by their reasons."""

    stage: str
    skipped: bool
    seconds: float
    rows: Mapping[str, int] = field(default_factory=dict)
    rejects: Mapping[str, int] = field(default_factory=dict)
    published: str | None = None

    def line(self) -> str:
        """Return the outcome as one line of progress."""
        if self.skipped:
            what = "skipped: inputs and configuration are unchanged"
        else:
            what = ", ".join(f"{n:,} {table}" for table, n in self.rows.items() if table != "rejects") or "no rows"
            what += self._describe_rejects()
        return f"{self.stage:<16} {self.seconds:6.1f} s  {what}" + (f" -> {self.published}" if self.published else "")

    def facts(self) -> dict[str, object]:
        """Return what there is to tell besides how long it took."""
        return {"skipped": True} if self.skipped else {"rows": dict(self.rows), "rejects": dict(self.rejects)}

    def _describe_rejects(self) -> str:
        """Return the number of rejects with the reasons that most of them have."""
        if not self.rejects:
            return ""
        return f"; {sum(self.rejects.values()):,} rejects ({format_reasons(self.rejects)}): twigma rejects"


def quiet(text: str) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Progress:
    """How progress is shown: `log` adds a line, `update` shows one that the next replaces."""

    log: Log
    update: Log


class Runner:
    """One stage of a run: read, check, call, check, write, record."""

    def __init__(self, stage: Stage, cfg: Config, store: Store, run_id: str, progress: Progress) -> None:
        self.stage, self.store, self.run_id, self.progress = stage, store, run_id, progress
        self.cfg = cfg.only((*stage.config, *stage.tuning))
        self.clock, self.started_at = time.monotonic(), now()
        self.config_hash = cfg.fingerprint(stage.config)
        self.sources = ""
        self.table: str | None = None
        self.staging = Staging(store, stage.name, run_id)
        self.rows: dict[str, int] = {}

    def run(self, known: LastRun | None) -> Outcome:
        """Return how it went; `known` is the last good run."""
        with self._failures():
            self._name_jobs()
            states = self._states()
            state = self._state(states)
            skipped = self._stands(state, known)
            rejects = {} if skipped else self._run_and_record(state, states)
            published = self._publish()
        seconds = time.monotonic() - self.clock
        return Outcome(self.stage.name, skipped, seconds, self.rows, rejects, published)

    def unchanged(self, known: LastRun | None) -> bool:
        """Return whether a run would be skipped now; `known` is as for `run`."""
        return self._stands(self._state(self._states()), known)

    def reasons_to_run(self, known: LastRun | None) -> list[str]:
        """Return why a run would run it now, in words; none where it would be skipped. `known` is as for `run`."""
        if known is None:
            return ["no run of it has ended well"]
        states = self._states()
        same_state = self._state(states) == known.state
        reasons = [] if known.config_hash == self.config_hash else ["its part of the configuration has changed"]
        for name in self._input_stamps(states):
            before, now = known.input_versions.get(name, -1), states[name].version
            reasons += [f"{name} has changed (version {before} -> {now})"] if before != now else []
        package = package_versions().get("twigma_spark")
        reasons += [f"twigma_spark was {known.package}, and is {package}"] if known.package != package else []
        if not same_state and not reasons:
            reasons.append("the files that it reads have changed, or a table was made anew")
        written = {name: self.store.state(name) for name in self.stage.writes}
        reasons += [f"{name} is not as it left it" for name, state in written.items() if not known.wrote(name, state)]
        return reasons

    def _states(self) -> dict[str, State]:
        return {name: self.store.state(name) for name in self.stage.reads}

    def _state(self, states: Mapping[str, State]) -> str:
        self.sources = self._sources()
        return state_of(self.config_hash, self.sources, self._input_stamps(states))

    def _stands(self, state: str, known: LastRun | None) -> bool:
        return known is not None and known.state == state and self._outputs_stand(known)

    def _run_and_record(self, state: str, states: Mapping[str, State]) -> dict[str, int]:
        """Return the rejects by reason; the row of `runs` is written last, so that a stage cut off runs again."""
        with ThreadPoolExecutor(AT_ONCE, self.stage.name, self._name_jobs) as pool:
            counts = {name: pool.submit(self.store.count_once, name, state) for name, state in states.items()}
            rows_in = {name: count.result() for name, count in counts.items()}
            self._write_all(pool)
            pending = pool.submit(self._rejects)
            account = self._account()
            rejects = pending.result()
        output_versions = {name: self.store.version(name) for name in self.stage.writes}
        ended = replace(
            self._blank(),
            status="ok",
            state=state,
            rows_in=rows_in,
            rejects=rejects,
            account=asdict(account) if account else {},
            input_versions={name: before.version for name, before in states.items()},
            output_versions=output_versions,
            versions={**package_versions(), **self.stage.versions(self.cfg)},
        )
        record(self.store, ended)
        return rejects

    def _name_jobs(self) -> None:
        name_jobs(self.store.spark, f"{self.run_id} {self.stage.name}", f"twigma {self.stage.name}")

    def _blank(self) -> Run:
        """Return the row of this run as far as it is known when it fails."""
        seconds = time.monotonic() - self.clock
        return Run(
            self.run_id, self.stage.name, "failed", self.started_at, seconds, "", self.config_hash, rows_out=self.rows
        )

    def _input_stamps(self, states: Mapping[str, State]) -> dict[str, str]:
        """Return which state of what others write is read; own tables and `runs` change with each run."""
        return {n: state.stamp for n, state in states.items() if n not in self.stage.writes and n != "runs"}

    def _sources(self) -> str:
        return self.stage.sources(self.cfg, self.store.spark) if self.stage.sources else ""

    def _outputs_stand(self, known: LastRun) -> bool:
        return all(known.wrote(name, self.store.state(name)) for name in self.stage.writes)

    def _write_all(self, pool: ThreadPoolExecutor) -> None:
        self.staging.drop_abandoned()
        context = StageContext(
            spark=self.store.spark,
            materialize=self.staging.keep,
            log=self.progress.log,
            progress=self.progress.update,
            table_version=self._table_version,
        )
        frames = {name: self._read(name) for name in self.stage.reads}
        parts = self.stage.run(self.cfg, context, **frames)
        for part in [parts] if isinstance(parts, Mapping) else parts:
            self._write(part, pool)
            self.staging.drop()
        # A table without a part in this run has no rows of this run: what an earlier one left goes.
        empty = [name for name in self.stage.writes if name not in self.rows]
        self._finish({name: pool.submit(self.store.clear, name, stage=self.stage.name) for name in empty})
        drop_older(self.store, self.stage.writes)

    def _table_version(self, name: str) -> str:
        return self.store.state(name).stamp

    def _read(self, name: str) -> DataFrame:
        self.table = name
        return self.store.read(name)

    def _write(self, part: Mapping[str, DataFrame], pool: ThreadPoolExecutor) -> None:
        """Write the tables of a part side by side: a commit is mostly waiting."""
        if undeclared := sorted(part.keys() - set(self.stage.writes)):
            raise ValueError(f"tables {undeclared} must be declared among the stage's writes.")
        stored = bool(self.staging.names)
        self._finish({name: pool.submit(self._write_table, name, frame, stored) for name, frame in part.items()})

    def _write_table(self, name: str, frame: DataFrame, stored: bool) -> int:
        return self.store.write(name, frame, stage=self.stage.name, again=name in self.rows, stored=stored)

    def _finish(self, writes: Mapping[str, Future[int]]) -> None:
        """Wait for all writes and add up their rows; the first that failed is raised under the table's name."""
        wait(writes.values())
        for name, write in writes.items():
            self.table = name
            self.rows[name] = self.rows.get(name, 0) + write.result()
        self.table = None

    def _rejects(self) -> dict[str, int]:
        """Return how many rejects of this stage there are, by reason."""
        if not self.rows.get("rejects"):
            return {}
        own = self.store.read("rejects").where(f"stage = '{self.stage.name}'")
        return {row["reason"]: row["count"] for row in own.groupBy("reason").count().collect()}

    def _account(self) -> Account | None:
        if self.stage.account is None:
            return None
        frames = {name: self.store.read(name) for name in {*self.stage.reads, *self.stage.writes}}
        account = self.stage.account(self.cfg, self.store.spark, frames)
        if account.lost and self._sources() == self.sources:
            raise ValueError(f"images in must be images kept + duplicates + rejects. Got {account}.")
        if account.lost:
            # What is recorded is the state before, so the next run is not skipped.
            number = f"{abs(account.lost):,} image{' is' if abs(account.lost) == 1 else 's are'}"
            self.progress.log(
                f"{self.stage.name}: files changed while they were read: {number} not counted; "
                "the next run reads them again"
            )
        return account

    def _publish(self) -> str | None:
        if self.stage.publish is None:
            return None
        return self.stage.publish(self.cfg, {name: self.store.read(name) for name in self.stage.writes})

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Record a failure and raise it again under the names of the stage and the table."""
        try:
            yield
        except Exception as error:
            if not is_alive(self.store.spark):
                raise StageError(self.stage.name, self.table, SPARK_ENDED, ExitCode.PLATFORM) from error
            if (lost := self.store.lease and self.store.lease.lost()) or isinstance(error, HeldError):
                # Nothing more is written, also not what is in the way: the store is another's.
                raise StageError(self.stage.name, self.table, lost or str(error), ExitCode.HELD) from error
            detail = brief(error)
            self.staging.drop()
            record(self.store, replace(self._blank(), error=detail))
            raise StageError(self.stage.name, self.table, detail, exit_code_of(error)) from error


def brief(error: BaseException) -> str:
    """Return what an error says in at most three lines, without secrets; Spark's traces are cut to their cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by:")]
    raised = [line for line in lines if "Error: " in line and not line.startswith(("at ", "File "))]
    picked: Iterable[str] = [*lines[:2], *(raised[-1:] or causes[-1:])] if len(lines) > 3 else lines
    return hide(f"{type(error).__name__}: " + " | ".join(dict.fromkeys(picked)))[:1500]
