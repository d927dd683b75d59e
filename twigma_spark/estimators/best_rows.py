"""The best rows of queries while candidates come in, and the floor that other rows must be above."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

# New rows of a query at once, at most, and rows kept beside the k best; a query with more is given up.
MOST, SPARE = 128, 11
# By so much, beside its rounding, a computed cosine must be below the k-th best one to be told apart from it.
APART = 4e-6


class BestRows:
    """The best rows of each query so far, by their cosines in float32.

    Args:
        cosines: (n, k + SPARE) falling, of the best rows of a part of the references; others of it have less.
        rows: (n, k + SPARE), those rows.
        k: neighbours that are wanted.
        rounding: (n,) what a cosine in float32 may differ by from the true one.

    Attributes:
        rows: (n, k + SPARE), of the references.
        open: queries that are still searched for; the others have more candidates than are kept.
    """

    def __init__(self, cosines: Vectors, rows: Rows, k: int, rounding: Floats) -> None:
        self._k, self._rounding = k, rounding
        self._cosines, self.rows, every = cosines, rows, np.arange(len(rows))
        self._last = np.full(len(rows), np.inf)
        self._set_last(every, self._cosines[:, -1])
        self.open = every[np.isfinite(self._last)]

    def floor(self) -> Floats:
        """Return what a row of each open query must be above to matter (n,): others are computed `APART` below."""
        return np.asarray(self._last[self.open] - self._rounding[self.open] - APART)

    def ceiling(self) -> Floats:
        """Return what the computed cosine of any row that is not kept is at most (n,)."""
        ceiling = np.full(len(self.rows), np.inf)
        ceiling[self.open] = self._last[self.open] - APART
        return ceiling

    def give_up(self, queries: Rows) -> None:
        """Leave queries to a search in float32; what is added of them is not looked at."""
        self._last[queries] = np.inf

    def add(self, query: Rows, row: Rows, cosine: Vectors) -> None:
        """Take the better ones of pairs of a query and a row."""
        self.give_up(np.flatnonzero(np.bincount(query, minlength=len(self.rows)) > MOST))
        kept = cosine >= (self._last - 2 * self._rounding - APART)[query]
        order = np.flatnonzero(kept)[np.argsort(query[kept], kind="stable")]
        query, row, cosine = query[order], row[order], cosine[order]
        counts = np.bincount(query, minlength=len(self.rows))
        touched = np.flatnonzero(counts)
        # Pairs of one query side by side, in a line each.
        line, place = np.searchsorted(touched, query), np.arange(len(query)) - (np.cumsum(counts) - counts)[query]
        cosines = np.full((len(touched), counts.max(initial=0)), -np.inf, np.float32)
        rows = np.zeros(cosines.shape, np.int64)
        cosines[line, place], rows[line, place] = cosine, row
        self._merge(touched, cosines, rows)
        self.open = self.open[np.isfinite(self._last[self.open])]

    def _merge(self, touched: Rows, cosines: Vectors, rows: Rows) -> None:
        """Keep the best of the rows of some queries and of new ones (n, width)."""
        width = self.rows.shape[1]
        if not touched.size:
            return
        cosines = np.concatenate([self._cosines[touched], cosines], axis=1)
        rows = np.concatenate([self.rows[touched], rows], axis=1)
        order = np.argsort(-cosines, axis=1)[:, : width + 1]
        cosines = np.take_along_axis(cosines, order, axis=1)
        self._cosines[touched] = cosines[:, :width]
        self.rows[touched] = np.take_along_axis(rows, order[:, :width], axis=1)
        self._set_last(touched, cosines[:, width])

    def _set_last(self, queries: Rows, dropped: Vectors) -> None:
        """Set the k-th cosine of queries, and give those up whose best dropped one may tie with it."""
        last = self._cosines[queries, self._k - 1].astype(np.float64)
        self._last[queries] = np.where(dropped < last - 2 * self._rounding[queries] - APART, last, np.inf)
