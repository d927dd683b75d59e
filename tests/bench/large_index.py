"""Large references: five million vectors in files that are mapped, and the plan of thousands of shards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.bench import vectors_data as data
from tests.bench.book import printed, progress, timed
from tests.bench.memory import watched
from tests.bench.records import Record
from twigma_spark.estimators import faiss_index, index_files, neighbour_search, recall
from twigma_spark.estimators.blas import faiss
from twigma_spark.estimators.index_types import Choice, choose
from twigma_spark.io import arrow
from twigma_spark.io.artifacts import Artifact, ArtifactFolder

K, BATCH, SAMPLE, RECALL = 5, 4096, 1000, 0.95
# What the neighbours stage may take for an index of so many references, and the largest file.
MEMORY, OF_ROWS, FILE = 4e9, 5_000_000, 2e9
# Queries whose rate is measured.
ASKED = 20_000
# Elements of the vectors of the plan, and how many of them are in a shard.
SMALL, EACH = 8, 2


def large(b: Any) -> Iterator[Record]:
    """The index that is chosen for a reference beyond the memory: files, driver's memory, recall and rate.

    With fewer rows the memory is as much less, so that the plan is the same. All that is made is removed.
    """
    rows, dim = b.asked.large_rows, b.asked.dim
    faiss.omp_set_num_threads(b.asked.threads)
    with tempfile.TemporaryDirectory(dir=b.root) as place:
        progress(f"large: data {rows:,} x {dim}")
        table = data.table(b.spark, Path(place) / "vectors", data.World(rows, dim, 4))
        queries = b.references(dim).limit(ASKED)
        choice = choose(rows, dim, 805_650, MEMORY * rows / OF_ROWS, 0.0)
        source = index_files.IndexSource("large", table, rows, {}, 7)
        progress(f"large: {choice.factory}, {choice.shard_rows:,} rows a file ({choice.reason})")
        with watched() as peak:
            building, (files, _) = timed(
                lambda: index_files.prepare_index(source, choice, ArtifactFolder(str(Path(place) / "index")), [])
            )
        name = f"{choice.factory} of {rows:,} x {dim} in {len(files)} files"
        yield printed(f"{name}: trained and written", building, "s")
        yield _within(f"{name}: driver's peak while it is written", peak.driver, MEMORY, "<= 4 GB")
        yield printed(f"{name}: the same with its JVM, in which the tasks run too", peak.with_jvm / 1e9, "GB")
        largest = max(Path(each.path).stat().st_size for each in files)
        yield _within(f"{name}: largest file", largest, FILE, "<= 2 GB")
        yield from _searched(name, table, queries, files)


def _searched(name: str, table: Any, queries: Any, files: list[Artifact]) -> Iterator[Record]:
    """Yield the recall at the nprobe at which it holds, the rate there and the driver's memory."""
    sample = queries.limit(SAMPLE)
    exact, _ = timed(lambda: recall.exact(arrow.collect(sample), table, K).count())
    shards = index_files.shard_files(files, 8, ArtifactFolder(""))
    with watched() as peak:
        curve = recall.tune_nprobe(shards, sample, table, K, RECALL)
        nprobe, value = list(curve.items())[-1]
        progress("large: " + ", ".join(f"nprobe {n}: {each.estimate:.4f}" for n, each in curve.items()))
        indexes = [shard.load() for shard in index_files.shard_files(files, nprobe, ArtifactFolder(""))]
        seconds, _ = timed(lambda: neighbour_search.search(indexes, queries, K, BATCH))
    found = float(value.estimate or 0.0)
    yield Record(f"{name}: recall@{K}, nprobe {nprobe}", found, f"of {SAMPLE} queries", None, None, ">= 0.95",
                 found >= RECALL, f"Wilson, 95%: {value.low:.4f} to {value.high:.4f}")  # fmt: skip
    rate, theirs = ASKED / seconds, SAMPLE / exact
    yield Record(f"{name}: rate with the reading", rate, "queries/s", theirs, rate / theirs, "printed",
                 beside=f"exact search of {SAMPLE} queries in one pass over the table")  # fmt: skip
    yield _within(f"{name}: driver's peak while it is searched", peak.driver, MEMORY, "<= 4 GB")


def plan(b: Any) -> Iterator[Record]:
    """The files of a thousand million references as they would be planned, with a few small vectors in each.

    Manifests, files, their check at a second run and the search go through the code that a large index takes.
    """
    count = b.asked.shards
    rng, rows = np.random.default_rng(0), count * EACH
    ids, vectors = pa.array([f"{n:08d}" for n in range(rows)]), rng.standard_normal((rows, SMALL), dtype=np.float32)
    batch = pa.record_batch([ids, arrow.lists(vectors)], ["image_id", "embedding"])
    frame = arrow.frame_of(b.spark, [batch], "image_id STRING, embedding ARRAY<FLOAT>")
    source = index_files.IndexSource("plan", frame, rows, {"corpus": "plan"}, 7)
    queries = arrow.lists(rng.standard_normal((1000, SMALL), dtype=np.float32))
    asked = pa.record_batch([pa.array([f"q{n}" for n in range(1000)]), queries], ["image_id", "embedding"])
    choice, name = Choice("Flat", "small", EACH), f"plan of {count:,} shards"
    with tempfile.TemporaryDirectory(dir=b.root) as place:
        building, (made, _) = timed(lambda: index_files.prepare_index(source, choice, ArtifactFolder(place), []))
        again, (_, there) = timed(lambda: index_files.prepare_index(source, choice, ArtifactFolder(place), made))
        with watched() as peak:
            loading, shards = timed(
                lambda: [each.load() for each in index_files.shard_files(made, 1, ArtifactFolder(place))]
            )
            seconds, found = timed(lambda: list(neighbour_search.answers([asked], shards, K, BATCH)))
        same = found == list(neighbour_search.answers([asked], [faiss_index.build(frame)], K, BATCH))
        yield printed(f"{name}: written", building, "s")
        yield Record(f"{name}: found again", again, "s", building, again / building, "used again", there)
        yield printed(f"{name}: mapped", loading, "s")
        yield Record(f"{name}: 1,000 queries", seconds, "s", None, None, "answers of one index", same)
        yield printed(f"{name}: driver's peak while it is searched", peak.driver / 2**30, "GiB")


def _within(name: str, value: float, most: float, target: str) -> Record:
    """Return a record of bytes that must not exceed others."""
    return Record(name, value / 1e9, "GB", None, None, target, value <= most)
