"""One run at a time in a store: the lease that a command which writes holds while it is at work.

A lease is a numbered file; the one with the highest number counts. Whoever makes the next number holds the store, and
the storage sees to it that only one can: it makes a file only where there is none. A heartbeat renews the file's time.
A lease that was given back, or that was not renewed for some time, may be followed by the next number; so may one of
the same run, which several commands share.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from twigma_spark.errors import HeldError, StoreError

FOLDER = "_lease"
BOOT = Path("/proc/sys/kernel/random/boot_id")
# Seconds after the last heartbeat after which a run counts as dead, and heartbeats in that time.
EXPIRES, BEATS = 120.0, 6
# Seconds between two looks of a run that waits.
LOOK = 1.0
# Runs that may come between in turn before this one gives up; each of them has held the store.
TRIES = 20


class NoLeaseError(Exception):
    """A storage in which no lease can be had, and why."""


@dataclass(frozen=True)
class Found:
    """A lease as it is stored.

    Attributes:
        content: what the holder wrote.
        age: seconds since its last heartbeat, by the storage's clock.
        alive: whether the holder's process lives; None where that cannot be known, and the heartbeat decides.
    """

    content: str
    age: float
    alive: bool | None = None


class LeaseFiles(Protocol):
    """Where leases are kept.

    Attributes:
        expires: seconds after the last heartbeat after which a run counts as dead.
    """

    expires: float

    def numbers(self) -> list[int]:
        """Return the numbers of the leases that there are."""

    def read(self, number: int) -> Found | None:
        """Return a lease, or None where there is none."""

    def create(self, number: int, content: str) -> bool:
        """Return whether the lease was made: False where there was one, whoever made it."""

    def renew(self, number: int, content: str) -> None:
        """Give the holder's own lease the time of now."""

    def release(self, number: int, content: str) -> None:
        """Replace the holder's own lease by what is left of it."""

    def remove(self, number: int) -> None:
        """Remove a lease that no longer counts."""


@dataclass(frozen=True)
class Holder:
    """Who holds a store, or held it last.

    Attributes:
        run_id: of `runs`; those who have the same hold the store together.
        command: such as run or purge.
        host: name of the machine.
        pid: of the process.
        since: when it took the lease, UTC.
        boot: id of this start of the machine, which tells it from others of its name; empty where it has none.
        released: when it gave it back, UTC; None as long as it holds it.
    """

    run_id: str
    command: str
    host: str
    pid: int
    since: str
    boot: str = ""
    released: str | None = None

    def describe(self) -> str:
        """Return the holder in words."""
        return f"run {self.run_id} (twigma {self.command}) on {self.host}, process {self.pid}, since {self.since}"


@dataclass(frozen=True)
class Held:
    """The newest lease of a store.

    Attributes:
        number: of the lease.
        holder: who wrote it; None where it cannot be read.
        age: seconds since its last heartbeat.
        free: whether another run may take the store.
    """

    number: int
    holder: Holder | None
    age: float
    free: bool

    def describe(self) -> str:
        """Return who holds the store, in words."""
        who = self.holder.describe() if self.holder else "a run whose lease cannot be read"
        return f"{who}, last heartbeat {self.age:.0f} s ago"


def newest(files: LeaseFiles) -> Held | None:
    """Return the lease that counts, or None where nobody has held the store yet.

    Commands of one run hold a store together: as long as one of them is at work, it is not free.
    """
    run: list[Held] = []
    for number in sorted(files.numbers(), reverse=True):
        if (content := files.read(number)) is not None:
            held = _judge(files, number, content)
            if run and not _are_one_run(run[0].holder, held.holder):
                break
            run.append(held)
    if not run:
        return None
    return replace(next((held for held in run if not held.free), run[0]), number=run[0].number)


def _judge(files: LeaseFiles, number: int, last: Found) -> Held:
    holder = parse(last.content)
    # A time far ahead comes from a clock that was wrong: it must not hold the store for years.
    ended = abs(last.age) > files.expires if last.alive is None else not last.alive
    return Held(number, holder, last.age, ended or (holder is not None and holder.released is not None))


def _are_one_run(one: Holder | None, other: Holder | None) -> bool:
    return one is not None and other is not None and one.run_id == other.run_id


