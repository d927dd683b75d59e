"""Nearest neighbours by cosine: a FAISS index on the driver, queries that stream through it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from twigma_spark.errors import ModelError
from twigma_spark.io import arrow

SCHEMA = "image_id STRING, rank INT, neighbour_id STRING, similarity DOUBLE"
# Cosines are compared and reported to this many decimals: float32 holds no more, and copies must tie.
DECIMALS = 6
# A search answers to about 1e-6; candidates within twice the rounding of the last one could still be ties.
SLACK = 5e-6
SPARE = 3
# Candidates held at once; bounds the memory where thousands of references tie.
CELLS = 1 << 22


@dataclass(frozen=True)
class NeighbourIndex:
    """An exact index over unit vectors.

    Attributes:
        flat: the FAISS index (inner product); it holds the only copy of the vectors on the driver.
        ids: image ids, one a row of the index.
        places: place of each row's id among the sorted ids (n,) int64; orders ties.
    """

    flat: faiss.IndexFlatIP
    ids: pa.Array
    places: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Vectors in the index."""
        return int(self.flat.ntotal)


def build(references: DataFrame) -> NeighbourIndex:
    """Return an index over the references' vectors, scaled to length 1.

    Args:
        references: image_id, embedding; usable vectors of one length. Without rows the index is empty.
    """
    flat, ids = faiss.IndexFlatIP(1), [pa.array([], pa.string())]
    for batch in arrow.stream(references.select("image_id", "embedding")):
        vectors = arrow.unit(arrow.matrix(batch.column(1)))
        if not flat.ntotal:
            flat = faiss.IndexFlatIP(vectors.shape[1])
        _check_length(flat, vectors)
        flat.add(vectors)
        ids.append(batch.column(0))
    joined = pa.concat_arrays(ids)
    places = np.empty(len(joined), np.int64)
    places[np.argsort(joined.to_numpy(zero_copy_only=False).astype("U"))] = np.arange(len(joined))
    return NeighbourIndex(flat, joined, places)


def search(index: NeighbourIndex, queries: DataFrame, k: int, batch_rows: int) -> DataFrame:
    """Return the nearest references of each query: image_id, rank (from 1), neighbour_id, similarity.

    The similarity is the cosine to six decimals; equals are in order of the neighbour's id, so that the
    answer does not depend on how either side is partitioned. The vectors pass through the driver `batch_rows`
    at a time; only the answers stay, compressed.

    Args:
        index: from `build`.
        queries: image_id, embedding; usable vectors of the index's length.
        k: neighbours a query; all of them where the index holds fewer.
        batch_rows: queries searched at once.
    """
    batches = arrow.stream(queries.select("image_id", "embedding")) if index.size else iter(())
    answers = (_answer(index, batch, min(k, index.size)) for batch in _rebatched(batches, batch_rows))
    return arrow.frame_of(queries.sparkSession, answers, SCHEMA)


def nearest(
    index: NeighbourIndex, queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rows of the index (n, k) and their cosines (n, k), by falling cosine and then by id.

    More than k are fetched from FAISS and their cosines computed again, one pair at a time, since those
    of a matrix product depend on the place in the batch. Queries whose k-th could tie with what was not
    fetched are asked again for more.

    Args:
        index: from `build`; its size is at least k.
        queries: unit vectors (n, d).
        k: neighbours a query.
    """
    rows = np.empty((len(queries), k), np.int64)
    cosines = np.empty((len(queries), k))
    pending, fetch = np.arange(len(queries)), k + SPARE
    while pending.size:
        fetch = min(fetch, index.size)
        open_ended = []
        for part in np.array_split(pending, -(-pending.size * fetch // CELLS)):
            rows[part], cosines[part], settled = _ranked(index, queries[part], k, fetch)
            open_ended.append(part[~settled])
        pending, fetch = np.concatenate(open_ended), fetch * 8
    return rows, cosines


def _ranked(
    index: NeighbourIndex, queries: NDArray[np.float32], k: int, fetch: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the best k of `fetch` candidates, their cosines, and whether no other row can be among them."""
    flat: Any = index.flat
    rough, found = flat.search(queries, fetch)
    exact = np.empty_like(rough)
    flat.compute_distance_subset(
        len(queries), faiss.swig_ptr(queries), fetch, faiss.swig_ptr(exact), faiss.swig_ptr(found)
    )
    cosine: NDArray[np.float64] = np.round(exact.astype(np.float64), DECIMALS)
    order = np.lexsort((index.places[found], -cosine), axis=-1)[:, :k]
    best = np.take_along_axis(cosine, order, axis=1)
    settled = (rough[:, -1] < best[:, -1] - SLACK) | (fetch == index.size)
    return np.take_along_axis(found, order, axis=1), best, settled


def _answer(index: NeighbourIndex, batch: pa.RecordBatch, k: int) -> pa.RecordBatch:
    queries = arrow.unit(arrow.matrix(batch.column(1)))
    _check_length(index.flat, queries)
    rows, cosines = nearest(index, queries, k)
    columns = [
        batch.column(0).take(pa.array(np.repeat(np.arange(len(queries)), k))),
        pa.array(np.tile(np.arange(1, k + 1, dtype=np.int32), len(queries))),
        index.ids.take(pa.array(rows.ravel())),
        pa.array(cosines.ravel()),
    ]
    return pa.record_batch(columns, ["image_id", "rank", "neighbour_id", "similarity"])


def _rebatched(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of `rows`, the last one shorter."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held += [batch] if batch.num_rows else []
        while sum(b.num_rows for b in held) >= rows:
            table = pa.Table.from_batches(held).combine_chunks()
            yield table.slice(0, rows).to_batches()[0]
            held = table.slice(rows).to_batches()
    if held:
        yield pa.Table.from_batches(held).combine_chunks().to_batches()[0]


def _check_length(flat: faiss.IndexFlatIP, vectors: NDArray[np.float32]) -> None:
    if vectors.shape[1] != flat.d:
        raise ModelError(
            f"queries and references must be of one length. Got {vectors.shape[1]} beside {flat.d}; "
            "take both from one model with transforms.vectors.of_model."
        )
