"""Nearest neighbours by cosine: FAISS indexes in memory or in files, and queries that stream through them.

One function searches on the driver and on the workers, so that the answer is the same. Equal cosines are in
order of the neighbour's id, so that it does not depend on how either side is partitioned either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from twigma_spark.errors import ModelError
from twigma_spark.estimators.blas import faiss
from twigma_spark.io import arrow
from twigma_spark.io.artifacts import local_copy

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
    """An index over unit vectors.

    Attributes:
        vectors: the FAISS index (inner product); a flat one holds or maps the only copy of the vectors.
        ids: image ids, one a row of the index.
        places: place of each row's id among the sorted ids (n,) int64; orders ties.
        searcher: where a GPU is there, a copy of `vectors` on it that proposes candidates; else None.
    """

    vectors: Any
    ids: pa.Array
    places: NDArray[np.int64]
    searcher: Any = None

    @property
    def size(self) -> int:
        """Vectors in the index."""
        return int(self.vectors.ntotal)

    @property
    def exact(self) -> bool:
        """Whether it computes every cosine."""
        return isinstance(self.vectors, faiss.IndexFlat)


@dataclass(frozen=True)
class ShardFile:
    """Where an index lies and how it is searched: what travels to the workers.

    Attributes:
        path: of the file that `save` wrote.
        checksum: of the file and its companion.
        nprobe: inverted lists searched; without a meaning to a flat index.
        cache: folder on a node's own disk for its copy; None reads the file where it is.
    """

    path: str
    checksum: str
    nprobe: int = 1
    cache: str | None = None

    def load(self) -> NeighbourIndex:
        """Return the index, memory-mapped: processes of one node share the pages of one file."""
        return load(local_copy(self.path, self.checksum, self.cache), self.nprobe)


def build(references: DataFrame) -> NeighbourIndex:
    """Return an exact index over the references' vectors, scaled to length 1, in memory.

    Args:
        references: image_id, embedding; usable vectors of one length. Without rows the index is empty.
    """
    index, ids = faiss.IndexFlatIP(1), [pa.array([], pa.string())]
    for batch in arrow.stream(references.select("image_id", "embedding")):
        vectors = arrow.unit(arrow.matrix(batch.column(1)))
        if not index.ntotal:
            index = faiss.IndexFlatIP(vectors.shape[1])
        check_length(index, vectors)
        index.add(vectors)
        ids.append(batch.column(0))
    return indexed(index, pa.concat_arrays(ids))


def indexed(index: Any, ids: pa.Array) -> NeighbourIndex:
    """Return a FAISS index with the ids of its rows; sharded over the GPUs where there are any."""
    return NeighbourIndex(index, ids, arrow.ranks(ids), _on_gpus(index))


def save(index: NeighbourIndex, path: Path) -> None:
    """Write an index to `path`, and its ids beside it as an Arrow file; a reader never sees half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = path.with_suffix(".arrow")
    table = pa.record_batch([index.ids, pa.array(index.places)], ["id", "place"])
    part = path.with_name(f"{path.name}.part")
    with pa.OSFile(f"{part}.ids", "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_batch(table)
    faiss.write_index(index.vectors, str(part))
    Path(f"{part}.ids").replace(ids)
    part.replace(path)


def load(path: str, nprobe: int = 1) -> NeighbourIndex:
    """Return the index of a file, memory-mapped: inverted lists stay on disk, flat vectors too."""
    table = pa.ipc.open_file(pa.memory_map(str(Path(path).with_suffix(".arrow")))).read_all()
    # Two flags for the two ways in which FAISS maps files: lists of inverted files, codes of flat ones.
    index = faiss.read_index(path, faiss.IO_FLAG_MMAP)
    if isinstance(index, faiss.IndexFlat):
        index = faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)
    else:
        probe(index, nprobe)
    places = table.column("place").combine_chunks().to_numpy(zero_copy_only=False)
    return NeighbourIndex(index, table.column("id").combine_chunks(), places, _on_gpus(index))


def probe(index: Any, nprobe: int) -> None:
    """Let an index with inverted lists search `nprobe` of them; others have none."""
    inverted = faiss.try_extract_index_ivf(index)
    if inverted is not None:
        inverted.nprobe = min(nprobe, inverted.nlist)


def search(shards: Sequence[NeighbourIndex], queries: DataFrame, k: int, batch_rows: int) -> DataFrame:
    """Return the nearest references of each query: image_id, rank (from 1), neighbour_id, similarity.

    The similarity is the cosine to six decimals, of a product quantiser its estimate. The vectors pass
    through the driver `batch_rows` at a time; only the answers stay, compressed.

    Args:
        shards: indexes that together hold the references.
        queries: image_id, embedding; usable vectors of the index's length.
        k: neighbours a query; all of them where the indexes hold fewer.
        batch_rows: queries searched at once.
    """
    filled = [shard for shard in shards if shard.size]
    batches = arrow.stream(queries.select("image_id", "embedding")) if filled else iter(())
    return arrow.frame_of(queries.sparkSession, answers(batches, filled, k, batch_rows), SCHEMA)


