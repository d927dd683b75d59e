"""Commands that export rows: statistics, rejects, duplicates, similar and ranked images, hashtags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from twigma_spark.cli.common import Conf, Overrides, load, open_store, terminal
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.metrics import ANALYSES

app = typer.Typer()

Format = Annotated[str, typer.Option("--format", help="csv, json or parquet.")]
Out = Annotated[str | None, typer.Option(help="A file or URL; without one the rows are printed.")]


@app.command()
def results(
    conf: Conf = None,
    overrides: Overrides = None,
    analysis: Annotated[list[str] | None, typer.Option(help="Only this analysis; may be repeated.")] = None,
    form: Format = "csv",
    out: Out = None,
) -> None:
    """Export statistics, one row each, with their n, unit, interval and method."""
    if unknown := [name for name in analysis or [] if name not in ANALYSES]:
        raise ConfigError(f"--analysis must be one of {', '.join(ANALYSES)}. Got {', '.join(unknown)!r}.")
    _export_query(lambda queries, cfg, store: queries.results_frame(store, analysis or []), conf, overrides, form, out)


@app.command()
def rejects(conf: Conf = None, overrides: Overrides = None, form: Format = "csv", out: Out = None) -> None:
    """Export what could not be used: the stage, what it was, its corpus and key, the reason and what was seen."""
    _export_query(lambda queries, cfg, store: queries.rejects_frame(store), conf, overrides, form, out)


@app.command()
def duplicates(
    conf: Conf = None,
    overrides: Overrides = None,
    across: Annotated[bool, typer.Option("--across", help="Images that two corpora share instead.")] = False,
    form: Format = "csv",
    out: Out = None,
) -> None:
    """Export the images that repeat another: both by corpus and key, and what they share."""

    def ask(queries: Any, cfg: Config, store: Any) -> Any:
        return queries.shared_images_frame(store) if across else queries.duplicates_frame(store)

    _export_query(ask, conf, overrides, form, out)


@app.command()
def similar(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A file that need not be in the store.")],
    conf: Conf = None,
    overrides: Overrides = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Images at most.")] = 10,
    form: Format = "csv",
    out: Out = None,
) -> None:
    """Export the images nearest to a file: cosine of the embeddings, and bits in which the perceptual hashes differ."""
    if not image.is_file():
        raise ConfigError(f"IMAGE must be a readable file. Got {str(image)!r}.")

    def ask(queries: Any, cfg: Config, store: Any) -> Any:
        return queries.similar_images_frame(cfg, store, image, count)

    _export_query(ask, conf, overrides, form, out)


@app.command()
def rank(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of images.")],
    prompt: Annotated[str, typer.Option(help="What the images were made for.")],
    model: Annotated[Path | None, typer.Option(help="The folder of a reward model; else that of the store.")] = None,
    conf: Conf = None,
    overrides: Overrides = None,
    form: Format = "csv",
    out: Out = None,
) -> None:
    """Export the images of a folder in the order in which a reward model expects them to be liked for a prompt."""
    _check_export(form, out)
    from twigma_spark.ranking import rank_folder

    frame, unusable = rank_folder(load(conf, overrides), folder, prompt, model)
    for file, reason in unusable:
        typer.echo(f"twigma: {file} is left out: {reason}", err=True)
    _export(frame, form, out)


@app.command(name="expand-hashtags")
def expand_hashtags(
    conf: Conf = None,
    overrides: Overrides = None,
    hashtag: Annotated[
        list[str] | None, typer.Option(help="A current hashtag; may be repeated. Else those of collect.hashtags.")
    ] = None,
    fewest: Annotated[int, typer.Option(min=1, help="Posts that a candidate needs with a current hashtag.")] = 10,
    form: Format = "csv",
    out: Out = None,
) -> None:
    """Export hashtags that come with the current ones, by lift, with the share of their images that are accepted."""

    def ask(queries: Any, cfg: Config, store: Any) -> Any:
        return queries.hashtag_candidates_frame(cfg, store, hashtag or cfg.collect.hashtags, fewest)

    _export_query(ask, conf, overrides, form, out)


def _export_query(
    ask: Callable[[Any, Config, Any], Any],
    conf: Sequence[str] | None,
    overrides: Sequence[str] | None,
    form: str,
    out: str | None,
) -> None:
    """Export what `ask` returns for the module of queries, the configuration and the open store."""
    _check_export(form, out)
    cfg = load(conf, overrides)
    with open_store(cfg) as store:
        from twigma_spark import queries

        _export(ask(queries, cfg, store), form, out)


def _check_export(form: str, out: str | None) -> None:
    if form not in ("csv", "json", "parquet"):
        raise ConfigError(f"--format must be csv, json or parquet. Got {form!r}.")
    if form == "parquet" and out is None:
        raise ConfigError("--out must name a file for --format parquet. Got none.")


def _export(frame: Any, form: str, out: str | None) -> None:
    from twigma_spark.io.export import frame_bytes, write_bytes

    content = frame_bytes(frame, form)
    if out is None:
        typer.echo(content, nl=False)
    else:
        terminal.log(f"{len(frame):,} rows: {write_bytes(out, content)}")
