"""How many threads the linear algebra takes: one for small samples, which more of them only slow down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from twigma_spark.stats.sample import Sample

# Elements of all samples together. Below, threads wait for one another: a grid over 3,000 vectors of 96
# dimensions took 0.9 s of one processor, and 20 s of two that were busy with other work too.
SMALL = 5_000_000


@contextmanager
def few_threads(samples: Iterable[Sample]) -> Iterator[None]:
    """Let BLAS and OpenMP use one thread inside where the samples are small; else as many as they like."""
    elements = sum(sample.vectors.size for sample in samples)
    with threadpool_limits(1 if elements < SMALL else None):
        yield
