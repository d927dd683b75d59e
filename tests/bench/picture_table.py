"""A table of benchmark images in a store."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import functions as F

from tests.bench.pictures import DIFFERENT, pictures
from twigma_spark.io.session import picture_batches
from twigma_spark.io.tables import Store
from twigma_spark.schemas import IMAGES


def fill(store: Store, images: int, side: int) -> None:
    """Write the table `images` of `pictures`."""
    some = pictures(min(DIFFERENT, images), side)

    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            numbers = batch.column(0).to_pylist()
            ids = [hashlib.md5(str(n).encode()).hexdigest() for n in numbers]  # noqa: S324 - an id
            columns = [pa.array(ids), pa.array([some[n % len(some)] for n in numbers], pa.binary())]
            yield pa.record_batch(columns, ["image_id", "content"])

    with picture_batches(store.spark, 64):
        drawn = store.spark.range(images).mapInArrow(make, "image_id STRING, content BINARY")
        known = {"corpus": F.lit("bench"), "source_key": F.col("image_id"), "width": F.lit(side), "height": F.lit(side)}
        rest = {c.name: F.lit(None).cast(c.type) for c in IMAGES.columns if c.name not in (*known, *drawn.columns)}
        store.write("images", drawn.withColumns({**known, **rest}), stage="ingest")


def forget(store: Store) -> None:
    """Remove what a run of the job left, so that the next computes all again."""
    for table in ("embeddings", "rejects", "runs", "plain"):
        shutil.rmtree(Path(store.root) / table, ignore_errors=True)
