"""The command that writes job definitions."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer

from twigma_spark.cli.common import terminal
from twigma_spark.config.overlays import find
from twigma_spark.errors import ConfigError

app = typer.Typer()


@app.command()
def deploy(
    platform: Annotated[str, typer.Argument(metavar="PLATFORM", help="databricks or emr.")],
    out: Annotated[Path, typer.Option(help="A new folder, or that of an earlier call.")],
    conf: Annotated[str | None, typer.Option(help="The overlay of the jobs; else the one of the platform.")] = None,
    wheel: Annotated[Path | None, typer.Option(help="This package; else the newest of dist.")] = None,
    only_check: Annotated[bool, typer.Option("--check", help="Write nothing; check what is there.")] = False,
) -> None:
    """Write what a cluster is given: job definitions, pinned packages, configuration and wheel; and check it."""
    from twigma_spark.deployment import folder
    from twigma_spark.pipeline import STAGES
    from twigma_spark.schedule import dependencies

    if not only_check:
        overlay, package = find(conf or platform), wheel or _newest_wheel()
        for name in folder.write(platform, out, overlay, package, dependencies(STAGES)):
            terminal.log(f"written: {out / name}")
    faults = folder.faults(platform, out, datetime.datetime.now(datetime.UTC).date())
    for fault in faults:
        typer.echo(f"twigma: {fault}", err=True)
    if faults:
        raise typer.Exit(2)
    terminal.log(f"{out}: nothing is wrong; next: docs/{platform}.md")


def _newest_wheel() -> Path:
    """Return the newest wheel below the working directory."""
    wheels = sorted(Path("dist").glob("twigma_spark-*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        raise ConfigError("--wheel must name the wheel of this package. Got none, and there is none in dist.")
    return wheels[-1]
