"""How distinct corpora are: measures of their histograms over common clusters, every two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeVar

import numpy as np

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats import intervals
from twigma_spark.stats.histograms import HISTOGRAMS
from twigma_spark.stats.quantise import Bins, QuantiseSpec, quantise
from twigma_spark.stats.sample import Floats, Sample

ANALYSIS = "distinctiveness"
T = TypeVar("T")
Named = tuple[str, Sample]


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
    both, k-means of both, histograms. Intervals resample the groups of each sample and keep the clusters.

    Args:
        samples: by corpus; vectors of one length.
        spec: how to estimate.
    """
    pairs = combinations(samples.items(), 2)
    results = [r for first, second in pairs for r in _of_pair(first, second, spec)]
    found = {(r.metric, r.labels["p"], r.labels["q"]): r for r in results}
    keys = [(metric, p, q) for metric in HISTOGRAMS for p in samples for q in samples]
    return [found[key] for key in keys if key in found]


@dataclass(frozen=True)
class _Histogram:
    """A corpus over the bins: counts (k,), bootstrap counts (replicates, k), groups and what they are."""

    name: str
    counts: Floats
    drawn: Floats
    groups: int
    unit: str


def _of_pair(first: Named, second: Named, spec: DivergenceSpec) -> list[Result]:
    """Return the measures of a pair, the directed ones both ways."""
    if empty := [name for name, sample in (first, second) if not len(sample.vectors)]:
        why = not_computed(f"no vectors of {' and '.join(empty)}", 0, "images")
        return [Result.of(ANALYSIS, m, why, p=p[0], q=q[0]) for m, p, q in measure_pairs(first, second)]
    bins, how = quantise([first[1].vectors, second[1].vectors], spec.quantise)
    p, q = _histograms((first, second), bins, spec)
    unit = " and ".join(dict.fromkeys([p.unit, q.unit]))
    interval = f"{spec.confidence:.0%} percentile bootstrap, {spec.bootstrap} resamples of {unit}, clusters kept"
    blank = Value(None, None, None, p.groups + q.groups, unit, f"over {how}; {interval}")
    return [_measure(metric, a, b, blank, spec.confidence) for metric, a, b in measure_pairs(p, q)]


def measure_pairs(first: T, second: T) -> Iterator[tuple[str, T, T]]:
    """Yield the measures of two histograms with the order of the sides; both orders where it matters."""
    for metric, histogram in HISTOGRAMS.items():
        yield metric, first, second
        if not histogram.symmetric:
            yield metric, second, first


def _measure(metric: str, p: _Histogram, q: _Histogram, blank: Value, confidence: float) -> Result:
    """Return `blank` filled with one measure of two histograms."""
    how = HISTOGRAMS[metric]
    low, high = intervals.percentiles(how.measure(p.drawn, q.drawn), confidence)
    estimate, method = float(how.measure(p.counts, q.counts)), f"{how.words} {blank.method}"
    value = replace(blank, estimate=estimate, low=low, high=high, method=method)
    return Result.of(ANALYSIS, metric, value, p=p.name, q=q.name)


def _histograms(pair: Sequence[Named], bins: Sequence[Bins], spec: DivergenceSpec) -> list[_Histogram]:
    """Return the histograms of two corpora; one stream of random numbers, so that they are drawn apart."""
    rng = np.random.default_rng(spec.seed)
    k = int(max(each.max() for each in bins)) + 1
    found = []
    for (name, sample), own in zip(pair, bins, strict=True):
        table = intervals.count_table(sample.groups, own, k)
        drawn = intervals.resample_counts(table, spec.bootstrap, rng)
        found.append(_Histogram(name, table.sum(axis=0), drawn, len(table), sample.unit))
    return found
