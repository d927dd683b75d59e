"""Close pairs within buckets against all pairs, and which pivots a vector goes to."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from twigma_spark.estimators import near
from twigma_spark.estimators.near import Reach
from twigma_spark.io import arrow


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def batch(rows: np.ndarray, corpora: list[str]) -> pa.RecordBatch:
    names = pa.array([f"{n:03d}" for n in range(len(rows))])
    turns = pa.array(np.zeros(len(rows), np.int32))
    return pa.record_batch([names, pa.array(corpora), arrow.lists(rows.astype(np.float32)), turns], list(near.COLUMNS))


def block(rows: np.ndarray, turns: list[int] | None = None) -> near._Block:
    ids = np.array([f"{n:03d}" for n in range(len(rows))], object)
    corpora = np.array(["p", "q"] * len(rows), object)[: len(rows)]
    return near._Block(ids, corpora, rows.astype(np.float32), np.array(turns or [0] * len(rows), np.int32))


def pairs(batches: Iterable[pa.RecordBatch]) -> set[tuple[str, str, int, bool]]:
    columns = ("a", "b", "turn", "across")
    return {row for part in batches for row in zip(*(part.column(c).to_pylist() for c in columns), strict=True)}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60))
def test_one_bucket_gives_all_pairs_of_a_corpus(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    rows, corpora = unit(rng.standard_normal((n, 3))), rng.choice(["p", "q"], n).tolist()
    placed = near._assign_buckets([batch(rows, corpora)], np.zeros((1, 3), np.float32), 1)
    found = {
        (a, b)
        for part in near._pairs(placed, Reach(0.9))
        for a, b in zip(*(c.to_pylist() for c in part.columns[:2]), strict=True)
    }
    cosine = rows @ rows.T
    clear = np.abs(cosine - 0.9) > 1e-3
    wanted = {
        (f"{i:03d}", f"{j:03d}")
        for i in range(n)
        for j in range(i + 1, n)
        if corpora[i] == corpora[j] and cosine[i, j] >= 0.9
    }
    assert all(clear[int(a), int(b)] is np.False_ for a, b in found ^ wanted)


def test_blocks_of_a_large_bucket_are_compared_with_each_other(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    rows = unit(np.random.default_rng(1).standard_normal((40, 3))).astype(np.float32)
    whole = pairs(near._within(block(rows), Reach(0.8)))
    monkeypatch.setattr(near, "BLOCK", 7)
    assert pairs(near._within(block(rows), Reach(0.8))) == whole != set()


def test_turned_vectors_are_compared_with_upright_ones_alone() -> None:
    """Rows 0 and 1 are upright, 2 and 3 turned copies of both; all point the same way."""
    images = block(np.tile([1.0, 0.0], (4, 1)), [0, 0, 1, 1])
    images.ids[2:] = images.ids[:2]
    found = pairs(near._within(images, Reach(0.9, across=True)))
    assert found == {("000", "001", 0, True), ("000", "001", 1, True), ("001", "000", 1, True)}


def test_a_row_keeps_its_closest_pairs_only() -> None:
    rows, cosine = np.array([0, 0, 0, 2, 2]), np.array([0.91, 0.99, 0.95, 0.9, 0.93], np.float32)
    assert near._closest(rows, cosine, 2).tolist() == [1, 2, 4, 3]
    assert near._closest(rows[:0], cosine[:0], 2).tolist() == []


def test_each_vector_goes_to_its_nearest_pivots() -> None:
    rng = np.random.default_rng(2)
    rows, pivots = unit(rng.standard_normal((20, 5))).astype(np.float32), unit(rng.standard_normal((9, 5))).astype("f4")
    (placed,) = near._assign_buckets([batch(rows, ["p"] * 20)], pivots, 3)
    found = np.sort(placed.column("bucket").to_numpy().reshape(20, 3), axis=1)
    assert (found == np.sort(np.argsort(-(rows @ pivots.T), axis=1)[:, :3], axis=1)).all()
    back = np.frombuffer(placed.column("vector")[4].as_py(), np.float16)
    np.testing.assert_allclose(back, rows[1], atol=1e-3)
    assert placed.column("image_id")[4].as_py() == "001"


def test_which_pairs_are_kept_of_many_does_not_depend_on_the_order_of_arrival() -> None:
    rng = np.random.default_rng(3)
    rows = unit(rng.normal(size=(1, 8)) + 0.1 * rng.normal(size=(40, 8))).astype(np.float32)
    table = pa.table({
        "bucket": np.repeat(np.arange(2, dtype=np.int32), 20), "image_id": [f"{n:03d}" for n in range(40)],
        "corpus": ["p", "q"] * 20, "vector": near._pack_vectors(rows), "turn": np.zeros(40, np.int32),
    })  # fmt: skip
    reach = Reach(0.8, most=3, across=True)
    found = pairs(near._pairs(table.to_batches(), reach))
    assert 40 < len(found) < 2 * 20 * 19 / 2
    for _ in range(5):
        shuffled = table.take(rng.permutation(40)).to_batches(max_chunksize=7)
        assert pairs(near._pairs(shuffled, reach)) == found
