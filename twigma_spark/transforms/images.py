"""Rows of `images` from candidates: the header is read, the id is made, the unusable are told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StringType, StructField, StructType

from twigma_spark.io.local_files import read_bytes, read_part
from twigma_spark.models.decode import ImageError, probe

# What a candidate is given of its file, and what its header adds.
READ = ("content", "n_bytes", "reason", "detail")
# Where it is read from, and what is known no more afterwards; `digest` is that of a vector, in the place of a file.
PLACE = ("path", "start")
DIGEST = "digest"
ID_DIGITS = 32
# Of rows of `images` that came as vectors alone; of a short column, since whoever asks for `content` reads all bytes.
NO_BYTES = "n_bytes IS NULL"
PROBED = ("sha256", "width", "height", "format")
TEXTS = ("sha256", "format")
# Contents that a worker holds at a time, besides the largest file.
BATCH_BYTES = 32 * 2**20


class _Probed(NamedTuple):
    """What is known of a candidate's file."""

    content: bytes | None
    n_bytes: int | None
    reason: str | None
    detail: str | None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None


def probe_images(candidates: DataFrame, corpus: str, max_pixels: int, max_bytes: int) -> DataFrame:
    """Return the candidates with their contents and what their headers say, and a `reason` where one cannot be used.

    Files that have a `path` (and parts of one, from `start` on) are read here, one after the other, so that contents
    pass through no join. Only headers are decoded; a file whose pixels turn out to be broken is refused by the stage
    that decodes it. A candidate with neither content nor path is an image that came as a vector, with its `digest`.
    """
    names = [name for name in candidates.columns if name not in PLACE]
    known = F.coalesce("sha256", DIGEST) if DIGEST in names else F.col("sha256")
    fields = candidates.select(*names).schema.fields
    schema = StructType([*fields, *[StructField(n, StringType() if n in TEXTS else IntegerType()) for n in PROBED]])
    image_id = F.substring(F.sha2(F.concat_ws("/", F.lit(corpus), "source_key", known), 256), 1, ID_DIGITS)
    probed = candidates.mapInArrow(partial(_probe_batches, max_pixels=max_pixels, max_bytes=max_bytes), schema)
    return probed.select(
        image_id.alias("image_id"),
        F.lit(corpus).alias("corpus"),
        *[name for name in names if name not in ("reason", "detail", DIGEST)],
        *PROBED,
        "reason",
        "detail",
    )


def usable(probed: DataFrame, columns: list[str]) -> DataFrame:
    """Return the candidates that can be used, as rows of `images`."""
    return probed.where("reason IS NULL").select(*columns)


def in_order(images: DataFrame, parts: int) -> DataFrame:
    """Return the images in the order of their ids, in so many ranges of about the same number.

    Each range becomes a file of a corpus, whose least and greatest id Delta keeps: who asks for some ids reads
    only the files that can hold them.
    """
    order = ("corpus", "image_id")
    return images.repartitionByRange(parts, *order).sortWithinPartitions(*order)


def image_rejects(probed: DataFrame) -> DataFrame:
    """Return rejects (unit, corpus, key, reason, detail) for the candidates that cannot be used."""
    return probed.where("reason IS NOT NULL").select(
        F.lit("image").alias("unit"),
        "corpus",
        F.col("source_key").alias("key"),
        "reason",
        F.coalesce("detail", F.lit("")).alias("detail"),
    )


def count_changes(before: DataFrame, after: DataFrame) -> tuple[int, int, int]:
    """Return how many images are new, gone and changed: their contents differ under the same corpus and key.

    Args:
        before: rows of `images`.
        after: rows of `images` that take their place.
    """
    key = ["corpus", "source_key"]
    old, new = (
        frame.groupBy(key).agg(F.max("image_id").alias(name)) for frame, name in ((before, "old"), (after, "new"))
    )
    counted = old.join(new, key, "full").select(
        *(F.expr(f"count_if({what})") for what in ("old IS NULL", "new IS NULL", "old != new"))
    )
    row = counted.collect()[0]
    return row[0], row[1], row[2]


def _probe_batches(batches: Iterator[pa.RecordBatch], max_pixels: int, max_bytes: int) -> Iterator[pa.RecordBatch]:
    """Yield the batches with the contents read and the headers probed, cut so that few bytes are held at a time."""
    for batch in batches:
        rows: list[_Probed] = []
        for path, start, *fields in zip(*(batch.column(n).to_pylist() for n in (*PLACE, *READ)), strict=True):
            rows.append(_probe(path, start, _Probed(*fields), max_pixels, max_bytes))
            if sum(row.n_bytes or 0 for row in rows) >= BATCH_BYTES:
                yield _fill_batch(batch, rows)
                batch, rows = batch.slice(len(rows)), []
        yield _fill_batch(batch, rows)


def _fill_batch(batch: pa.RecordBatch, rows: list[_Probed]) -> pa.RecordBatch:
    """Return the first rows of the batch, with what was read and probed in place of what was given."""
    arrays: dict[str, pa.Array] = {n: batch.column(n).slice(0, len(rows)) for n in batch.schema.names if n not in PLACE}
    kinds = {"content": pa.binary(), "n_bytes": pa.int64(), "width": pa.int32(), "height": pa.int32()}
    for name in (*READ, *PROBED):
        arrays[name] = pa.array([getattr(row, name) for row in rows], kinds.get(name, pa.string()))
    return pa.RecordBatch.from_pydict(arrays)


def _probe(path: bytes | None, start: int | None, candidate: _Probed, max_pixels: int, max_bytes: int) -> _Probed:
    if candidate.reason is not None:
        return candidate
    content = candidate.content
    if path is not None:
        try:
            content = read_bytes(path, max_bytes) if start is None else read_part(path, start, candidate.n_bytes or 0)
        except OSError as error:  # it is gone, or may not be read
            return candidate._replace(reason="unreadable_file", detail=error.strerror or type(error).__name__)
        if content is None:
            return candidate._replace(reason="too_many_bytes", detail="grew beyond ingest.max_bytes")
    if content is None:
        return candidate
    known = candidate._replace(content=content, n_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    try:
        header = probe(content, max_pixels)
    except ImageError as error:
        return known._replace(reason=error.reason, detail=error.detail)
    return known._replace(width=header.width, height=header.height, format=header.format, reason=None, detail=None)
