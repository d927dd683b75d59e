"""`make cluster-demo`: the sample world by spark-submit on a standalone cluster, beside the store of `make demo`.

Master and two workers are processes of the pyspark package, each worker in a Python environment of its own that is
built from requirements.lock. Driver and workers share the disk. Fails where a table is another than that of the demo;
the tolerance of real numbers is in tests/same_tables.py. `--size 160` takes a smaller world, and other arguments
are those of `twigma run`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyspark
import yaml

from tests.demos import ROOT, Demo, parse, print_differences
from twigma_spark.config.overlays import load
from twigma_spark.io.session import open_session
from twigma_spark.io.tables import Store

OWN = ROOT / "build" / "cluster-demo"
WORKERS = 2
CORES, MEMORY = 1, "3g"
SECONDS = 120
# The Python of an executor is the first one on its worker's PATH.
PYTHON = "python"


def main(arguments: Sequence[str]) -> int:
    """Return 0 where the tables are those of the demo, else 1, or the exit status of the run."""
    demo, others = parse(arguments, "the sample world on a standalone cluster, beside the store of make demo")
    homes = [build_environment(OWN / f"worker-{n}") for n in range(1, WORKERS + 1)]
    with serving(homes) as master:
        words = demo.confs(write_conf(demo))
        start = time.monotonic()
        if code := submit(master, [*words, "--set", "neighbours.search.where=executors", *others]):
            return code
        print(f"cluster-demo: {time.monotonic() - start:.0f} s", flush=True)
    cfg = load(words[1::2])
    spark, _ = open_session("cluster-demo", short=True)
    wrong = print_differences(Store(spark, str(demo.folder / "tables")), Store(spark, cfg.store.root))
    spark.stop()
    return int(wrong)


def build_environment(home: Path) -> Path:
    """Return an environment with the pinned packages and this one; made where it is missing or another's."""
    lock, stamp = ROOT / "requirements.lock", home / ".lock"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        print(f"cluster-demo: building {home}", flush=True)
        subprocess.run([str(ROOT / "deploy" / "local" / "setup.sh"), str(home), str(lock)], cwd=ROOT, check=True)
        stamp.write_bytes(lock.read_bytes())
    return home


@contextmanager
def serving(homes: Sequence[Path]) -> Iterator[str]:
    """Yield the address of a master with a worker in each environment; all of them end afterwards."""
    port, page = free_port(), free_port()
    started: list[subprocess.Popen[bytes]] = []
    OWN.mkdir(parents=True, exist_ok=True)
    try:
        with (OWN / "cluster.log").open("wb") as log:
            address = f"spark://127.0.0.1:{port}"
            asked = ["master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(page)]
            started.append(start(Path(sys.prefix), asked, log))
            for home in homes:
                asked = ["worker.Worker", "--host", "127.0.0.1", "--cores", str(CORES), "--memory", MEMORY]
                asked += ["--webui-port", "0", "--work-dir", str(OWN / f"{home.name}-work"), address]
                started.append(start(home, asked, log))
            wait_for_workers(f"http://127.0.0.1:{page}/json/", len(homes), started)
            yield address
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(SECONDS)


def start(home: Path, asked: Sequence[str], log: Any) -> subprocess.Popen[bytes]:
    """Return a process of Spark's standalone cluster, of the pyspark package of an environment."""
    spark = next(home.glob("lib/python*/site-packages/pyspark"))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYSPARK_", "SPARK_"))}
    env |= {"SPARK_HOME": str(spark), "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    command = [str(spark / "bin" / "spark-class"), f"org.apache.spark.deploy.{asked[0]}", *asked[1:]]
    return subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)


def wait_for_workers(page: str, n: int, started: Sequence[subprocess.Popen[bytes]]) -> None:
    """Return when so many workers are known to the master.

    Raises:
        TimeoutError: they are not after a while, or a process has ended.
    """
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and all(process.poll() is None for process in started):
        with suppress(OSError, ValueError), urllib.request.urlopen(page, timeout=5) as answer:  # noqa: S310
            if json.load(answer)["aliveworkers"] == n:
                return
        time.sleep(0.5)
    raise TimeoutError(f"a cluster must have {n} workers within {SECONDS} s. Got fewer; see {OWN / 'cluster.log'}.")


def write_conf(demo: Demo) -> Path:
    """Return the configuration of the sample with tables and report of its own; its files are those of the demo."""
    settings = demo.configuration(str(demo.folder))
    settings["store"] = {"root": str(OWN / "tables")}
    settings["report"]["path"] = str(OWN / "report.html")
    path = OWN / "cluster.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def submit(master: str, words: Sequence[str]) -> int:
    """Return the exit status of jobs/run_all.py on the cluster; the driver's Python is this one."""
    spark = Path(pyspark.__file__).parent
    settings = {
        "spark.pyspark.python": PYTHON, "spark.pyspark.driver.python": sys.executable,
        "spark.executor.memory": "2g", "spark.executor.cores": str(CORES), "spark.driver.host": "127.0.0.1",
    }  # fmt: skip
    command = [str(spark / "bin" / "spark-submit"), "--master", master]
    command += [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYSPARK_")}
    done = subprocess.run([*command, str(ROOT / "jobs" / "run_all.py"), *words], cwd=ROOT, env=env)
    return done.returncode


def free_port() -> int:
    """Return a port that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
