"""Vectors as NumPy rows: what every floor of the house needs of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unit_rows(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Return a copy of `vectors` (n, d) scaled to length 1 as float32; a vector of length 0 stays as it is."""
    rows = np.asarray(vectors)
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return np.ascontiguousarray(rows / np.where(norms > 0, norms, 1.0)[:, None], dtype=np.float32)
