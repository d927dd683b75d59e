"""A stage that runs in a process of its own, which tests kill at a chosen moment."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.demos import TWIGMA


class StageProcess:
    """A run of a stage, in a process group of its own.

    Args:
        stage: its name.
        root: folder of the store, beside which it runs.
        settings: KEY=VALUE each.
        environment: variables beside those of this process.
    """

    def __init__(self, stage: str, root: str, settings: Sequence[str], **environment: str) -> None:
        words = [word for setting in (f"store.root={root}", *settings) for word in ("--set", setting)]
        self.process = subprocess.Popen(
            [*TWIGMA, "stage", stage, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=Path(root).parent,
            env={**os.environ, **environment},
        )

    def wait_for(self, condition: Callable[[], bool], seconds: float = 400) -> None:
        """Return once the condition holds, while the process runs."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.end()[1]
            assert time.monotonic() < end, "it never came so far"
            time.sleep(0.02)

    def end(self) -> tuple[int, str]:
        """Return its exit status and its output."""
        output, _ = self.process.communicate(timeout=600)
        return self.process.returncode, output


def commits(root: str, table: str) -> int:
    """Return how many chunks are in the log of a table."""
    entries = [path.read_text() for path in Path(root, table, "_delta_log").glob("*.json")]
    return sum('"add":' in entry for entry in entries)
