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
    """Peaks in bytes: of this Python process, of it and the JVM, and of both and all workers together."""

    driver: int = 0
    with_jvm: int = 0
    everything: int = 0


@contextmanager
def watched() -> Iterator[Peak]:
    """Give a record that holds the peaks once the block has ended; mapped files are not counted."""
    peak, ended = Peak(), threading.Event()

    def watch() -> None:
        while True:
            own = resident()
            python = own.get(os.getpid(), Process("", 0)).bytes
            java = sum(each.bytes for each in own.values() if each.name == "java")
            peak.driver = max(peak.driver, python)
            peak.with_jvm = max(peak.with_jvm, python + java)
            peak.everything = max(peak.everything, sum(each.bytes for each in own.values()))
            if ended.wait(EVERY):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


@dataclass(frozen=True)
class Process:
    """A process and the bytes of its own memory."""

    name: str
    bytes: int


def resident() -> dict[int, Process]:
    """Return this process and all that descend from it."""
    parents, there = {}, {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            fields = _status(place / "status")
            parents[int(place.name)] = int(fields.get("PPid", "0"))
            size = int(fields.get("RssAnon", "0 kB").split()[0]) * 1024
            there[int(place.name)] = Process(fields.get("Name", ""), size)
    family, found = {os.getpid()}, -1
    while len(family) != found:
        found = len(family)
        family |= {pid for pid, parent in parents.items() if parent in family}
    return {pid: there[pid] for pid in family if pid in there}


def _status(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it ended between the two looks
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
