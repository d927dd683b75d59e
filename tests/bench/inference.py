"""Inference: the embed job against a bare torch loop, and heads against a scan of the table.

`python -m tests.bench.inference --images 5000 --vectors 805650`
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.bench.records import Record, alternate, write
from twigma_spark import pipeline
from twigma_spark.config import Config, load
from twigma_spark.io.session import arrow_batches, open_session
from twigma_spark.io.tables import Store
from twigma_spark.models.base import Model
from twigma_spark.models.heads import HeadSpec, save_linear
from twigma_spark.models.runner import run_batches
from twigma_spark.schemas import IMAGES
from twigma_spark.stages import specs
from twigma_spark.transforms.heads import scored

MODEL = "models.image={{kind: open_clip, name: ViT-B-32, pretrained: random-1, precision: {precision}, decode: fast}}"
BATCH = 32


def jpeg(seed: int, side: int) -> bytes:
    """Return a JPEG of soft blocks, about as large as a photograph of that size."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize((side, side))
    grain = rng.normal(0, 6, (side, side, 1))
    out = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def fill(store: Store, images: int, side: int) -> None:
    """Write the table `images`; 64 different pictures in turn."""
    pictures = [jpeg(seed, side) for seed in range(64)]

    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            numbers = batch.column(0).to_pylist()
            ids = [hashlib.md5(str(n).encode()).hexdigest() for n in numbers]  # noqa: S324 - an id
            columns = [pa.array(ids), pa.array([pictures[n % 64] for n in numbers], pa.binary())]
            yield pa.record_batch(columns, ["image_id", "content"])

    with arrow_batches(store.spark, 64):
        drawn = store.spark.range(images).mapInArrow(make, "image_id STRING, content BINARY")
        known = {"corpus": F.lit("bench"), "source_key": F.col("image_id"), "width": F.lit(side), "height": F.lit(side)}
        rest = {c.name: F.lit(None).cast(c.type) for c in IMAGES.columns if c.name not in (*known, *drawn.columns)}
        store.write("images", drawn.withColumns({**known, **rest}), stage="ingest")


def forget(store: Store) -> None:
    """Remove what a run of the job left, so that the next computes all again."""
    for table in ("embeddings", "rejects", "runs"):
        shutil.rmtree(Path(store.root) / table, ignore_errors=True)


def job(store: Store, cfg: Config) -> Callable[[], None]:
    """Return the whole stage `embed`: Delta to Delta, with its MERGE, its account and its row of `runs`."""

    def run() -> None:
        forget(store)
        pipeline.run(cfg, store, pipeline.select(only=["embed"]), lambda text: None)

    return run


def bare(contents: list[bytes], model: Model, threads: int) -> Callable[[], None]:
    """Return a bare loop in this process: the same decoding, precision and batch, with all threads."""
    loaded = model.setup("cpu", threads)
    batches = [contents[at : at + BATCH] for at in range(0, len(contents), BATCH)]

    def run() -> None:
        for _ in run_batches(batches, loaded, batch_size=BATCH, decode_threads=1):
            pass

    return run


def embedding(spark: SparkSession, root: Path, images: int, side: int, rounds: int, threads: int) -> Record:
    """Return the job's images/s against those of the bare loop, at the precision that `auto` takes."""
    store = Store(spark, str(root / f"embed{side}"))
    fill(store, images, side)
    settings = [MODEL.format(precision="auto"), f"embed.batch_size={BATCH}"]
    cfg = load([], settings)
    contents = [jpeg(seed, side) for seed in range(64)] * (images // 64 + 1)
    sides = [job(store, cfg), bare(contents[:images], specs.image_encoder(cfg), threads)]
    began = time.perf_counter()
    job(store, load([], [*settings, "embed.commit_every=1000000"]))()
    first = time.perf_counter() - began
    ours, theirs = alternate(sides, rounds)
    revision = specs.image_encoder(cfg).preprocess_rev
    name = f"embed job, ViT-B/32, {images:,} images of {side}², {revision} (first run {first:.0f} s)"
    ratio = theirs / ours
    return Record(name, images / ours, "images/s", images / theirs, ratio, ">= 0.95 of a bare loop", ratio >= 0.95)


def vectors(spark: SparkSession, folder: Path, rows: int, dim: int) -> DataFrame:
    """Return a Delta table of random unit vectors (image_id, corpus, embedding)."""

    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            numbers = np.asarray(batch.column(0))
            found = np.random.default_rng(int(numbers[0])).standard_normal((len(numbers), dim), dtype=np.float32)
            found /= np.linalg.norm(found, axis=1, keepdims=True)
            offsets = pa.array(np.arange(0, found.size + 1, dim, dtype=np.int32))
            lists = pa.ListArray.from_arrays(offsets, pa.array(found.ravel()))
            names = pa.array([f"{n:032x}" for n in numbers])
            yield pa.record_batch(
                [names, pa.array(["bench"] * len(numbers)), lists], ["image_id", "corpus", "embedding"]
            )

    schema = "image_id STRING, corpus STRING, embedding ARRAY<FLOAT>"
    made = spark.range(0, rows, 1, 16).mapInArrow(make, schema)
    made.write.format("delta").option("parquet.enable.dictionary", "false").save(str(folder))
    return spark.read.format("delta").load(str(folder))


def heads(spark: SparkSession, root: Path, rows: int, rounds: int) -> Record:
    """Return the seconds of a linear head over stored vectors against a bare mapInArrow scan of the column."""
    table = vectors(spark, root / "vectors", rows, 768)
    file = root / "head.safetensors"
    save_linear(file, np.ones(768, dtype=np.float32), 0.0, {"embedding_model": "bench", "link": "sigmoid"})

    def scan(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.record_batch([pa.array([batch.num_rows])], ["n"])

    def counted() -> None:
        table.select("embedding").mapInArrow(scan, "n BIGINT").agg(F.sum("n")).collect()

    def scores() -> None:
        scored(table, HeadSpec("linear", str(file)), "bench").agg(F.sum("value")).collect()

    ours, theirs = alternate([scores, counted], rounds)
    ratio = ours / theirs
    return Record(f"head over {rows:,} x 768", ours, "s", theirs, ratio, "<= 1.3 bare scans", ratio <= 1.3)


def gpu() -> Record:
    """Return the row of a GPU machine; without one it says that nothing was measured."""
    return Record("inner loop on a GPU, share of the raw forward rate, ViT-L/14", None, "images/s", target="printed")


def main() -> None:
    """Run all, write build/bench/inference.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--vectors", type=int, default=805_650)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    spark, _ = open_session("bench", master=f"local[{asked.threads}]", conf={"spark.driver.memory": "4g"})
    with tempfile.TemporaryDirectory() as folder:
        records = [heads(spark, Path(folder), asked.vectors, asked.rounds)]
        records.append(embedding(spark, Path(folder), asked.images, 288, asked.rounds, asked.threads))
    write("inference", [*records, gpu()])
    spark.stop()


if __name__ == "__main__":
    main()
