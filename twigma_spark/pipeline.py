"""The stages in order, and the runner: read, check, call, check, write, record."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame

from twigma_spark.config import Config
from twigma_spark.errors import ConfigError, StageError
from twigma_spark.io.runs import Run, last_good, now, package_versions, record, state_of
from twigma_spark.io.tables import State, Store
from twigma_spark.sample.truth import check_findings, format_checks, load_images, load_truth
from twigma_spark.sample.world import draw_world, world_is_current
from twigma_spark.schemas import TABLES
from twigma_spark.stages import (
    annotation,
    caption,
    cluster,
    concordance,
    deduplicate,
    distinctiveness,
    embed,
    embed_text,
    findings,
    ingest,
    likes,
    neighbours,
    project,
    report,
    score,
    trends,
    variation,
)
from twigma_spark.stages.stage import Account, Stage, Work

STAGES: tuple[Stage, ...] = (
    ingest.STAGE,
    embed.STAGE,
    deduplicate.STAGE,
    score.STAGE,
    caption.STAGE,
    embed_text.STAGE,
    cluster.STAGE,
    neighbours.STAGE,
    project.STAGE,
    distinctiveness.STAGE,
    variation.STAGE,
    likes.STAGE,
    trends.STAGE,
    concordance.STAGE,
    report.STAGE,
)
Say = Callable[[str], None]
STAGING = "_staging_"


@dataclass(frozen=True)
class Outcome:
    """How a stage went."""

    stage: str
    skipped: bool
    seconds: float
    rows: Mapping[str, int] = field(default_factory=dict)
    rejects: int = 0
    published: str | None = None

    def line(self) -> str:
        """Return the outcome as one line of progress."""
        if self.skipped:
            what = "skipped: inputs and configuration are unchanged"
        else:
            what = ", ".join(f"{n:,} {table}" for table, n in self.rows.items() if table != "rejects") or "no rows"
            what += f"; {self.rejects:,} rejects" if self.rejects else ""
        return f"{self.stage:<16} {self.seconds:6.1f} s  {what}" + (f" -> {self.published}" if self.published else "")


def select(only: Sequence[str] = (), first: str | None = None, last: str | None = None) -> list[Stage]:
    """Return the stages asked for, in order.

    Raises:
        ConfigError: where a name is not a stage's.
    """
    names = [stage.name for stage in STAGES]
    for name in (*only, first, last):
        if name is not None and name not in names:
            raise ConfigError(f"a stage must be one of {', '.join(names)}. Got {name!r}.")
    start, end = names.index(first or names[0]), names.index(last or names[-1])
    return [s for i, s in enumerate(STAGES) if start <= i <= end and (not only or s.name in only)]


def draw_sample(cfg: Config, say: Say) -> None:
    """Draw the sample world where the configuration asks for it and it is not there yet."""
    if cfg.sample.out is None:
        return
    out = Path(cfg.sample.out)
    if not world_is_current(out, cfg.sample.size, cfg.sample.seed):
        say(f"drawing the sample world: about {cfg.sample.size:,} images into {out}")
        draw_world(out, cfg.sample.size, cfg.sample.seed)


def quiet(text: str) -> None:
    """Show nothing."""


def run(
    cfg: Config, store: Store, stages: Sequence[Stage], say: Say, force: bool = False, live: Say = quiet
) -> list[Outcome]:
    """Return how each of `stages` went; they run in order and the first failure ends the run.

    With `force`, stages run although nothing has changed. `say` shows a line, `live` one that the next replaces.

    Raises:
        StageError: names the stage that failed; what the earlier ones wrote stays.
    """
    if any(stage is ingest.STAGE for stage in stages):
        draw_sample(cfg, say)
    run_id, known, outcomes = uuid.uuid4().hex[:12], {} if force else last_good(store), []
    for number, stage in enumerate(stages, start=1):
        place = f"[{number}/{len(stages)}] "
        told = Told(partial(_say_at, say, place), partial(_say_at, live, place))
        outcomes.append(_Runner(stage, cfg, store, run_id, told).run(known.get(stage.name)))
        told.say(outcomes[-1].line())
    return outcomes


def _say_at(say: Say, place: str, text: str) -> None:
    say(place + text)


@dataclass(frozen=True)
class Told:
    """How progress is shown: `say` a line, `live` one that the next replaces."""

    say: Say
    live: Say


class _Runner:
    """Runs one stage once."""

    def __init__(self, stage: Stage, cfg: Config, store: Store, run_id: str, told: Told) -> None:
        self.stage, self.cfg, self.store, self.run_id, self.told = stage, cfg, store, run_id, told
        self.clock, self.started_at = time.monotonic(), now()
        self.config_hash = cfg.fingerprint(stage.config)
        self.table: str | None = None
        self.staged: list[str] = []
        self.n_staged = 0
        self.rows: dict[str, int] = {}

    def run(self, known: tuple[str, Mapping[str, int]] | None) -> Outcome:
        """Return how it went; `known` is the state and the output versions of the last good run."""
        with self._failures():
            states = {name: self.store.state(name) for name in self.stage.reads}
            state = state_of(self.config_hash, self._sources(), self._input_stamps(states))
            skipped = known is not None and known[0] == state and self._outputs_stand(known[1])
            rejects = {} if skipped else self._run_and_record(state, states)
            published = self._publish()
        seconds = time.monotonic() - self.clock
        return Outcome(self.stage.name, skipped, seconds, self.rows, sum(rejects.values()), published)

    def _run_and_record(self, state: str, states: Mapping[str, State]) -> dict[str, int]:
        """Return the rejects by reason; the row of `runs` is written last, so that a stage cut off runs again."""
        rows_in = {name: self.store.count(name) for name in states}
        self._write_all()
        rejects, account = self._rejects(), self._account()
        ended = replace(
            self._blank(),
            status="ok",
            state=state,
            rows_in=rows_in,
            rejects=rejects,
            account=asdict(account) if account else {},
            input_versions={name: found.version for name, found in states.items()},
            output_versions={name: self.store.version(name) for name in self.stage.writes},
            versions={**package_versions(), **self.stage.versions(self.cfg)},
        )
        record(self.store, ended)
        return rejects

    def _blank(self) -> Run:
        """Return the row of this run as far as it is known when it fails."""
        seconds = time.monotonic() - self.clock
        return Run(
            self.run_id, self.stage.name, "failed", self.started_at, seconds, "", self.config_hash, rows_out=self.rows
        )

    def _input_stamps(self, states: Mapping[str, State]) -> dict[str, str]:
        """Return which state of what others write is read; own tables and `runs` change with each run."""
        return {n: found.stamp for n, found in states.items() if n not in self.stage.writes and n != "runs"}

    def _sources(self) -> str:
        return self.stage.sources(self.cfg, self.store.spark) if self.stage.sources else ""

    def _outputs_stand(self, versions: Mapping[str, int]) -> bool:
        return all(self.store.version(name) >= versions.get(name, 0) for name in self.stage.writes)

    def _write_all(self) -> None:
        self.store.drop_forgotten(f"{STAGING}{self.stage.name}_")
        work = Work(spark=self.store.spark, once=self._once, say=self.told.say, live=self.told.live, stamp=self._stamp)
        frames = {name: self._read(name) for name in self.stage.reads}
        made = self.stage.run(self.cfg, work, **frames)
        for part in [made] if isinstance(made, Mapping) else made:
            self._write(part)
            self._drop_staged()
        # A table without a part in this run has no rows of this run: what an earlier one left is replaced.
        self._write({n: self._empty(n) for n in self.stage.writes if n not in self.rows})

    def _stamp(self, name: str) -> str:
        return self.store.state(name).stamp

    def _read(self, name: str) -> DataFrame:
        self.table = name
        return self.store.read(name)

    def _empty(self, name: str) -> DataFrame:
        return self.store.spark.createDataFrame([], TABLES[name].schema)

    def _write(self, part: Mapping[str, DataFrame]) -> None:
        for name, frame in part.items():
            if name not in self.stage.writes:
                raise ValueError(f"table '{name}' must be declared among the stage's writes.")
            self.table = name
            stored, again = bool(self.staged), name in self.rows
            n = self.store.write(name, frame, stage=self.stage.name, again=again, stored=stored)
            self.rows[name] = self.rows.get(name, 0) + n
        self.table = None

    def _once(self, frame: DataFrame) -> DataFrame:
        name = f"{STAGING}{self.stage.name}_{self.run_id}_{self.n_staged}"
        self.n_staged += 1
        self.staged.append(name)
        return self.store.stage_frame(frame, name)

    def _drop_staged(self) -> None:
        while self.staged:
            self.store.drop_staged(self.staged.pop())

    def _rejects(self) -> dict[str, int]:
        if "rejects" not in self.stage.writes:
            return {}
        own = self.store.read("rejects").where(f"stage = '{self.stage.name}'")
        return {row["reason"]: row["count"] for row in own.groupBy("reason").count().collect()}

    def _account(self) -> Account | None:
        if self.stage.account is None:
            return None
        frames = {name: self.store.read(name) for name in {*self.stage.reads, *self.stage.writes}}
        account = self.stage.account(self.cfg, self.store.spark, frames)
        if account.lost:
            raise ValueError(f"images in must be images kept + duplicates + rejects. Got {account}.")
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
            detail = brief(error)
            self._drop_staged()
            record(self.store, replace(self._blank(), error=detail))
            raise StageError(self.stage.name, self.table, detail) from error


def brief(error: BaseException) -> str:
    """Return what an error says in at most three lines; Spark's traces are cut to their cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by:")]
    raised = [line for line in lines if "Error: " in line and not line.startswith(("at ", "File "))]
    picked: Iterable[str] = [*lines[:2], *(raised[-1:] or causes[-1:])] if len(lines) > 3 else lines
    return f"{type(error).__name__}: " + " | ".join(dict.fromkeys(picked))[:1500]


def annotate(cfg: Config, store: Store, out: str) -> str:
    """Return what was written for the annotators: a blind sheet and a page, in the folder `out`."""
    tables = {name: store.read(name) for name in ("images", "clusters", "scores")}
    return annotation.annotate(cfg, store.spark, tables, out)


def check_truth(cfg: Config, store: Store) -> tuple[str, bool]:
    """Return the findings on the sample world beside what was planted in it, as text, and whether all agree.

    Raises:
        ConfigError: where the configuration names no sample world.
    """
    if cfg.sample.out is None:
        raise ConfigError("sample.out must name the sample world. Got null; use conf/sample.yaml.")
    names = ("images", "embeddings", "rejects", "duplicates", "neighbours", "clusters", "results")
    found = findings.collect({name: store.read(name) for name in names})
    world = Path(cfg.sample.out)
    checks = check_findings(load_truth(world / "truth.json"), found, load_images(world / "truth_images.jsonl"))
    return format_checks(checks), all(check.ok for check in checks)
