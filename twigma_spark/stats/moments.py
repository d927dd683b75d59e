"""Moments of vectors that can be added up: one pass over any number of rows serves all measures of spread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from twigma_spark.stats.sample import Floats

# Rows that are turned into float64 at once.
BLOCK = 4096
# Of float64 sums over millions of rows, relative to the mean squared length.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Moments:
    """Sums over n vectors of d dimensions; two of them add and subtract as the sets of rows do.

    Attributes:
        n: rows.
        total: sum of the rows (d,).
        outer: sum of their outer products (d, d).
    """

    n: int
    total: Floats
    outer: Floats

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.total + other.total, self.outer + other.outer)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.n - other.n, self.total - other.total, self.outer - other.outer)

    def variances(self) -> Floats:
        """Return the eigenvalues of the sample covariance (d,), largest first, not below 0; n - 1 in it.

        Zeros where there are fewer than two rows.
        """
        if self.n < 2:
            return np.zeros(len(self.total))
        mean = self.total / self.n
        covariance = (self.outer - self.n * np.outer(mean, mean)) / (self.n - 1)
        return _spectrum(covariance, float(np.trace(self.outer)) / self.n)

    def feature_variances(self) -> Floats:
        """Return the sample variance of each dimension (d,); n - 1 in it, zeros where there are fewer than two rows."""
        if self.n < 2:
            return np.zeros(len(self.total))
        squares = np.diag(self.outer)
        values = (squares - self.total**2 / self.n) / (self.n - 1)
        return np.where(values > ROUNDING * squares / self.n, values, 0.0)

    def second(self) -> Floats:
        """Return the eigenvalues of the mean outer product, not centred (d,), largest first; they add up to 1.

        For unit vectors these are the eigenvalues that differ from 0 of the n x n matrix of cosines over n.
        """
        trace = float(np.trace(self.outer))
        return _spectrum(self.outer / trace, 1.0) if trace > 0 else np.zeros(len(self.total))


def moments(vectors: ArrayLike) -> Moments:
    """Return the moments of rows (n, d), in float64: covariances are small differences of large sums."""
    rows = np.asarray(vectors)
    d = rows.shape[1]
    total = Moments(0, np.zeros(d), np.zeros((d, d)))
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK].astype(np.float64)
        total = total + Moments(len(block), block.sum(0), block.T @ block)
    return total


def add_moments(parts: Iterable[Moments]) -> Moments:
    """Return the moments of all parts together; at least one part."""
    first, *others = parts
    total = first
    for part in others:
        total = total + part
    return total


def _spectrum(matrix: Floats, scale: float) -> Floats:
    """Return the eigenvalues, largest first; 0 where they are within rounding of it.

    Centring takes sums of the size `scale` apart, which leaves rounding where there is no variance.
    """
    values = np.linalg.eigvalsh(matrix)[::-1]
    return np.where(values > ROUNDING * scale, values, 0.0)
