"""Inference that is killed, whose JVM ends, and that loses a worker: no row is lost or doubled."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress

import psutil
import pytest

from tests.jobs.images import jpeg, write_images
from tests.jobs.stage_process import StageProcess, commits
from twigma_spark.errors import ExitCode
from twigma_spark.io.tables import Store

pytestmark = pytest.mark.faults
IMAGES, CHUNK = 200, 50
TABLE = "embeddings"


@pytest.fixture(scope="module")
def contents() -> list[bytes]:
    return [jpeg(n) for n in range(IMAGES)]


def embed(root: str, *more: str) -> StageProcess:
    """Start the stage `embed`."""
    settings = (
        "models.image={kind: open_clip, path: 'sample:clip', precision: fp32}", f"embed.commit_every={CHUNK}",
        "spark.conf={spark.driver.memory: 1g}", *more,
    )  # fmt: skip
    return StageProcess("embed", root, settings)


def ids_in(store: Store) -> list[str]:
    """Return the image_id of each row of `embeddings`."""
    return sorted(row.image_id for row in store.read("embeddings").select("image_id").collect())


def test_killed_runs_and_a_lost_worker_lose_and_repeat_nothing(store: Store, contents: list[bytes]) -> None:
    wanted = write_images(store, contents)

    # The machine ends all at once.
    first = embed(store.root)
    first.wait_for(lambda: commits(store.root, TABLE) >= 1)
    os.killpg(first.process.pid, signal.SIGKILL)
    first.end()
    done = len(ids_in(store))
    assert CHUNK * 0.5 < done < IMAGES

    # Spark's JVM ends, as it does where its memory does not suffice: one sentence says so.
    second, before = embed(store.root), commits(store.root, TABLE)
    second.wait_for(lambda: commits(store.root, TABLE) > before)
    (java,) = [p for p in psutil.Process(second.process.pid).children() if p.name() == "java"]
    java.kill()
    status, output = second.end()
    assert status == ExitCode.PLATFORM and "stage 'embed' failed" in output, output
    assert "Spark has ended, most often for lack of memory" in output, output
    assert "Traceback" not in output and "py4j" not in output
    after_first, done = done, len(ids_in(store))
    assert after_first < done < IMAGES

    # A Python worker ends: Spark tries its task again, and the run computes what is left, and no more.
    third, before = embed(store.root, "spark.master=local[2,4]"), commits(store.root, TABLE)
    third.wait_for(lambda: commits(store.root, TABLE) > before)
    third.wait_for(lambda: kill_workers(third.process.pid) > 0)
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
