"""Which FAISS index: by size, time and memory, with the reason said."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, sqrt

# Inner products that a driver computes a second, times two: what two ordinary cores do, with room to spare.
RATE = 1e11
# References that are never worth an approximation.
FEW = 10_000
# Bytes of a product-quantised vector, best first; OPQ needs them to divide the dimension.
CODES = (96, 64, 48, 32, 24, 16, 8)
ID = 8
# How many times the memory inverted lists of whole vectors may take: they are mapped from files, and what is searched
# often stays in the page cache. Bytes of such a file at most.
MAPPED, FILE = 8, 2e9


@dataclass(frozen=True)
class Choice:
    """An index.

    Attributes:
        factory: FAISS's index_factory string.
        reason: why, for the log and the manifest.
        shard_rows: vectors of one file; more are split.
    """

    factory: str
    reason: str
    shard_rows: int

    @property
    def exact(self) -> bool:
        """Whether it finds the true neighbours."""
        return self.factory == "Flat"


def choose(rows: int, dim: int, queries: int, memory: float, seconds: float, factory: str | None = None) -> Choice:
    """Return the index for `rows` references of `dim` elements; an explicit factory string wins.

    Args:
        rows: vectors to search in.
        dim: their length.
        queries: searches that are to come.
        memory: bytes that an index may take.
        seconds: that an exact search of all queries may take.
        factory: explicit index_factory string, or None.
    """
    flat = dim * 4 + ID
    if rows and factory is not None:
        return Choice(factory, "neighbours.index.factory says so", _fits(_bytes(factory, dim), memory))
    took = 2.0 * rows * dim * queries / RATE
    if rows < FEW or took <= seconds:
        return Choice("Flat", f"exact search takes about {took:.0f} s, within {seconds:.0f} s", _fits(flat, memory))
    lists = f"IVF{_lists(rows)}"
    if rows * flat <= memory:
        why = f"exact search would take about {took:.0f} s, and {rows * flat / 1e9:.1f} GB of vectors fit the memory"
        return Choice(f"{lists},Flat", why, _fits(flat, memory))
    if rows * flat <= MAPPED * memory:
        size, most = rows * flat / 1e9, memory / 1e9
        why = f"{size:.1f} GB of vectors exceed the memory of {most:.1f} GB and are mapped from files"
        # A file is filled in memory, where lists that grow take up to twice their size.
        return Choice(f"{lists},Flat", why, _fits(flat, min(memory / 3, FILE)))
    code = _code(rows, dim, memory)
    why = f"{rows * flat / 1e9:.1f} GB of vectors exceed the memory of {memory / 1e9:.1f} GB; {code} bytes a vector"
    return Choice(f"OPQ{code},{lists},PQ{code}", why, _fits(code + ID, memory))


def _lists(rows: int) -> int:
    """Return the number of inverted lists: the power of two near 4 √n, as FAISS's guidelines have it."""
    return int(min(65_536, max(64, 2 ** round(log2(4 * sqrt(rows))))))


def _code(rows: int, dim: int, memory: float) -> int:
    """Return the longest code that fits the memory, or the shortest that divides the dimension."""
    dividing = [code for code in CODES if dim % code == 0] or [1]
    return next((code for code in dividing if rows * (code + ID) <= memory), dividing[-1])


def _bytes(factory: str, dim: int) -> int:
    """Return the bytes of a vector in an explicit index, where its last part is a PQ, else as Flat."""
    last = factory.rsplit(",", 1)[-1]
    digits = last[2:].split("x")[0]
    return int(digits) + ID if last.startswith("PQ") and digits.isdigit() else dim * 4 + ID


def _fits(each: int, memory: float) -> int:
    return max(1, ceil(memory / each))
