"""Peak memory of a stretch of work, read from /proc a few times a second."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

EVERY = 0.2


@dataclass
class Peak:
    """Peaks in bytes: of this Python process, and of it, the JVM and all workers together."""

    driver: int = 0
    everything: int = 0


@contextmanager
def watched() -> Iterator[Peak]:
    """Give a record that holds the peaks once the block has ended; mapped files are not counted."""
    peak, ended = Peak(), threading.Event()

    def watch() -> None:
        while True:
            own = resident()
            peak.driver = max(peak.driver, own.get(os.getpid(), 0))
            peak.everything = max(peak.everything, sum(own.values()))
            if ended.wait(EVERY):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def resident() -> dict[int, int]:
    """Return the bytes of own memory of this process and of all that descend from it."""
    parents, sizes = {}, {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            fields = _status(place / "status")
            parents[int(place.name)] = int(fields.get("PPid", "0"))
            sizes[int(place.name)] = int(fields.get("RssAnon", "0 kB").split()[0]) * 1024
    family, found = {os.getpid()}, -1
    while len(family) != found:
        found = len(family)
        family |= {pid for pid, parent in parents.items() if parent in family}
    return {pid: sizes.get(pid, 0) for pid in family}


def _status(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it ended between the two looks
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
