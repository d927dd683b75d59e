"""The stages in order, and what can be done with them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from twigma_spark.config.settings import Config, select_stages
from twigma_spark.errors import ConfigError, StageError
from twigma_spark.io.events import EventLog
from twigma_spark.io.reject_shares import describe_large_shares
from twigma_spark.io.runs import last_good
from twigma_spark.io.session import cancel_jobs, has_sessions, is_local, new_session, warm_up
from twigma_spark.io.tables import Store
from twigma_spark.release.build import build_release
from twigma_spark.runner import Log, Outcome, Progress, Runner, quiet
from twigma_spark.sample import run_results
from twigma_spark.sample.truth import check_results, format_checks, load_images, load_truth
from twigma_spark.sample.world import draw_world, world_is_current
from twigma_spark.schedule import dependencies, plan, run_in_order
from twigma_spark.stages import (
    annotation,
    baselines,
    caption,
    cluster,
    concordance,
    deduplicate,
    distinctiveness,
    embed,
    embed_text,
    fetch,
    ingest,
    likes,
    neighbours,
    pairs,
    phash,
    project,
    report,
    reward,
    score,
    trends,
    variation,
)
from twigma_spark.stages.stage import Stage

STAGES: tuple[Stage, ...] = (
    fetch.STAGE,
    ingest.STAGE,
    embed.STAGE,
    phash.STAGE,
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
    pairs.STAGE,
    baselines.STAGE,
    reward.STAGE,
    report.STAGE,
)


def select(only: Sequence[str] = (), first: str | None = None, last: str | None = None) -> list[Stage]:
    """Return the stages asked for, in order, as `config.settings.select_stages` their names."""
    names = select_stages(only, first, last)
    return [stage for stage in STAGES if stage.name in names]


def draw_sample(cfg: Config, log: Log) -> None:
    """Draw the sample world where the configuration asks for it and it is not there yet."""
    if cfg.sample.out is None:
        return
    out = Path(cfg.sample.out)
    if not world_is_current(out, cfg.sample.size, cfg.sample.seed):
        log(f"drawing the sample world: about {cfg.sample.size:,} images into {out}")
        draw_world(out, cfg.sample.size, cfg.sample.seed)


def run(
    cfg: Config,
    store: Store,
    stages: Sequence[Stage],
    log: Log,
    force: bool = False,
    update: Log = quiet,
    strict: bool = False,
) -> list[Outcome]:
    """Return how each of `stages` went; those that do not depend on each other run side by side.

    With `force`, stages run although nothing has changed. `log` shows a line, `update` one that the next replaces.
    A stage that refused more than a tenth of a corpus is said; with `strict`, the run ends there.

    Raises:
        StageError: names the stage that failed; what the others wrote stays.
    """
    run_id = store.lease.holder.run_id if store.lease else uuid.uuid4().hex[:12]
    known = {} if force else last_good(store)
    if not known:
        warm_up(store.spark)
    if any(stage is ingest.STAGE for stage in stages):
        draw_sample(cfg, log)
    parallel, events = _parallel(cfg, store), EventLog(cfg.run.events, run_id)

    def run_one(stage: Stage) -> Outcome:
        place = f"[{stages.index(stage) + 1}/{len(stages)}] "
        progress = Progress(partial(_log_at, log, place), partial(_log_at, update, place))
        # A stage changes settings of its session, which must not reach the one beside it.
        own = new_session(store.spark, cfg.spark.conf) if parallel > 1 else None
        runner = Runner(stage, cfg, store.in_session(own or store.spark), run_id, progress)
        with events.around("stage", stage.name) as facts:
            outcome = runner.run(known.get(stage.name))
            facts.update(outcome.facts())
        progress.log(outcome.line())
        _check_rejects(store, outcome, strict, progress.log)
        return outcome

    with events.around("run"):
        return run_in_order(stages, run_one, parallel, partial(cancel_jobs, store.spark))


def _check_rejects(store: Store, outcome: Outcome, strict: bool, log: Log) -> None:
    """Show of which corpora a stage refused much; where that ends the run, also if it was refused in an earlier one."""
    if not (outcome.rejects or strict):
        return
    large = describe_large_shares(store, outcome.stage)
    if large and strict:
        way_out = "see twigma rejects; without --strict the run goes on"
        raise StageError(outcome.stage, "rejects", f"{'; '.join(large)}: {way_out}")
    for sentence in large:
        log(f"warning: {sentence}: twigma rejects")


def plan_run(cfg: Config, store: Store, stages: Sequence[Stage], force: bool = False) -> dict[str, bool]:
    """Return for each stage, by name, whether a run would run it; False where it would be skipped. Nothing runs."""
    known = {} if force else last_good(store)
    by_name = {stage.name: stage for stage in stages}

    def unchanged(name: str) -> bool:
        return Runner(by_name[name], cfg, store, "", Progress(quiet, quiet)).unchanged(known.get(name))

    return plan(dependencies(stages), unchanged)


def _parallel(cfg: Config, store: Store) -> int:
    """Return how many stages run at once; one where the platform has no sessions beside the first."""
    if not has_sessions(store.spark):
        return 1
    return cfg.run.parallel or (2 if is_local(store.spark) else 1)


def _log_at(log: Log, place: str, text: str) -> None:
    log(place + text)


def annotate(cfg: Config, store: Store, out: str) -> str:
    """Return what was written for the annotators: a blind sheet and a page, in the folder `out`."""
    tables = {name: store.read(name) for name in ("images", "clusters", "scores")}
    return annotation.annotate(cfg, store.spark, tables, out)


def release(cfg: Config, store: Store, out: Path, log: Log, previous: Path | None = None, replace: bool = False) -> str:
    """Write a release into the folder `out`, as `build_release`, and return what it is, in words."""
    facts = build_release(cfg, store, out, previous, log, replace)
    draft = f"; a draft: {', '.join(facts.missing)} missing (release.* in the configuration)" if facts.missing else ""
    return f"release {cfg.release.version} of {facts.counts.images:,} images: {out}{draft}"


def check_truth(cfg: Config, store: Store) -> tuple[str, bool]:
    """Return the results on the sample world beside its ground truth, as text, and whether all agree.

    Raises:
        ConfigError: where the configuration names no sample world.
    """
    if cfg.sample.out is None:
        raise ConfigError("sample.out must name the sample world. Got null; use conf/sample.yaml.")
    names = tuple(run_results.COLUMNS)
    results = run_results.collect_results({name: store.read(name) for name in names})
    world = Path(cfg.sample.out)
    checks = check_results(load_truth(world / "truth.json"), results, load_images(world / "truth_images.jsonl"))
    return format_checks(checks), all(check.ok for check in checks)
