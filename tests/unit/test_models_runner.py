"""The inner loop: order, grouping, errors, look-ahead, batch sizes, and a GPU that runs out of memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twigma_spark.errors import ModelError
from twigma_spark.models.base import Array, Loaded
from twigma_spark.models.decode import ImageError
from twigma_spark.models.runner import BatchResult, run_batches


class Doubler(Loaded):
    """Doubles numbers; refuses negative ones as bad images; notes what it was asked."""

    def __init__(self, fits: int = 10**9, pause: float = 0.0) -> None:
        self.sizes: list[int] = []
        self.threads: set[str] = set()
        self.released = 0
        self._fits = fits
        self._pause = pause

    def prepare(self, item: int) -> Array:
        self.threads.add(threading.current_thread().name)
        time.sleep(self._pause)
        if item < 0:
            raise ImageError("undecodable", f"negative {item}")
        return np.array([item], dtype=np.int64)

    def forward(self, batch: Array) -> Array:
        if len(batch) > self._fits:
            raise OutOfMemoryError("CUDA out of memory")
        self.sizes.append(len(batch))
        return batch[:, 0] * 2

    def empty(self) -> Array:
        return np.zeros(0)

    def release(self) -> None:
        self.released += 1


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def expected(batch: Sequence[int]) -> BatchResult:
    return BatchResult(
        [None if item < 0 else 2 * item for item in batch],
        [f"undecodable: negative {item}" if item < 0 else None for item in batch],
    )


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.lists(st.integers(-3, 50), max_size=9), max_size=9),
    st.integers(1, 20),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_every_item_comes_back_in_its_place(
    batches: list[list[int]], batch_size: int, threads: int, ahead: int
) -> None:
    loaded = Doubler()
    results = run_batches(batches, loaded, batch_size=batch_size, decode_threads=threads, ahead=ahead)
    assert list(results) == [expected(batch) for batch in batches]
    assert max(loaded.sizes, default=0) <= batch_size


def test_network_batches_are_full_across_input_batches() -> None:
    loaded = Doubler()
    list(run_batches([[1, 2, 3]] * 7, loaded, batch_size=8))
    assert loaded.sizes == [8, 8, 5]


def test_items_are_prepared_in_the_pool() -> None:
    loaded = Doubler(pause=0.002)
    list(run_batches([list(range(40))], loaded, decode_threads=3))
    assert len(loaded.threads) == 3
    assert all(name.startswith("decode") for name in loaded.threads)


def test_look_ahead_is_bounded() -> None:
    taken = 0

    def endless() -> Iterator[list[int]]:
        nonlocal taken
        while True:
            taken += 1
            yield [1, 2, 3, 4]

    results = run_batches(endless(), Doubler(), batch_size=8, ahead=2)
    assert taken == 0
    for done in range(1, 6):
        next(results)
        # A network batch of 2 input batches, 4 more being prepared, and the one just taken.
        assert taken <= done + 2 + 4 + 1
    results.close()


def test_stopping_early_does_not_wait_for_what_was_begun() -> None:
    results = run_batches([[1] * 4] * 500, Doubler(pause=0.01), batch_size=4, ahead=100)
    next(results)
    started = time.perf_counter()
    results.close()
    assert time.perf_counter() - started < 1.0


def test_an_error_that_is_not_the_image_s_is_raised() -> None:
    class Broken(Doubler):
        def forward(self, batch: Array) -> Array:
            raise RuntimeError("the model is wrong")

    with pytest.raises(RuntimeError, match="the model is wrong"):
        list(run_batches([[1]], Broken()))


def test_out_of_memory_halves_the_batch_and_keeps_it(caplog: pytest.LogCaptureFixture) -> None:
    loaded = Doubler(fits=5)
    batches = [list(range(16))] * 3
    assert list(run_batches(batches, loaded, batch_size=16)) == [expected(batch) for batch in batches]
    assert loaded.sizes == [4] * 12
    assert loaded.released == 2
    assert "going on with 4" in caplog.text


def test_one_item_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ModelError, match="CUDA out of memory at batch size 1"):
        list(run_batches([[1, 2]], Doubler(fits=0), batch_size=2))


def test_sizes_are_checked() -> None:
    with pytest.raises(ModelError, match="at least 1"):
        list(run_batches([[1]], Doubler(), batch_size=0))


class Ahead(Doubler):
    """Begins two batches before the first one's values are taken, as on a GPU; finds items from 1,000 broken."""

    in_flight = 2

    def __init__(self, fits: int = 10**9) -> None:
        super().__init__(fits)
        self.events: list[str] = []

    def begin(self, prepared: Sequence[Array]) -> Callable[[], list[object]]:
        values = self.forward(np.stack(prepared))
        number = len(self.sizes)
        self.events.append(f"begin {number}")

        def take() -> list[object]:
            self.events.append(f"take {number}")
            return [ImageError("undecodable", "late") if value >= 2000 else value for value in values]

        return take


def test_a_gpu_has_the_next_batch_before_values_are_taken() -> None:
    loaded = Ahead()
    results = list(run_batches([[1, 2], [3, -1, 4], [5]], loaded, batch_size=2))
    assert results == [expected([1, 2]), expected([3, -1, 4]), expected([5])]
    assert loaded.events == ["begin 1", "begin 2", "take 1", "begin 3", "take 2", "take 3"]


def test_an_image_that_turns_out_to_be_broken_is_an_error() -> None:
    (result,) = run_batches([[1, 1000, 2]], Ahead(), batch_size=2)
    assert result == BatchResult([2, None, 4], [None, "undecodable: late", None])


def test_out_of_memory_with_a_batch_in_flight() -> None:
    loaded = Ahead(fits=3)
    batches = [list(range(8))] * 2
    assert list(run_batches(batches, loaded, batch_size=4)) == [expected(batch) for batch in batches]
    assert loaded.sizes == [2] * 8
