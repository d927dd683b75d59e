"""A head over stored vectors against a bare scan of their column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.bench.records import Record, alternate
from twigma_spark.models.heads import HeadSpec, save_linear
from twigma_spark.transforms.heads import score_vectors

DIM = 768


def vectors(spark: SparkSession, folder: Path, rows: int) -> DataFrame:
    """Return a Delta table of random unit vectors (image_id, corpus, embedding)."""

    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            numbers = np.asarray(batch.column(0))
            found = np.random.default_rng(int(numbers[0])).standard_normal((len(numbers), DIM), dtype=np.float32)
            found /= np.linalg.norm(found, axis=1, keepdims=True)
            offsets = pa.array(np.arange(0, found.size + 1, DIM, dtype=np.int32))
            lists = pa.ListArray.from_arrays(offsets, pa.array(found.ravel()))
            names = pa.array([f"{n:032x}" for n in numbers])
            corpora = pa.array(["bench"] * len(numbers))
            yield pa.record_batch([names, corpora, lists], ["image_id", "corpus", "embedding"])

    schema = "image_id STRING, corpus STRING, embedding ARRAY<FLOAT>"
    made = spark.range(0, rows, 1, 16).mapInArrow(make, schema)
    made.write.format("delta").option("parquet.enable.dictionary", "false").save(str(folder))
    return spark.read.format("delta").load(str(folder))


def against_scan(spark: SparkSession, root: Path, rows: int, rounds: int) -> Record:
    """Return the seconds of a linear head against those of a mapInArrow that only counts the column's rows."""
    table, file = vectors(spark, root / "vectors", rows), root / "head.safetensors"
    save_linear(file, np.ones(DIM, dtype=np.float32), 0.0, {"embedding_model": "bench", "link": "sigmoid"})

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.record_batch([pa.array([batch.num_rows])], ["n"])

    def scan() -> None:
        table.select("embedding").mapInArrow(count, "n BIGINT").agg(F.sum("n")).collect()

    def score() -> None:
        score_vectors(table, HeadSpec("linear", str(file)), "bench").agg(F.sum("value")).collect()

    scan()  # warm: Python workers, the page cache
    score()
    times = alternate(score, scan, rounds)
    ratio = 1 / times.speedup
    name, notes = f"a head over {rows:,} x {DIM}, against a bare mapInArrow scan", f"medians of {rounds}"
    return Record(name, times.ours, "s", times.theirs, ratio, "<= 1.3", ratio <= 1.3, notes)
