"""Stores that are made once and copied for each test: a commit of Delta takes a second, a copy of its files none."""

from __future__ import annotations

import shutil
from pathlib import Path

from twigma_spark.io.tables import Store


def copy_store(made: Store, folder: Path) -> Store:
    """Return a copy of a store in a folder that is not there yet; what the process knows of its tables stays behind."""
    shutil.copytree(made.root, folder)
    return Store(made.spark, str(folder))
