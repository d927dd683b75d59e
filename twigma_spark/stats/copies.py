"""How well the threshold for copies is calibrated: what was seen beside what was stated, and planted worlds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats.intervals import wilson_value
from twigma_spark.stats.tails import Floats, Tail, calibrate

# False-match rates that are looked at, in units of the configured one.
TIMES = (10.0, 3.0, 1.0, 0.3)
# Shares of copies that are planted, and the one of a dense style.
PLANTED = (0.0, 0.01, 0.03, 0.05, 0.1, 0.2)
STYLE = 0.06
# A style's images are so many times as close as the background; copies are closer than this part of the threshold's
# distance.
CLOSER, APART = 5.0, 0.25
WORLDS = 20
# Images of a planted world at most: the precision of the threshold is then that of so many.
MOST = 20_000


@dataclass(frozen=True)
class Planted:
    """What is added to the background of a planted world.

    Attributes:
        kind: "copies", apart from all else, or "style": images that are closer by the background's own law.
        share: of the images.
    """

    kind: str
    share: float


def observed_rates(similarities: ArrayLike, tail: Tail, rate: float, reference: str) -> Iterator[Result]:
    """Yield the share of the best matches that reach the similarity of each stated rate.

    Without copies it is the stated rate; copies come on top of it, the more visibly the lower the rate.

    Args:
        similarities: best cosine of each image (n,).
        tail: of the background, as fitted to them.
        rate: the configured false-match rate.
        reference: name of the corpus.
    """
    values = np.asarray(similarities, np.float64)
    for stated in _rates_within_tail(rate, tail):
        reached = int((values >= tail.threshold(stated)).sum())
        value = wilson_value(reached, len(values), "images", "share of the best matches; Wilson, 95%")
        yield Result.of("copies", "observed_rate", value, reference=reference, stated=f"{stated:g}")


def planted_worlds(
    similarities: ArrayLike, tail: Tail, rate: float, reference: str, rng: np.random.Generator
) -> Iterator[Result]:
    """Yield how often the background is taken for copies in worlds that are made like this one, and what is found.

    The background is drawn from the fitted tail, and below it from the best matches; copies or a dense style are
    planted in it, and the threshold is calibrated anew. What the background reaches then is known from its law.

    Args:
        similarities: best cosine of each image (n,).
        tail: of the background, as fitted to them.
        rate: the configured false-match rate.
        reference: name of the corpus.
        rng: source of randomness.
    """
    values = np.asarray(similarities, np.float64)
    body, n = values[values < 1.0 - tail.distance], min(len(values), MOST)
    for planted in (*(Planted("copies", share) for share in PLANTED), Planted("style", STYLE)):
        worlds = [_measure_rates(body, n, tail, rate, planted, rng) for _ in range(WORLDS)]
        known = [world for world in worlds if world is not None]
        labels = {"reference": reference, "kind": planted.kind, "planted": f"{planted.share:g}"}
        words = f"{len(known)} of {WORLDS} planted worlds of {n:,} images that have a threshold; mean, and their range"
        for place, stated in enumerate(_rates_within_tail(rate, tail)):
            rates = [rates[place] for rates, _ in known]
            yield Result.of("copies", "realised_rate", _range(rates, words), **labels, stated=f"{stated:g}")
        if planted.kind == "copies" and planted.share:
            yield Result.of("copies", "planted_recall", _range([recall for _, recall in known], words), **labels)


def _rates_within_tail(rate: float, tail: Tail) -> list[float]:
    """Return the rates that are looked at: beyond the tail there is no law."""
    return [rate * times for times in TIMES if rate * times <= tail.share]


def _range(values: list[float], words: str) -> Value:
    if not values:
        return not_computed(f"no threshold: {words}", 0, "worlds")
    return Value(float(np.mean(values)), min(values), max(values), len(values), "worlds", words)


def _measure_rates(
    body: Floats, n: int, tail: Tail, rate: float, planted: Planted, rng: np.random.Generator
) -> tuple[list[float], float] | None:
    """Return the background's true rates at the thresholds of a world, and the share of its copies found there."""
    many = round(planted.share * n)
    values = _background(body, n, tail, rng)
    if planted.kind == "style":
        values[:many] = 1.0 - (1.0 - values[:many]) / CLOSER
    else:
        values[:many] = 1.0 - APART * (1.0 - tail.threshold(rate)) * rng.random(many)
    beyond = calibrate(values, rate).tail
    if beyond is None:
        return None
    reached = [float(tail.rate(beyond.threshold(stated))) for stated in _rates_within_tail(rate, tail)]
    return reached, float((values[:many] >= beyond.threshold(rate)).mean()) if many else 0.0


def _background(body: Floats, n: int, tail: Tail, rng: np.random.Generator) -> Floats:
    """Return best similarities (n,) of images without copies."""
    at = rng.random(n)
    inside = at < tail.share
    values = rng.choice(body, n) if len(body) else np.full(n, 1.0 - tail.distance)
    values[inside] = 1.0 - tail.distance * (at[inside] / tail.share) ** (1.0 / tail.dimension)
    return np.asarray(values, np.float64)
