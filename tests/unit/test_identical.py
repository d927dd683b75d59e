"""Identical embeddings: vectors within the tolerance share a cell, and only those within it are joined."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twigma_spark.estimators import identical
from twigma_spark.io import arrow

TOLERANCE = 1e-4


def cells(rows: np.ndarray) -> dict[str, set[bytes]]:
    names = pa.array([str(n) for n in range(len(rows))])
    batch = pa.record_batch([names, names, arrow.lists(rows.astype(np.float32))], ["image_id", "corpus", "embedding"])
    (made,) = identical._cells([batch], TOLERANCE)
    found: dict[str, set[bytes]] = {}
    for name, cell in zip(made.column(0).to_pylist(), made.column(2).to_pylist(), strict=True):
        found.setdefault(name, set()).add(cell)
    return found


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 0.999), scale=st.floats(0.1, 50))
def test_vectors_within_the_tolerance_share_a_cell(seed: int, share: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    one = rng.standard_normal((50, 24))
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    away = rng.standard_normal((50, 24))
    away *= share * TOLERANCE / np.linalg.norm(away, axis=1, keepdims=True)
    found = cells(np.concatenate([one, scale * (one + away)]))
    assert all(found[str(n)] & found[str(n + 50)] for n in range(50))


def test_cells_tell_most_vectors_apart() -> None:
    found = cells(np.random.default_rng(1).standard_normal((400, 24)))
    every = [cell for own in found.values() for cell in own]
    assert len(set(every)) == len(every) < 2 * 400


def edges(rows: list[list[float]], cell: list[str], pieces: int = 1) -> set[tuple[str, str]]:
    names = pa.array(list("abcdefgh")[: len(rows)])
    columns = [pa.array([c.encode() for c in cell]), names, arrow.lists(np.array(rows, np.float32))]
    whole = pa.record_batch(columns, ["cell", "image_id", "embedding"])
    size = -(-len(rows) // pieces)
    parts = [whole.slice(at, size) for at in range(0, len(rows), size)]
    made = identical._same(parts, TOLERANCE)
    return {pair for batch in made for pair in zip(*(c.to_pylist() for c in batch.columns), strict=True)}


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_edges_join_what_is_within_the_tolerance_of_one_cell(pieces: int) -> None:
    rows = [[1, 0], [1, 0.00001], [1, 0.01], [2, 0.02], [1, 0]]
    assert edges(rows, ["x"] * 5, pieces) == {("b", "a"), ("e", "a"), ("d", "c")}
    assert edges(rows, ["x", "x", "y", "y", "y"], pieces) == {("b", "a"), ("d", "c")}


def test_what_is_within_the_tolerance_of_two_leaders_joins_them() -> None:
    rows = [[1, 0], [1, 0.00016], [1, 0.00008]]
    assert edges(rows, ["x"] * 3) == {("c", "a"), ("c", "b")}
