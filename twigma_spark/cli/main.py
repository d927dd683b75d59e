"""The command line. Each module beside this one adds its commands to the application."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

import typer

from twigma_spark.cli import collect, convert, demo, deploy, explore, export, release, run, status, tables
from twigma_spark.cli.common import app
from twigma_spark.errors import TwigmaError
from twigma_spark.redaction import hide

# In the order in which --help lists them.
for module in (run, demo, collect, status, tables, export, explore, release, deploy, convert):
    app.add_typer(module.app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that the user can act on is one message, not a trace."""
    try:
        app(args=list(sys.argv[1:] if arguments is None else arguments))
    except SystemExit as end:
        # A notebook or a Databricks task takes any SystemExit for a failure; a good end just returns.
        if end.code:
            raise
    except TwigmaError as error:
        typer.echo(hide(f"twigma: {error}"), err=True)
        sys.exit(error.exit_code)
    except Exception:  # a defect: the whole trace, but for what nobody may see
        typer.echo(hide(traceback.format_exc()), err=True)
        sys.exit(1)
