"""The inner loop, without Spark: batches of items in, one value or one error for each item out.

Decoding of the next items runs in threads (the decoders release the GIL) while the network works on this
batch; a GPU has the next batch before this one's values are taken. The network's batch size has nothing to do
with the sizes in which items arrive.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from twigma_spark.errors import ModelError
from twigma_spark.models.base import Array, Loaded
from twigma_spark.models.decode import ImageError

_log = logging.getLogger(__name__)

_Values = Callable[[], "Sequence[Any] | Array"]


@dataclass(frozen=True)
class BatchResult:
    """One input batch's results, in its order: where `errors` holds a text, `values` holds None."""

    values: list[Any]
    errors: list[str | None]


def run_batches(
    batches: Iterable[Sequence[Any]],
    loaded: Loaded,
    *,
    batch_size: int = 32,
    decode_threads: int = 1,
    ahead: int = 2,
) -> Iterator[BatchResult]:
    """Yield one result for each input batch, in order and of its length; an empty one stays empty.

    At most `ahead` network batches of items (and the input batches that hold them) are read before they are
    needed. Values do not depend on any of the sizes, beyond the last bits of the arithmetic.

    Args:
        batches: Sequences of items: bytes of images, or texts.
        loaded: The model.
        batch_size: Items in one forward pass; halved, and kept so, where a GPU runs out of memory.
        decode_threads: Threads that prepare items.
        ahead: How many batches are being prepared while one is computed.

    Raises:
        ModelError: One item alone does not fit into the GPU's memory.
    """
    if min(batch_size, decode_threads, ahead) < 1:
        got = (batch_size, decode_threads, ahead)
        raise ModelError(f"batch_size, decode_threads and ahead must be at least 1. Got {got!r}.")
    network = _Network(loaded, batch_size)
    unfinished: deque[_Group] = deque()
    pool = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")
    try:
        for group in _read_ahead(batches, loaded, pool, ahead * batch_size):
            unfinished.append(group)
            group.collect(network)
            while unfinished and unfinished[0].is_done:
                yield unfinished.popleft().result()
        network.flush()
        while unfinished:
            yield unfinished.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # a reader that stops early does not wait for the rest


@dataclass
class _Group:
    """An input batch on its way: futures of prepared items first, then their values and errors."""

    futures: list[Future[Any]]
    values: list[Any] = field(default_factory=list)
    errors: list[str | None] = field(default_factory=list)
    missing: int = 0

    def collect(self, network: _Network) -> None:
        """Hand each prepared item to the network as it is ready; note the errors."""
        size = self.missing = len(self.futures)
        self.values, self.errors = [None] * size, [None] * size
        for row in range(size):
            prepared = self.futures[row].result()
            if isinstance(prepared, ImageError):
                self.errors[row] = str(prepared)
                self.missing -= 1
            else:
                network.add(prepared, self, row)
        self.futures = []  # the pixels go with them

    @property
    def is_done(self) -> bool:
        return self.missing == 0

    def result(self) -> BatchResult:
        return BatchResult(self.values, self.errors)


class _Network:
    """The forward pass, fed item by item; knows how many fit."""

    def __init__(self, loaded: Loaded, batch_size: int) -> None:
        self._loaded = loaded
        self._batch_size = batch_size
        self._waiting: list[tuple[Any, _Group, int]] = []
        self._begun: deque[tuple[list[tuple[_Group, int]], _Values]] = deque()

    def add(self, prepared: Any, group: _Group, row: int) -> None:
        """Begin a batch once it is full."""
        self._waiting.append((prepared, group, row))
        if len(self._waiting) >= self._batch_size:
            self._begin_waiting()

    def flush(self) -> None:
        """Compute what waits, and give each value to its group."""
        self._begin_waiting()
        while self._begun:
            self._take_values()

    def _begin_waiting(self) -> None:
        while self._waiting:
            part = self._waiting[: self._batch_size]
            values = self._begin([prepared for prepared, _, _ in part])
            if values is None:
                continue  # again, with the smaller size
            del self._waiting[: len(part)]
            self._begun.append(([(group, row) for _, group, row in part], values))
            while len(self._begun) >= self._loaded.in_flight:
                self._take_values()

    def _take_values(self) -> None:
        """Wait for the batch that was begun first, and give each value, or error, to its group."""
        places, values = self._begun.popleft()
        for (group, row), value in zip(places, values(), strict=True):
            if isinstance(value, ImageError):
                group.errors[row] = str(value)
            else:
                group.values[row] = value
            group.missing -= 1

    def _begin(self, prepared: list[Any]) -> _Values | None:
        """Return the call for the values, or None after a GPU ran out of memory and the size was halved."""
        try:
            return self._loaded.begin(prepared)
        except RuntimeError as error:
            if type(error).__name__ != "OutOfMemoryError":  # torch's, without importing torch
                raise
            if len(prepared) == 1:
                raise ModelError(
                    "CUDA out of memory at batch size 1. Take a smaller model, another precision or a larger GPU."
                ) from error
        self._loaded.release()  # only here, where the error no longer holds its tensors
        self._batch_size = max(1, len(prepared) // 2)
        _log.warning("GPU out of memory at batch size %d: going on with %d", len(prepared), self._batch_size)
        return None


def _read_ahead(
    batches: Iterable[Sequence[Any]], loaded: Loaded, pool: ThreadPoolExecutor, items: int
) -> Iterator[_Group]:
    """Yield the input batches in order, once those behind them that hold the next `items` are begun."""
    begun: deque[_Group] = deque()
    waiting = 0
    for batch in batches:
        begun.append(_Group([pool.submit(_prepare_item, loaded, item) for item in batch]))
        waiting += len(batch)
        while begun and waiting - len(begun[0].futures) >= items:
            waiting -= len(begun[0].futures)
            yield begun.popleft()
    yield from begun


def _prepare_item(loaded: Loaded, item: Any) -> Any:
    """Return the prepared item, or the reason why there is none; never an exception for a bad image."""
    try:
        return loaded.prepare(item)
    except ImageError as error:
        return error
