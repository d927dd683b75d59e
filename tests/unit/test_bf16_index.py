"""Search by bf16 products: FAISS's answers to the last id, and a bound that holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import faiss
import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.vector_kinds import axes, clusters, copies, grid, halves, normal, shifted
from twigma_spark.estimators import bf16_index, bf16_products, faiss_index, neighbour_search
from twigma_spark.estimators.best_rows import BestRows
from twigma_spark.estimators.bf16_index import Bf16Index
from twigma_spark.estimators.faiss_index import NeighbourIndex
from twigma_spark.estimators.neighbour_search import nearest
from twigma_spark.io import arrow
from twigma_spark.vectors import unit_rows


@pytest.fixture(autouse=True, scope="module")
def small_rounds() -> Iterator[None]:
    """Rounds of a size at which a few hundred rows go through several of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bf16_index, "SAMPLE", 32)
        patch.setattr(bf16_index, "CHUNK", 64)
        yield


def lengths(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return normal(rng, n, d) * 10.0 ** rng.integers(-24, 19, (n, 1))


KINDS = (normal, grid, copies, clusters, lengths, axes, halves, shifted)


def both(vectors: np.ndarray, seed: int = 0) -> tuple[NeighbourIndex, NeighbourIndex]:
    """Return an index without and with a proposer."""
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(unit_rows(vectors.astype(np.float32)))
    ids = pa.array([f"{n:04d}" for n in np.random.default_rng(seed).permutation(len(vectors))])
    plain = faiss_index.attach_ids(flat, ids)
    return plain, replace(plain, proposer=Bf16Index(faiss_index.vectors_of(flat), seed))


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS), asked=st.sampled_from(KINDS), n=st.integers(1, 700), d=st.integers(1, 70),
    k=st.integers(1, 30), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_answers_are_those_of_faiss(kind, asked, n: int, d: int, k: int, seed: int) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    vectors = kind(rng, n, d)
    queries = np.concatenate([asked(rng, 20, d), vectors[:20]])
    plain, proposing = both(vectors, seed)
    found = unit_rows(queries.astype(np.float32))
    for theirs, ours in zip(nearest(plain, found, min(k, n)), nearest(proposing, found, min(k, n)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(KINDS), n=st.integers(60, 400), d=st.integers(1, 70), seed=st.integers(0, 10**6))
def test_a_row_above_the_floor_is_found(kind, n: int, d: int, seed: int) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    vectors, queries = (unit_rows(kind(rng, rows, d).astype(np.float32)) for rows in (n, 9))
    index, true = Bf16Index(vectors, seed), queries.astype(np.float64) @ vectors.T.astype(np.float64)
    asked = bf16_index._Queries(index, queries)
    best = BestRows(np.zeros((9, 12), np.float32), np.zeros((9, 12), np.int64), 1, asked.rounding)
    floor = np.array([rng.choice(row) for row in true])
    best.open, best.floor = np.arange(9), lambda: floor - 1e-9  # type: ignore[method-assign]
    best.give_up = lambda queries: None  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bf16_index, "MOST", n)
        pairs = zip(*index._above_floor(asked, best, 0, len(index._packed)), strict=True)
    found = {(int(query), int(row)) for query, row in pairs}
    searched = np.isin(np.arange(n), index._rows)
    assert {(int(q), int(r)) for q, r in np.argwhere((true >= floor[:, None]) & searched)} <= found


@pytest.mark.parametrize("kind", [normal, shifted])
def test_most_queries_are_proved(kind) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    _, index = both(kind(rng, 3000, 64))
    nearest(index, unit_rows(kind(rng, 200, 64).astype(np.float32)), 5)
    assert index.proposer is not None
    assert (index.proposer.asked, index.proposer.proved) == (200, 200)


def test_copies_are_left_to_faiss_and_after_a_while_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bf16_index, "TRIED", 30)
    plain, index = both(np.repeat(np.eye(3), 100, axis=0))
    queries = np.repeat(np.eye(3, dtype=np.float32), 7, axis=0)
    for _ in range(3):
        np.testing.assert_array_equal(nearest(index, queries, 5)[0], nearest(plain, queries, 5)[0])
    assert index.proposer is not None
    assert (index.proposer.asked, index.proposer.proved) == (42, 0)


def test_an_index_smaller_than_the_sample_and_more_neighbours_than_are_proved() -> None:
    plain, index = both(normal(np.random.default_rng(4), 20, 8))
    queries = unit_rows(normal(np.random.default_rng(5), 6, 8).astype(np.float32))
    for k in (1, 9, 10, 20):
        np.testing.assert_array_equal(nearest(index, queries, k)[0], nearest(plain, queries, k)[0])
    assert index.proposer is not None and index.proposer.asked == 12
    assert nearest(index, queries[:0], 3)[0].shape == (0, 3)


def test_threads_answer_as_one_and_torch_has_its_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_search, "LEAST", 8)
    monkeypatch.setattr(neighbour_search.faiss, "omp_get_max_threads", lambda: 3)
    rng, before = np.random.default_rng(6), torch.get_num_threads()
    plain, index = both(clusters(rng, 500, 12))
    ids, queries = pa.array([f"q{n}" for n in range(100)]), arrow.lists(normal(rng, 100, 12).astype(np.float32))
    batch = pa.record_batch([ids, queries], ["image_id", "embedding"])
    theirs, ours = (list(neighbour_search.answers([batch], [each], 4, 16)) for each in (plain, index))
    assert ours == theirs and len(ours) > 3
    assert torch.get_num_threads() == before


def test_products_are_added_as_the_bound_has_it() -> None:
    assert bf16_products.adds_in_float32()


def test_products_rounded_on_the_way_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b: exact(a[:, :400], b[:400]) + exact(a[:, 400:], b[400:]))
    assert not bf16_products.adds_in_float32()
