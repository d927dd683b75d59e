"""Search in the inverted lists of a FAISS index, list by list and not query by query.

FAISS's search on the CPU reads the lists of one query after another: each vector comes from memory once for every
query that looks at it. Here a list is read once for all queries of a batch that look at it, in one matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.estimators.blas import faiss
from twigma_spark.estimators.products import inner_products, products_of_pairs

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
# Candidates that are held at once, of all lists of some queries.
CELLS = 1 << 22


class InvertedLists:
    """The lists of an `IndexIVFFlat` of inner products, searched by matrix products.

    Args:
        index: in memory or mapped; as many of its lists are searched as its `nprobe` says.
    """

    def __init__(self, index: Any) -> None:
        self._index = index

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        """Return cosines (n, k), falling, and rows (n, k) of the index, as FAISS does; -1 where lists hold fewer.

        Cosines are computed one pair at a time in the end, so that they do not depend on the place in the batch.

        Args:
            queries: unit vectors (n, d).
            k: neighbours of each.
        """
        cosines, rows = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        each = max(1, CELLS // (self._nprobe * k))
        for start in range(0, len(queries), each):
            part = slice(start, start + each)
            cosines[part], rows[part] = self._search(np.ascontiguousarray(queries[part]), k)
        return cosines, rows

    @property
    def _nprobe(self) -> int:
        return min(int(self._index.nprobe), int(self._index.nlist))

    def _search(self, queries: Vectors, k: int) -> tuple[Vectors, Rows]:
        nprobe = self._nprobe
        _, probed = self._index.quantizer.search(queries, nprobe)
        cosines = np.full((len(queries), nprobe, k), -np.inf, np.float32)
        places = np.zeros(cosines.shape, np.int64)
        for number, query, turn in _by_list(probed):
            found = inner_products(queries[query], self._vectors(number))
            best = _largest(found, k)
            cosines[query, turn, : best.shape[1]] = np.take_along_axis(found, best, axis=1)
            places[query, turn, : best.shape[1]] = best
        flat = cosines.reshape(len(queries), -1)
        best = _largest(flat, k)
        there = np.take_along_axis(flat, best, axis=1) > -np.inf
        numbers = np.take_along_axis(probed, best // k, axis=1)
        places = np.take_along_axis(places.reshape(flat.shape), best, axis=1)
        precise, rows = self._precise(queries, numbers, places, there)
        order = np.argsort(-precise, axis=1, kind="stable")
        return np.take_along_axis(precise, order, axis=1), np.take_along_axis(rows, order, axis=1)

    def _precise(self, queries: Vectors, numbers: Rows, places: Rows, there: NDArray[np.bool_]) -> tuple[Vectors, Rows]:
        """Return cosines (n, k) and rows (n, k) of what lies at places of numbered lists, computed pair by pair."""
        pairs = np.flatnonzero(there)
        pairs = pairs[np.argsort(numbers.ravel()[pairs], kind="stable")]
        number, place = numbers.ravel()[pairs], places.ravel()[pairs]
        vectors = np.empty((len(pairs), queries.shape[1]), np.float32)
        cosines, rows = np.full(there.shape, -np.inf, np.float32), np.full(there.shape, -1, np.int64)
        for start, end in _equal_runs(number):
            np.take(self._vectors(int(number[start])), place[start:end], axis=0, out=vectors[start:end])
            rows.ravel()[pairs[start:end]] = self._ids(int(number[start]))[place[start:end]]
        cosines.ravel()[pairs] = products_of_pairs(queries, pairs // there.shape[1], vectors, np.arange(len(pairs)))
        return cosines, rows

    def _vectors(self, number: int) -> Vectors:
        """Return the vectors (m, d) of a list, where they lie."""
        lists, d = self._index.invlists, int(self._index.d)
        if not (size := lists.list_size(number)):
            return np.empty((0, d), np.float32)
        codes = faiss.rev_swig_ptr(lists.get_codes(number), size * d * 4)
        return np.asarray(codes.view(np.float32).reshape(size, d))

    def _ids(self, number: int) -> Rows:
        """Return the rows of the index (m,) that a list holds."""
        lists = self._index.invlists
        return np.asarray(faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number)))


def _by_list(probed: Rows) -> Iterator[tuple[int, Rows, Rows]]:
    """Yield each list that is searched, the queries that search it (m,), and which of their lists it is (m,)."""
    order = np.argsort(probed, axis=None, kind="stable")
    numbers = probed.ravel()[order]
    for start, end in _equal_runs(numbers):
        if numbers[start] >= 0:
            yield int(numbers[start]), order[start:end] // probed.shape[1], order[start:end] % probed.shape[1]


def _equal_runs(numbers: Rows) -> Iterator[tuple[int, int]]:
    """Yield where each run of equal numbers starts and ends."""
    if numbers.size:
        yield from pairwise([0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)])


def _largest(values: Vectors, k: int) -> Rows:
    """Return the places of the k largest values of each row (n, min(k, m)), in no order."""
    if values.shape[1] <= k:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, -k, axis=1)[:, -k:]
