"""Nearest neighbours by cosine: queries stream through indexes, on the driver or on the workers.

One function searches in both places, so that the answer is the same. Equal cosines are in order of the
neighbour's id, so that it does not depend on how either side is partitioned either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from twigma_spark.estimators.bf16_index import Bf16Index, one_thread_each
from twigma_spark.estimators.blas import faiss
from twigma_spark.estimators.faiss_index import NeighbourIndex, ShardFile, check_length
from twigma_spark.io import arrow
from twigma_spark.stats.threads import one_thread
from twigma_spark.vectors import unit_rows

SCHEMA = "image_id STRING, rank INT, neighbour_id STRING, similarity DOUBLE"
BY_REFERENCE = f"{SCHEMA}, reference STRING"
# Cosines are compared and reported to this many decimals: float32 holds no more, and copies must tie.
DECIMALS = 6
# A search answers to about 1e-6; candidates within twice the rounding of the last one could still be ties.
SLACK = 5e-6
# What rounding to `DECIMALS` can bring two cosines nearer.
ROUNDED = 1e-6
SPARE = 3
# Candidates held at once; bounds the memory where thousands of references tie.
CELLS = 1 << 22
# Shards whose answers are held before the best of them are kept.
MERGED = 16
# Elements of queries below which FAISS computes product by product: three to nine times slower.
LEAST = 1 << 17


def search(shards: Sequence[NeighbourIndex], queries: DataFrame, k: int, batch_rows: int) -> DataFrame:
    """Return the nearest references of each query: image_id, rank (from 1), neighbour_id, similarity.

    The similarity is the cosine to six decimals, of a product quantiser its estimate. The vectors pass
    through the driver `batch_rows` at a time; only the answers stay, compressed.

    Args:
        shards: indexes that together hold the references.
        queries: image_id, embedding; usable vectors of the index's length.
        k: neighbours a query; all of them where the indexes hold fewer.
        batch_rows: queries that a thread searches at once, at most.
    """
    filled = [shard for shard in shards if shard.size]
    batches = arrow.stream(queries.select("image_id", "embedding")) if filled else iter(())
    return arrow.frame_of(queries.sparkSession, answers(batches, filled, k, batch_rows), SCHEMA)


def search_on_executors(shards: Sequence[ShardFile], queries: DataFrame, k: int, batch_rows: int) -> DataFrame:
    """Return what `search` returns, searched by the workers; each maps the files and holds none of them."""
    searched = partial(_answers_of_files, shards=tuple(shards), k=k, batch_rows=batch_rows)
    return queries.select("image_id", "embedding").mapInArrow(searched, SCHEMA)


def search_references(
    references: Mapping[str, Sequence[NeighbourIndex]], queries: DataFrame, k: int, batch_rows: int
) -> DataFrame:
    """Return what `search` returns of each of several references, and its name: reference.

    The queries pass through the driver once, and all indexes are open at the same time.
    """
    filled = {name: [shard for shard in shards if shard.size] for name, shards in references.items()}
    batches = arrow.stream(queries.select("image_id", "embedding")) if any(filled.values()) else iter(())
    return arrow.frame_of(queries.sparkSession, answers_by_reference(batches, filled, k, batch_rows), BY_REFERENCE)


def search_references_on_executors(
    references: Mapping[str, Sequence[ShardFile]], queries: DataFrame, k: int, batch_rows: int
) -> DataFrame:
    """Return what `search_references` returns, searched by the workers, which read the queries once."""
    files = tuple((name, tuple(shards)) for name, shards in references.items())
    searched = partial(_answers_of_references, references=files, k=k, batch_rows=batch_rows)
    return queries.select("image_id", "embedding").mapInArrow(searched, BY_REFERENCE)


def answers(
    batches: Iterable[pa.RecordBatch], shards: Sequence[NeighbourIndex], k: int, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield the neighbours of each batch of queries (image_id, embedding), as in `search`, in their order."""
    for (batch,) in _answers(batches, [shards], k, batch_rows):
        yield batch


