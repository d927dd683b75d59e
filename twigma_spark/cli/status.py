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
        from twigma_spark.status import as_json as to_json
        from twigma_spark.status import as_text, read_status

        state = read_status(cfg, store, pipeline.STAGES)
        typer.echo(to_json(state) if as_json else as_text(state))
