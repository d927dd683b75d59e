"""Random draws that can be shared in part, so that two pictures may differ by a chosen amount."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
T = TypeVar("T")


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A generator that depends on the seed and the names alone, never on what was drawn before it."""
    keys = [name if isinstance(name, int) else zlib.crc32(name.encode()) for name in names]
    return np.random.default_rng(np.random.SeedSequence([seed, *keys]))


class Dice:
    """A source of draws, partly shared with other dice.

    Two dice made from the same `shared` generator state agree on everything at wobble 0, differ freely at
    wobble 1, and in between a number lies that far from the shared one, a choice is that often its own.

    Args:
        own: the generator of this picture alone.
        shared: the generator in the same state for every picture of a set, or None for free draws.
        wobble: share of the own stream, in [0, 1].
    """

    def __init__(
        self, own: np.random.Generator, shared: np.random.Generator | None = None, wobble: float = 1.0
    ) -> None:
        self._own = own
        self._shared = shared
        self._wobble = wobble if shared is not None else 1.0

    def unit(self) -> float:
        """A number in [0, 1)."""
        own = self._own.random()
        if self._shared is None:
            return own
        return self._wobble * own + (1 - self._wobble) * self._shared.random()

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high], both included."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._pick() < probability

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, each as likely."""
        return options[int(self._pick() * len(options))]

    def choose_weighted(self, options: Sequence[T], weights: Sequence[float]) -> T:
        """One of the options, as likely as its weight."""
        edges = np.cumsum(np.asarray(weights, dtype=np.float64))
        return options[int(np.searchsorted(edges / edges[-1], self._pick(), side="right"))]

    def array(self, low: float, high: float, *shape: int) -> FloatArray:
        """Numbers in [low, high) of the given shape, float32."""
        values = self._own.random(shape, dtype=np.float32)
        if self._shared is not None:
            shared = self._shared.random(shape, dtype=np.float32)
            values = self._wobble * values + (1 - self._wobble) * shared
        return np.asarray(low + (high - low) * values, dtype=np.float32)

    def _pick(self) -> float:
        """A number in [0, 1), wholly the shared one or wholly the own one: for draws that cannot mix."""
        own, turn = self._own.random(2)
        if self._shared is None:
            return float(own)
        shared = self._shared.random()
        return float(own) if turn < self._wobble else float(shared)
