"""Pairs of vectors whose cosine is at least a bound, without comparing all with all.

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
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.coreset import Vectors, groups
from twigma_spark.estimators.drawing import draw_rows, is_drawn
from twigma_spark.estimators.pair_products import pairs_at_least
from twigma_spark.estimators.products import inner_products
from twigma_spark.io import arrow
from twigma_spark.vectors import unit_rows

PAIRS = "a STRING, b STRING, similarity DOUBLE, turn INT, across BOOLEAN"
COLUMNS = ("image_id", "corpus", "embedding", "turn")
PLACED = "bucket INT, image_id STRING, corpus STRING, vector BINARY, turn INT"
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
            are connected all the same.
        across: whether images of two corpora are a pair too.
    """

    similarity: float
    seed: int = 0
    buckets: int = 2
    most: int = 64
    across: bool = False


def close_pairs(vectors: DataFrame, rows: int, reach: Reach, sample: DataFrame | None = None) -> DataFrame:
    """Return the pairs a, b, their cosine, the turn of a, and whether they are of two corpora.

    Of upright images a < b. A vector that was turned is compared with the upright ones alone. May run a job to find
    the pivots.

    Args:
        vectors: image_id, corpus, embedding, turn (0 upright); usable vectors of one length.
        rows: how many there are.
        reach: which pairs are close.
        sample: some of the vectors, the ones of `is_sampled` among them, where they are at hand; the pivots are
            found on those.
    """
    pivots = _pivots(vectors if sample is None else sample, rows, reach)
    placed = vectors.select(*COLUMNS).mapInArrow(
        partial(_assign_buckets, pivots=pivots, buckets=min(reach.buckets, len(pivots))), PLACED
    )
    tasks = ceil(rows * min(reach.buckets, len(pivots)) * 2 * max(pivots.shape[1], 1) / TASK)
    gathered = placed.repartition(max(1, min(tasks, len(pivots))), "bucket")
    return gathered.mapInArrow(partial(_pairs, reach=reach), PAIRS).dropDuplicates(["a", "b", "turn"])


def exact_pairs(queries: DataFrame, vectors: DataFrame, reach: Reach) -> DataFrame:
    """Return the close pairs that a few queries are in, found in one pass that compares them with all vectors.

    Args:
        queries: as `close_pairs`; all of one turn.
        vectors: likewise; those that were turned are compared with nothing.
        reach: which pairs are close.
    """
    table = arrow.collect(queries.select(*COLUMNS))
    if not len(table):
        return arrow.local_frame(queries.sparkSession, [], PAIRS)
    against = partial(_against, queries=_block(table.combine_chunks().to_batches()[0]), reach=reach)
    pairs = vectors.where("turn = 0").select(*COLUMNS).mapInArrow(against, PAIRS)
    return pairs.dropDuplicates(["a", "b", "turn"])


def compares_all(rows: int) -> bool:
    """Return whether so few vectors are compared all with all, so that every pair is found."""
    return rows <= FEW


def is_sampled(rows: int, reach: Reach) -> Column:
    """Return whether the pivots are found on a vector, which has image_id; on none where there are few vectors."""
    return F.lit(False) if compares_all(rows) else is_drawn(_share(rows), reach.seed)


def _share(rows: int) -> float:
    """Return of the vectors those that the pivots are found on."""
    return 1.1 * SAMPLED * isqrt(rows) / rows


def _pivots(vectors: DataFrame, rows: int, reach: Reach) -> Vectors:
    """Return unit vectors (√rows, d) that lie where the vectors do; one where there are few vectors."""
    if compares_all(rows):
        return np.zeros((1, 1), np.float32)
    wanted = isqrt(rows)
    some = draw_rows(vectors, _share(rows), reach.seed)
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
        ids, corpora, vectors, turns = (
            column.take(again) for column in (batch.column(0), batch.column(1), _pack_vectors(rows), batch.column(3))
        )
        columns = [pa.array(nearest.ravel().astype(np.int32)), ids, corpora, vectors, turns]
        yield pa.record_batch(columns, ["bucket", "image_id", "corpus", "vector", "turn"])


def _nearest(rows: Vectors, pivots: Vectors, buckets: int) -> NDArray[np.int64]:
    """Return the `buckets` nearest pivots of each row (n, buckets), in no order."""
    if len(pivots) == buckets:
        return np.broadcast_to(np.arange(buckets), (len(rows), buckets))
    return np.argpartition(-inner_products(rows, pivots), buckets - 1, axis=1)[:, :buckets]


def _pack_vectors(rows: Vectors) -> pa.Array:
    """Return unit vectors as bytes of 16-bit floats."""
    width = 2 * rows.shape[1]
    offsets = np.arange(0, len(rows) * width + 1, width, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(rows.astype(np.float16))]
    return pa.BinaryArray.from_buffers(pa.binary(), len(rows), buffers)


