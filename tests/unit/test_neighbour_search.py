"""Exact neighbours with ordered ties, without Spark."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twigma_spark.errors import ModelError
from twigma_spark.estimators import faiss_index, neighbour_search
from twigma_spark.estimators.faiss_index import NeighbourIndex, ShardFile
from twigma_spark.estimators.neighbour_search import nearest
from twigma_spark.io import arrow, artifacts
from twigma_spark.vectors import unit_rows


def index_of(vectors: np.ndarray, ids: list[str]) -> NeighbourIndex:
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(unit_rows(vectors.astype(np.float32)))
    places = np.empty(len(ids), np.int64)
    places[np.argsort(ids)] = np.arange(len(ids))
    return NeighbourIndex(flat, pa.array(ids), places)


def brute(vectors: np.ndarray, ids: list[str], queries: np.ndarray, k: int) -> tuple[list[list[str]], np.ndarray]:
    """The definition: all cosines in double precision, to six decimals, sorted by falling cosine and id."""
    a, b = (x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1)[:, None] for x in (queries, vectors))
    cosine = np.round(a @ b.T, 6)
    order = [sorted(range(len(ids)), key=lambda n, row=row: (-row[n], ids[n]))[:k] for row in cosine]
    return [[ids[n] for n in best] for best in order], np.take_along_axis(cosine, np.array(order), axis=1)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 60), m=st.integers(1, 30), d=st.integers(1, 5), k=st.integers(1, 60), seed=st.integers(0, 10**6)
)
def test_neighbours_equal_brute_force_with_many_ties(n: int, m: int, d: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = min(k, n)
    # A coarse grid makes copies and equal cosines common.
    vectors, queries = (rng.integers(-2, 3, (rows, d)).astype(np.float32) + 0.25 for rows in (n, m))
    ids = [f"{v:03d}" for v in rng.permutation(n)]
    rows, cosines = nearest(index_of(vectors, ids), unit_rows(queries), k)
    expected, similar = brute(vectors, ids, queries, k)
    np.testing.assert_allclose(cosines, similar, atol=2.1e-6)
    exact = np.take_along_axis(np.round(_cosines(queries, vectors), 6), rows, axis=1)
    np.testing.assert_allclose(exact, similar, atol=2.1e-6)
    assert all(len(set(row)) == k for row in rows.tolist())
    if np.array_equal(cosines, similar):
        assert [[ids[r] for r in row] for row in rows.tolist()] == expected


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_with_queries_of_their_own_answer_as_one(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(neighbour_search, "LEAST", 8)
    monkeypatch.setattr(neighbour_search.faiss, "omp_get_max_threads", lambda: threads)
    rng = np.random.default_rng(5)
    vectors, queries = rng.normal(size=(70, 4)), rng.normal(size=(31, 4))
    ids = [f"{n:02d}" for n in range(70)]
    found = list(neighbour_search.answers([queries_of(queries)], [index_of(vectors, ids)], 6, 8))
    assert [batch.num_rows // 6 for batch in found] == {1: [8, 8, 8, 7], 2: [4] * 7 + [3], 3: [3] * 10 + [1]}[threads]
    whole = pa.Table.from_batches(found)
    expected, similar = brute(vectors, ids, queries, 6)
    assert whole["image_id"].to_pylist() == [f"q{n:03d}" for n in range(31) for _ in range(6)]
    assert whole["neighbour_id"].to_pylist() == [name for row in expected for name in row]
    np.testing.assert_allclose(whole["similarity"].to_numpy(), similar.ravel(), atol=2.1e-6)


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_short_vectors_do_not_make_a_batch_larger_than_asked(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(neighbour_search.faiss, "omp_get_max_threads", lambda: threads)
    queries = queries_of(np.eye(3)[np.arange(20) % 3])
    found = neighbour_search.answers([queries], [index_of(np.eye(3), ["a", "b", "c"])], 1, 6)
    assert [batch.num_rows for batch in found] == [6, 6, 6, 2]


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1)[:, None] for x in (a, b))
    return a @ b.T


def test_copies_beyond_the_fetched_ones_are_ordered_by_id() -> None:
    """A hundred copies stand before and after others; the least ids win wherever they are stored."""
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(size=(300, 8)), np.tile([[1.0] + [0.0] * 7], (100, 1))]).astype(np.float32)
    ids = [f"x{n:04d}" for n in range(300)] + [f"a{n:04d}" for n in range(100)]
    for seed in (1, 2):
        order = np.random.default_rng(seed).permutation(400)
        index = index_of(vectors[order], [ids[n] for n in order])
        rows, cosines = nearest(index, np.eye(1, 8, dtype=np.float32), 5)
        assert [index.ids[int(r)].as_py() for r in rows[0]] == ["a0000", "a0001", "a0002", "a0003", "a0004"]
        assert cosines.tolist() == [[1.0] * 5]


def test_memory_stays_bounded_where_everything_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_search, "CELLS", 200)
    ids = [f"{n:04d}" for n in range(150)][::-1]
    rows, cosines = nearest(index_of(np.ones((150, 3)), ids), unit_rows(np.ones((40, 3), np.float32)), 2)
    assert (rows == [[149, 148]]).all() and (cosines == 1).all()


@given(sizes=st.lists(st.integers(0, 7), max_size=8), rows=st.integers(1, 9))
def test_batches_are_cut_anew_and_nothing_is_lost(sizes: list[int], rows: int) -> None:
    numbers = iter(range(100))
    given_ = [pa.record_batch([pa.array([next(numbers) for _ in range(s)], pa.int64())], ["n"]) for s in sizes]
    found = [b.column(0).to_pylist() for b in neighbour_search.rebatch(given_, rows)]
    assert [n for part in found for n in part] == list(range(sum(sizes)))
    assert all(len(part) == rows for part in found[:-1]) and all(0 < len(part) <= rows for part in found)


def test_queries_of_another_length_are_refused() -> None:
    batch = pa.record_batch([pa.array(["q"]), arrow.lists(np.ones((1, 3), np.float32))], ["image_id", "embedding"])
    with pytest.raises(ModelError, match=r"must be of one length\. Got 3 beside 2"):
        neighbour_search._answer([index_of(np.eye(2), ["a", "b"])], batch, 1)


def queries_of(vectors: np.ndarray) -> pa.RecordBatch:
    ids = pa.array([f"q{n:03d}" for n in range(len(vectors))])
    return pa.record_batch([ids, arrow.lists(vectors.astype(np.float32))], ["image_id", "embedding"])


@pytest.mark.parametrize("cuts", [(), (70,), (10, 11, 60)])
def test_shards_in_files_answer_as_one_index_in_memory(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(40, 6))[rng.integers(0, 40, 120)]  # copies, so that ties lie in several shards
    ids, batch = [f"r{n:03d}" for n in rng.permutation(120)], queries_of(rng.normal(size=(30, 6)))
    (whole,) = neighbour_search.answers([batch], [index_of(vectors, ids)], 7, 64)
    shards = []
    for n, (start, end) in enumerate(pairwise((0, *cuts, 120))):
        path = tmp_path / f"{n}.faiss"
        faiss_index.save(index_of(vectors[start:end], ids[start:end]), path)
        shards.append(ShardFile(str(path), artifacts.checksum(path), cache=str(tmp_path / "node")).load())
        assert shards[-1].size == end - start and shards[-1].exact
    found = pa.Table.from_batches(neighbour_search.answers([batch], shards, 7, 13)).combine_chunks().to_batches()[0]
    assert found.equals(whole)
    assert len(list((tmp_path / "node").glob("*/*.faiss"))) == len(shards)


def test_lists_that_are_not_searched_leave_neighbours_out(tmp_path: Path) -> None:
    vectors = np.repeat(np.eye(8), 5, axis=0).astype(np.float32)
    centres = faiss.IndexFlatIP(8)
    centres.add(np.eye(8, dtype=np.float32))
    lists = faiss.IndexIVFFlat(centres, 8, 8, faiss.METRIC_INNER_PRODUCT)
    lists.train(vectors)
    lists.add(vectors)
    faiss_index.save(faiss_index.attach_ids(lists, pa.array([f"{n:02d}" for n in range(40)])), tmp_path / "i.faiss")
    batch = queries_of(np.eye(8)[:1])
    (few,) = neighbour_search.answers([batch], [faiss_index.load(str(tmp_path / "i.faiss"), 1)], 9, 8)
    (all_of_them,) = neighbour_search.answers([batch], [faiss_index.load(str(tmp_path / "i.faiss"), 8)], 9, 8)
    assert few.column("neighbour_id").to_pylist() == ["00", "01", "02", "03", "04"]
    assert few.column("rank").to_pylist() == [1, 2, 3, 4, 5]
    assert all_of_them.num_rows == 9
