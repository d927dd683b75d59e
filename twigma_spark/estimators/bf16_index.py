"""Exact inner-product search by bf16 products that propose and a bound that proves; nothing here needs Spark.

CPUs with bf16 units (AMX, AVX-512 BF16) multiply bf16 several times as fast as float32. Rounding a vector to bf16
moves it by at most 2^-9 of its length, and how far exactly is known. With rows y = c + z about a centre c, z rounded
to z', queries x rounded to x', and δ for what rounding took:

    <x, y> = <x, c> + <x', z'> + <δx, z'> + <x, δz>
          <= <x, c> + <x', z'> + |δx| |z'| + |x| |δz|                      (Cauchy-Schwarz)

The two norms on each side are kept as further elements of the vectors, so that the product itself gives the right
side, less a floor: where it is not positive, the row is not among the nearest. Its float32 sum of K products, in
whatever order, is off by at most γ = K u / (1 - K u) times the sum of their sizes (Higham 2002, Accuracy and
Stability of Numerical Algorithms, section 3.1); products of two bf16 numbers are exact in float32. u is taken as
2^-23, twice that of rounding to nearest. oneDNN adds in float32 and rounds once to bf16, which keeps the sign.
The floor is the k-th best cosine so far, in float32, less the rounding of such a cosine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.estimators.best_rows import MOST, SPARE, BestRows
from twigma_spark.estimators.bf16_products import TILE, TINY, round_rows, up_to, upper_lengths
from twigma_spark.estimators.blas import faiss
from twigma_spark.estimators.products import gamma, products_of_pairs

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

# Elements beside a vector's own: two norms and two parts of the floor.
EXTRA = 4
# Rows that are searched in float32 first, for a floor to begin with; rows of one product; rows of one maximum.
SAMPLE, CHUNK, GROUP = 512, 2048, 32
# Queries after which fewer than half of them proved ends the proposals.
TRIED = 8192


class Bf16Index:
    """References as bf16, in an order that was drawn, so that a part of them is a sample of all.

    Args:
        vectors: references (n, d) float32, none much longer than 1, such as a flat index has them; they are read
            where candidates are compared.
        seed: of the order; the answers do not depend on it.

    Attributes:
        asked: queries that were proposed for.
        proved: those of them that needed no other search.
    """

    def __init__(self, vectors: Vectors, seed: int = 0) -> None:
        import torch

        self._vectors, self._lock = vectors, Lock()
        self.asked, self.proved = 0, 0
        n, d = vectors.shape
        order = np.random.default_rng(seed).permutation(n)
        self._sampled, self._rows = order[:SAMPLE], order[SAMPLE:]
        self._sample = faiss.IndexFlatIP(d)
        self._sample.add(np.ascontiguousarray(vectors[self._sampled]))
        self._centre = vectors[order[:CHUNK]].mean(axis=0, dtype=np.float64)
        padded = up_to(len(self._rows), GROUP)
        # Rows of zeros at the end are above no floor.
        self._packed = torch.zeros((padded, up_to(d + EXTRA, TILE)), dtype=torch.bfloat16)
        self._longest = upper_lengths(vectors[self._sampled]).max(initial=0.0)
        for at in range(0, len(self._rows), CHUNK):
            part = vectors[self._rows[at : at + CHUNK]]
            self._longest = max(self._longest, upper_lengths(part).max())
            rounded, lengths, errors = round_rows(part - self._centre)
            _fill(self._packed[at : at + len(part)], rounded, _above(errors), _above(lengths), 1.0, 1.0)
        self._largest = self._packed[:, d : d + 2].float().numpy().max(axis=0, initial=0.0)

    def worth_asking(self, k: int) -> bool:
        """Return whether the k nearest can be proved here, and most queries were until now, once some were asked."""
        return k + SPARE <= len(self._sampled) and (self.asked < TRIED or 2 * self.proved >= self.asked)

    def count(self, proved: NDArray[np.bool_]) -> None:
        """Add queries, and which of them were proved, to the counts."""
        with self._lock:
            self.asked, self.proved = self.asked + len(proved), self.proved + int(proved.sum())

    def propose(self, queries: Vectors, k: int) -> tuple[Rows, Floats]:
        """Return rows (n, width) that may be among the k nearest of each query, and what proves it (n,).

        The cosine of any other row, computed in float32, is at most the second; inf where nothing is known.
        Each round takes as many rows as all before it, so that a query meets few that are above its floor and not
        among the nearest.

        Args:
            queries: (n, d) float32.
            k: neighbours, of which `worth_asking` says that they can be proved.
        """
        packed = _Queries(self, queries)
        cosines, nearest = self._sample.search(queries, k + SPARE)
        best = BestRows(cosines, self._sampled[nearest], k, packed.rounding)
        at = 0
        while at < len(self._rows) and best.open.size:
            end = min(len(self._rows), 2 * at + SAMPLE)
            query, row = self._above_floor(packed, best, at, up_to(end, GROUP))
            best.add(query, row, products_of_pairs(queries, query, self._vectors, row))
            at = up_to(end, GROUP)
        return best.rows, best.ceiling()

    def _above_floor(self, asked: _Queries, best: BestRows, start: int, end: int) -> tuple[Rows, Rows]:
        """Return queries and rows whose cosine may be above the query's floor, of packed rows from start to end."""
        import torch

        packed = asked.with_floor(best.open, best.floor())
        parts: list[tuple[Rows, Rows]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
        for at in range(start, end, CHUNK):
            rows = self._packed[at : min(at + CHUNK, end)]
            # A row of products a reference: the maxima of groups then run along the queries.
            products = torch.mm(rows, packed.T).view(torch.int16).view(-1, GROUP, len(packed))
            group, query = _where((products.amax(1) > 0).numpy())
            many = np.bincount(query, minlength=len(best.open)) > MOST
            best.give_up(best.open[many])
            group, query = group[~many[query]], query[~many[query]]
            hit, place = _where(products.numpy()[group, :, query] > 0)
            parts.append((best.open[query[hit]], self._rows[at + group[hit] * GROUP + place]))
        query, row = (np.concatenate(part) for part in zip(*parts, strict=True))
        return query, row


class _Queries:
    """Queries as bf16 and what their products with the references may be off by.

    Attributes:
        rounding: (n,) what a cosine in float32 may differ by from the true one.
    """

    def __init__(self, index: Bf16Index, queries: Vectors) -> None:
        import torch

        n, d = queries.shape
        self._dim = d
        rounded, shorter, errors = round_rows(queries.astype(np.float64))
        lengths = upper_lengths(queries)
        # A product of so few elements that torch keeps it from oneDNN is none of those that were checked.
        self._packed = torch.zeros((up_to(n, TILE), index._packed.shape[1]), dtype=torch.bfloat16)
        _fill(self._packed[:n], rounded, _above(lengths), _above(errors), 0.0, 0.0)
        kept = self._packed[:n, d : d + 2].double().numpy()
        off, far = index._largest.astype(np.float64)
        self._centre = queries @ index._centre
        self._sum = shorter * far + kept[:, 0] * off + kept[:, 1] * far
        self._gamma = gamma(self._packed.shape[1], 2.0**-23)
        self.rounding = gamma(d, 2.0**-24) * lengths * index._longest + TINY

    def with_floor(self, some: Rows, floor: Floats) -> Any:
        """Return some of the queries packed, so that a product with a row that is above the floor is positive."""
        import torch

        wanted = floor - self._centre[some]
        # The two parts of the floor are 1.01 of it at most, and are summed with the rest.
        sizes = self._sum[some] + 1.01 * np.abs(wanted)
        wanted -= self._gamma * sizes / (1 - 1.01 * self._gamma) + TINY
        packed = self._packed
        if len(some) < len(self._centre):
            packed = torch.zeros((up_to(len(some), TILE), packed.shape[1]), dtype=torch.bfloat16)
            packed[: len(some)] = self._packed[torch.from_numpy(some)]
        high = torch.from_numpy(wanted).bfloat16()
        rest = wanted - high.double().numpy()
        packed[: len(some), self._dim + 2] = -high
        packed[: len(some), self._dim + 3] = -torch.from_numpy(rest - np.abs(rest) * 2.0**-8).bfloat16()
        return packed


@contextmanager
def one_thread_each() -> Iterator[Any]:
    """Give what makes torch take one thread for each thread that calls it; after that new threads have as before."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield lambda: torch.set_num_threads(1)
    finally:
        torch.set_num_threads(threads)


def _above(values: Floats) -> Floats:
    """Return values (n,) that rounding to bf16 does not bring below the given ones."""
    return values * (1 + 2.0**-8)


def _fill(packed: Any, rounded: Any, *extra: Floats | float) -> None:
    """Write vectors in bf16 and four more elements into rows of the packed length."""
    import torch

    d = rounded.shape[1]
    packed[:, :d] = rounded
    for n, values in enumerate(extra):
        packed[:, d + n] = torch.as_tensor(values).bfloat16()


def _where(holds: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Return rows and columns of a matrix's true elements; `nonzero` of two dimensions takes four times as long."""
    row, column = np.divmod(np.flatnonzero(holds), holds.shape[1])
    return row, column
