"""One run at a time in a store: in a folder and in an object storage, by threads and by processes that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests import object_store
from twigma_spark.errors import HeldError, StoreError
from twigma_spark.io.lease import FOLDER, Held, Lease, LeaseFiles, hold, newest, this_process
from twigma_spark.io.lease_files import LocalLeases
from twigma_spark.io.lease_s3 import S3Leases

Open = Callable[[], LeaseFiles]
ELSEWHERE = replace(this_process("first", "run"), host="far-away", boot="another machine", pid=7)
HERE = this_process("second", "purge")


@pytest.fixture(scope="module")
def storage() -> Iterator[tuple[object_store.ObjectStore, Any]]:
    """A storage with a client; botocore takes long to make one."""
    with object_store.serving() as both:
        yield both


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, storage: tuple[object_store.ObjectStore, Any]) -> Open:
    """Opens the leases of one store, as each process does for itself."""
    if request.param == "folder":
        return lambda: LocalLeases(str(tmp_path / "store"))
    return lambda: S3Leases(f"s3a://bucket{tmp_path}", storage[1])


def hurried(files: LeaseFiles, expires: float) -> LeaseFiles:
    """Return leases that run out soon."""
    files.expires = expires
    return files


def found(files: LeaseFiles) -> Held:
    held = newest(files)
    assert held is not None
    return held


def test_a_second_run_is_told_who_holds_the_store(place: Open) -> None:
    first = Lease(place(), "store", ELSEWHERE)
    first.take()
    with pytest.raises(
        HeldError, match=r"held by run first \(twigma run\) on far-away, process 7, since 20.* UTC, last h"
    ):
        Lease(place(), "store", HERE).take()
    first.check()
    first.release()
    assert found(place()).free
    second = Lease(place(), "store", HERE)
    second.take()
    assert place().numbers() == [2], "what counts no longer is removed"
    second.release()


def test_commands_of_one_run_hold_the_store_together(place: Open) -> None:
    one, two = (Lease(place(), "store", ELSEWHERE) for _ in range(2))
    one.take()
    two.take()
    one.check()
    one._renew()
    one.check()
    two.release()
    with pytest.raises(HeldError, match="held by run first"):
        Lease(place(), "store", HERE).take()
    one.release()
    other = Lease(place(), "store", HERE)
    other.take()
    assert place().numbers() == [3]
    other.release()


def test_of_many_that_ask_at_once_one_gets_the_store(place: Open) -> None:
    leases = [Lease(place(), "store", replace(ELSEWHERE, run_id=f"run{n}")) for n in range(8)]
    begin = threading.Barrier(len(leases))

    def take(lease: Lease) -> bool:
        begin.wait()
        try:
            lease.take()
        except HeldError:
            return False
        return True

    with ThreadPoolExecutor(len(leases)) as pool:
        for _ in range(3):
            held = list(pool.map(take, leases))
            assert sum(held) == 1
            leases[held.index(True)].release()
            leases = [Lease(place(), "store", lease.holder) for lease in leases]


def test_a_lease_without_heartbeat_is_taken_over_and_its_holder_stops(place: Open) -> None:
    said: list[str] = []
    first = Lease(hurried(place(), 1e6), "store", ELSEWHERE)  # its next heartbeat is far away, as if the machine slept
    first.on_loss = lambda: said.append("cancelled")
    first.take()
    second = Lease(hurried(place(), 1.5), "store", HERE)
    began = time.monotonic()
    second.take(wait=20, log=said.append)
    assert time.monotonic() - began > 0.4  # times of objects are whole seconds
    assert said[0].startswith("waiting for the store: it is held by run first")
    assert said[1].startswith("the store was left by run first")
    first._renew()
    with pytest.raises(HeldError, match=r"taken over by run second \(twigma purge\)"):
        first.check()
    first.release()
    assert said[2:] == ["cancelled"]
    assert not found(place()).free, "who lost the store gives back nothing"
    second.check()
    second.release()


def test_heartbeats_keep_the_store(tmp_path: Path) -> None:
    first = Lease(hurried(LocalLeases(str(tmp_path)), 0.6), "store", ELSEWHERE)
    first.take()
    with pytest.raises(HeldError):
        Lease(hurried(LocalLeases(str(tmp_path)), 0.6), "store", HERE).take(wait=1.5)
    first.check()
    first.release()


def test_the_store_is_given_back_after_a_failure(place: Open) -> None:
    with pytest.raises(ZeroDivisionError), hold(place, "store", HERE, 0, print):
        assert not found(place()).free
        raise ZeroDivisionError
    assert found(place()).free


HOLDER = """
import sys, time
from twigma_spark.io.lease import hold, this_process
from twigma_spark.io.lease_files import LocalLeases
with hold(lambda: LocalLeases(sys.argv[1]), sys.argv[1], this_process("killed", "run"), 0, print):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(root: Path, seconds: float) -> subprocess.Popen[str]:
    """Return a process that holds a store for so long."""
    command = [sys.executable, "-c", HOLDER, str(root), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_killed_process_is_followed_at_once(tmp_path: Path) -> None:
    with holder(tmp_path, 60) as process:
        with pytest.raises(HeldError, match=f"process {process.pid}, since"):
            Lease(LocalLeases(str(tmp_path)), "store", HERE).take()
        process.send_signal(signal.SIGKILL)
    said: list[str] = []
    with hold(lambda: LocalLeases(str(tmp_path)), "store", HERE, 0, said.append) as lease:
        assert lease is not None
        lease.check()
    assert len(said) == 1 and "left by run killed" in said[0]


def test_a_run_that_waits_gets_the_store_when_the_other_process_ends(tmp_path: Path) -> None:
    with holder(tmp_path, 1):
        lease = Lease(LocalLeases(str(tmp_path)), "store", HERE)
        lease.take(wait=30)
        lease.release()


def test_a_process_of_this_machine_that_lives_keeps_the_store_without_a_heartbeat(tmp_path: Path) -> None:
    """As when the machine slept: nobody on it may be faster than the holder that wakes up."""
    lease = Lease(LocalLeases(str(tmp_path)), "store", HERE)
    lease.take()
    os.utime(lease.files._path(1), (0, 0))  # type: ignore[attr-defined]
    assert not found(LocalLeases(str(tmp_path))).free
    lease.release()


@pytest.mark.parametrize("seconds", [-1000, 10**9])
def test_a_time_that_no_heartbeat_has_holds_nothing(tmp_path: Path, seconds: int) -> None:
    files = LocalLeases(str(tmp_path))
    files.create(1, json.dumps(asdict(ELSEWHERE)))
    os.utime(tmp_path / FOLDER / f"{1:012d}.json", (time.time() + seconds,) * 2)
    assert found(files).free


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"run_id": "x"}', "\xff"])
def test_a_damaged_lease_is_kept_until_it_runs_out(tmp_path: Path, content: str) -> None:
    files = LocalLeases(str(tmp_path))
    files.create(4, content)
    with pytest.raises(HeldError, match="a run whose lease cannot be read"):
        Lease(files, "store", HERE).take()
    os.utime(tmp_path / FOLDER / f"{4:012d}.json", (0, 0))
    lease = Lease(files, "store", HERE)
    lease.take()
    assert files.numbers() == [5]
    lease.release()


