"""Who computes the products of an exact search: FAISS in float32, or bf16 units whose answers are proved.

The answers are the same to the last id, so that an engine is a matter of speed alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twigma_spark.errors import ModelError
from twigma_spark.estimators.bf16_products import Bf16Rows, adds_in_float32
from twigma_spark.estimators.blas import faiss
from twigma_spark.estimators.faiss_index import NeighbourIndex, vectors_of, with_proposer
from twigma_spark.estimators.index_types import RATE
from twigma_spark.estimators.neighbour_search import nearest, thread_pool
from twigma_spark.models.device import cpu_features, multiplies_bf16_fast

Engine = Literal["auto", "faiss", "bf16"]
# Seconds that FAISS would take, below which a probe and torch's import are not worth their time.
LEAST_SECONDS = 20.0
# Queries and references of the probe, its rounds, and the share of FAISS's time at which bf16 is taken.
PROBE_QUERIES, PROBE_ROWS, ROUNDS, WORTH = 512, 8192, 3, 0.9
# References of a look at the products alone, which the whole search cannot be quicker than; the share of FAISS's time
# from which that look decides, and by which share of `WORTH` either way a first round does.
BARE_ROWS, BARE_SHARE, CLEAR = 2048, 1.2, 0.25
# Neighbours that the probe asks for.
PROBED = 5
# Bytes that a copy in bf16 takes an element, with what is kept beside it.
COPIED = 2.5


@dataclass(frozen=True)
class EngineChoice:
    """What searches.

    Attributes:
        engine: "faiss" or "bf16".
        reason: why, for the log.
    """

    engine: Literal["faiss", "bf16"]
    reason: str

    def prepare(self, shards: Sequence[NeighbourIndex]) -> list[NeighbourIndex]:
        """Return indexes that this engine searches; copies in bf16 are made here."""
        return [with_proposer(shard) for shard in shards] if self.engine == "bf16" else list(shards)

    def describe(self, shards: Sequence[NeighbourIndex] = ()) -> str:
        """Return what searched and, of indexes that were searched here, the share of the queries that were proved."""
        counts = [(each.proposer.asked, each.proposer.proved) for each in shards if each.proposer]
        asked, proved = (sum(count) for count in zip(*counts, strict=True)) if counts else (0, 0)
        share = f"; {100 * proved / asked:.2f}% of {asked:,} searches proved, the others by FAISS" if asked else ""
        return f"{self.engine} ({self.reason}){share}"


def choose_engine(wanted: Engine, shards: Sequence[NeighbourIndex], queries: int, memory: float) -> EngineChoice:
    """Return what is to search indexes for so many queries.

    Args:
        wanted: from the configuration; "auto" takes bf16 where the CPU multiplies it fast and a probe is quicker.
        shards: indexes in memory or mapped.
        queries: how many are to come.
        memory: bytes that the copies in bf16 may take.

    Raises:
        ModelError: bf16 is asked for and torch is not installed.
    """
    if against := _against(wanted, shards, queries, memory):
        return EngineChoice("faiss", against)
    reason = "neighbours.index.engine says so"
    if wanted == "auto":
        share = probe(max(shards, key=lambda shard: shard.size))
        reason = f"a probe took {share:.2f} of the time of FAISS"
        if share > WORTH:
            return EngineChoice("faiss", f"with bf16 {reason}")
    return EngineChoice("bf16", reason)


def probe(index: NeighbourIndex) -> float:
    """Return the time of the search by bf16 in units of FAISS's, on one thread.

    It searches some of an index's vectors in some others of it: the median of as many turns as it takes to be clear.
    Where the products alone take longer than FAISS, their share is returned and nothing else is done. At 768 elements
    that took 0.2 s of CPU, one round 0.5 s and three of them 0.8 s; torch's import takes 1.7 s before.
    """
    rows = np.sort(np.random.default_rng(0).permutation(index.size)[: PROBE_ROWS + PROBE_QUERIES])
    vectors = np.ascontiguousarray(vectors_of(index.vectors)[rows])
    queries = np.ascontiguousarray(vectors[:: -(-len(rows) // PROBE_QUERIES)])
    references = faiss.IndexFlatIP(index.vectors.d)
    references.add(vectors)
    places = np.arange(len(rows))
    theirs = NeighbourIndex(references, pa.array(places.astype(str)), places)
    shares: list[float] = []
    with thread_pool(1, with_torch=True) as pool:
        bare = pool.submit(_share_of_products, vectors[:BARE_ROWS], queries).result()
        if bare > BARE_SHARE:
            return bare
        ours = with_proposer(theirs)
        while len(shares) < ROUNDS and (not shares or abs(shares[-1] - WORTH) < CLEAR * WORTH):
            one, other = (pool.submit(_seconds, nearest, each, queries, PROBED).result() for each in (ours, theirs))
            shares.append(one / other)
    return median(shares)


def _against(wanted: Engine, shards: Sequence[NeighbourIndex], queries: int, memory: float) -> str:
    """Return why FAISS searches without a probe, or nothing."""
    work = sum(2.0 * shard.size * int(shard.vectors.d) for shard in shards) * queries
    copies = sum(COPIED * shard.size * int(shard.vectors.d) for shard in shards)
    against = {
        "neighbours.index.engine says so": wanted == "faiss",
        "an approximate index is FAISS's": not all(shard.exact for shard in shards),
        "on the GPU": any(shard.searcher for shard in shards),
        f"copies in bf16 would take {copies / 1e9:.1f} GB, and {memory / 1e9:.1f} GB may be taken": copies > memory,
    }
    if wanted == "auto":
        against |= {
            f"it takes less than {LEAST_SECONDS:.0f} s": work / RATE < LEAST_SECONDS,
            "the CPU multiplies bf16 no faster than float32": not multiplies_bf16_fast(cpu_features()),
            "torch is not installed": find_spec("torch") is None,
        }
    if (found := next((reason for reason, holds in against.items() if holds), "")) or wanted == "faiss":
        return found
    if find_spec("torch") is None:
        raise ModelError(
            "neighbours.index.engine must be faiss or auto where torch is not installed. Got 'bf16'; install torch."
        )
    return "" if adds_in_float32() else "products of bf16 are not added in float32 here"


def _share_of_products(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> float:
    """Return the time of products of bf16 in units of a search by FAISS."""
    references, packed = faiss.IndexFlatIP(vectors.shape[1]), Bf16Rows(vectors)
    references.add(vectors)
    turns = [(_seconds(packed.products, queries), _seconds(references.search, queries, PROBED)) for _ in range(ROUNDS)]
    return median(one / other for one, other in turns)


def _seconds(work: Callable[..., object], *arguments: object) -> float:
    """Return the seconds of CPU that a call takes, in which other work on the machine counts less."""
    start = time.thread_time()
    work(*arguments)
    return time.thread_time() - start
