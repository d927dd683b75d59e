"""How distinct corpora are without bins: k-NN divergence, MMD, CMMD, precision, recall, density, coverage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats import kernels, nearest, resampling
from twigma_spark.stats.divergence import ANALYSIS
from twigma_spark.stats.quantise import reduce_dimensions
from twigma_spark.stats.sample import Codes, Floats, Sample, Vectors

KERNELS = {"mmd": "squared MMD, Gaussian kernel of median bandwidth", "cmmd": "CMMD, 1000 x squared MMD, bandwidth 10"}
ROWS = {
    "knn_kl": "k-nearest-neighbour KL",
    "precision": "share of P inside the balls of Q",
    "recall": "share of Q inside the balls of P",
    "density": "balls of Q that hold an image of P, over k",
    "coverage": "share of the balls of Q that hold an image of P",
}
COMPARED = (*ROWS, *KERNELS)
BOUNDS = {"precision": (0.0, 1.0), "recall": (0.0, 1.0), "density": (0.0, np.inf), "coverage": (0.0, 1.0)}
# Blocks of groups of each side that are left out in turn.
BLOCKS = 10
Mask = NDArray[np.bool_]


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
class _Blocked:
    """A corpus whose groups are in blocks, for a jackknife, and in bootstrap samples.

    Attributes:
        name: of the corpus.
        sample: its images.
        codes: group of each image (n,).
        weights: how often each group is in each bootstrap sample (replicates, groups).
        groups: how many there are.
        blocks: block of each image's group (n,).
    """

    name: str
    sample: Sample
    codes: Codes
    weights: Vectors
    groups: int
    blocks: Codes


def comparisons(samples: Mapping[str, Sample], spec: ComparisonSpec) -> list[Result]:
    """Return the measures of all ordered pairs (p, q) of corpora; those by kernels once a pair, they are symmetric.

    Args:
        samples: by corpus; vectors of one length, of unit length for CMMD.
        spec: how to compare.
    """
    sides = [
        _block(name, sample.draw_groups(spec.images, spec.seed), i, spec)
        for i, (name, sample) in enumerate(samples.items())
    ]
    order = {name: i for i, name in enumerate(samples)}
    results = [s for p, q in combinations(sides, 2) for s in _of_pair(p, q, spec)]
    return sorted(results, key=lambda s: (COMPARED.index(s.metric), order[s.labels["p"]], order[s.labels["q"]]))


def _block(name: str, sample: Sample, place: int, spec: ComparisonSpec) -> _Blocked:
    codes = sample.codes
    groups = int(codes.max()) + 1 if len(codes) else 0
    rng = np.random.default_rng([spec.seed, place])
    blocks = rng.permutation(groups)[codes] % BLOCKS if groups else codes
    return _Blocked(name, sample, codes, resampling.multiplicities(groups, spec.bootstrap, rng), groups, blocks)


def _of_pair(p: _Blocked, q: _Blocked, spec: ComparisonSpec) -> Iterator[Result]:
    """Yield all measures of a pair, those by neighbours both ways."""
    least = min(len(p.codes), len(q.codes))
    if least <= spec.k:
        few = p.name if len(p.codes) == least else q.name
        why = not_computed(f"{least} images of {few}, more than k = {spec.k} are needed", least, "images")
        yield from (_result(m, a, b, why) for a, b in ((p, q), (q, p)) for m in ROWS)
        yield from (_result(m, p, q, why) for m in KERNELS)
        return
    yield from _by_rows(p, q, spec)
    yield from _by_kernels(p, q, spec)


def _result(metric: str, p: _Blocked, q: _Blocked, value: Value) -> Result:
    return Result.of(ANALYSIS, metric, value, p=p.name, q=q.name)


def _by_rows(p: _Blocked, q: _Blocked, spec: ComparisonSpec) -> Iterator[Result]:
    """Yield the measures by neighbours, both ways; intervals leave out a block of groups of one side at a time."""
    joint = reduce_dimensions(np.concatenate([p.sample.vectors, q.sample.vectors]), spec.variance)
    reduced = nearest.distances(joint[: len(p.codes)], joint[len(p.codes) :])
    whole = nearest.distances(p.sample.vectors, q.sample.vectors)
    every = [np.ones(len(side.codes), bool) for side in (p, q)]
    estimates = _means(reduced, whole, spec.k)
    parts = [
        np.array([_means(reduced.of(*keep), whole.of(*keep), spec.k) for keep in _left_out(side, place, every)])
        for place, side in enumerate((p, q))
    ]
    unusable = [int(np.isnan(nearest.knn_kl_of(d, spec.k)).sum()) for d in (reduced, reduced.swapped)]
    for way, (a, b) in enumerate(((p, q), (q, p))):
        for place, metric in enumerate(ROWS):
            column = way * len(ROWS) + place
            method = f"k = {spec.k}"
            if metric == "knn_kl":
                left = f"; {unusable[way]} images with equal ones left out" if unusable[way] else ""
                method += (
                    f", over {joint.shape[1]} joint principal components ({spec.variance:g} of the variance){left}"
                )
            yield _mean(metric, a, b, estimates[column], [each[:, column] for each in parts if len(each)], method, spec)


def _left_out(side: _Blocked, place: int, every: Sequence[Mask]) -> Iterator[list[Mask]]:
    """Yield the rows of both sides without each block of groups of one; none where that has one group."""
    if side.groups < 2:
        return
    for block in np.unique(side.blocks):
        keep = list(every)
        keep[place] = side.blocks != block
        yield keep


def _means(reduced: nearest.Distances, whole: nearest.Distances, k: int) -> list[float]:
    """Return the measures of ROWS of p against q, then of q against p; NaN where fewer than k neighbours are left."""
    if min(reduced.pq.shape) <= k:
        return [np.nan] * 2 * len(ROWS)
    means = []
    for near, rows in zip((reduced, reduced.swapped), nearest.manifolds_both_ways(whole, k), strict=True):
        parts = nearest.knn_kl_of(near, k)
        usable = np.isfinite(parts)
        means += [float(parts[usable].mean()) if usable.any() else np.nan]
        means += [float(each.mean()) for each in (rows.precision, rows.recall, rows.density, rows.coverage)]
    return means


def _mean(
    metric: str, p: _Blocked, q: _Blocked, estimate: float, parts: Sequence[Floats], words: str, spec: ComparisonSpec
) -> Result:
    """Return a measure with its jackknife interval, from its values with parts of each side left out."""
    if not np.isfinite(estimate):
        why = f"no image of {p.name} has a {spec.k}-th neighbour at a distance above 0"
        return _result(metric, p, q, not_computed(why, 0, p.sample.unit))
    unit = " and ".join(dict.fromkeys([p.sample.unit, q.sample.unit]))
    low, high, interval = None, None, f"no interval: too few of {unit} can be left out"
    if len(parts) == 2 and all(np.isfinite(each).all() for each in parts):
        variance = sum((len(x) - 1) / len(x) * float(np.square(x - x.mean()).sum()) for x in parts)
        reach = float(t.ppf((1 + spec.confidence) / 2, sum(map(len, parts)) - 2)) * float(np.sqrt(variance))
        least, most = BOUNDS.get(metric, (-np.inf, np.inf))
        low, high = max(estimate - reach, least), min(estimate + reach, most)
        interval = f"{spec.confidence:.0%} jackknife interval, {sum(map(len, parts))} blocks of {unit} left out in turn"
    method = f"{ROWS[metric]}, {words}, {len(p.codes)} and {len(q.codes)} images; {interval}"
    return _result(metric, p, q, Value(estimate, low, high, p.groups + q.groups, unit, method))


def _by_kernels(p: _Blocked, q: _Blocked, spec: ComparisonSpec) -> Iterator[Result]:
    weights = [kernels.row_weights(side.weights, side.codes) for side in (p, q)]
    widths: dict[str, tuple[Callable[[], float], float]] = {
        "mmd": (lambda: kernels.median_bandwidth(p.sample.vectors, q.sample.vectors), 1.0),
        "cmmd": (lambda: kernels.CMMD_BANDWIDTH, kernels.CMMD_FACTOR),
    }
    groups = p.weights.shape[1] + q.weights.shape[1]
    unit = " and ".join(dict.fromkeys([p.sample.unit, q.sample.unit]))
    for metric, (width, factor) in widths.items():
        kernel_values = kernels.kernels(p.sample.vectors, q.sample.vectors, width())
        drawn = factor * kernels.weighted_mmd(kernel_values, *weights)
        low, high = resampling.ends(drawn, min(p.weights.shape[1], q.weights.shape[1]), spec.confidence)
        interval = resampling.words(spec.confidence, spec.bootstrap, unit, groups if low is not None else 1)
        method = f"{KERNELS[metric]}, unbiased, {len(p.codes)} and {len(q.codes)} images; {interval}"
        yield _result(metric, p, q, Value(factor * kernels.mmd(kernel_values), low, high, groups, unit, method))
