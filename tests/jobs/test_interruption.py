"""Inference that is killed, whose JVM ends, and that loses a worker: no row is lost or doubled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.jobs.images import jpeg, write_images
from twigma_spark.errors import ExitCode
from twigma_spark.io.tables import Store

pytestmark = pytest.mark.faults
IMAGES, CHUNK = 200, 50
TWIGMA = str(Path(sys.executable).parent / "twigma")


@pytest.fixture(scope="module")
def contents() -> list[bytes]:
    return [jpeg(n) for n in range(IMAGES)]


class Embedding:
    """A run of the stage `embed`, in a process group of its own."""

    def __init__(self, root: str, *settings: str) -> None:
        settings = (
            f"store.root={root}", "models.image={kind: open_clip, path: 'sample:clip', precision: fp32}",
            f"embed.commit_every={CHUNK}", "spark.conf={spark.driver.memory: 1g}", *settings,
        )  # fmt: skip
        command = [TWIGMA, "stage", "embed"] + [word for setting in settings for word in ("--set", setting)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=root + "/..",
        )

    def end(self) -> tuple[int, str]:
        """Return its exit status and its output."""
        output, _ = self.process.communicate(timeout=600)
        return self.process.returncode, output


def commits(root: str) -> int:
    """Return how many chunks are in the log of `embeddings`."""
    entries = [path.read_text() for path in Path(root, "embeddings", "_delta_log").glob("*.json")]
    return sum('"add":' in entry for entry in entries)


def wait_for(condition: Callable[[], bool], seconds: float = 400) -> None:
    """Return once the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.05)


def ids_in(store: Store) -> list[str]:
    """Return the image_id of each row of `embeddings`."""
    return sorted(row.image_id for row in store.read("embeddings").select("image_id").collect())


def test_killed_runs_and_a_lost_worker_lose_and_repeat_nothing(store: Store, contents: list[bytes]) -> None:
    wanted = write_images(store, contents)

    # The machine ends all at once.
    first = Embedding(store.root)
    wait_for(lambda: commits(store.root) >= 1)
    os.killpg(first.process.pid, signal.SIGKILL)
    first.end()
    done = len(ids_in(store))
    assert CHUNK * 0.5 < done < IMAGES

    # Spark's JVM ends, as it does where its memory does not suffice: one sentence says so.
    second, before = Embedding(store.root), commits(store.root)
    wait_for(lambda: commits(store.root) > before)
    (java,) = [p for p in psutil.Process(second.process.pid).children() if p.name() == "java"]
    java.kill()
    status, output = second.end()
    assert status == ExitCode.PLATFORM and "stage 'embed' failed" in output, output
    assert "Spark has ended, most often for lack of memory" in output, output
    assert "Traceback" not in output and "py4j" not in output
    after_first, done = done, len(ids_in(store))
    assert after_first < done < IMAGES

    # A Python worker ends: Spark tries its task again, and the run computes what is left, and no more.
    third, before = Embedding(store.root, "spark.master=local[2,4]"), commits(store.root)
    wait_for(lambda: commits(store.root) > before)
    wait_for(lambda: kill_workers(third.process.pid) > 0)
    status, output = third.end()
    assert status == 0, output
    assert ids_in(store) == sorted(wanted)
    last = json.loads(store.read("runs").where("stage = 'embed'").toJSON().collect()[-1])
    assert last["rows_out"]["embeddings"] == IMAGES - done


def kill_workers(driver: int) -> int:
    """Kill the Python workers of a driver, not the daemon that they are forked from, and return how many."""
    python = [p for p in psutil.Process(driver).children(recursive=True) if is_python_of_spark(p)]
    killed = 0
    for process in python:
        with suppress(psutil.NoSuchProcess):  # one that ends by itself meanwhile is not ours to kill
            if process.parent() in python:
                process.kill()
                killed += 1
    return killed


def is_python_of_spark(process: psutil.Process) -> bool:
    """Return whether a process is Spark's daemon or a worker; one that has just ended is neither."""
    try:
        return any(name in " ".join(process.cmdline()) for name in ("pyspark.daemon", "io.worker_daemon"))
    except psutil.NoSuchProcess:
        return False
