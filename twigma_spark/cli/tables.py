"""Commands on the tables of a store: what is there, delete, maintain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twigma_spark.cli.common import Conf, Overrides, load, open_store, terminal
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError

app = typer.Typer()


@app.command()
def tables(conf: Conf = None, overrides: Overrides = None) -> None:
    """Print what is in the store."""
    cfg = load(conf, overrides)
    with open_store(cfg) as store:
        terminal.log(f"{'table':<14} {'rows':>12} {'version':>7}  holds   ({store.root})")
        listing = store.listing()
        if not listing:
            terminal.log("nothing yet; fill it with: twigma run --conf ...")
        for listed in listing:
            terminal.log(f"{listed.name:<14} {listed.rows:>12,} {listed.version:>7}  {listed.comment}")


Ids = Annotated[Path | None, typer.Option(help="A file of ids, one a line, or a CSV whose first column is one.")]


VacuumHours = Annotated[
    int | None,
    typer.Option(min=0, help="Of older versions of the tables that are kept; else purge.vacuum_hours."),
]


@app.command()
def purge(
    posts: Ids = None,
    authors: Ids = None,
    images: Ids = None,
    files: Annotated[
        bool, typer.Option("--files", help="Also delete pictures, and rewrite the pages, of corpora.")
    ] = False,
    vacuum_hours: VacuumHours = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
    conf: Conf = None,
    overrides: Overrides = None,
) -> None:
    """Delete posts, authors or images, and all that was derived from them; they do not come back."""
    from twigma_spark import purging

    request = purging.Request(*(purging.read_ids(file) for file in (posts, authors, images)))
    if not (request.posts or request.authors or request.images):
        raise ConfigError("--posts, --authors or --images must name a file with an id. Got none.")
    cfg = _load(conf, overrides, vacuum_hours)
    purging.require_folder(cfg.store.root)
    with open_store(cfg, writer=None if dry_run else "purge") as store:
        done = purging.purge(cfg, store, request, terminal.log, files, dry_run)
    for words in done.left:
        terminal.log(f"purge: {words}")
    if not dry_run:
        total = sum(done.rows.values())
        terminal.log(f"{total:,} rows of {len(done.rows)} tables and {done.files:,} files; next: twigma run")


@app.command()
def maintain(
    vacuum_hours: VacuumHours = None,
    conf: Conf = None,
    overrides: Overrides = None,
) -> None:
    """Put the small files of each table together, and remove those of versions that are older than is kept."""
    from twigma_spark import purging

    cfg = _load(conf, overrides, vacuum_hours)
    with open_store(cfg, writer="maintain") as store:
        listing = store.listing()
        for listed in listing:
            removed, added = store.optimize(listed.name)
            terminal.log(f"maintain: {listed.name:<16} {removed:,} files put together into {added:,}")
        names = [listed.name for listed in listing]
        for words in (*purging.rewrite_files(cfg, store, names), *purging.remove_versions(cfg, store, names)):
            terminal.log(f"maintain: {words}")


def _load(conf: list[str] | None, overrides: list[str] | None, vacuum_hours: int | None) -> Config:
    """Return the configuration, in which `--vacuum-hours` wins."""
    more = [] if vacuum_hours is None else [f"purge.vacuum_hours={vacuum_hours}"]
    return load(conf, [*(overrides or []), *more])
