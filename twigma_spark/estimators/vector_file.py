"""Vectors in a file on the driver, gathered by row: what is in memory is bounded by the batch and not by the data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twigma_spark.errors import ModelError
from twigma_spark.io import arrow

NOWHERE = -1


@dataclass(frozen=True)
class VectorFile:
    """A matrix of vectors and their keys.

    Attributes:
        matrix: (n, dim) float16, memory-mapped; half the size of float32, and exact to 0.05% of a vector's length.
        keys: (n,) sorted; row i of the matrix is that of `keys[i]` at `places[i]`.
        places: (n,) row of each key.
    """

    matrix: NDArray[np.float16]
    keys: NDArray[np.int64]
    places: NDArray[np.int64]

    def rows(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of each wanted key, `NOWHERE` where it has none."""
        return look_up(self.keys, self.places, wanted, NOWHERE)


def look_up(keys: NDArray[np.int64], values: NDArray[Any], wanted: NDArray[np.int64], missing: float) -> NDArray[Any]:
    """Return the value of each wanted key (n,), `missing` where there is no such key.

    Args:
        keys: (m,), sorted.
        values: (m,), of the keys.
        wanted: (n,).
        missing: of the type of the values.
    """
    if not len(keys):
        return np.full(len(wanted), missing, values.dtype)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], missing)


def write_vectors(batches: Iterable[pa.RecordBatch], path: Path) -> VectorFile:
    """Return the vectors of Arrow batches, written to a file as they come.

    Args:
        batches: rows of a key (int64) and a vector; all vectors have one length.
        path: a new file.

    Raises:
        ModelError: vectors of different lengths.
    """
    keys: list[Any] = []
    dim = 0
    with path.open("wb") as file:
        for batch in batches:
            if not batch.num_rows:
                continue
            vectors = arrow.matrix(batch.column(1))
            if dim not in (0, vectors.shape[1]):
                raise ModelError(f"vectors must be of one length. Got {dim} and {vectors.shape[1]}.")
            dim = vectors.shape[1]
            file.write(vectors.astype(np.float16).tobytes())
            keys.append(batch.column(0).to_numpy())
    if not keys:
        return VectorFile(np.zeros((0, 0), np.float16), np.zeros(0, np.int64), np.zeros(0, np.int64))
    every = np.concatenate(keys)
    places = np.argsort(every, kind="stable")
    matrix = np.memmap(path, np.float16, "r", shape=(len(every), dim))
    return VectorFile(matrix, every[places], places)
