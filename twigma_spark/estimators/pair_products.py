"""Pairs of vectors whose inner product is at least a bound: the same pairs however the products are computed.

Products of matrices in float32 or bf16 propose pairs, all that can be at the bound by what their rounding is at most.
Of those the product is computed pair by pair in float32, which depends on nothing but the two vectors, and decides.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from twigma_spark.estimators.bf16_products import Bf16Rows
from twigma_spark.estimators.products import inner_products, rounding_of_products
from twigma_spark.estimators.trial import Trial, can_use_bf16

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

# Pairs whose products are computed at once; what float32 flushes to zero.
PAIRS, TINY = 8192, 1e-30


def pairs_at_least(
    rows: Vectors, others: Vectors, least: float, later: bool = False, bf16: bool | None = None
) -> tuple[Rows, Rows, Vectors]:
    """Return rows, others and products of the pairs whose product is at least `least`, in order of the rows.

    Args:
        rows: (n, d).
        others: (m, d).
        least: the bound.
        later: whether only pairs count whose place among the others is after that among the rows.
        bf16: whether products of bf16 propose; None finds out which is quicker.
    """
    if not len(rows) or not len(others):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    row, other = np.divmod(np.flatnonzero(_proposed(rows, others, least, bf16)), len(others))
    if later:
        kept = other > row
        row, other = row[kept], other[kept]
    products = np.empty(len(row), np.float32)
    for at in range(0, len(row), PAIRS):
        part = slice(at, at + PAIRS)
        products[part] = np.einsum("ij,ij->i", rows[row[part]], others[other[part]])
    close = products >= np.float32(least)
    return row[close], other[close], products[close]


def _proposed(rows: Vectors, others: Vectors, least: float, bf16: bool | None) -> Mask:
    """Return which pairs (n, m) may be at the bound."""
    # What the products of pairs are off by themselves, and the bound as float32.
    off = rounding_of_products(rows.shape[1]) * _longest(rows) * _longest(others) + abs(least) * 2.0**-23 + TINY
    if bf16 is not None:
        return _by_bf16(rows, others, least - off) if bf16 else _by_float32(rows, others, least - 2 * off)
    return _trial(rows.shape[1]).run(
        float(len(rows) * len(others)),
        lambda: _by_float32(rows, others, least - 2 * off),
        lambda: _by_bf16(rows, others, least - off),
    )


def _by_float32(rows: Vectors, others: Vectors, least: float) -> Mask:
    return np.asarray(inner_products(rows, others) >= np.nextafter(np.float32(least), np.float32(-np.inf)))


def _by_bf16(rows: Vectors, others: Vectors, least: float) -> Mask:
    products = Bf16Rows(others).products(rows)
    return np.asarray(products.values >= products.limits(least)[:, None])


@lru_cache(maxsize=8)
def _trial(dim: int) -> Trial:
    """Return the trial of this process for vectors of one length."""
    return Trial(can_use_bf16)


def _longest(rows: Vectors) -> float:
    return float(np.sqrt(np.einsum("ij,ij->i", rows, rows).max())) * (1 + 1e-3)