_NO_PAIRS = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True)
class _Block:
    """Images that are compared with one another."""

    ids: NDArray[np.object_]
    corpora: NDArray[np.object_]
    vectors: Vectors
    turns: NDArray[np.int32]

    def take(self, rows: NDArray[np.int64]) -> _Block:
        return _Block(self.ids[rows], self.corpora[rows], self.vectors[rows], self.turns[rows])


def _block(batch: pa.RecordBatch) -> _Block:
    """Return the images of a batch of COLUMNS."""
    ids, corpora, turns = (batch.column(n).to_numpy(zero_copy_only=False) for n in (0, 1, 3))
    return _Block(ids, corpora, unit_rows(arrow.matrix(batch.column(2))), turns)


def _pairs(batches: Iterable[pa.RecordBatch], reach: Reach) -> Iterator[pa.RecordBatch]:
    """Yield the close pairs of the buckets of a partition."""
    held = [batch for batch in batches if batch.num_rows]
    if not held:
        return
    table = pa.Table.from_batches(held).combine_chunks()
    bucket, corpus = table.column("bucket").to_numpy(), table.column("corpus").combine_chunks().dictionary_encode()
    own = np.zeros(len(bucket), np.int64) if reach.across else corpus.indices.to_numpy().astype(np.int64)
    # The closest `most` are taken of a row and the rows after it: by id, so that no order of arrival changes them.
    rank = pc.rank(table.column("image_id")).to_numpy()
    order = np.lexsort((rank, own, bucket))
    key = bucket[order].astype(np.int64) * len(corpus.dictionary) + own[order]
    for rows in np.split(order, np.flatnonzero(np.diff(key)) + 1):
        if len(rows) > 1:
            yield from _within(_unpack(table.take(pa.array(rows))), reach)


def _unpack(part: pa.Table) -> _Block:
    """Return the images of rows of PLACED."""
    packed = part.column("vector").combine_chunks()
    vectors = np.frombuffer(packed.buffers()[2], np.float16).reshape(len(packed), -1).astype(np.float32)
    ids, corpora, turns = (part.column(name).to_numpy() for name in ("image_id", "corpus", "turn"))
    return _Block(ids, corpora, vectors, turns)


def _within(block: _Block, reach: Reach) -> Iterator[pa.RecordBatch]:
    """Yield the close pairs of one bucket: of upright images, then of turned ones with upright ones."""
    upright = block.take(np.flatnonzero(block.turns == 0))
    turned = block.take(np.flatnonzero(block.turns != 0))
    yield _closest_pairs(upright, upright, reach, once=True)
    if len(turned.ids):
        yield _closest_pairs(turned, upright, reach)


def _closest_pairs(rows: _Block, others: _Block, reach: Reach, once: bool = False) -> pa.RecordBatch:
    """Return the close pairs, of each row the closest `reach.most`; with `once` each row with later ones alone."""
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = [_NO_PAIRS]
    for start in range(0, len(rows.ids), BLOCK):
        first = start if once else 0
        part, whole = rows.vectors[start : start + BLOCK], others.vectors[first:]
        one, other, cosine = pairs_at_least(part, whole, reach.similarity, later=once)
        parts.append((one + start, other + first, cosine))
    one, other, cosine = (np.concatenate(part) for part in zip(*parts, strict=True))
    kept = _closest(one, cosine, reach.most)
    return _batch(rows, one[kept], others, other[kept], cosine[kept])


def _closest(rows: NDArray[np.int64], cosine: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Return which pairs are among the closest `most` of their row."""
    order = np.lexsort((-cosine, rows))
    begins = np.flatnonzero(np.diff(rows[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    return np.asarray(order[place < most], np.int64)


def _batch(
    rows: _Block, one: NDArray[np.int64], others: _Block, other: NDArray[np.int64], cosine: NDArray[np.float32]
) -> pa.RecordBatch:
    """Return rows of PAIRS; an image is no pair with itself."""
    apart = rows.ids[one] != others.ids[other]
    one, other, cosine = one[apart], other[apart], cosine[apart]
    a, b, turn = rows.ids[one], others.ids[other], rows.turns[one]
    swapped = (a > b) & (turn == 0)
    across = rows.corpora[one] != others.corpora[other]
    columns = [
        pa.array(np.where(swapped, b, a), pa.string()), pa.array(np.where(swapped, a, b), pa.string()),
        pa.array(cosine.astype(np.float64)), pa.array(turn, pa.int32()), pa.array(across.astype(bool)),
    ]  # fmt: skip
    return pa.record_batch(columns, ["a", "b", "similarity", "turn", "across"])


def _against(batches: Iterable[pa.RecordBatch], queries: _Block, reach: Reach) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows:
            images = _block(batch)
            row, column, cosine = pairs_at_least(queries.vectors, images.vectors, reach.similarity)
            if not reach.across:
                same = queries.corpora[row] == images.corpora[column]
                row, column, cosine = row[same], column[same], cosine[same]
            yield _batch(queries, row, images, column, cosine)