class Lease:
    """A store that this process holds until `release`.

    Args:
        files: where leases are kept.
        root: the store, for messages.
        holder: who takes it.
        key: of the configuration, that names the store.

    Attributes:
        on_loss: called once where another run has taken the store.
    """

    def __init__(self, files: LeaseFiles, root: str, holder: Holder, key: str = "store.root") -> None:
        self.files, self.root, self.holder, self.key = files, root, holder, key
        self.number = 0
        self.on_loss: Callable[[], None] = lambda: None
        self._content = _write(holder)
        self._renewed = 0.0
        self._lost: str | None = None
        self._renewing, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="lease")

    def take(self, wait: float = 0.0, log: Callable[[str], None] = lambda text: None) -> None:
        """Take the lease, after `wait` seconds at most.

        Raises:
            HeldError: another run holds it still.
        """
        end, announced = time.monotonic() + wait, False
        for _ in range(TRIES):
            while (held := newest(self.files)) is not None and not (held.free or self._shares(held)):
                left = end - time.monotonic()
                if left <= 0:
                    raise HeldError(self._refusal(held))
                if not announced:
                    log(f"waiting for the store: it is held by {held.describe()}")
                    announced = True
                time.sleep(min(LOOK, left))
            if self._create(held.number + 1 if held else 1):
                if held and held.free and not (held.holder and held.holder.released):
                    log(f"the store was left by {held.describe()}; this run takes it over")
                self._thread.start()
                return
        raise HeldError(f"{self.key} must be free of other runs. Got {self.root!r}, which others took in turn.")

    def check(self) -> None:
        """Check that the store is still this run's, as before each write.

        Raises:
            HeldError: another run has taken it.
        """
        if self._lost is None and time.monotonic() - self._renewed > self.files.expires / 2:
            self._renew()  # the heartbeat did not come through, or this machine slept
        if (lost := self.lost()) is not None:
            raise HeldError(lost)

    def lost(self) -> str | None:
        """Return a sentence that says who has taken the store from this run; None where nobody has."""
        if self._lost is None:
            return None
        return (
            f"{self.key} must be this run's. Got {self.root!r}, taken over by {self._lost}, since no "
            f"heartbeat of this run came for {self.files.expires:.0f} s. What it committed is kept; the same command "
            "goes on from there once the other has ended."
        )

    def release(self) -> None:
        """Give the store back."""
        self._ended.set()
        with self._renewing:
            if self._lost is None:
                self.files.release(self.number, _write(replace(self.holder, released=_now())))

    def _create(self, number: int) -> bool:
        if not self.files.create(number, self._content):
            return False
        numbers = self.files.numbers()
        if max(numbers, default=number) > number:
            self.files.remove(number)  # the file before was gone for long, and others have been here meanwhile
            return False
        self.number, self._renewed = number, time.monotonic()
        for older in numbers:
            last = self.files.read(older) if older < number else None
            if last is not None and not _are_one_run(parse(last.content), self.holder):
                self.files.remove(older)
        return True

    def _shares(self, held: Held) -> bool:
        return _are_one_run(held.holder, self.holder)

    def _beat(self) -> None:
        while not self._ended.wait(self.files.expires / BEATS):
            with suppress(Exception):  # storage that does not answer now may do so next time; `check` sees if not
                self._renew()

    def _renew(self) -> None:
        with self._renewing:
            if self._ended.is_set() or self._lost is not None:
                return
            held = newest(self.files)
            if held is not None and held.number > self.number and not self._shares(held):
                self._lost = held.describe()
                self.on_loss()
                return
            self.files.renew(self.number, self._content)
            self._renewed = time.monotonic()

    def _refusal(self, held: Held) -> str:
        return (
            f"{self.key} must be free of other runs. Got {self.root!r}, held by {held.describe()}. Run again when it "
            "has ended, or let this one wait with run.wait (seconds). A run that died is taken over "
            f"{self.files.expires:.0f} s after its last heartbeat."
        )


@contextmanager
def hold(
    where: Callable[[], LeaseFiles],
    root: str,
    holder: Holder,
    wait: float,
    log: Callable[[str], None],
    key: str = "store.root",
) -> Iterator[Lease | None]:
    """Yield the lease of a store; it is given back however the work ends. None, and a warning, where none can be had.

    Raises:
        HeldError: another run holds the store.
        StoreError: the store cannot be written to.
    """
    try:
        lease = Lease(where(), root, holder, key)
        lease.take(wait, log)
    except NoLeaseError as error:
        log(
            f"warning: {error}: nothing keeps a second run from writing here at the same time; see to it that none does"
        )
        yield None
        return
    except HeldError:
        raise
    except Exception as error:  # of the disk, of botocore, of Spark
        raise StoreError(f"{key} must be a place that can be written to. Got {root!r}: {error}.") from error
    try:
        yield lease
    finally:
        with suppress(Exception):  # others can take the store later; what happened inside is what is raised
            lease.release()


def this_process(run_id: str, command: str) -> Holder:
    """Return this process as a holder."""
    return Holder(run_id, command, socket.gethostname(), os.getpid(), _now(), boot_id())


def boot_id() -> str:
    """Return what tells this machine, since its start, from all others; containers on it have the same."""
    try:
        return BOOT.read_text().strip()
    except OSError:  # not Linux
        return ""


def parse(content: str) -> Holder | None:
    """Return the holder that a lease names, or None where it is damaged."""
    try:
        return Holder(**json.loads(content))
    except (ValueError, TypeError):
        return None


def _write(holder: Holder) -> str:
    return json.dumps(asdict(holder))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
