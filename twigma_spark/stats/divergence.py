"""How distinct corpora are: measures of their histograms over common clusters, every two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeVar
from zlib import crc32

import numpy as np

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats import intervals
from twigma_spark.stats.histograms import HISTOGRAMS
from twigma_spark.stats.quantise import Bins, QuantiseSpec, quantise
from twigma_spark.stats.resampling import multiplicities
from twigma_spark.stats.sample import Floats, Sample, Vectors

ANALYSIS = "distinctiveness"
DIFFERENCES = "distinctiveness_difference"
# The measure whose values are compared between pairs: it is always finite.
COMPARED = "kl_kt"
PERMUTATIONS = 999
T = TypeVar("T")
Pair = tuple[str, str]


@dataclass(frozen=True)
class DivergenceSpec:
    """How divergences are estimated.

    Attributes:
        clusters: bins of the histograms; fewer where a pair has fewer vectors.
        variance: share of the joint variance that the principal components keep.
        bootstrap: replicates.
        confidence: of the intervals.
        seed: of k-means and of the bootstrap.
        restarts: starts of k-means, the best is kept.
    """

    clusters: int = 10
    variance: float = 0.9
    bootstrap: int = 200
    confidence: float = 0.95
    seed: int = 0
    restarts: int = 5

    @property
    def quantise(self) -> QuantiseSpec:
        """How vectors are put into bins."""
        return QuantiseSpec(self.clusters, self.variance, self.seed, self.restarts)


def divergences(samples: Mapping[str, Sample], spec: DivergenceSpec) -> list[Result]:
    """Return the measures of all ordered pairs (p, q) of corpora, in their order; symmetric ones once a pair.

    Each pair is quantised for itself, as Pillutla et al. 2021 (MAUVE, section 3) do: principal components of
    both, k-means of both, histograms. Intervals resample the groups of each sample and keep the clusters. Values are
    less their bootstrap bias. After them come the p-values of the hypothesis that both are draws of one corpus, and
    the differences between the smoothed divergences of one corpus from every two others (`DIFFERENCES`).

    Args:
        samples: by corpus; vectors of one length.
        spec: how to estimate.
    """
    sides = [_resample(name, sample, spec) for name, sample in samples.items()]
    results: list[Result] = []
    drawn: dict[Pair, Floats] = {}
    for first, second in combinations(sides, 2):
        rows, replicates = _of_pair(first, second, spec)
        results += rows
        drawn |= replicates
    by_pair = {(r.metric, r.labels["p"], r.labels["q"]): r for r in results}
    keys = [(metric, p, q) for metric in (*HISTOGRAMS, "p_same") for p in samples for q in samples]
    return [*(by_pair[key] for key in keys if key in by_pair), *_differences(list(samples), by_pair, drawn, spec)]


def _resample(name: str, sample: Sample, spec: DivergenceSpec) -> _Resampled:
    codes = sample.codes
    groups = int(codes.max()) + 1 if len(codes) else 0
    # By name: what other corpora there are changes nothing.
    rng = np.random.default_rng([spec.seed, crc32(name.encode())])
    return _Resampled(name, sample, multiplicities(groups, spec.bootstrap, rng))


@dataclass(frozen=True)
class _Resampled:
    """A corpus and its bootstrap samples: its name, its sample and how often each group is in each bootstrap sample."""

    name: str
    sample: Sample
    weights: Vectors

    def histogram(self, bins: Bins, k: int) -> _Histogram:
        """Return the corpus over bins: the same bootstrap samples in every pair, so that pairs can be compared."""
        table = intervals.count_table(self.sample.groups, bins, k)
        drawn = (self.weights @ table.astype(np.float32)).astype(np.float64)
        return _Histogram(self.name, table, table.sum(axis=0), drawn, self.sample.unit)


@dataclass(frozen=True)
class _Histogram:
    """A corpus over the bins: counts by group (groups, k), of all (k,), of bootstrap samples (replicates, k)."""

    name: str
    table: Floats
    counts: Floats
    drawn: Floats
    unit: str


def _of_pair(first: _Resampled, second: _Resampled, spec: DivergenceSpec) -> tuple[list[Result], dict[Pair, Floats]]:
    """Return the measures of a pair, the directed ones both ways, and the replicates of those that are compared."""
    sides = (first, second)
    if empty := [side.name for side in sides if not len(side.sample.vectors)]:
        why = not_computed(f"no vectors of {' and '.join(empty)}", 0, "images")
        names = [(m, a.name, b.name) for m, a, b in measure_pairs(first, second)]
        return [Result.of(ANALYSIS, m, why, p=p, q=q) for m, p, q in (*names, ("p_same", first.name, second.name))], {}
    bins, method = quantise([side.sample.vectors for side in sides], spec.quantise)
    k = int(max(each.max() for each in bins)) + 1
    p, q = (side.histogram(own, k) for side, own in zip(sides, bins, strict=True))
    unit = " and ".join(dict.fromkeys([p.unit, q.unit]))
    images = " and ".join(f"{len(side.sample.vectors):,}" for side in sides)
    interval = f"{spec.confidence:.0%} bootstrap interval, {spec.bootstrap} resamples of {unit}, clusters kept"
    blank = Value(None, None, None, len(p.table) + len(q.table), unit, f"of {images} images over {method}; {interval}")
    results = [_measure(metric, a, b, blank, spec.confidence) for metric, a, b in measure_pairs(p, q)]
    compared = HISTOGRAMS[COMPARED].measure
    drawn = {
        (a.name, b.name): compared(a.drawn, b.drawn) - float(compared(a.counts, b.counts)) for a, b in ((p, q), (q, p))
    }
    return [*results, _same(p, q, blank, spec)], drawn


def measure_pairs(first: T, second: T) -> Iterator[tuple[str, T, T]]:
    """Yield the measures of two histograms with the order of the sides; both orders where it matters."""
    for metric, histogram in HISTOGRAMS.items():
        yield metric, first, second
        if not histogram.symmetric:
            yield metric, second, first


def _measure(metric: str, p: _Histogram, q: _Histogram, blank: Value, confidence: float) -> Result:
    """Return `blank` filled with one measure of two histograms."""
    histogram = HISTOGRAMS[metric]
    estimate, low, high = histogram.estimate((p.counts, q.counts), (p.drawn, q.drawn), confidence)
    infinite = not np.isfinite(histogram.measure(p.drawn, q.drawn)).all()
    bias = "as it is, since resamples are infinite" if infinite else "less its bootstrap bias"
    value = replace(blank, estimate=estimate, low=low, high=high, method=f"{histogram.words}, {bias}, {blank.method}")
    return Result.of(ANALYSIS, metric, value, p=p.name, q=q.name)


def _same(p: _Histogram, q: _Histogram, blank: Value, spec: DivergenceSpec) -> Result:
    """Return the p-value of the hypothesis that both corpora are draws of one: whole groups change sides."""
    measure, rng = HISTOGRAMS[COMPARED].measure, np.random.default_rng([spec.seed, 7])
    both, size = np.concatenate([p.table, q.table]), len(p.table)
    total = both.sum(axis=0)
    orders = (rng.permutation(len(both))[:size] for _ in range(PERMUTATIONS))
    first = np.stack([both[order].sum(axis=0) for order in orders])
    exceed = int((measure(first, total - first) >= float(measure(p.counts, q.counts)) - 1e-12).sum())
    method = (
        f"permutation test of {HISTOGRAMS[COMPARED].words}, {PERMUTATIONS} permutations of {blank.unit}; no interval"
    )
    value = replace(
        blank, estimate=(1 + exceed) / (1 + PERMUTATIONS), method=f"{method}; {blank.method.partition(';')[0]}"
    )
    return Result.of(ANALYSIS, "p_same", value, p=p.name, q=q.name)


def _differences(
    names: Sequence[str],
    by_pair: Mapping[tuple[str, str, str], Result],
    drawn: Mapping[Pair, Floats],
    spec: DivergenceSpec,
) -> Iterator[Result]:
    """Yield how much farther each corpus is from one other than from the next, of every two others."""
    for p in names:
        for q, versus in combinations([name for name in names if name != p], 2):
            if (p, q) not in drawn or (p, versus) not in drawn:
                continue
            one, other = (by_pair[COMPARED, p, name] for name in (q, versus))
            away = drawn[p, q] - drawn[p, versus]
            value = (one.estimate or 0.0) - (other.estimate or 0.0)
            low, high = intervals.percentiles(value + away - away.mean(), spec.confidence)
            method = (
                f"KL({p} || {q}) - KL({p} || {versus}), both {HISTOGRAMS[COMPARED].words}, less their bias; "
                f"{spec.confidence:.0%} bootstrap interval, the same {spec.bootstrap} resamples of {p} in both"
            )
            ends = Value(value, min(low, value), max(high, value), one.n + other.n, one.unit, method)
            yield Result.of(DIFFERENCES, COMPARED, ends, p=p, q=q, versus=versus)
