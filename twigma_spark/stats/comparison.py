"""How distinct corpora are without bins: k-NN divergence, MMD, CMMD, precision, recall, density, coverage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats import kernels, nearest, resampling
from twigma_spark.stats.divergence import ANALYSIS
from twigma_spark.stats.quantise import reduce_dimensions
from twigma_spark.stats.sample import Codes, Floats, Sample, Vectors

# Results of one ordered pair, and how a measure gives a statistic of a value and its replicates.
Named = tuple[str, Sample]
KERNELS = {"mmd": "squared MMD, Gaussian kernel of median bandwidth", "cmmd": "CMMD, 1000 x squared MMD, bandwidth 10"}
ROWS = {
    "knn_kl": "k-nearest-neighbour KL",
    "precision": "share of P inside the balls of Q",
    "recall": "share of Q inside the balls of P",
    "density": "balls of Q that hold an image of P, over k",
    "coverage": "share of the balls of Q that hold an image of P",
}
COMPARED = (*ROWS, *KERNELS)


@dataclass(frozen=True)
class ComparisonSpec:
    """How two samples are compared image by image.

    Attributes:
        images: rows of each sample at most, in whole groups; the cost grows with its square.
        k: neighbours.
        variance: share of the joint variance that principal components keep for the k-NN divergence.
        bootstrap: replicates.
        confidence: of the intervals.
        seed: of the draw and the bootstrap.
    """

    images: int = 2000
    k: int = 5
    variance: float = 0.9
    bootstrap: int = 200
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class _Side:
    name: str
    sample: Sample
    codes: Codes
    weights: Vectors


def comparisons(samples: Mapping[str, Sample], spec: ComparisonSpec) -> list[Result]:
    """Return the measures of all ordered pairs (p, q) of corpora; those by kernels once a pair, they are symmetric.

    Args:
        samples: by corpus; vectors of one length, of unit length for CMMD.
        spec: how to compare.
    """
    sides = [
        _side(name, sample.drawn(spec.images, spec.seed), i, spec) for i, (name, sample) in enumerate(samples.items())
    ]
    order = {side.name: i for i, side in enumerate(sides)}
    found = [s for p, q in permutations(sides, 2) for s in _of_pair(p, q, order[p.name] < order[q.name], spec)]
    return sorted(found, key=lambda s: (COMPARED.index(s.metric),))


def _side(name: str, sample: Sample, place: int, spec: ComparisonSpec) -> _Side:
    codes = sample.codes
    groups = int(codes.max()) + 1 if len(codes) else 0
    rng = np.random.default_rng([spec.seed, place])
    return _Side(name, sample, codes, resampling.multiplicities(groups, spec.bootstrap, rng))


def _of_pair(p: _Side, q: _Side, first: bool, spec: ComparisonSpec) -> Iterator[Result]:
    """Yield all measures of p against q; those by kernels only where p is `first`."""
    least = min(len(p.codes), len(q.codes))
    asked = [*ROWS, *KERNELS] if first else list(ROWS)
    if least <= spec.k:
        few = p.name if len(p.codes) == least else q.name
        why = not_computed(f"{least} images of {few}, more than k = {spec.k} are needed", least, "images")
        yield from (_result(m, p, q, why) for m in asked)
        return
    yield from _by_rows(p, q, spec)
    if first:
        yield from _by_kernels(p, q, spec)


def _result(metric: str, p: _Side, q: _Side, value: Value) -> Result:
    return Result.of(ANALYSIS, metric, value, p=p.name, q=q.name)


def _by_rows(p: _Side, q: _Side, spec: ComparisonSpec) -> Iterator[Result]:
    joint = reduce_dimensions(np.concatenate([p.sample.vectors, q.sample.vectors]), spec.variance)
    divided = nearest.knn_kl(joint[: len(p.codes)], joint[len(p.codes) :], spec.k)
    yield _knn(p, q, divided, joint.shape[1], spec)
    found = nearest.manifolds(p.sample.vectors, q.sample.vectors, spec.k)
    for metric, side in (("precision", p), ("recall", q), ("density", p), ("coverage", q)):
        yield _mean(metric, p, q, side, getattr(found, metric), f"k = {spec.k}", spec)


def _knn(p: _Side, q: _Side, parts: Floats, kept: int, spec: ComparisonSpec) -> Result:
    """Return the mean of the parts that are there: equal images have no k-th distance."""
    usable = np.isfinite(parts)
    if not usable.any():
        why = f"no image of {p.name} has a {spec.k}-th neighbour at a distance above 0"
        return _result("knn_kl", p, q, not_computed(why, 0, p.sample.unit))
    left = f"; {(~usable).sum()} images with equal ones left out" if not usable.all() else ""
    side = _side(p.name, p.sample.rows(usable), 0, spec)
    how = f"k = {spec.k}, over {kept} joint principal components ({spec.variance:g} of the variance){left}"
    return _mean("knn_kl", p, q, side, parts[usable], how, spec)


def _mean(metric: str, p: _Side, q: _Side, side: _Side, rows: Floats, how: str, spec: ComparisonSpec) -> Result:
    """Return the mean of values of the rows of `side`, with its interval over the groups of `side`."""
    groups, unit = side.weights.shape[1], side.sample.unit
    low, high = resampling.ends(resampling.row_means(rows, side.codes, side.weights), groups, spec.confidence)
    interval = resampling.words(spec.confidence, spec.bootstrap, f"{unit} of {side.name}", groups)
    method = f"{ROWS[metric]}, {how}, {len(p.codes)} and {len(q.codes)} images; {interval}, neighbours kept"
    return _result(metric, p, q, Value(float(rows.mean()), low, high, groups, unit, method))


def _by_kernels(p: _Side, q: _Side, spec: ComparisonSpec) -> Iterator[Result]:
    weights = [kernels.row_weights(side.weights, side.codes) for side in (p, q)]
    widths: dict[str, tuple[Callable[[], float], float]] = {
        "mmd": (lambda: kernels.median_bandwidth(p.sample.vectors, q.sample.vectors), 1.0),
        "cmmd": (lambda: kernels.CMMD_BANDWIDTH, kernels.CMMD_FACTOR),
    }
    groups = p.weights.shape[1] + q.weights.shape[1]
    unit = " and ".join(dict.fromkeys([p.sample.unit, q.sample.unit]))
    for metric, (width, factor) in widths.items():
        found = kernels.kernels(p.sample.vectors, q.sample.vectors, width())
        drawn = factor * kernels.weighted_mmd(found, *weights)
        low, high = resampling.ends(drawn, min(p.weights.shape[1], q.weights.shape[1]), spec.confidence)
        interval = resampling.words(spec.confidence, spec.bootstrap, unit, groups if low is not None else 1)
        method = f"{KERNELS[metric]}, unbiased, {len(p.codes)} and {len(q.codes)} images; {interval}"
        yield _result(metric, p, q, Value(factor * kernels.mmd(found), low, high, groups, unit, method))
