"""Inference, measured: `python -m tests.bench.inference [--only PART] [--job-images 5000] ...`.

Both sides of a comparison work on the same images with the same cores, and take turns. Each figure is written
to build/bench/inference.json as soon as it is there.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession

from tests.bench import captions, heads, worker_memory
from tests.bench.embedding import bare, no_network, readme_loop, setting, two_udfs
from tests.bench.records import Record, keep
from twigma_spark.io.session import open_session


@dataclass(frozen=True)
class Bench:
    """What a part is given: the sizes asked for, a folder, and a session with the seconds that it took to start."""

    asked: argparse.Namespace
    root: Path
    spark: SparkSession
    start: float


def start(bench: Bench) -> Iterator[Record]:
    """Spark's start, which the other figures leave out."""
    yield Record(f"start of Spark, local[{bench.asked.threads}]", bench.start, "s")


def job(bench: Bench) -> Iterator[Record]:
    """The whole job against a bare loop."""
    asked = bench.asked
    given = setting(bench.spark, bench.root, asked.job_images, 288, asked.threads)
    yield given.against("a bare torch loop", bare(given), asked.rounds, 0.95)


def readme(bench: Bench) -> Iterator[Record]:
    """The job as users get it against the loop of open_clip's README."""
    asked = bench.asked
    for side, images in ((288, asked.readme_images), (1536, asked.large_images)):
        given = setting(bench.spark, bench.root, images, side, asked.threads)
        yield given.against("open_clip's README, fp32, a DataLoader", readme_loop(given), asked.rounds, 4, amx=True)


def udfs(bench: Bench) -> Iterator[Record]:
    """The job against two UDFs that ship pixels: with a network, and with next to none, as where a GPU runs it."""
    asked, other = bench.asked, "two UDFs that ship pixel arrays"
    given = setting(bench.spark, bench.root, asked.udf_images, 288, asked.threads)
    yield given.against(other, two_udfs(given), asked.rounds, 1.5)
    given = setting(bench.spark, bench.root, asked.udf_images, 288, asked.threads, no_network(bench.root / "onnx"))
    yield given.against(other, two_udfs(given), asked.rounds, 1.5)


def blip(bench: Bench) -> Iterator[Record]:
    """BLIP against transformers' documentation."""
    asked = bench.asked
    yield captions.against_documentation(bench.root, asked.blip_images, asked.rounds, asked.threads)


def head(bench: Bench) -> Iterator[Record]:
    """A head against a scan."""
    yield heads.against_scan(bench.spark, bench.root, bench.asked.vectors, bench.asked.rounds)


def peak(bench: Bench) -> Iterator[Record]:
    """Memory over many images."""
    yield worker_memory.flat(bench.asked.memory_first, bench.asked.memory_images)


# From the cheapest to the dearest, so that an end in the middle costs little.
PARTS: Mapping[str, Callable[[Bench], Iterator[Record]]] = {
    "start": start,
    "memory": peak,
    "heads": head,
    "blip": blip,
    "udfs": udfs,
    "readme": readme,
    "job": job,
}
SIZES = {
    "job-images": 10_000,
    "readme-images": 5000,
    "large-images": 1000,
    "udf-images": 10_000,
    "blip-images": 8,
    "vectors": 805_650,
    "memory-first": 5000,
    "memory-images": 50_000,
    "rounds": 3,
    "threads": 2,
}


def main(argv: list[str] | None = None) -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; again for more; else all")
    for name, default in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{default:,} unless told")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        spark, _ = open_session("bench", master=f"local[{asked.threads}]", conf={"spark.driver.memory": "4g"})
        bench = Bench(asked, Path(folder), spark, time.perf_counter() - began)
        for part in asked.only or PARTS:
            print(f"[{part}] {' '.join((PARTS[part].__doc__ or '').split())}", flush=True)
            for record in PARTS[part](bench):
                keep("inference", part, record)
        spark.stop()


if __name__ == "__main__":
    main()
