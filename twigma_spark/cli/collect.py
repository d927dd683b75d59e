"""The command that collects posts."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from twigma_spark.cli.common import Conf, Overrides, interruptible, load, terminal, this_writer
from twigma_spark.config.settings import Config

app = typer.Typer()


@app.command()
def collect(
    conf: Conf = None,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the posts and say what they cost, or what would be asked.")
    ] = False,
    gone: Annotated[
        Path | None,
        typer.Option(help="Only look up the collected posts again, and write the ids of those that are gone."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Take Bluesky's posts as they are made, and note which are deleted.")
    ] = False,
    minutes: Annotated[float | None, typer.Option(min=0, help="With --live, end after so many.")] = None,
) -> None:
    """Collect posts by hashtag from X, Bluesky or Mastodon; run again it goes on, and takes what is new."""
    from twigma_spark import collecting
    from twigma_spark.io.export import write_text

    if (live and (dry_run or gone is not None)) or (minutes is not None and not live):
        raise typer.BadParameter("--live goes with neither --dry-run nor --gone, and --minutes only with --live.")
    cfg = load(conf, overrides)
    if live:
        _listen(cfg, minutes)
        return
    job = collecting.start_job(cfg.collect, terminal.log)
    if gone is not None:
        ids = list(collecting.find_gone(job))
        write_text(str(gone), "id\n" + "".join(f"{name}\n" for name in ids))
        terminal.log(f"collect: {len(ids):,} posts are gone: {gone}; twigma purge --posts {gone} takes them out")
        return
    if dry_run:
        terminal.log(f"collect: {collecting.estimate(job)}")
        return
    with _alone(cfg, job.folder), interruptible():
        state = collecting.collect(job)
    left = sum(not window.done for window in state.windows)
    more = f"; {left} windows are not done, the same command goes on with a larger budget" if left else ""
    terminal.log(f"{collecting.describe(job, state)}: {job.folder}{more}")


def _listen(cfg: Config, minutes: float | None) -> None:
    from twigma_spark import listening
    from twigma_spark.io.collected import DELETED

    job = listening.start_listening(cfg.collect, terminal.log)
    with _alone(cfg, job.folder), interruptible():
        job.run(minutes)
    if job.deleted:
        file = job.folder / DELETED
        terminal.log(
            f"collect: {len(job.deleted):,} posts were deleted: {file}; twigma purge --posts {file} takes them out"
        )


def _alone(cfg: Config, folder: Path) -> AbstractContextManager[object]:
    """Return what holds a folder of posts, so that no other command collects into it."""
    from twigma_spark.io.lease import hold
    from twigma_spark.io.lease_files import LocalLeases

    name = str(folder)
    return hold(lambda: LocalLeases(name), name, this_writer(cfg, "collect"), cfg.run.wait, terminal.log, "collect.out")
