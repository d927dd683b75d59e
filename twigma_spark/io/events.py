"""What happens in a run, as one line of JSON each, for programs that watch it."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from twigma_spark.errors import TwigmaError, exit_code_of
from twigma_spark.redaction import hide

STDERR = "stderr"


class EventLog:
    """Lines of JSON at the end of a file or on the standard error; nothing where there is no place for them.

    Args:
        place: a file, ``stderr``, or None.
        run_id: of the run.
    """

    def __init__(self, place: str | None, run_id: str) -> None:
        self.place, self.run_id = place, run_id
        self._writing = threading.Lock()  # stages that run side by side
        if place not in (None, STDERR):
            Path(str(place)).parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def around(self, what: str, stage: str | None = None) -> Iterator[dict[str, object]]:
        """Write that a run or a stage starts, and how it ends; what is put into the yielded mapping goes with that."""
        added: dict[str, object] = {}
        start = time.monotonic()
        self.write(f"{what}_started", stage=stage)
        try:
            yield added
        except BaseException as error:
            text = str(error) if isinstance(error, TwigmaError) else f"{type(error).__name__}: {error}"
            code = int(exit_code_of(error)) if isinstance(error, Exception) else None  # else interrupted
            self.write(f"{what}_failed", stage=stage, seconds=_since(start), exit_code=code, error=text)
            raise
        self.write(f"{what}_ended", stage=stage, seconds=_since(start), **added)

    def write(self, event: str, **facts: object) -> None:
        """Write one event; facts that are None are left out."""
        if self.place is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        known = {"time": now, "run_id": self.run_id, "event": event, **facts}
        shown = {key: hide(value) if isinstance(value, str) else value for key, value in known.items()}
        line = json.dumps({key: value for key, value in shown.items() if value is not None})
        with self._writing, suppress(OSError):  # a run does not end because of what is said about it
            self._write_line(line + "\n")

    def _write_line(self, line: str) -> None:
        if self.place == STDERR:
            sys.stderr.write(line)
            sys.stderr.flush()
        else:
            with Path(str(self.place)).open("a", encoding="utf-8") as file:
                file.write(line)


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)
