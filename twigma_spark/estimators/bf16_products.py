"""Products of bf16 and what they say of the true ones; nothing here needs Spark or FAISS.

The bound is that of `bf16_index`: with rows y rounded to y', x to x', and δ for what rounding took,

    <x, y> <= <x', y'> + |δx| |y'| + |x| |δy|,

and the sum in float32 is off by at most γ |x'| |y'|. It is rounded once more, to bf16. Rounding keeps the order: where
the sum is not below a limit, the rounded sum is not below the rounded limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.estimators.products import gamma

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

# Rows and elements are padded to multiples of 32, a tile of AMX; rows of the larger product that is checked.
TILE, CHECKED = 32, 2048
# Below what bf16 and float32 flush to zero, times any length.
TINY = 1e-9


class Bf16Rows:
    """Rows as bf16, for products with others.

    Args:
        rows: (m, d).
    """

    def __init__(self, rows: NDArray[Any]) -> None:
        self._count = len(rows)
        self._packed, lengths, errors = _pack(rows)
        self._longest, self._most_off = lengths.max(initial=0.0), errors.max(initial=0.0)

    def products(self, others: Vectors) -> Bf16Products:
        """Return the products of other rows (n, d) with these."""
        import torch

        packed, shorter, errors = _pack(others)
        values = torch.mm(packed, self._packed.T)[: len(others), : self._count].float().numpy()
        off = errors * self._longest + _upper_lengths(others) * self._most_off
        return Bf16Products(values, off + gamma(packed.shape[1], 2.0**-23) * shorter * self._longest + TINY)


@dataclass(frozen=True)
class Bf16Products:
    """Products, and by how much less than the true ones their sums may be.

    Attributes:
        values: (n, m) float32, each of them a bf16 number.
        off: (n,).
    """

    values: Vectors
    off: Floats

    def limits(self, least: Floats | float) -> Vectors:
        """Return what the values of each row (n,) reach where the true product is not below `least` (n,)."""
        import torch

        return np.asarray(torch.from_numpy(least - self.off).float().bfloat16().float().numpy())


def adds_in_float32() -> bool:
    """Return whether products of bf16 are as the bound has them here, seen where large sums cancel."""
    import torch

    rng = np.random.default_rng(0)
    for rows, columns in ((TILE, TILE), (CHECKED, 8 * TILE)):
        a, b = (torch.from_numpy(rng.uniform(1, 2, (n, 800))).bfloat16() for n in (rows, columns))
        a[:, 400:] *= -1
        true, sizes = (a.double() @ b.double().T).numpy(), (a.abs().double() @ b.double().T).numpy()
        off = np.abs(torch.mm(a, b.T).double().numpy() - true)
        if not (off <= gamma(800, 2.0**-23) * sizes + 2.0**-8 * np.abs(true)).all():
            return False
    return True


def _pack(rows: NDArray[Any]) -> tuple[Any, Floats, Floats]:
    """Return rows in bf16 with zeros up to whole tiles, their lengths, and those of what rounding took.

    The lengths are not below the true ones. A product of so few elements that torch keeps it from oneDNN is none of
    those that were checked.
    """
    import torch

    n, d = rows.shape
    packed = torch.zeros((up_to(max(n, 1), TILE), up_to(d, TILE)), dtype=torch.bfloat16)
    # torch warns of an array that cannot be written, as Arrow's cannot.
    packed[:n, :d] = torch.from_numpy(np.require(rows, np.float32, ["C", "W"]))
    rounded = packed[:n, :d].float().numpy()
    return packed, _upper_lengths(rounded), _upper_lengths(rows - rounded)


def _upper_lengths(rows: NDArray[Any]) -> Floats:
    """Return lengths (n,) not below the true ones; squares are summed as they are, which float32 does to 1e-3."""
    squares = np.einsum("ij,ij->i", rows, rows)
    return np.asarray(np.sqrt(squares, dtype=np.float64) * (1 + 1e-3) + TINY)


def round_rows(vectors: Floats) -> tuple[Any, Floats, Floats]:
    """Return vectors (n, d) as bf16, the lengths of those, and of what rounding took; both not below the true ones."""
    import torch

    rounded = torch.from_numpy(vectors.astype(np.float32)).bfloat16()
    kept = rounded.double().numpy()
    return rounded, upper_lengths(kept), upper_lengths(vectors - kept)


def upper_lengths(vectors: NDArray[Any]) -> Floats:
    """Return lengths (n,) that are not below the true ones, of which one that is flushed to zero is `TINY`."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)) * (1 + 1e-6) + TINY)


def up_to(number: int, multiple: int) -> int:
    """Return the least multiple that is not below a number."""
    return -(-number // multiple) * multiple
