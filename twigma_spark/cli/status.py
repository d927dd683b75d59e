"""The command that says how a store stands."""

from __future__ import annotations

from typing import Annotated

import typer

from twigma_spark.cli.common import Conf, Overrides, load, open_store

app = typer.Typer()


@app.command()
def status(
    conf: Conf = None,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Print who holds the store, its last runs, which stages are stale and why, rejects, and how tables grow."""
    cfg = load(conf, overrides)
    with open_store(cfg) as store:
        from twigma_spark import pipeline
        from twigma_spark import status as stand

        found = stand.read_status(cfg, store, pipeline.STAGES)
        typer.echo(stand.as_json(found) if as_json else stand.as_text(found))
