"""Vectors that are hard on a bound: ties, copies, clusters, tiny and huge ones, and such that rounding moves most."""

from __future__ import annotations

import numpy as np


def normal(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.standard_normal((n, d))


def grid(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.integers(-1, 2, (n, d)) + 0.25  # many equal cosines


def copies(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return normal(rng, 3, d)[rng.integers(0, 3, n)]


def clusters(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    spread = 10.0 ** rng.integers(-7, 0, (n, 1))
    return normal(rng, 5, d)[np.sort(rng.integers(0, 5, n))] + spread * normal(rng, n, d)


def lengths(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return normal(rng, n, d) * 10.0 ** rng.integers(-12, 15, (n, 1))


def axes(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return np.eye(d)[rng.integers(0, d, n)] * rng.integers(0, 2, (n, 1))  # and vectors of length 0


def halves(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Elements half way between two bf16 numbers, so that each rounding takes the most, and in one direction."""
    return (1 + 2.0**-8 * (2 * rng.integers(0, 60, (n, d)) + 1)) * np.where(rng.random((n, 1)) < 0.5, 1, -1)


def shifted(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return normal(rng, n, d) + 2.0  # cosines about 0.8, as CLIP's are


KINDS = (normal, grid, copies, clusters, lengths, axes, halves, shifted)
