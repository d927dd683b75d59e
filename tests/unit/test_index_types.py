"""Which index is chosen, and why."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from twigma_spark.estimators.index_types import choose

GB = 1e9


@pytest.mark.parametrize(
    ("rows", "queries", "memory", "factory", "reason", "shards"),
    [
        (60_000, 805_650, 4 * GB, "Flat", "exact search takes about 742 s, within 1800 s", 1),
        (5_000_000, 805_650, 20 * GB, "IVF8192,Flat", "15.4 GB of vectors fit", 1),
        (5_000_000, 805_650, 4 * GB, "IVF8192,Flat", "exceed the memory of 4.0 GB and are mapped from files", 12),
        (5_000_000, 805_650, 1 * GB, "OPQ96,IVF8192,PQ96", "exceed the memory of 1.0 GB; 96 bytes", 1),
        (400_000_000, 805_650, 16 * GB, "OPQ32,IVF65536,PQ32", "32 bytes a vector", 1),
        (400_000_000, 805_650, 2 * GB, "OPQ8,IVF65536,PQ8", "8 bytes a vector", 4),
        (3_000_000, 10, 4 * GB, "Flat", "exact search takes about 0 s", 3),
        (0, 10, 4 * GB, "Flat", "exact", 0),
    ],
)
def test_the_type_follows_size_time_and_memory(
    rows: int, queries: int, memory: float, factory: str, reason: str, shards: int
) -> None:
    found = choose(rows, 768, queries, memory, 1800)
    assert found.factory == factory and reason in found.reason
    assert -(-rows // found.shard_rows) == shards
    assert found.exact == (factory == "Flat")


def test_an_explicit_string_wins() -> None:
    found = choose(1000, 96, 10, GB, 60, "IVF16,PQ8x4")
    assert (found.factory, found.reason) == ("IVF16,PQ8x4", "neighbours.index.factory says so")
    assert found.shard_rows == -(-GB // 16)


@pytest.mark.parametrize("dim", [96, 512, 768, 1024])
def test_every_chosen_string_is_one_of_faiss(dim: int) -> None:
    for rows in (20_000, 10_000_000, 400_000_000):
        for memory in (GB, 50 * GB):
            index = faiss.index_factory(dim, choose(rows, dim, 10**6, memory, 0).factory, faiss.METRIC_INNER_PRODUCT)
            assert index.d == dim and not np.isnan(index.ntotal)
