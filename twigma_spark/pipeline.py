"""The stages in order, and what can be done with them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io.runs import last_good
from twigma_spark.io.tables import Store
from twigma_spark.runner import Log, Outcome, Progress, Runner, quiet
from twigma_spark.sample.truth import check_findings, format_checks, load_images, load_truth
from twigma_spark.sample.world import draw_world, world_is_current
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
from twigma_spark.stages.stage import Stage

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


def draw_sample(cfg: Config, log: Log) -> None:
    """Draw the sample world where the configuration asks for it and it is not there yet."""
    if cfg.sample.out is None:
        return
    out = Path(cfg.sample.out)
    if not world_is_current(out, cfg.sample.size, cfg.sample.seed):
        log(f"drawing the sample world: about {cfg.sample.size:,} images into {out}")
        draw_world(out, cfg.sample.size, cfg.sample.seed)


def run(
    cfg: Config, store: Store, stages: Sequence[Stage], log: Log, force: bool = False, update: Log = quiet
) -> list[Outcome]:
    """Return how each of `stages` went; they run in order and the first failure ends the run.

    With `force`, stages run although nothing has changed. `log` shows a line, `update` one that the next replaces.

    Raises:
        StageError: names the stage that failed; what the earlier ones wrote stays.
    """
    if any(stage is ingest.STAGE for stage in stages):
        draw_sample(cfg, log)
    run_id, known, outcomes = uuid.uuid4().hex[:12], {} if force else last_good(store), []
    for number, stage in enumerate(stages, start=1):
        place = f"[{number}/{len(stages)}] "
        progress = Progress(partial(_log_at, log, place), partial(_log_at, update, place))
        outcomes.append(Runner(stage, cfg, store, run_id, progress).run(known.get(stage.name)))
        progress.log(outcomes[-1].line())
    return outcomes


def _log_at(log: Log, place: str, text: str) -> None:
    log(place + text)


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
