"""What every command shares: the application, its options, progress in the terminal, and the session of a store."""

from __future__ import annotations

import importlib
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from typing import Annotated, Any

import typer

from twigma_spark.config import overlays
from twigma_spark.config.settings import Config
from twigma_spark.redaction import hide

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="""Images that people post, compared with reference collections: stages over Delta tables, and one report.

Start with `twigma demo`; then copy conf/folder.yaml and `twigma run --conf mine.yaml`.
""",
)

Conf = Annotated[
    list[str] | None,
    typer.Option("--conf", help="A YAML file, or sample, the built-in example; may be repeated, a later one wins."),
]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as embed.batch_size=64.")]
Strict = Annotated[bool, typer.Option("--strict", help="End at a stage that refuses more than a tenth of a corpus.")]
Force = Annotated[bool, typer.Option("--force", help="Run also what is unchanged.")]


def version() -> str:
    """Return the installed version, or that there is none."""
    try:
        return metadata.version("twigma_spark")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return "(not installed)"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"twigma {version()}")
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
        typer.echo(("\r\x1b[K" if sys.stdout.isatty() else "") + hide(text))
        sys.stdout.flush()

    def update(self, text: str) -> None:
        """Show a line that the next one replaces."""
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            typer.echo(f"\r\x1b[K{hide(text)[:width]}", nl=False)
            sys.stdout.flush()
        elif time.monotonic() - self.last > self.QUIET_SECONDS:
            self.log(text)


terminal = Terminal()


def load(conf: Sequence[str] | None, overrides: Sequence[str] | None) -> Config:
    """Return the configuration."""
    return overlays.load(conf or [], overrides or [])


@contextmanager
def open_store(cfg: Config, stages: Sequence[str] = (), writer: str | None = None) -> Iterator[Any]:
    """Yield the `Store` of a session.

    Spark, pandas and scikit-learn take seconds to import: only here, and the stages while Spark starts.

    Args:
        cfg: the configuration.
        stages: that will run.
        writer: name of the command where it writes; then no other one writes until it has ended.
    """
    from twigma_spark.io import store

    # PySpark forks to start the JVM, for which Python takes logging's lock and waits for the import lock. The finder
    # that brings `distutils`, which PySpark uses, holds that one while it imports setuptools, which logs: the two would
    # wait for each other for ever. Once it is there, the finder is not asked.
    with suppress(ImportError):
        importlib.import_module("distutils.version")
    importing = threading.Thread(target=importlib.import_module, args=["twigma_spark.pipeline"], daemon=True)
    importing.start()
    with store.open_store(cfg, stages, this_writer(cfg, writer) if writer else None, terminal.log) as opened:
        importing.join()
        yield opened


def this_writer(cfg: Config, command: str) -> Any:
    """Return this process as the one that will hold a store, under the configured run id or a new one."""
    from twigma_spark.io.lease import this_process

    return this_process(cfg.run.id or uuid.uuid4().hex[:12], command)


@contextmanager
def interruptible() -> Iterator[None]:
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
