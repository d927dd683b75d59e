"""Commands that run stages, or say what they would do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from twigma_spark.cli.common import (
    Conf,
    Force,
    Overrides,
    Strict,
    interruptible,
    load,
    open_store,
    terminal,
    version,
)
from twigma_spark.config.settings import Config, select_stages, stage_names

app = typer.Typer()


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
    check_configuration(cfg, names)
    with open_store(cfg, [] if dry_run else names, writer=None if dry_run else "run") as store:
        from twigma_spark import pipeline
        from twigma_spark.checks import remote

        remote.check_remote(cfg, names, store.spark)
        if dry_run:
            for name, runs in pipeline.plan_run(cfg, store, pipeline.select(names), force).items():
                terminal.log(f"{name:<16} {'would run' if runs else 'would be skipped'}")
        else:
            run_stages(cfg, store, names, force, start, strict)


def check_configuration(cfg: Config, names: Sequence[str]) -> None:
    """Show what is wrong with the configuration before Spark is started, which takes seconds."""
    number = f"{len(names)} stage{'s' if len(names) > 1 else ''}"
    terminal.log(f"twigma {version()}: {number}, tables in {cfg.store.root}")
    from twigma_spark.checks import configuration

    configuration.check(cfg, names, terminal.log)


@app.command()
def check(conf: Conf = None, overrides: Overrides = None) -> None:
    """Say what is wrong with a configuration and its files; nothing is run."""
    cfg = load(conf, overrides)
    check_configuration(cfg, stage_names())
    terminal.log("ready to run")


def run_stages(cfg: Config, store: Any, names: Sequence[str], force: bool, start: float, strict: bool = False) -> int:
    """Run the stages and return how many ran."""
    from twigma_spark import pipeline

    with interruptible():
        outcomes = pipeline.run(cfg, store, pipeline.select(names), terminal.log, force, terminal.update, strict)
    ran = sum(not outcome.skipped for outcome in outcomes)
    seconds = time.monotonic() - start
    terminal.log(f"done: {ran} stages run, {len(outcomes) - ran} skipped, {seconds:.0f} s")
    return ran


@app.command()
def stage(
    name: str, conf: Conf = None, overrides: Overrides = None, force: Force = False, strict: Strict = False
) -> None:
    """Run one stage."""
    run(conf, overrides, only=[name], force=force, strict=strict)


@app.command()
def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file or folder that may be a corpus.")],
) -> None:
    """Say which reader fits a file or folder and what it sees, and print the configuration to paste."""
    from twigma_spark.inspecting import inspect as inspect_path

    typer.echo(inspect_path(path), nl=False)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="PATH", help="A folder of images, or of folders of images.")],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("twigma.yaml"),
) -> None:
    """Write the configuration of a folder of images, to be looked at and run."""
    from twigma_spark.starter import write_configuration

    typer.echo(write_configuration(folder, out), nl=False)
    terminal.log(f"written to {out}; next: twigma check --conf {out}, then twigma run --conf {out}")
