"""Which engine searches, and what is said of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest

from twigma_spark.errors import ModelError
from twigma_spark.estimators import faiss_index, neighbour_search, search_engines
from twigma_spark.estimators.faiss_index import NeighbourIndex, ShardFile
from twigma_spark.estimators.neighbour_search import nearest
from twigma_spark.estimators.search_engines import choose_engine
from twigma_spark.io import arrow
from twigma_spark.vectors import unit_rows

MANY = 10**12


def index_of(rows: int, dim: int = 16) -> NeighbourIndex:
    flat = faiss.IndexFlatIP(dim)
    flat.add(unit_rows(np.random.default_rng(rows).standard_normal((rows, dim), dtype=np.float32)))
    return faiss_index.attach_ids(flat, pa.array([f"{n:05d}" for n in range(rows)]))


@pytest.fixture
def with_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_engines, "cpu_features", lambda: frozenset({"amx_bf16"}))


@pytest.mark.parametrize(
    ("worth", "engine", "reason"),
    [(np.inf, "bf16", r"a probe took \d+\.\d\d of the time of FAISS"), (0.0, "faiss", r"with bf16 a probe took")],
)
@pytest.mark.usefixtures("with_units")
def test_a_probe_decides(monkeypatch: pytest.MonkeyPatch, worth: float, engine: str, reason: str) -> None:
    monkeypatch.setattr(search_engines, "WORTH", worth)
    threads = faiss.omp_get_max_threads()
    shards = [index_of(3000), index_of(40)]
    choice = choose_engine("auto", shards, MANY, 1e9)
    assert choice.engine == engine
    assert re.match(reason, choice.reason)
    assert [shard.proposer is not None for shard in choice.prepare(shards)] == [engine == "bf16", False]
    assert faiss.omp_get_max_threads() == threads


@pytest.mark.usefixtures("with_units")
def test_what_needs_no_probe() -> None:
    index = index_of(3000)
    lists = faiss.IndexIVFFlat(faiss.IndexFlatIP(16), 16, 4, faiss.METRIC_INNER_PRODUCT)
    for wanted, shards, queries, memory, reason in (
        ("faiss", [index], MANY, 1e9, "neighbours.index.engine says so"),
        ("auto", [index], 10, 1e9, "it takes less than 20 s"),
        ("bf16", [index], 10, 1e4, "copies in bf16 would take 0.0 GB, and 0.0 GB may be taken"),
        ("bf16", [replace(index, searcher=index.vectors)], 10, 1e9, "on the GPU"),
        ("auto", [replace(index, vectors=lists)], MANY, 1e9, "an approximate index is FAISS's"),
    ):
        choice = choose_engine(wanted, shards, queries, memory)  # type: ignore[arg-type]
        assert (choice.engine, choice.reason, choice.prepare(shards)) == ("faiss", reason, shards)
        assert choice.describe(shards) == f"faiss ({reason})"


def test_a_cpu_without_units_is_not_probed_but_searches_by_bf16_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_engines, "cpu_features", lambda: frozenset({"avx2"}))
    index = index_of(3000)
    assert choose_engine("auto", [index], MANY, 1e9).reason == "the CPU multiplies bf16 no faster than float32"
    choice = choose_engine("bf16", [index], 10, 1e9)
    (proposing,) = choice.prepare([index])
    queries = unit_rows(np.random.default_rng(1).standard_normal((50, 16), dtype=np.float32))
    np.testing.assert_array_equal(nearest(proposing, queries, 5)[0], nearest(index, queries, 5)[0])
    proved = 100 * proposing.proposer.proved / 50  # type: ignore[union-attr]
    assert choice.describe([proposing]) == (
        f"bf16 (neighbours.index.engine says so); {proved:.2f}% of 50 searches proved, the others by FAISS"
    )


def test_without_torch_bf16_is_refused_and_auto_is_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_engines, "find_spec", lambda name: None)
    monkeypatch.setattr(search_engines, "cpu_features", lambda: frozenset({"amx_bf16"}))
    assert choose_engine("auto", [index_of(3000)], MANY, 1e9).reason == "torch is not installed"
    with pytest.raises(ModelError, match=r"must be faiss or auto where torch is not installed\. Got 'bf16'"):
        choose_engine("bf16", [index_of(3000)], 10, 1e9)


@pytest.mark.parametrize("features", [{"amx_bf16"}, {"avx2"}])
def test_a_worker_searches_files_by_bf16_where_its_cpu_can(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, features: set[str]
) -> None:
    monkeypatch.setattr(faiss_index, "cpu_features", lambda: frozenset(features))
    index = index_of(1500)
    faiss_index.save(index, tmp_path / "i.faiss")
    shard = ShardFile(str(tmp_path / "i.faiss"), "unused", bf16=True)
    assert (shard.load().proposer is not None) == ("amx_bf16" in features)
    assert replace(shard, bf16=False).load().proposer is None
    ids, vectors = pa.array([str(n) for n in range(40)]), arrow.lists(np.ones((40, 16), np.float32))
    queries = pa.record_batch([ids, vectors], ["image_id", "embedding"])
    found = neighbour_search._answers_of_files([queries], (shard,), 5, 64)
    assert list(found) == list(neighbour_search.answers([queries], [index], 5, 64))


def test_a_probe_ends_where_it_is_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products alone that take longer decide; else a round that is clear; else the median of three."""
    index, looked = index_of(3000), []

    def share_of(bare: float, *rounds: float) -> float:
        seconds = iter([each for share in rounds for each in (share, 1.0)])
        monkeypatch.setattr(search_engines, "_share_of_products", lambda vectors, queries: bare)
        monkeypatch.setattr(search_engines, "_seconds", lambda *_: looked.append(1) or next(seconds))
        looked.clear()
        return search_engines.probe(index)

    assert (share_of(1.5), len(looked)) == (1.5, 0)
    assert (share_of(0.5, 0.4), len(looked)) == (0.4, 2)
    assert (share_of(1.1, 1.4), len(looked)) == (1.4, 2)
    assert (share_of(0.8, 0.85, 0.95, 0.88), len(looked)) == (0.88, 6)
