"""Every stage as a client of a Spark Connect server, which has a process of its own, finds what a classic run finds.

`SPARK_CONNECT_JAR` names the server's jar where PySpark brings none (3.5; Maven Central has spark-connect_2.12).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pyspark
import pytest

from tests.conftest import WORKER_IMPORTS as MODELS
from tests.jobs.conftest import ROOT, Done
from twigma_spark.config.overlays import load
from twigma_spark.io import worker_daemon
from twigma_spark.io.session import DAEMON, ONE_ENVIRONMENT, REMOTE, SHORT_JVM, WORKER_IMPORTS
from twigma_spark.io.tables import Store
from twigma_spark.schemas import TABLES

pytestmark = [pytest.mark.faults, pytest.mark.connect]
SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"
SECONDS_TO_START = 300
PATH = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))

# What does not depend on the order in which sums are taken.
SAME = {
    "images": ("image_id", "corpus", "sha256"),
    "hashes": ("image_id", "vector", "windows"),
    "duplicates": ("image_id", "canonical_id", "tier"),
    "captions": ("image_id", "caption"),
    "neighbours": ("image_id", "reference", "rank", "neighbour_id"),
    "rejects": ("stage", "reason", "corpus"),
}


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with two threads."""
    for package in ("grpc", "grpc_status"):
        pytest.importorskip(package, reason=f"{package} is not installed (extra connect)")
    jar = os.environ.get("SPARK_CONNECT_JAR")
    if jar is None and not any((Path(pyspark.__file__).parent / "jars").glob("spark-connect_*.jar")):
        pytest.skip("the jar of Spark Connect is missing: SPARK_CONNECT_JAR must name it")
    home = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    conf = {
        "spark.connect.grpc.binding.port": str(port),
        "spark.ui.enabled": "false",
        DAEMON: worker_daemon.__name__,
        **ONE_ENVIRONMENT,
        "spark.sql.warehouse.dir": str(home / "warehouse"),
    }
    command = [str(Path(sys.executable).parent / "spark-submit"), "--master", "local[2]", "--class", SERVER]
    command += [word for key, value in conf.items() for word in ("--conf", f"{key}={value}")]
    command += ["--jars", jar] if jar else []
    # The package is on the server's machines, as a cluster's libraries are.
    imports = ",".join((*WORKER_IMPORTS, *MODELS))
    env = {**os.environ, "PYTHONPATH": PATH, "SPARK_SUBMIT_OPTS": SHORT_JVM, worker_daemon.IMPORTS: imports}
    log = home / "log"
    with log.open("w") as out:
        server = subprocess.Popen([*command, "spark-internal"], cwd=home, env=env, stdout=out, stderr=out)
    try:
        wait_for(server, port, log)
        yield f"sc://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def wait_for(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return once the server answers."""
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    raise AssertionError(f"the server did not start: {log.read_text()}")


def run_client(remote: str, conf: Path) -> str:
    """Return what the command line shows of a run by a client without a Spark of its own."""
    command = [sys.executable, "-c", "from twigma_spark.cli.main import main; main()", "run", "--conf", str(conf)]
    env = {**os.environ, REMOTE: remote, "PYTHONPATH": PATH}
    ended = subprocess.run(command, cwd=conf.parent, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_every_stage_finds_the_same(done: Done, conf_in: Callable[..., Path], tmp_path: Path, remote: str) -> None:
    conf = conf_in(tmp_path, Path(str(done.cfg.sample.out)))
    assert f"done: {len(done.outcomes)} stages run, 0 skipped" in run_client(remote, conf)
    store = Store(done.store.spark, load([conf]).store.root)
    counts = {name: (store.count(name), done.store.count(name)) for name in TABLES}
    assert {name: both for name, both in counts.items() if both[0] != both[1]} == {}
    for name, columns in SAME.items():
        one, other = (s.read(name).select(*columns) for s in (store, done.store))
        assert one.exceptAll(other).isEmpty() and other.exceptAll(one).isEmpty(), name
    assert f"done: 0 stages run, {len(done.outcomes)} skipped" in run_client(remote, conf)
