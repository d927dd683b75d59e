"""Commands that write what other people get: sheets to annotate, a release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twigma_spark.cli.common import Conf, Overrides, load, open_store, terminal
from twigma_spark.cli.run import run

app = typer.Typer()


@app.command()
def release(
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    previous: Annotated[
        Path | None, typer.Option(help="The folder of the release before; differences are counted.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a release that is in the folder.")] = False,
    conf: Conf = None,
    overrides: Overrides = None,
) -> None:
    """Write what others may have of the posts' images: CSV and Parquet, data card, datasheet, Croissant."""
    cfg = load(conf, overrides)
    with open_store(cfg) as store:
        from twigma_spark import pipeline

        terminal.log(pipeline.release(cfg, store, out, terminal.log, previous, replace))


@app.command()
def annotate(
    out: Annotated[Path, typer.Option(help="The folder for sheet.html and sheet.csv.")],
    conf: Conf = None,
    overrides: Overrides = None,
) -> None:
    """Write a blind sheet for people: images of each cluster, three keywords each, free groups."""
    cfg = load(conf, overrides)
    with open_store(cfg) as store:
        from twigma_spark import pipeline

        terminal.log(pipeline.annotate(cfg, store, str(out)))


@app.command()
def concordance(
    answers: Annotated[Path, typer.Option(help="The folder with the annotators' answers (.json or .csv).")],
    conf: Conf = None,
    overrides: Overrides = None,
) -> None:
    """Compare the annotators' answers with captions and clusters, and write the report again."""
    run(conf, [*(overrides or []), f"concordance.answers={answers}"], only=["concordance", "report"])
