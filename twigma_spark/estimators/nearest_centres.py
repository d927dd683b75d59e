"""Which of some centres each vector is nearest to: the same answer however the products are computed.

Products in float32 or bf16 leave of most vectors one centre that can be the nearest, by what their rounding is at
most. Where they leave several, float64 decides, of equals the first. So neither the batch that a vector is in, nor
the library, nor the processor has a part in the answer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.estimators.bf16_products import Bf16Rows
from twigma_spark.estimators.coreset import Metric, Vectors
from twigma_spark.estimators.products import inner_products, rounding_of_products
from twigma_spark.estimators.trial import Trial, can_use_bf16

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Elements of all centres below which reading the vectors takes longer than the products.
LEAST_CELLS = 1 << 16
# Pairs of a vector and a centre whose products are computed in float64 at once.
PAIRS = 8192
# What float32 flushes to zero, times any length.
TINY = 1e-30


class Centres:
    """Centres (k, d) float32 and the nearest of them.

    Args:
        centres: their vectors; under the cosine of length 1.
        metric: "cosine" or "euclidean".
        bf16: whether products are of bf16; None finds out which is quicker. Under the Euclidean metric never.
    """

    def __init__(self, centres: Vectors, metric: Metric, bf16: bool | None = None) -> None:
        self.vectors, self.metric = np.ascontiguousarray(centres, np.float32), metric
        self._bf16 = bf16 if metric == "cosine" else False
        self._exact = self.vectors.astype(np.float64)
        self._lengths = np.sqrt(np.einsum("ij,ij->i", self._exact, self._exact))
        self._halves = self._lengths**2 / 2 if metric == "euclidean" else np.zeros(len(self.vectors))
        _, first = np.unique(self.vectors, axis=0, return_index=True)
        self._repeats = np.setdiff1d(np.arange(len(self.vectors)), first)
        self._packed: Bf16Rows | None = None

    def nearest(self, rows: Vectors, lengths: NDArray[Any] | None = None) -> NDArray[np.int64]:
        """Return the nearest centre of each row (n,), of equals the first; lengths do not matter to the cosine.

        Args:
            rows: (n, d) float32.
            lengths: of the rows (n,), where they are known.
        """
        if lengths is None:
            lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        may_be = self._may_be(rows, lengths.astype(np.float64))
        may_be[:, self._repeats] = False
        row, centre = np.divmod(np.flatnonzero(may_be), len(self.vectors))
        begins = np.flatnonzero(np.diff(row, prepend=-1))
        several = np.repeat(np.diff(begins, append=len(row)) > 1, np.diff(begins, append=len(row)))
        nearest = centre[begins]
        if several.any():
            nearest[np.unique(row[several])] = self._decide(rows, row[several], centre[several])
        return np.asarray(nearest, np.int64)

    def _may_be(self, rows: Vectors, lengths: Floats) -> Mask:
        """Return which centres may be the nearest of each row (n, k): the nearest one is among them."""
        if self._bf16 is not None:
            return self._by_bf16(rows, lengths) if self._bf16 else self._by_float32(rows, lengths)
        if self.vectors.size < LEAST_CELLS:
            return self._by_float32(rows, lengths)
        trial = _trial(*self.vectors.shape)
        return trial.run(
            float(len(rows)), lambda: self._by_float32(rows, lengths), lambda: self._by_bf16(rows, lengths)
        )

    def _by_float32(self, rows: Vectors, lengths: Floats) -> Mask:
        close = inner_products(rows, self.vectors)
        off = rounding_of_products(rows.shape[1])
        if self.metric == "cosine":
            best = close.max(axis=1).astype(np.float64)
            least = best - 2 * off * lengths * self._lengths.max() - TINY
            return np.asarray(close >= _below(least)[:, None])
        # Where one centre is far longer than another, so is what its product is off by.
        near = close.astype(np.float64) - self._halves
        error = off * np.outer(lengths, self._lengths) + 1e-12 * self._halves + TINY
        return np.asarray(near + error >= (near - error).max(axis=1)[:, None])

    def _by_bf16(self, rows: Vectors, lengths: Floats) -> Mask:
        """Return the mask by products with the centres about their mean: what they share decides nothing."""
        mean = self._exact.mean(axis=0).astype(np.float32)
        if self._packed is None:
            self._packed = Bf16Rows(self._exact - mean)
        products = self._packed.products(rows)
        first = products.values.argmax(axis=1)
        off = rounding_of_products(rows.shape[1])
        size = lengths * (self._lengths.max() + float(np.linalg.norm(mean)))
        own = np.einsum("ij,ij->i", rows, self.vectors[first]) - rows @ mean
        least = own.astype(np.float64) - 2 * off * size - TINY
        return np.asarray(products.values >= products.limits(least)[:, None])

    def _decide(self, rows: Vectors, row: NDArray[np.int64], centre: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the nearest centre of each row that is among the pairs, in their order, by products in float64."""
        close = np.empty(len(row))
        for at in range(0, len(row), PAIRS):
            part = slice(at, at + PAIRS)
            close[part] = np.einsum("ij,ij->i", rows[row[part]].astype(np.float64), self._exact[centre[part]])
        close -= self._halves[centre]
        begins = np.flatnonzero(np.diff(row, prepend=-1))
        best = np.repeat(np.maximum.reduceat(close, begins), np.diff(begins, append=len(row)))
        equal = np.flatnonzero(close == best)
        _, first = np.unique(row[equal], return_index=True)
        return np.asarray(centre[equal[first]], np.int64)


@lru_cache(maxsize=64)
def _trial(k: int, dim: int) -> Trial:
    """Return the trial of this process for so many centres of one length."""
    return Trial(can_use_bf16)


def _below(values: Floats) -> Vectors:
    """Return the values as float32, none above the given one."""
    rounded = values.astype(np.float32)
    return np.where(rounded > values, np.nextafter(rounded, np.float32(-np.inf)), rounded)
