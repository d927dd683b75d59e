"""How many threads the linear algebra takes: one for small samples, which more of them only slow down."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext

from threadpoolctl import threadpool_limits

from twigma_spark.stats.sample import Sample

# Elements of all samples together. Below, threads wait for one another: a grid over 3,000 vectors of 96
# dimensions took 0.9 s of one processor, and 20 s of two that were busy with other work too.
SMALL = 5_000_000


_lock = threading.Lock()
_inside: list[object] = []
_limits: list[threadpool_limits] = []


@contextmanager
def few_threads(samples: Iterable[Sample]) -> Iterator[None]:
    """Let BLAS and OpenMP use one thread inside where the samples are small; else as many as they like."""
    with one_thread() if sum(sample.vectors.size for sample in samples) < SMALL else nullcontext():
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Let BLAS and OpenMP use one thread inside.

    The limit is the process's. Of threads that are inside at once, the first sets it and the last one ends it: were
    each to restore what it met, one would restore the other's limit, which then stays.
    """
    with _lock:
        if not _inside:
            _limits.append(threadpool_limits(1))
        _inside.append(None)
    try:
        yield
    finally:
        with _lock:
            _inside.pop()
            if not _inside:
                _limits.pop().restore_original_limits()
