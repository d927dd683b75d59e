"""Images that people post, compared with reference collections: stages over Delta tables, and one report.

Start with `twigma demo`; then copy conf/folder.yaml and `twigma run --conf mine.yaml`.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from twigma_spark.config import overlays
from twigma_spark.config.settings import Config, select_stages, stage_names
from twigma_spark.errors import ConfigError, TwigmaError
from twigma_spark.metrics import ANALYSES

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

Conf = Annotated[
    list[str] | None,
    typer.Option("--conf", help="A YAML file, or sample, the built-in example; may be repeated, a later one wins."),
]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as embed.batch_size=64.")]
Format = Annotated[str, typer.Option("--format", help="csv, json or parquet.")]
Out = Annotated[str | None, typer.Option(help="A file or URL; without one the rows are printed.")]
Strict = Annotated[bool, typer.Option("--strict", help="End at a stage that refuses more than a tenth of a corpus.")]
Force = Annotated[bool, typer.Option("--force", help="Run also what is unchanged.")]


def _version() -> str:
    try:
        return metadata.version("twigma_spark")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return "(not installed)"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"twigma {_version()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


class Terminal:
    """Progress on the standard output: lines, and one line that the next of either kind replaces.

    Where the output is not a terminal (a cluster's log), a line of progress is written twice a minute at most.
    """

    QUIET_SECONDS = 30.0

    def __init__(self) -> None:
        self.last = time.monotonic()

    def log(self, text: str) -> None:
        """Show a line at once, also where the output is a file."""
        self.last = time.monotonic()
        typer.echo(("\r\x1b[K" if sys.stdout.isatty() else "") + text)
        sys.stdout.flush()

    def update(self, text: str) -> None:
        """Show a line that the next one replaces."""
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            typer.echo(f"\r\x1b[K{text[:width]}", nl=False)
            sys.stdout.flush()
        elif time.monotonic() - self.last > self.QUIET_SECONDS:
            self.log(text)


terminal = Terminal()


def load(conf: Sequence[str] | None, overrides: Sequence[str] | None) -> Config:
    """Return the configuration."""
    return overlays.load(conf or [], overrides or [])


@contextmanager
def open_store(cfg: Config, stages: Sequence[str] = ()) -> Iterator[Any]:
    """Yield the `Store` of a session.

    Spark, pandas and scikit-learn take seconds to import: only here, and the stages while Spark starts.
    """
    from twigma_spark.io import store

    # PySpark forks to start the JVM, for which Python takes logging's lock and waits for the import lock. The finder
    # that brings `distutils`, which PySpark uses, holds that one while it imports setuptools, which logs: the two would
    # wait for each other for ever. Once it is there, the finder is not asked.
    with suppress(ImportError):
        importlib.import_module("distutils.version")
    importing = threading.Thread(target=importlib.import_module, args=["twigma_spark.pipeline"], daemon=True)
    importing.start()
    with store.open_store(cfg, stages) as opened:
        importing.join()
        yield opened


@app.command()
def run(
    conf: Conf = None,
    overrides: Overrides = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this stage; may be repeated.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="The first stage to run.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last stage to run.")] = None,
    force: Force = False,
    strict: Strict = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which stages would run.")] = False,
) -> None:
    """Run the stages; those whose inputs and configuration are unchanged are skipped."""
    names = select_stages(only or [], first, last)
    cfg, start = load(conf, overrides), time.monotonic()
    _check(cfg, names)
    with open_store(cfg, [] if dry_run else names) as store:
        from twigma_spark import pipeline

        if dry_run:
            for name, runs in pipeline.plan_run(cfg, store, pipeline.select(names), force).items():
                terminal.log(f"{name:<16} {'would run' if runs else 'would be skipped'}")
        else:
            _run(cfg, store, names, force, start, strict)


def _check(cfg: Config, names: Sequence[str]) -> None:
    """Show what is wrong with the configuration before Spark is started, which takes seconds."""
    number = f"{len(names)} stage{'s' if len(names) > 1 else ''}"
    terminal.log(f"twigma {_version()}: {number}, tables in {cfg.store.root}")
    from twigma_spark.checks import configuration

    configuration.check(cfg, names, terminal.log)


@app.command()
def check(conf: Conf = None, overrides: Overrides = None) -> None:
    """Say what is wrong with a configuration and its files; nothing is run."""
    cfg = load(conf, overrides)
    _check(cfg, stage_names())
    terminal.log("ready to run")


def _run(cfg: Config, store: Any, names: Sequence[str], force: bool, start: float, strict: bool = False) -> int:
    """Run the stages and return how many ran."""
    from twigma_spark import pipeline

    with _interruptible():
        outcomes = pipeline.run(cfg, store, pipeline.select(names), terminal.log, force, terminal.update, strict)
    ran = sum(not outcome.skipped for outcome in outcomes)
    seconds = time.monotonic() - start
    terminal.log(f"done: {ran} stages run, {len(outcomes) - ran} skipped, {seconds:.0f} s")
    return ran


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into one line and the shell's code; the stages record that they ended."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt as error:
        typer.echo(
            "twigma: interrupted. What the stages have committed is kept; the same command goes on from there.",
            err=True,
        )
        raise typer.Exit(128 + (error.args[0] if error.args else signal.SIGINT)) from error
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command()
def demo(
    overrides: Overrides = None,
    force: Force = False,
    collected: Annotated[
        bool, typer.Option("--collect", help="Collect and download the posts from a server on this machine first.")
    ] = False,
) -> None:
    """Draw the sample world, run every stage on it, compare the results with its ground truth, and write a release."""
    if collected:
        _demo_collected(overrides or [], force)
        return
    cfg, start = load(["sample"], overrides), time.monotonic()
    folder = Path(cfg.report.path).with_name("release")
    _check(cfg, stage_names())
    with open_store(cfg, stage_names()) as store:
        from twigma_spark import pipeline

        ran = _run(cfg, store, [], force, start)
        text, ok = pipeline.check_truth(cfg, store)
        terminal.log(text)
        if ran or not folder.exists():
            terminal.log(pipeline.release(cfg, store, folder, terminal.log, replace=True))
    raise typer.Exit(0 if ok else 1)


def _demo_collected(overrides: Sequence[str], force: bool) -> None:
    """Draw the sample world, collect its posts and pictures from a server on this machine, and run every stage."""
    from twigma_spark import collecting, pipeline
    from twigma_spark.sample.platform import serving

    conf = ["sample", "collect"]
    cfg = load(conf, overrides)
    pipeline.draw_sample(cfg, terminal.log)
    os.environ.setdefault(collecting.TOKEN, "any, since the server on this machine asks for none")
    with serving(Path(str(cfg.sample.out)) / "posts") as address:
        here = [*overrides, f"collect.api={address}"]
        collect(conf, here, dry_run=True)
        collect(conf, here)
        run(conf, here, force=force)


@app.command()
def stage(
    name: str, conf: Conf = None, overrides: Overrides = None, force: Force = False, strict: Strict = False
) -> None:
    """Run one stage."""
    run(conf, overrides, only=[name], force=force, strict=strict)


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    size: Annotated[int, typer.Option(help="About how many images in all.")] = 3000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same files.")] = 20210101,
) -> None:
    """Draw the sample world: four corpora as files, and truth.json."""
    from twigma_spark.sample.world import draw_world

    terminal.log(f"drew {draw_world(out, size, seed)}")


@app.command()
def truth(conf: Conf = None, overrides: Overrides = None) -> None:
    """Compare the results on the sample world with its ground truth."""
    cfg = load(conf, overrides)
    with open_store(cfg) as store:
        from twigma_spark import pipeline

        text, ok = pipeline.check_truth(cfg, store)
    terminal.log(text)
    raise typer.Exit(0 if ok else 1)


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


@app.command()
def collect(
    conf: Conf = None,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the posts and say what they cost.")] = False,
) -> None:
    """Collect posts of X by hashtag into a folder, within a budget; run again it goes on, and takes what is new."""
    from twigma_spark import collecting

    cfg = load(conf, overrides)
    job = collecting.start_job(cfg.collect, terminal.log)
    if dry_run:
        terminal.log(f"collect: {collecting.estimate(job)}")
        return
    with _interruptible():
        state = collecting.collect(job)
    left = sum(not window.done for window in state.windows)
    more = f"; {left} windows are not done, the same command goes on with a larger budget" if left else ""
    terminal.log(f"{state.posts:,} posts, ${state.dollars(cfg.collect.prices):,.2f}: {job.folder}{more}")


Ids = Annotated[Path | None, typer.Option(help="A file of ids, one a line, or a CSV whose first column is one.")]


@app.command()
def purge(
    posts: Ids = None,
    authors: Ids = None,
    images: Ids = None,
    files: Annotated[
        bool, typer.Option("--files", help="Also delete pictures, and rewrite the pages, of corpora.")
    ] = False,
    vacuum_hours: Annotated[int, typer.Option(min=0, help="Of older versions of the tables that are kept.")] = 168,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
    conf: Conf = None,
    overrides: Overrides = None,
) -> None:
    """Delete posts, authors or images, and all that was derived from them; they do not come back."""
    from twigma_spark import purging

    request = purging.Request(*(purging.read_ids(file) for file in (posts, authors, images)))
    if not (request.posts or request.authors or request.images):
        raise ConfigError("--posts, --authors or --images must name a file with an id. Got none.")
    cfg = load(conf, overrides)
    with open_store(cfg) as store:
        done = purging.purge(cfg, store, request, terminal.log, files, vacuum_hours, dry_run)
    for words in done.left:
        terminal.log(f"purge: {words}")
    if not dry_run:
        total = sum(done.rows.values())
        terminal.log(f"{total:,} rows of {len(done.rows)} tables and {done.files:,} files; next: twigma run")


@app.command()
def maintain(
    vacuum_hours: Annotated[int, typer.Option(min=0, help="Of older versions of the tables that are kept.")] = 168,
    conf: Conf = None,
    overrides: Overrides = None,
) -> None:
    """Put the small files of each table together, and remove those of versions that are older than is kept."""
    cfg = load(conf, overrides)
    with open_store(cfg) as store:
        listing = store.listing()
        for listed in listing:
            removed, added = store.optimize(listed.name)
            terminal.log(f"maintain: {listed.name:<16} {removed:,} files put together into {added:,}")
        store.vacuum([listed.name for listed in listing], vacuum_hours)


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
def init(
    folder: Annotated[Path, typer.Argument(metavar="PATH", help="A folder of images, or of folders of images.")],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("twigma.yaml"),
) -> None:
    """Write the configuration of a folder of images, to be looked at and run."""
    from twigma_spark.starter import write_configuration

    typer.echo(write_configuration(folder, out), nl=False)
    terminal.log(f"written to {out}; next: twigma check --conf {out}, then twigma run --conf {out}")


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that the user can act on is one message, not a trace."""
    try:
        app(args=list(sys.argv[1:] if arguments is None else arguments))
    except SystemExit as end:
        # A notebook or a Databricks task takes any SystemExit for a failure; a good end just returns.
        if end.code:
            raise
    except ConfigError as error:
        typer.echo(f"twigma: {error}", err=True)
        sys.exit(2)
    except TwigmaError as error:
        typer.echo(f"twigma: {error}", err=True)
        sys.exit(1)
