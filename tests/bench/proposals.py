"""Nearest centres and near pairs by products of bf16 against float32: the same answers, and the time of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np

from tests.bench import vectors_data as data
from tests.bench.records import Record
from twigma_spark.estimators.bf16_products import adds_in_float32
from twigma_spark.estimators.nearest_centres import Centres
from twigma_spark.estimators.pair_products import pairs_at_least

ROUNDS, K, SIMILARITY = 7, 1000, 0.97


def proposals(b: Any) -> Iterator[Record]:
    """A task's work in both ways that take turns, in seconds of CPU; torch's import is not among them."""
    if not adds_in_float32():
        yield Record("products of bf16", None, "s", notes="not added in float32 here")
        return
    world = data.World(6000, b.asked.dim, 6, 100)
    rows = np.concatenate([data.block(world, n) for n in range(6)])
    centres = [Centres(rows[4096 : 4096 + K], "cosine", bf16) for bf16 in (True, False)]
    ways: dict[str, list[Callable[[], Any]]] = {
        f"nearest of {K:,} centres, 4,096 x {b.asked.dim}": [lambda c=c: c.nearest(rows[:4096]) for c in centres],  # type: ignore[misc]
        f"pairs above {SIMILARITY} of 2,048 x {b.asked.dim}": [
            lambda bf16=bf16: pairs_at_least(rows[:2048], rows[:2048], SIMILARITY, True, bf16)  # type: ignore[misc]
            for bf16 in (True, False)
        ],
    }
    for name, (ours, theirs) in ways.items():
        turns = [(_cpu_seconds(ours), _cpu_seconds(theirs)) for _ in range(ROUNDS)]
        one, other = np.median(turns, axis=0)
        ratio = median(a / c for a, c in turns)
        same = all(np.array_equal(a, c) for a, c in zip(ours(), theirs(), strict=True))
        yield Record(f"{name}: bf16", one, "s of CPU", other, ratio, "printed", beside="float32")
        yield Record(f"{name}: answers", float(same), "the same", None, None, "all", same)


def _cpu_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