def search_on_executors(shards: Sequence[ShardFile], queries: DataFrame, k: int, batch_rows: int) -> DataFrame:
    """Return what `search` returns, searched by the workers; each maps the files and holds none of them."""
    searched = partial(_answers_of_files, shards=tuple(shards), k=k, batch_rows=batch_rows)
    return queries.select("image_id", "embedding").mapInArrow(searched, SCHEMA)


def answers(
    batches: Iterable[pa.RecordBatch], shards: Sequence[NeighbourIndex], k: int, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield the neighbours of each batch of queries (image_id, embedding), as in `search`."""
    for batch in rebatched(batches, batch_rows):
        yield _answer(shards, batch, k)


def _answers_of_files(
    batches: Iterable[pa.RecordBatch], shards: Sequence[ShardFile], k: int, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    yield from answers(batches, [shard.load() for shard in shards], k, batch_rows)


def nearest(
    index: NeighbourIndex, queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rows of the index (n, k) and their cosines (n, k), by falling cosine and then by id.

    More than k are fetched from FAISS and their cosines computed again, one pair at a time, since those
    of a matrix product depend on the place in the batch. Queries whose k-th could tie with what was not
    fetched are asked again for more. Where the lists that were searched hold fewer, rows are -1.

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
    rough, found = (index.searcher or index.vectors).search(queries, fetch)
    precise = _precise(index, queries, rough, found)
    missing = found < 0
    cosine = np.where(missing, -np.inf, np.round(precise.astype(np.float64), DECIMALS))
    order = np.lexsort((index.places[found], -cosine), axis=-1)[:, :k]
    best = np.take_along_axis(cosine, order, axis=1)
    settled = (rough[:, -1] < best[:, -1] - SLACK) | (fetch == index.size) | missing[:, -1]
    return np.take_along_axis(found, order, axis=1), best, settled


def _precise(
    index: NeighbourIndex, queries: NDArray[np.float32], rough: NDArray[np.float32], found: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the candidates' cosines, one pair at a time where the vectors are there to compute them from."""
    if not index.exact:
        return rough
    precise = np.empty_like(rough)
    index.vectors.compute_distance_subset(
        len(queries), faiss.swig_ptr(queries), found.shape[1], faiss.swig_ptr(precise), faiss.swig_ptr(found)
    )
    return precise


def _answer(shards: Sequence[NeighbourIndex], batch: pa.RecordBatch, k: int) -> pa.RecordBatch:
    queries = arrow.unit(arrow.matrix(batch.column(1)))
    found = [_of_shard(shard, queries, k) for shard in shards if shard.size]
    ids, cosines = _merged(found, k) if found else (np.empty((len(queries), 0), object), np.empty((len(queries), 0)))
    there = np.isfinite(cosines)
    rank = np.broadcast_to(np.arange(1, ids.shape[1] + 1, dtype=np.int32), ids.shape)
    columns = [
        batch.column(0).take(pa.array(np.nonzero(there)[0])),
        pa.array(rank[there]),
        pa.array(ids[there], pa.string()),
        pa.array(cosines[there]),
    ]
    return pa.record_batch(columns, ["image_id", "rank", "neighbour_id", "similarity"])


def _of_shard(
    shard: NeighbourIndex, queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Return ids (n, k) and cosines (n, k) of one shard; a neighbour that is missing has cosine -inf."""
    check_length(shard.vectors, queries)
    rows, cosines = nearest(shard, queries, min(k, shard.size))
    ids = shard.ids.take(pa.array(np.maximum(rows, 0).ravel())).to_numpy(zero_copy_only=False)
    return ids.reshape(rows.shape), cosines


def _merged(
    found: Sequence[tuple[NDArray[np.object_], NDArray[np.float64]]], k: int
) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Return the best k of several shards' ids and cosines; equals in order of their ids."""
    if len(found) == 1:
        return found[0]
    ids, cosines = (np.concatenate(part, axis=1) for part in zip(*found, strict=True))
    _, place = np.unique(ids.astype("U"), return_inverse=True)
    order = np.lexsort((place.reshape(ids.shape), -cosines), axis=-1)[:, :k]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(cosines, order, axis=1)


def rebatched(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
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


def check_length(index: Any, vectors: NDArray[np.float32]) -> None:
    """Raise ModelError where the vectors (n, d) are of another length than the index's."""
    if vectors.shape[1] != index.d:
        raise ModelError(
            f"queries and references must be of one length. Got {vectors.shape[1]} beside {index.d}; "
            "take both from one model with transforms.vectors.of_model."
        )


def _on_gpus(index: Any) -> Any:
    """Return a copy on all GPUs, sharded over them, or None where FAISS sees none (or was built without)."""
    if not getattr(faiss, "get_num_gpus", int)():
        return None
    options = faiss.GpuMultipleClonerOptions()
    options.shard = True
    return faiss.index_cpu_to_all_gpus(index, options)
