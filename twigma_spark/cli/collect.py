"""The command that collects posts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twigma_spark.cli.common import Conf, Overrides, interruptible, load, terminal, this_writer

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
) -> None:
    """Collect posts by hashtag from X, Bluesky or Mastodon; run again it goes on, and takes what is new."""
    from twigma_spark import collecting
    from twigma_spark.io.export import write_text
    from twigma_spark.io.lease import hold
    from twigma_spark.io.lease_files import LocalLeases

    cfg = load(conf, overrides)
    job = collecting.start_job(cfg.collect, terminal.log)
    if gone is not None:
        ids = list(collecting.find_gone(job))
        write_text(str(gone), "id\n" + "".join(f"{name}\n" for name in ids))
        terminal.log(f"collect: {len(ids):,} posts are gone: {gone}; twigma purge --posts {gone} takes them out")
        return
    if dry_run:
        terminal.log(f"collect: {collecting.estimate(job)}")
        return
    folder = str(job.folder)
    alone = hold(
        lambda: LocalLeases(folder), folder, this_writer(cfg, "collect"), cfg.run.wait, terminal.log, "collect.out"
    )
    with alone, interruptible():
        state = collecting.collect(job)
    left = sum(not window.done for window in state.windows)
    more = f"; {left} windows are not done, the same command goes on with a larger budget" if left else ""
    terminal.log(f"{collecting.describe(job, state)}: {job.folder}{more}")
