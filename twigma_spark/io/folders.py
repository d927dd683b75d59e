"""Folders for others that are there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twigma_spark.errors import ConfigError
from twigma_spark.io.export import SCHEME


def check_new_folder(out: Path, kind: str, marker: str, replace: bool = False) -> None:
    """Check that a folder can be written: it is new or empty, or is to be replaced and holds what it may hold.

    Args:
        out: the folder.
        kind: what is written into it, such as "a release".
        marker: a file that tells a folder of this kind.
        replace: whether one of this kind may give way.

    Raises:
        ConfigError: where it cannot.
    """
    if SCHEME.match(str(out)):
        raise ConfigError(f"--out must be a folder of this machine (or /Volumes/...). Got {str(out)!r}.")
    gives_way = replace and (out / marker).is_file()
    if out.exists() and not gives_way and (not out.is_dir() or any(out.iterdir())):
        instead = f" or one with {kind}" if replace else f"; --replace puts {kind} in the place of an older one"
        raise ConfigError(f"--out must be a new or empty folder{instead}. Got {str(out)!r}, which is not empty.")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a folder beside `out` that takes its place at the end; after an error nothing is left of it."""
    out = out.resolve()
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
