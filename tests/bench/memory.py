"""Memory, processor time and bytes written of a stretch of work, read from /proc a few times a second."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
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
    peak = Peak()

    def look() -> None:
        own = resident()
        python = own.get(os.getpid(), Process("", 0)).bytes
        java = sum(each.bytes for each in own.values() if each.name == "java")
        peak.driver = max(peak.driver, python)
        peak.with_jvm = max(peak.with_jvm, python + java)
        peak.everything = max(peak.everything, sum(each.bytes for each in own.values()))

    with _repeated(look, EVERY):
        yield peak


@dataclass(frozen=True)
class Process:
    """A process and the bytes of its own memory."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Usage:
    """What a process and all that descend from it use.

    Attributes:
        at: seconds since 1970.
        memory: bytes of their own memory.
        java: of these, those of JVMs.
        cpu: seconds of the processor since they began, with those of processes that have ended.
        written: bytes that they had written to disks so far.
    """

    at: float
    memory: int
    java: int
    cpu: float
    written: int


@contextmanager
def sampled(root: int, every: float = EVERY) -> Iterator[list[Usage]]:
    """Give a list that grows by what a process and its descendants use, every so many seconds until the block ends."""
    spent: dict[tuple[int, str], tuple[float, int]] = {}
    seen: list[Usage] = []
    with _repeated(lambda: seen.append(_usage(root, spent)), every):
        yield seen


@contextmanager
def _repeated(look: Callable[[], None], every: float) -> Iterator[None]:
    """Look now, and again every so many seconds until the block ends."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            look()

    look()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _usage(root: int, spent: dict[tuple[int, str], tuple[float, int]]) -> Usage:
    """Return what is used now.

    `spent` keeps what each process had spent when it was last seen: Spark's Python workers end, and nobody waits for
    them, so that their times are added to no parent's.
    """
    family = resident(root)
    for pid in family:
        spent.update(_spent(pid))
    java = sum(each.bytes for each in family.values() if each.name == "java")
    memory = sum(each.bytes for each in family.values())
    cpu, written = (sum(each[n] for each in spent.values()) for n in (0, 1))
    return Usage(time.time(), memory, java, cpu, int(written))


def _spent(pid: int) -> dict[tuple[int, str], tuple[float, int]]:
    """Return seconds of the processor and bytes written, by the process and its start; nothing where it has ended."""
    folder = Path("/proc") / str(pid)
    try:
        # The name, in brackets, may hold blanks; of all fields its times are the 14th and 15th, its start the 22nd.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return {(pid, fields[19]): (seconds, int(_status(folder / "io").get("write_bytes", "0")))}


def resident(root: int | None = None) -> dict[int, Process]:
    """Return a process, this one where none is named, and all that descend from it."""
    parents, there = {}, {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            fields = _status(place / "status")
            parents[int(place.name)] = int(fields.get("PPid", "0"))
            size = int(fields.get("RssAnon", "0 kB").split()[0]) * 1024
            there[int(place.name)] = Process(fields.get("Name", ""), size)
    family, found = {root or os.getpid()}, -1
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
