"""Search list by list finds what FAISS finds query by query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from twigma_spark.estimators import inverted_lists
from twigma_spark.estimators.blas import faiss
from twigma_spark.estimators.inverted_lists import InvertedLists
from twigma_spark.vectors import unit_rows


def unit(rng: np.random.Generator, n: int, d: int) -> NDArray[np.float32]:
    centres = 3 * rng.standard_normal((3, d))
    return unit_rows((centres[rng.integers(3, size=n)] + rng.standard_normal((n, d))).astype(np.float32))


def index_of(vectors: NDArray[np.float32], lists: int, nprobe: int) -> Any:
    index = faiss.index_factory(vectors.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid, index.cp.niter = 1, 2
    index.train(vectors)
    index.add(vectors)
    index.nprobe = nprobe
    return index


@given(
    seed=st.integers(0, 10_000),
    lists=st.integers(1, 12),
    nprobe=st.integers(1, 14),
    k=st.integers(1, 9),
    copies=st.integers(1, 4),
)
def test_it_finds_what_faiss_finds(seed: int, lists: int, nprobe: int, k: int, copies: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = np.repeat(unit(rng, 24, 5), copies, axis=0)
    index, queries = index_of(vectors, lists, nprobe), unit(rng, 7, 5)
    expected, theirs = index.search(queries, k)
    cosines, rows = InvertedLists(index).search(queries, k)
    there = theirs >= 0
    np.testing.assert_array_equal(rows >= 0, there)
    np.testing.assert_allclose(cosines[there], expected[there], atol=1e-6)
    assert np.isneginf(cosines[~there]).all()
    own = np.einsum("nkd,nd->nk", vectors[rows], queries)
    np.testing.assert_allclose(cosines[there], own[there], atol=1e-6)
    # Each row is found once, also of copies, any of which may be the last of a query.
    assert all(len({*line[line >= 0]}) == (line >= 0).sum() for line in rows)


def test_a_mapped_index_answers_alike_whatever_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    vectors, queries = unit(rng, 300, 16), unit(rng, 50, 16)
    faiss.write_index(index_of(vectors, 20, 4), str(tmp_path / "index"))
    index = faiss.read_index(str(tmp_path / "index"), faiss.IO_FLAG_MMAP)
    index.nprobe, mapped = 4, InvertedLists(index)
    cosines, rows = mapped.search(queries, 5)
    np.testing.assert_array_equal(rows, index_of(vectors, 20, 4).search(queries, 5)[1])
    for start in range(0, 50, 7):
        part = mapped.search(queries[start : start + 7], 5)
        np.testing.assert_array_equal(part[0], cosines[start : start + 7])
        np.testing.assert_array_equal(part[1], rows[start : start + 7])
    monkeypatch.setattr(inverted_lists, "CELLS", 60)
    np.testing.assert_array_equal(mapped.search(queries, 5)[1], rows)
