"""Commands that write what people look at: an atlas of the images, figures for print, what changed between runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twigma_spark.cli.common import Conf, Overrides, load, open_store, terminal

app = typer.Typer()

Out = Annotated[Path, typer.Option(help="A new or empty folder.")]


@app.command()
def atlas(
    out: Out,
    show_nsfw: Annotated[
        bool, typer.Option("--show-nsfw", help="Do not blur pictures that are NSFW, flagged or not scored.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an atlas that is in the folder.")] = False,
    conf: Conf = None,
    overrides: Overrides = None,
) -> None:
    """Write the map with pictures and neighbours for Embedding Atlas, and print the line that opens it."""
    cfg = load(conf, overrides)
    with open_store(cfg) as store:
        from twigma_spark.atlas import build_atlas

        summary = build_atlas(cfg, store, out, terminal.log, show_nsfw, replace)
    terminal.log(summary.summary)


@app.command()
def report(
    against: Annotated[str, typer.Option(help="The id of an earlier run (table runs), or previous.")],
    out: Annotated[str | None, typer.Option(help="A file or URL; else changes.html beside the report.")] = None,
    conf: Conf = None,
    overrides: Overrides = None,
) -> None:
    """Compare the statistics with those of an earlier run: what changed beyond its interval, as a page."""
    cfg = load(conf, overrides)
    beside = f"{cfg.report.path.rpartition('/')[0] or '.'}/changes.html"
    with open_store(cfg) as store:
        from twigma_spark.changes import write_changes

        changes, path = write_changes(cfg, store, against, out or beside)
    compared = f"{len(changes.beyond):,} of {len(changes.compared):,} statistics changed beyond their interval"
    terminal.log(f"{compared}, {len(changes.new):,} are new, {len(changes.gone):,} are gone: {path}")


@app.command()
def figures(
    out: Out,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="svg, pdf, png or csv; may be repeated. Else all."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A figure's name, or its number in the paper; may be repeated.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace figures that are in the folder.")] = False,
    conf: Conf = None,
    overrides: Overrides = None,
) -> None:
    """Write the figures of the report for print, as SVG, PDF and PNG, each with its data as CSV."""
    from twigma_spark.report.print_figures import FORMATS, write_figures

    cfg = load(conf, overrides)
    with open_store(cfg) as store:
        from twigma_spark.stages.inputs import check_purged
        from twigma_spark.stages.report import read_document

        check_purged(store.read("images"), store.read("tombstones"), "figures")
        document = read_document({"reports": store.read("reports")})
    number = write_figures(document, out, terminal.log, formats or FORMATS, only or [], replace)
    terminal.log(f"{number} figures: {out}")
