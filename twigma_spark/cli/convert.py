"""The command that converts published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twigma_spark.cli.common import terminal

app = typer.Typer()


@app.command("convert-nsfw")
def convert_nsfw(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A zip of LAION's NSFW detectors, as published.")],
    out: Annotated[Path, typer.Option(help="The folder of the two files that are written.")],
) -> None:
    """Write LAION's published NSFW detector as the arrays and the vocabulary that `models.scores` names."""
    from twigma_spark.models.heads_conversion import convert_nsfw

    for written in convert_nsfw(file, out):
        terminal.log(f"written: {written}")
