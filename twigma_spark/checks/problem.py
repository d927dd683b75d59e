"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """What is wrong with one key of the configuration; where it is not `fatal`, a run goes on with a warning."""

    key: str
    text: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


def require_path(key: str, path: str) -> Problem:
    """Return the problem of a path that does not exist."""
    rule = "must be an existing file or folder"
    return Problem(key, f"{rule}. Got {path!r}, which is {absolute(path)}; paths start at the working directory")


def absolute(path: str) -> str:
    """Return a path from the root."""
    return str(Path(path).absolute())