def test_a_lease_that_somebody_removed_is_made_again(place: Open) -> None:
    lease = Lease(place(), "store", ELSEWHERE)
    lease.take()
    place().remove(1)
    lease._renew()
    lease.check()
    assert not found(place()).free
    lease.release()


def test_a_file_system_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    files = LocalLeases(str(tmp_path))
    assert files.create(1, "one") and not files.create(1, "two")
    assert (tmp_path / FOLDER / f"{1:012d}.json").read_text() == "one"


def test_a_store_that_cannot_be_written_to_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    where = tmp_path / "file" / "store"
    with (
        pytest.raises(StoreError, match="must be a place that can be written to"),
        hold(lambda: LocalLeases(str(where)), str(where), HERE, 0, print),
    ):
        pass


@pytest.mark.parametrize(("conditions", "why"), [("ignored", "makes objects anew"), ("refused", "does not know If-No")])
def test_a_storage_without_conditions_is_warned_of_and_used(
    conditions: str, why: str, storage: tuple[object_store.ObjectStore, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(storage[0], "conditions", conditions)
    root = f"s3://bucket/{conditions}"
    with hold(lambda: S3Leases(root, storage[1]), root, HERE, 0, said.append) as lease:
        assert lease is None
    assert len(said) == 1 and said[0].startswith(f"warning: {root}") and why in said[0]


def test_an_answer_that_was_lost_on_its_way_is_no_other_run(storage: tuple[object_store.ObjectStore, Any]) -> None:
    files = S3Leases("s3://bucket", storage[1])
    assert files.create(1, "mine") and files.create(1, "mine") and not files.create(1, "another's")


def test_a_store_that_nobody_held_has_no_lease(place: Open) -> None:
    assert newest(place()) is None
