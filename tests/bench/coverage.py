"""How often each interval holds the truth, in simulated worlds of images that come in groups.

`python -m tests.bench.coverage` measures all on one core, without Spark, and writes build/bench/coverage.json and
docs/coverage.md; `--worlds 1000`. Asked for are 0.93 at 300 groups or images and more, and 0.90 at 60.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.bench.book import progress
from tests.bench.records import Record, keep
from twigma_spark.results import Result, Value
from twigma_spark.stats import counts
from twigma_spark.stats.comparison import ComparisonSpec, comparisons
from twigma_spark.stats.explained import explain_by_groups
from twigma_spark.stats.histograms import HISTOGRAMS, entropy
from twigma_spark.stats.intervals import bias_corrected
from twigma_spark.stats.joint_likes import Engagement, joint_results
from twigma_spark.stats.moments import moments
from twigma_spark.stats.sample import Sample
from twigma_spark.stats.score_tests import SignFlips, cells_of, score_interval
from twigma_spark.stats.shares import clustered_mean, dense, share_estimates, skewed_mean
from twigma_spark.stats.trends import trend
from twigma_spark.stats.variation import VariationSpec, of_moments, of_pairs

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"
HEAD = """# How often the intervals hold the truth

Written by `python -m tests.bench.coverage`: shares of {worlds} simulated worlds ({costly} where vectors are drawn) in
which a 95% interval held what the world was made with. Images come in groups (posts, prompts, authors) of three, or as
many as a Zipf law gives. Asked for are {many} at 300 and more, and {few} at 60. [statistics.md](statistics.md) says how
each interval is made. Those that are not here are Wilson's, Garwood's or scipy's, of independent units. Effective
rank and generalised variance have none.

