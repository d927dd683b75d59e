"""Pairs of vectors of one corpus whose cosine is at least a bound, without comparing all with all.

Each vector goes to the buckets of its two nearest pivots and is compared with what else is there. Two vectors
as close as near-duplicates share a bucket unless the borders of several fall between them; how often that is
measured against exact search on a sample. Vectors travel as 16-bit floats, half the bytes; a cosine of theirs
is right to about 1e-5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil, isqrt

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.coreset import Vectors, groups
from twigma_spark.estimators.drawing import draw_rows
from twigma_spark.io import arrow
from twigma_spark.vectors import unit_rows

PAIRS = "a STRING, b STRING, similarity DOUBLE"
PLACED = "bucket INT, image_id STRING, corpus STRING, vector BINARY"
# So few vectors are compared all with all.
FEW = 8192
# Vectors that the pivots are found on, a pivot.
SAMPLED = 16
# Bytes of vectors that a task holds, and rows compared with a whole bucket at once.
TASK, BLOCK = 128 << 20, 2048


@dataclass(frozen=True)
class Reach:
    """Which pairs are close.

    Attributes:
        similarity: least cosine.
        seed: of the sample that the pivots are found on.
        buckets: pivots that a vector goes to; more find more of the pairs and cost as much more.
        most: pairs of a vector in a bucket at most, the closest ones: a thousand versions of one picture
            hang together all the same.
    """

    similarity: float
    seed: int = 0
    buckets: int = 2
    most: int = 64


def close_pairs(vectors: DataFrame, rows: int, reach: Reach) -> DataFrame:
    """Return pairs a < b of one corpus and their cosine; may run a job to find the pivots.

    Args:
        vectors: image_id, corpus, embedding; usable vectors of one length.
        rows: how many there are.
        reach: which pairs are close.
    """
    pivots = _pivots(vectors, rows, reach)
    placed = vectors.select("image_id", "corpus", "embedding").mapInArrow(
        partial(_assign_buckets, pivots=pivots, buckets=min(reach.buckets, len(pivots))), PLACED
    )
    tasks = ceil(rows * min(reach.buckets, len(pivots)) * 2 * max(pivots.shape[1], 1) / TASK)
    gathered = placed.repartition(max(1, min(tasks, len(pivots))), "bucket")
    return gathered.mapInArrow(partial(_pairs, reach=reach), PAIRS).dropDuplicates(["a", "b"])


def exact_pairs(queries: DataFrame, vectors: DataFrame, reach: Reach) -> DataFrame:
    """Return the close pairs that a few queries are in, found in one pass that compares them with all vectors."""
    table = arrow.collect(queries.select("image_id", "corpus", "embedding"))
    if not len(table):
        return arrow.local_frame(queries.sparkSession, [], PAIRS)
    asked = partial(_against, ids=table.column(0).to_pylist(), corpora=table.column(1).to_pylist(),
                    queries=unit_rows(arrow.matrix(table.column(2).combine_chunks())), reach=reach)  # fmt: skip
    found = vectors.select("image_id", "corpus", "embedding").mapInArrow(asked, PAIRS)
    return found.dropDuplicates(["a", "b"])


def _pivots(vectors: DataFrame, rows: int, reach: Reach) -> Vectors:
    """Return unit vectors (√rows, d) that lie where the vectors do; one where there are few vectors."""
    first = vectors.select(F.size("embedding").alias("dim")).first()
    dim = int(first["dim"]) if first is not None else 1
    if rows <= FEW:
        return np.zeros((1, dim), np.float32)
    wanted = isqrt(rows)
    some = draw_rows(vectors, 1.1 * SAMPLED * wanted / rows, reach.seed)
    table = arrow.collect(some.select("image_id", "embedding")).sort_by("image_id")
    sample = unit_rows(arrow.matrix(table.column("embedding").combine_chunks()))
    return groups(sample, np.ones(len(sample), np.float32), min(wanted, len(sample)), reach.seed, "cosine")


def _assign_buckets(batches: Iterable[pa.RecordBatch], pivots: Vectors, buckets: int) -> Iterator[pa.RecordBatch]:
    """Yield each vector once for each of the buckets that it goes to."""
    for batch in batches:
        if not batch.num_rows:
            continue
        rows = unit_rows(arrow.matrix(batch.column(2)))
        nearest = _nearest(rows, pivots, buckets)
        again = pa.array(np.repeat(np.arange(len(rows)), buckets))
        yield pa.record_batch(
            [pa.array(nearest.ravel().astype(np.int32)), batch.column(0).take(again), batch.column(1).take(again),
             _pack_vectors(rows).take(again)],
            ["bucket", "image_id", "corpus", "vector"],
        )  # fmt: skip


def _nearest(rows: Vectors, pivots: Vectors, buckets: int) -> NDArray[np.int64]:
    """Return the `buckets` nearest pivots of each row (n, buckets), in no order."""
    if len(pivots) == buckets:
        return np.broadcast_to(np.arange(buckets), (len(rows), buckets))
    return np.argpartition(-(rows @ pivots.T), buckets - 1, axis=1)[:, :buckets]


def _pack_vectors(rows: Vectors) -> pa.Array:
    """Return unit vectors as bytes of 16-bit floats."""
    width = 2 * rows.shape[1]
    offsets = np.arange(0, len(rows) * width + 1, width, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(rows.astype(np.float16))]
    return pa.BinaryArray.from_buffers(pa.binary(), len(rows), buffers)


def _pairs(batches: Iterable[pa.RecordBatch], reach: Reach) -> Iterator[pa.RecordBatch]:
    """Yield the close pairs of the buckets of a partition."""
    held = [batch for batch in batches if batch.num_rows]
    if not held:
        return
    table = pa.Table.from_batches(held).combine_chunks()
    bucket, corpus = table.column("bucket").to_numpy(), table.column("corpus").combine_chunks().dictionary_encode()
    order = np.lexsort((corpus.indices.to_numpy(), bucket))
    key = bucket[order].astype(np.int64) * len(corpus.dictionary) + corpus.indices.to_numpy()[order]
    for rows in np.split(order, np.flatnonzero(np.diff(key)) + 1):
        if len(rows) > 1:
            part = table.take(pa.array(rows))
            packed = part.column("vector").combine_chunks()
            vectors = np.frombuffer(packed.buffers()[2], np.float16).reshape(len(rows), -1)
            yield _within(part.column("image_id").to_numpy(), vectors.astype(np.float32), reach)


def _within(ids: NDArray[np.object_], vectors: Vectors, reach: Reach) -> pa.RecordBatch:
    """Return the close pairs of one bucket, of each row the closest `reach.most` later ones."""
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
    for start in range(0, len(ids), BLOCK):
        close = vectors[start : start + BLOCK] @ vectors[start:].T
        one, other = np.nonzero(np.triu(close >= reach.similarity, 1))
        found.append((one + start, other + start, close[one, other]))
    one, other, cosine = (np.concatenate(part) for part in zip(*found, strict=True))
    kept = _closest(one, cosine, reach.most)
    return _batch(ids[one[kept]], ids[other[kept]], cosine[kept])


def _closest(rows: NDArray[np.int64], cosine: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Return which pairs are among the closest `most` of their row."""
    order = np.lexsort((-cosine, rows))
    begins = np.flatnonzero(np.diff(rows[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    return np.asarray(order[place < most], np.int64)


def _batch(one: NDArray[np.object_], other: NDArray[np.object_], cosine: NDArray[np.float32]) -> pa.RecordBatch:
    swapped = one > other
    least, largest = np.where(swapped, other, one), np.where(swapped, one, other)
    columns = [pa.array(least, pa.string()), pa.array(largest, pa.string()), pa.array(cosine.astype(np.float64))]
    return pa.record_batch(columns, ["a", "b", "similarity"])


def _against(
    batches: Iterable[pa.RecordBatch], ids: list[str], corpora: list[str], queries: Vectors, reach: Reach
) -> Iterator[pa.RecordBatch]:
    names, wanted = np.array(ids, object), np.array(corpora, object)
    for batch in batches:
        if batch.num_rows:
            own, corpus = (batch.column(n).to_numpy(zero_copy_only=False) for n in (0, 1))
            close = queries @ unit_rows(arrow.matrix(batch.column(2))).T
            row, column = np.nonzero(close >= reach.similarity)
            right = (names[row] != own[column]) & (wanted[row] == corpus[column])
            yield _batch(names[row[right]], own[column[right]], close[row[right], column[right]])
