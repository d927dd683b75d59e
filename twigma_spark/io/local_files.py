"""Files on this machine: whether a path is one, and how much lies there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

REMOTE = re.compile(r"^\w+:/|^\w+\.\w+$")  # a URL, dbfs:/, or catalog.schema


def hold_at_most(paths: Iterable[str], most_bytes: int) -> bool:
    """Return whether the files at and below `paths` are on this machine and take at most `most_bytes` together.

    Listing ends at the limit. A path that does not exist takes nothing; what is not a local path is never small.
    """
    total = 0
    for path in paths:
        if REMOTE.match(path):
            return False
        for size in _sizes(path):
            total += size
            if total > most_bytes:
                return False
    return True


def _sizes(path: str) -> Iterator[int]:
    try:
        entries = list(os.scandir(path))
    except NotADirectoryError:
        yield Path(path).stat().st_size
        return
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _sizes(entry.path)
        elif entry.is_file(follow_symlinks=False):
            yield entry.stat(follow_symlinks=False).st_size