| interval | world | units | held | asked for |
|---|---|---|---|---|
"""
FEW, MANY = 0.90, 0.93
FLIPS = SignFlips(0)


@dataclass(frozen=True)
class Case:
    """An interval in a kind of world.

    Attributes:
        name: of the statistic.
        world: what it is made of.
        units: groups, or images where they are alone.
        found: gives, for a seed, the ends of an interval.
        truth: that it should hold; None for the mean of the estimates, of what depends on the size of the sample.
        costly: whether it is tried in a fifth of the worlds.
    """

    name: str
    world: str
    units: int
    found: Callable[[int], Value]
    truth: float | None
    costly: bool = False

    def covered(self, worlds: int) -> float:
        """Return the share of worlds whose interval holds the truth."""
        values = [self.found(seed) for seed in range(worlds)]
        truth = np.mean([v.estimate for v in values]) if self.truth is None else self.truth  # type: ignore[misc]
        return float(np.mean([_holds(v, float(truth)) for v in values]))


def _holds(value: Value, truth: float) -> bool:
    low = -np.inf if value.low is None else value.low
    high = np.inf if value.high is None else value.high
    return bool(low - 1e-9 <= truth <= high + 1e-9)


def cases() -> Iterator[Case]:
    """Yield all cases."""
    for tilt, kl in ((0.0, "0"), (0.2, "0.02"), (0.7, "0.2"), (1.3, "0.6")):
        for n in (60, 300, 2000):
            yield from _of_histograms(tilt, f"ten bins, KL {kl}", n)
    for groups in (60, 300):
        yield Case("share of a theme", "authors with a Zipf number of posts", groups, partial(_share, groups), 0.3)
        for spread in (0.5, 1.0, 1.5):
            truth = float(np.exp(spread**2 / 2))
            world = f"authors, lognormal likes of spread {spread:g}"
            yield Case("mean likes of a quintile", world, groups, partial(_mean_likes, groups, spread), truth)
        yield Case("mean similarity", "authors, normal", groups, partial(_similarity, groups), 0.5)
        world = "authors, heavy tails, planted +35%"
        yield Case("change of likes, recommended", world, groups, partial(_likes, groups), 100 * float(np.expm1(0.3)))
        world = "authors, heavy tails, no effect"
        yield Case("change of likes, all else equal", world, groups, partial(_joint, groups), 0.0, True)
        yield Case("slope of a theme", "authors who keep to a theme", groups, partial(_slope, groups), 0.0)
        for metric in ("iev", "pmv", "vendi", "pair_distance", "share_explained", "variance_component"):
            yield Case(metric, "groups of three vectors of 24 dimensions", groups, partial(_spread, groups, metric),
                       _population()[metric], True)  # fmt: skip
        for metric in ("knn_kl", "precision", "recall", "density", "coverage", "mmd", "cmmd"):
            yield Case(metric, "two corpora of groups of three", groups, partial(_compared, groups, metric), None, True)


def _of_histograms(tilt: float, world: str, n: int) -> Iterator[Case]:
    even, uneven = np.full(10, 0.1), np.exp(tilt * np.linspace(-1, 1, 10))
    q = uneven / uneven.sum()
    for metric in ("kl_kt", "js", "frontier_integral", "mauve"):
        truth = float(HISTOGRAMS[metric].measure(1e12 * even, 1e12 * q))
        yield Case(metric, world, n, partial(_histogram, metric, even, q, n), truth)
    yield Case("entropy", world, n, partial(_entropy, q, n), float(entropy(q)))


def _histogram(metric: str, p: NDArray[np.float64], q: NDArray[np.float64], n: int, seed: int) -> Value:
    rng = np.random.default_rng([1, seed, n])
    a, b = (rng.multinomial(n, share).astype(float) for share in (p, q))
    drawn = rng.multinomial(n, a / n, 200).astype(float), rng.multinomial(n, b / n, 200).astype(float)
    return Value(*HISTOGRAMS[metric].estimate((a, b), drawn, 0.95), n, "images", "")


def _entropy(q: NDArray[np.float64], n: int, seed: int) -> Value:
    rng = np.random.default_rng([2, seed, n])
    seen = rng.multinomial(n, q).astype(float)
    drawn = entropy(rng.multinomial(n, seen / n, 200).astype(float))
    return Value(*bias_corrected(float(entropy(seen)), drawn, 0.95, 0.0, float(np.log(10))), n, "images", "")


def _authors(rng: np.random.Generator, groups: int) -> NDArray[np.int64]:
    return np.repeat(np.arange(groups), np.minimum(rng.zipf(2.5, groups), 50))


def _share(groups: int, seed: int) -> Value:
    rng = np.random.default_rng([3, seed, groups])
    sizes = np.minimum(rng.zipf(2.5, groups), 50)
    own = rng.beta(0.9, 2.1, groups)
    (found,) = share_estimates(rng.binomial(sizes, own)[:, None], sizes, "images", "authors", 0.95)
    return found


def _mean_likes(groups: int, spread: float, seed: int) -> Value:
    rng = np.random.default_rng([4, seed, groups])
    author = _authors(rng, groups)
    likes = np.exp(spread * (0.8 * rng.normal(size=groups)[author] + 0.6 * rng.normal(size=len(author))))
    return skewed_mean(likes, author, "images", "authors")


def _similarity(groups: int, seed: int) -> Value:
    rng = np.random.default_rng([5, seed, groups])
    author = _authors(rng, groups)
    return clustered_mean(0.5 + 0.1 * rng.normal(size=groups)[author] + 0.1 * rng.normal(size=len(author)),
                          author, "images", "authors")  # fmt: skip


def _likes(groups: int, seed: int) -> Value:
    rng = np.random.default_rng([6, seed, groups])
    author = _authors(rng, groups)
    fifth = counts.quintiles(rng.normal(size=groups)[author] + rng.normal(size=len(author)))
    level = 1.5 * rng.normal(size=groups)[author] + rng.normal(size=len(author)) + 0.3 * (fifth == 0)
    y = rng.poisson(np.exp(np.minimum(level, 10))).astype(float)
    x = np.column_stack([np.ones(len(y)), counts.dummies(fifth, range(4))])
    fit = counts.poisson(y, x)
    found = score_interval(cells_of(y, x, dense(author)), 1, fit.params, 0.3, FLIPS)
    return Value(*(float(end) for end in 100 * np.expm1([fit.params[1], found.low, found.high])), len(y), "images", "")


def _joint(groups: int, seed: int) -> Value:
    rng = np.random.default_rng([9, seed, groups])
    author = _authors(rng, groups)
    followers = rng.normal(6, 1.5, groups)[author]
    near = rng.normal(size=groups)[author] + rng.normal(size=len(author))
    level = 0.3 * followers + 1.5 * rng.normal(size=groups)[author] + rng.normal(size=len(author))
    likes = rng.poisson(np.exp(np.minimum(level, 12)))
    data = Engagement({"likes": likes}, {"near": near, "followers": followers}, {}, {}, author)
    return next(r.value for r in joint_results(data) if r.metric == "change" and r.labels["term"] == "near")


def _slope(groups: int, seed: int) -> Value:
    rng = np.random.default_rng([7, seed, groups])
    author = _authors(rng, groups)
    month = rng.integers(0, 20, groups)[author] + rng.integers(0, 7, len(author))
    inside = (rng.random(groups) < 0.3)[author] ^ (rng.random(len(author)) < 0.05)
    found = trend(inside, np.ones(len(author)), month, author, 0.95, FLIPS)
    slope = (0.0, -np.inf, np.inf) if isinstance(found, str) else found.slope
    return Value(*slope, len(author), "images", "")


def _vectors(seed: int, groups: int, shift: float = 0.0) -> NDArray[np.float32]:
    rng = np.random.default_rng([8, seed, groups])
    scale = np.linspace(1.5, 0.2, 24)
    x = np.repeat(rng.normal(size=(groups, 24)) * scale, 3, axis=0) + 0.7 * rng.normal(size=(3 * groups, 24)) * scale
    x[:, 0] += 2 + shift
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@cache
def _spreads(seed: int, groups: int) -> dict[str, Value]:
    x, codes = _vectors(seed, groups), np.repeat(np.arange(groups), 3)
    block = np.random.default_rng(seed).permutation(groups)[codes] % 10
    sample = Sample(x, codes, "posts")
    found: list[Result] = of_moments([moments(x[block == b]) for b in range(10)], {}, "posts", 0.95)
    found += of_pairs(sample, {}, VariationSpec(pairs=20_000))
    found += explain_by_groups(sample, "p", 200, 0.95, seed)
    return {r.metric: r.value for r in found}


def _spread(groups: int, metric: str, seed: int) -> Value:
    return _spreads(seed, groups)[metric]


@cache
def _population() -> dict[str, float]:
    return {metric: float(value.estimate or 0.0) for metric, value in _spreads(10**6, 20_000).items()}


@cache
def _comparisons(groups: int, seed: int) -> dict[str, Value]:
    codes = np.repeat(np.arange(groups), 3)
    samples = {name: Sample(_vectors(2 * seed + i, groups, 0.5 * i), codes, "posts") for i, name in enumerate("pq")}
    found = comparisons(samples, ComparisonSpec(images=10**6, variance=1.0))
    return {r.metric: r.value for r in found if (r.labels["p"], r.labels["q"]) == ("p", "q")}


def _compared(groups: int, metric: str, seed: int) -> Value:
    return _comparisons(groups, seed)[metric]


def main(arguments: list[str] | None = None) -> None:
    """Measure all coverages and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=1000)
    worlds = parser.parse_args(arguments).worlds
    rows = []
    for case in cases():
        held, asked = case.covered(worlds // 5 if case.costly else worlds), MANY if case.units >= 300 else FEW
        progress(f"{case.name}, {case.world}, {case.units}: {held:.3f}")
        name = f"coverage of {case.name}: {case.world}, {case.units} units"
        keep("coverage", name, Record(name, held, "share of worlds", target=f">= {asked}", holds=held >= asked))
        missed = "" if held >= asked else " **missed**"
        rows.append(f"| {case.name} | {case.world} | {case.units:,} | {held:.3f} | {asked}{missed} |\n")
    PAGE.write_text(
        HEAD.format(worlds=worlds, costly=worlds // 5, many=MANY, few=FEW) + "".join(rows), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
