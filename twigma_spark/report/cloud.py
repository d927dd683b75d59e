"""Words of which each is as large as it is frequent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

SMALLEST, SPAN = 0.75, 1.45


class SizedWord(NamedTuple):
    """A word of a cloud, with its size in rem."""

    word: str
    size: float
    weight: float


def cloud(words: Iterable[tuple[str, float]]) -> tuple[SizedWord, ...]:
    """Return the words in order of the alphabet, with a size that follows the root of the weight, as areas do."""
    weighed = sorted(words)
    top = max((weight for _, weight in weighed), default=0) or 1.0
    return tuple(SizedWord(w, round(SMALLEST + SPAN * max(weight / top, 0) ** 0.5, 2), weight) for w, weight in weighed)
