"""The command line: `twigma run | stage | sample | truth | annotate | concordance | tables`."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from twigma_spark import pipeline
from twigma_spark.config.overlays import load
from twigma_spark.errors import ConfigError, TwigmaError
from twigma_spark.sample.world import draw_world

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

Conf = Annotated[list[str] | None, typer.Option("--conf", help="A YAML file; may be repeated, a later one wins.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as embed.batch_size=64.")]


class Screen:
    """Progress on the standard output: lines, and one live line that the next of either kind replaces.

    Where the output is not a terminal (a cluster's log), a live line is written twice a minute at most.
    """

    QUIET_SECONDS = 30.0

    def __init__(self) -> None:
        self.spoke = time.monotonic()

    def say(self, text: str) -> None:
        """Show a line at once, also where the output is a file."""
        self.spoke = time.monotonic()
        typer.echo(("\r\x1b[K" if sys.stdout.isatty() else "") + text)
        sys.stdout.flush()

    def live(self, text: str) -> None:
        """Show a line that the next one replaces."""
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            typer.echo(f"\r\x1b[K{text[:width]}", nl=False)
            sys.stdout.flush()
        elif time.monotonic() - self.spoke > self.QUIET_SECONDS:
            self.say(text)


screen = Screen()
say = screen.say


@app.command()
def run(
    conf: Conf = None,
    overrides: Overrides = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this stage; may be repeated.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="The first stage to run.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last stage to run.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run also what is unchanged.")] = False,
) -> None:
    """Run the stages in order; those whose inputs and configuration are unchanged are skipped."""
    cfg = load(conf or [], overrides or [])
    stages = pipeline.select(only or [], first, last)
    start = time.monotonic()
    with pipeline.open_store(cfg) as store:
        outcomes = pipeline.run(cfg, store, stages, say, force, screen.live)
    ran = sum(not outcome.skipped for outcome in outcomes)
    say(f"done: {ran} stages run, {len(outcomes) - ran} skipped, {time.monotonic() - start:.0f} s")


@app.command()
def stage(
    name: str,
    conf: Conf = None,
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option("--force", help="Run it also where nothing has changed.")] = False,
) -> None:
    """Run one stage."""
    run(conf, overrides, only=[name], force=force)


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    size: Annotated[int, typer.Option(help="About how many images in all.")] = 3000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same files.")] = 20210101,
) -> None:
    """Draw the sample world: four corpora as files, and truth.json."""
    say(f"drew {draw_world(out, size, seed)}")


@app.command()
def truth(conf: Conf = None, overrides: Overrides = None) -> None:
    """Hold the findings of a run on the sample world against its truth.json."""
    cfg = load(conf or [], overrides or [])
    with pipeline.open_store(cfg) as store:
        text, ok = pipeline.check_truth(cfg, store)
    say(text)
    raise typer.Exit(0 if ok else 1)


@app.command()
def annotate(
    out: Annotated[Path, typer.Option(help="The folder for sheet.html and sheet.csv.")],
    conf: Conf = None,
    overrides: Overrides = None,
) -> None:
    """Write a blind sheet for people: images of each cluster, three keywords each, free groups."""
    cfg = load(conf or [], overrides or [])
    with pipeline.open_store(cfg) as store:
        say(pipeline.annotate(cfg, store, str(out)))


@app.command()
def concordance(
    answers: Annotated[Path, typer.Option(help="The folder with the annotators' answers (.json or .csv).")],
    conf: Conf = None,
    overrides: Overrides = None,
) -> None:
    """Hold the annotators' answers against captions and clusters, and write the report again."""
    told = [*(overrides or []), f"concordance.answers={answers}"]
    run(conf, told, only=["concordance", "report"])


@app.command()
def tables(conf: Conf = None, overrides: Overrides = None) -> None:
    """Print what is in the store."""
    cfg = load(conf or [], overrides or [])
    with pipeline.open_store(cfg) as store:
        say(f"{'table':<14} {'rows':>12} {'version':>7}  holds   ({store.root})")
        listing = store.listing()
        if not listing:
            say("nothing yet; fill it with: twigma run --conf ...")
        for listed in listing:
            say(f"{listed.name:<14} {listed.rows:>12,} {listed.version:>7}  {listed.comment}")


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
