"""Small samples take one thread of BLAS, whoever else is inside."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_info

from twigma_spark.stats.sample import Sample
from twigma_spark.stats.threads import SMALL, few_threads

SMALL_ONE = [Sample(np.zeros((3, 2), np.float32))]


def threads() -> list[int]:
    return [int(library["num_threads"]) for library in threadpool_info() if library["user_api"] == "blas"]


def test_the_first_sets_the_limit_and_the_last_ends_it() -> None:
    before = threads()
    one, two = few_threads(SMALL_ONE), few_threads(SMALL_ONE)
    one.__enter__()
    two.__enter__()
    assert set(threads()) == {1}
    one.__exit__(None, None, None)
    assert set(threads()) == {1}
    two.__exit__(None, None, None)
    assert threads() == before


def test_large_samples_are_not_limited() -> None:
    before = threads()
    with few_threads([Sample(np.broadcast_to(np.float32(0), (SMALL, 1)))]):
        assert threads() == before