def answers_by_reference(
    batches: Iterable[pa.RecordBatch], references: Mapping[str, Sequence[NeighbourIndex]], k: int, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield the neighbours of each batch of queries in one reference after another, as in `search_references`."""
    for answered in _answers(batches, list(references.values()), k, batch_rows):
        for name, batch in zip(references, answered, strict=True):
            columns = [*batch.columns, pa.array([name] * batch.num_rows, pa.string())]
            yield pa.record_batch(columns, [*batch.schema.names, "reference"])


def _answers(
    batches: Iterable[pa.RecordBatch], references: Sequence[Sequence[NeighbourIndex]], k: int, batch_rows: int
) -> Iterator[list[pa.RecordBatch]]:
    """Yield of each batch of queries, in their order, the neighbours in each of the references.

    Each thread has queries of its own. FAISS's threads share them and wait for one another twice a block of 1,024
    references: with anything else on the machine, as the stream of queries, short vectors took twice the time.
    """
    every = [shard for shards in references for shard in shards]
    threads = 1 if any(shard.searcher for shard in every) else faiss.omp_get_max_threads()
    answered: deque[Future[list[pa.RecordBatch]]] = deque()
    with ExitStack() as stack:
        if any(shard.lists for shard in every):
            stack.enter_context(one_thread())
        pool = stack.enter_context(thread_pool(threads, any(shard.proposer for shard in every)))
        for batch in rebatch(batches, _rows_a_thread(every, threads, batch_rows)):
            answered.append(pool.submit(lambda own: [_answer(shards, own, k) for shards in references], batch))
            if len(answered) > threads:
                yield answered.popleft().result()
        while answered:
            yield answered.popleft().result()


@contextmanager
def thread_pool(threads: int, with_torch: bool) -> Iterator[ThreadPoolExecutor]:
    """Give threads that call FAISS, and torch where it takes part, with one thread each.

    How many threads OpenMP takes is set for each thread that calls it; both libraries have an OpenMP of their own.
    """
    limits: list[Callable[[], None]] = [partial(faiss.omp_set_num_threads, 1)]
    with ExitStack() as stack:
        if with_torch:
            limits.append(stack.enter_context(one_thread_each()))
        yield stack.enter_context(ThreadPoolExecutor(threads, initializer=lambda: [limit() for limit in limits]))


def _rows_a_thread(shards: Sequence[NeighbourIndex], threads: int, batch_rows: int) -> int:
    """Return a thread's part of a batch, at least what FAISS's quick way needs; never more than the batch.

    All of it where lists are searched: each is read once a batch.
    """
    if not shards or any(shard.lists for shard in shards):
        return batch_rows
    return min(batch_rows, max(-(-batch_rows // threads), -(-LEAST // int(shards[0].vectors.d))))


def _answers_of_files(
    batches: Iterable[pa.RecordBatch], shards: tuple[ShardFile, ...], k: int, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    yield from answers(batches, _load_shards(shards), k, batch_rows)


def _answers_of_references(
    batches: Iterable[pa.RecordBatch],
    references: tuple[tuple[str, tuple[ShardFile, ...]], ...],
    k: int,
    batch_rows: int,
) -> Iterator[pa.RecordBatch]:
    yield from answers_by_reference(batches, _load_references(references), k, batch_rows)


@lru_cache(maxsize=1)
def _load_references(references: tuple[tuple[str, tuple[ShardFile, ...]], ...]) -> dict[str, list[NeighbourIndex]]:
    """Return the indexes of several references; as of `_load_shards`."""
    return {name: [shard.load() for shard in shards] for name, shards in references}


@lru_cache(maxsize=1)
def _load_shards(shards: tuple[ShardFile, ...]) -> list[NeighbourIndex]:
    """Return the indexes of files; the tasks of one worker share them, since copies in bf16 take time to make."""
    return [shard.load() for shard in shards]


def nearest(
    index: NeighbourIndex, queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rows of the index (n, k) and their cosines (n, k), by falling cosine and then by id.

    More than k are fetched from FAISS and their cosines computed again, one pair at a time, since those
    of a matrix product depend on the place in the batch. Queries whose k-th could tie with what was not
    fetched are asked again for more. Where the lists that were searched hold fewer, rows are -1. With a proposer,
    FAISS is asked for the queries whose candidates are not proved to hold the nearest.

    Args:
        index: from `build`; its size is at least k.
        queries: unit vectors (n, d).
        k: neighbours a query.
    """
    rows = np.empty((len(queries), k), np.int64)
    cosines = np.empty((len(queries), k))
    pending, fetch = np.arange(len(queries)), k + SPARE
    if index.proposer and len(queries) and index.proposer.worth_asking(k):
        rows, cosines, proved = _rank_proposed(index, index.proposer, queries, k)
        pending = pending[~proved]
    while pending.size:
        fetch = min(fetch, index.size)
        open_ended = []
        for part in np.array_split(pending, -(-pending.size * fetch // CELLS)):
            rows[part], cosines[part], settled = _rank_candidates(index, queries[part], k, fetch)
            open_ended.append(part[~settled])
        pending, fetch = np.concatenate(open_ended), fetch * 8
    return rows, cosines


def _rank_candidates(
    index: NeighbourIndex, queries: NDArray[np.float32], k: int, fetch: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the best k of `fetch` candidates, their cosines, and whether no other row can be among them."""
    rough, nearest = (index.searcher or index.lists or index.vectors).search(queries, fetch)
    rows, best = _best(index, nearest, _precise(index, queries, rough, nearest), k)
    settled = (rough[:, -1] < best[:, -1] - SLACK) | (fetch == index.size) | (nearest[:, -1] < 0)
    return rows, best, settled


def _rank_proposed(
    index: NeighbourIndex, proposer: Bf16Index, queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the best k of the candidates, their cosines, and whether no other row can be among them."""
    proposed, ceiling = proposer.propose(queries, k)
    rows, best = _best(index, proposed, _precise(index, queries, np.empty(proposed.shape, np.float32), proposed), k)
    proved = ceiling < best[:, -1] - ROUNDED
    proposer.count(proved)
    return rows, best, proved


def _best(
    index: NeighbourIndex, candidates: NDArray[np.int64], precise: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the best k of rows that were found (n, width), and their cosines, to `DECIMALS`."""
    cosine = np.where(candidates < 0, -np.inf, np.round(precise.astype(np.float64), DECIMALS))
    order = np.lexsort((index.places[candidates], -cosine), axis=-1)[:, :k]
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(cosine, order, axis=1)


def _precise(
    index: NeighbourIndex, queries: NDArray[np.float32], rough: NDArray[np.float32], candidates: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the candidates' cosines, one pair at a time where the vectors are there to compute them from."""
    if not index.exact:
        return rough
    precise = np.empty_like(rough)
    index.vectors.compute_distance_subset(
        len(queries), faiss.swig_ptr(queries), candidates.shape[1], faiss.swig_ptr(precise), faiss.swig_ptr(candidates)
    )
    return precise


def _answer(shards: Sequence[NeighbourIndex], batch: pa.RecordBatch, k: int) -> pa.RecordBatch:
    queries = unit_rows(arrow.matrix(batch.column(1)))
    found: list[tuple[NDArray[np.object_], NDArray[np.float64]]] = []
    for shard in shards:
        if shard.size:
            found.append(_of_shard(shard, queries, k))
        if len(found) > MERGED:
            found = [_merge_shards(found, k)]
    ids, cosines = (
        _merge_shards(found, k) if found else (np.empty((len(queries), 0), object), np.empty((len(queries), 0)))
    )
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


def _merge_shards(
    answers: Sequence[tuple[NDArray[np.object_], NDArray[np.float64]]], k: int
) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Return the best k of several shards' ids and cosines; equals in order of their ids."""
    if len(answers) == 1:
        return answers[0]
    ids, cosines = (np.concatenate(part, axis=1) for part in zip(*answers, strict=True))
    return best_of(ids, cosines, k)


def best_of(
    ids: NDArray[np.object_], cosines: NDArray[np.float64], k: int
) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Return ids and cosines of the best k of each row; equals in order of their ids."""
    _, place = np.unique(ids.astype("U"), return_inverse=True)
    order = np.lexsort((place.reshape(ids.shape), -cosines), axis=-1)[:, :k]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(cosines, order, axis=1)


def rebatch(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
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
