"""Words of which each is as large as it is frequent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

SMALLEST, SPAN = 0.75, 1.45
# Of a placed word: pixels of the largest one, and how wide and high a letter is at most, in units of its size.
LARGEST, LETTER, LINE = 46.0, 0.62, 1.2


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


class PlacedWord(NamedTuple):
    """A word in a picture: its middle and its size in pixels."""

    word: str
    x: float
    y: float
    size: float


def place(words: Sequence[SizedWord], width: float, height: float) -> tuple[PlacedWord, ...]:
    """Return all words in a rectangle, none over another, the largest first and in the middle.

    Each is moved along a spiral from the middle to the first place that is free (Viégas, Wattenberg & Feinberg 2009);
    where not all find one, all become smaller.
    """
    ordered = sorted(words, key=lambda word: (-word.size, word.word))
    largest = LARGEST
    while (placed := _place(ordered, width, height, largest)) is None:
        largest *= 0.9
    return placed


def _place(ordered: Sequence[SizedWord], width: float, height: float, largest: float) -> tuple[PlacedWord, ...] | None:
    placed: list[PlacedWord] = []
    for word, size, _ in ordered:
        pixels = size / (SMALLEST + SPAN) * largest
        spiral = (0.35 * turn for turn in range(1200))
        free = (
            PlacedWord(word, x, y, round(pixels, 1))
            for angle in spiral
            for x, y in [(width / 2 + 2 * angle * math.cos(angle), height / 2 + angle * math.sin(angle))]
            if _is_inside(word, x, y, pixels, width, height)
        )
        place = next((one for one in free if not any(_overlap(one, other) for other in placed)), None)
        if place is None:
            return None
        placed.append(place)
    return tuple(placed)


def _half(word: str, size: float) -> tuple[float, float]:
    return LETTER * size * len(word) / 2, LINE * size / 2


def _is_inside(word: str, x: float, y: float, size: float, width: float, height: float) -> bool:
    across, up = _half(word, size)
    return across <= x <= width - across and up <= y <= height - up


def _overlap(one: PlacedWord, other: PlacedWord) -> bool:
    (a, b), (c, d) = _half(one.word, one.size), _half(other.word, other.size)
    return abs(one.x - other.x) < a + c and abs(one.y - other.y) < b + d
