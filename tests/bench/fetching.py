"""Downloads: the stage `fetch` against img2dataset, at its defaults and as well as it can be set, from one server.

`python -m tests.bench.fetching`; `--files 2000 --rounds 3`, `--only speed`. img2dataset is installed into a virtual
environment of its own, build/bench/img2dataset; importing it is not timed, nor is the start of Spark.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from pyspark.sql import SparkSession

from tests.bench.records import FOLDER, Record, keep
from tests.tables import table
from twigma_spark.config.data import Corpus
from twigma_spark.config.engine import Fetch
from twigma_spark.config.settings import Config
from twigma_spark.io.session import open_session
from twigma_spark.stages import fetch
from twigma_spark.stages.stage import StageContext

OTHER, VENV = "img2dataset==1.47.0", FOLDER / "img2dataset"
# Two names of this machine: pictures of a host are one task's, so that its rate holds.
HOSTS = ("127.0.0.1", "127.0.0.2")
NO_LIMIT, THREADS = 1_000_000.0, 16
# What img2dataset is told: nothing, and what saves it all work but the download, on both cores and with retries.
DEFAULTS: dict[str, object] = {}
TUNED: dict[str, object] = {
    "processes_count": 2, "thread_count": 32, "resize_mode": "no", "skip_reencode": True, "retries": 3,
    "number_sample_per_shard": 500,
}  # fmt: skip
RUN = """
import json, sys, time
from img2dataset import download
if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    start = time.perf_counter()
    download(**given)
    print("SECONDS", time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Server:
    """The server: where it is, and what it was asked for since it was asked last."""

    port: int

    def urls(self, paths: Sequence[str]) -> list[str]:
        """Return the addresses of paths, at the hosts in turn."""
        return [f"http://{HOSTS[n % len(HOSTS)]}:{self.port}{path}" for n, path in enumerate(paths)]

    def stats(self) -> dict[str, object]:
        """Return how many requests came, and the most in a second by host."""
        with urlopen(f"http://{HOSTS[0]}:{self.port}/stats") as answer:
            found: dict[str, object] = json.load(answer)
        return found


@contextmanager
def serving() -> Iterator[Server]:
    """Yield the server, in a process of its own."""
    with socket.socket() as free:
        free.bind((HOSTS[0], 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.bench.picture_server", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline().strip() == "listening"
            yield Server(port)
        finally:
            process.terminate()


@dataclass(frozen=True)
class Got:
    """What a run brought: files, and the seconds it took."""

    files: int
    seconds: float

    @property
    def rate(self) -> float:
        """Return files a second."""
        return self.files / self.seconds


def ours(spark: SparkSession, urls: Sequence[str], rate: float = NO_LIMIT) -> Got:
    """Return what one run of the stage brings."""
    with tempfile.TemporaryDirectory() as folder:
        root, listed = Path(folder) / "pictures", Path(folder) / "urls.csv"
        with listed.open("w", newline="") as file:
            csv.writer(file).writerows([("file", "url"), *((f"{n}.jpg", url) for n, url in enumerate(urls))])
        corpus = Corpus(name="own", role="natural", path=str(root), metadata=str(listed), fetch=True)
        cfg = Config(corpora=(corpus,), fetch=Fetch(rate=rate, threads=THREADS, private_hosts=HOSTS))
        context = StageContext(spark, lambda frame: frame.localCheckpoint(), lambda text: None)
        empty = {name: table(spark, name, []) for name in ("downloads", "tombstones")}
        start = time.perf_counter()
        for part in fetch.run(cfg, context, **empty):
            part["downloads"].count()
        seconds = time.perf_counter() - start
        return Got(_count(root), seconds)


def theirs(urls: Sequence[str], settings: dict[str, object]) -> Got:
    """Return what img2dataset brings in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root, listed = Path(folder) / "pictures", Path(folder) / "urls.txt"
        listed.write_text("\n".join(urls))
        (Path(folder) / "run.py").write_text(RUN)
        given = {"url_list": str(listed), "output_folder": str(root), "output_format": "files", **settings}
        command = [str((VENV / "bin/python").absolute()), "run.py", json.dumps(given)]
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=True)
        seconds = next(float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("SECONDS"))
        return Got(_count(root), seconds)


def _count(root: Path) -> int:
    return sum(1 for path in root.rglob("*.jpg") if path.stat().st_size)


def install() -> str | None:
    """Return why img2dataset cannot be run, None where it can; it is installed where it is not there."""
    if not (VENV / "bin/img2dataset").exists():
        shutil.rmtree(VENV, ignore_errors=True)
        for command in (
            [sys.executable, "-m", "venv", str(VENV)],
            [f"{VENV}/bin/python", "-m", "pip", "install", OTHER],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                return f"{OTHER} cannot be installed: {done.stderr.strip().splitlines()[-1][:200]}"
    return None


def in_turns(sides: dict[str, Callable[[], Got]], rounds: int) -> dict[str, list[Got]]:
    """Return what each side got in each round; they take turns, since a machine's speed drifts."""
    got: dict[str, list[Got]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            got[name].append(side())
    return got


def against(spark: SparkSession, urls: Sequence[str]) -> dict[str, Callable[[], Got]]:
    """Return our side and both of img2dataset's, which bring some pictures."""
    return {
        "ours": lambda: ours(spark, urls),
        "at its defaults": lambda: theirs(urls, DEFAULTS),
        "as well as it can be set": lambda: theirs(urls, TUNED),
    }


def speed(spark: SparkSession, server: Server, asked: argparse.Namespace) -> Iterator[Record]:
    """Yield files/s where the server holds nobody back."""
    sides = against(spark, server.urls([f"/ok/{n}" for n in range(asked.files)]))
    got = in_turns(sides, asked.rounds)
    rates = {name: statistics.median(each.rate for each in runs) for name, runs in got.items()}
    for name in list(sides)[1:]:
        ratio = statistics.median(a.rate / b.rate for a, b in zip(got["ours"], got[name], strict=True))
        files = {side: [each.files for each in got[side]] for side in ("ours", name)}
        notes = f"files had: {files['ours']} and {files[name]}; medians of {asked.rounds}; {load()}"
        beside = f"{OTHER} {name}"
        what = f"{asked.files:,} files of some 20 kB, no limit, against img2dataset {name}"
        yield Record(what, rates["ours"], "files/s", rates[name], ratio, ">= 1", ratio >= 1, notes, beside)


def success(spark: SparkSession, server: Server, asked: argparse.Namespace) -> Iterator[Record]:
    """Yield the share of what can be had that is there after one run, where a fifth is only had by asking again."""
    kinds = ["ok"] * 7 + ["busy", "limited", "gone"]
    paths = [f"/{kinds[n % 10]}/{n}" for n in range(asked.files)]
    there = sum(not path.startswith("/gone") for path in paths)
    sides = against(spark, server.urls(paths))
    share: dict[str, float] = {}
    for name, side in sides.items():
        server.stats()
        share[name] = side().files / there
    for name in list(sides)[1:]:
        what = f"share of {there:,} files that can be had: 503 twice for a tenth, 429 once for a tenth"
        yield Record(
            f"{what}, against img2dataset {name}", share["ours"], "share", share[name], None, "1", share["ours"] == 1,
            "one run each", f"{OTHER} {name}",
        )  # fmt: skip


def limit(spark: SparkSession, server: Server, asked: argparse.Namespace) -> Iterator[Record]:
    """Yield how many requests in the busiest second of a host are more than the rate that it allows."""
    rate = 50
    urls = server.urls([f"/ok/{n}" for n in range(min(asked.files, 20 * rate))])
    busiest: dict[str, int] = {}
    for name, side in {"ours": lambda: ours(spark, urls, rate), "theirs": lambda: theirs(urls, TUNED)}.items():
        server.stats()
        side()
        found = server.stats()["busiest"]
        busiest[name] = max(found.values()) if isinstance(found, dict) else 0
    over = max(0, busiest["ours"] - rate)
    notes = f"{rate}/s allowed; the busiest second had {busiest['ours']}, of img2dataset, which knows no rate, "
    yield Record(
        "requests above a host's rate in its busiest second", over, "requests", busiest["theirs"] - rate, None, "0",
        over == 0, f"{notes}{busiest['theirs']}", OTHER,
    )  # fmt: skip


PARTS = {"speed": speed, "success": success, "limit": limit}


def load() -> str:
    """Return how busy the machine is."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end, other work included"


def main(arguments: list[str] | None = None) -> None:
    """Measure and write build/bench/fetch.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    asked = parser.parse_args(arguments)
    if (why := install()) is not None:
        keep("fetch", "speed", Record("downloads against img2dataset", None, "files/s", notes=why))
        return
    spark, _ = open_session("bench", master="local[2]", conf={"spark.driver.memory": "1g"})
    with serving() as server:
        ours(spark, server.urls(["/ok/1", "/ok/2"]))  # starts the workers
        for part in asked.only:
            print(f"[{part}] {(PARTS[part].__doc__ or '').strip()}", flush=True)
            for record in PARTS[part](spark, server, asked):
                keep("fetch", part, record)
    spark.stop()


if __name__ == "__main__":
    main()
