"""Files on this machine: which there are, and how much lies there."""

from __future__ import annotations

import hashlib
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
        for _, status in _files(path):
            total += status.st_size
            if total > most_bytes:
                return False
    return True


def fingerprint(path: str) -> str | None:
    """Return a hash of names, sizes and times of the files at and below `path`; None where it is not on this machine.

    Contents are not read, and no file is left out for its name.
    """
    if REMOTE.match(path) or not Path(path).exists():
        return None
    files = sorted((name, status.st_size, status.st_mtime_ns) for name, status in _files(path))
    return f"{len(files)} files, {hashlib.sha256(repr(files).encode()).hexdigest()[:16]}"


def smallest_and_largest(path: str) -> tuple[int, int] | None:
    """Return the bytes of the smallest and the largest file at and below `path`; None if not on this machine."""
    if REMOTE.match(path) or not Path(path).exists():
        return None
    sizes = [status.st_size for _, status in _files(path)]
    return min(sizes, default=0), max(sizes, default=0)


def _files(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each file's path and status; links are not followed below `path`."""
    try:
        entries = list(os.scandir(path))
    except NotADirectoryError:
        yield path, Path(path).stat()
        return
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        else:
            yield entry.path, entry.stat(follow_symlinks=False)
