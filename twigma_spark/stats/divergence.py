"""Divergences between two samples of vectors by quantisation, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from twigma_spark.errors import ConfigError

Vectors = NDArray[np.float32]
Counts = NDArray[np.float64]
KMEANS_STARTS = 4


@dataclass(frozen=True)
class Sample:
    """A corpus's vectors, and what they are drawn in.

    Attributes:
        vectors: (n, d).
        groups: (n,) ids of the posts, prompts or artists that the bootstrap resamples.
        unit: what a group is.
    """

    vectors: Vectors
    groups: NDArray[np.str_]
    unit: str


@dataclass(frozen=True)
class DivergenceSpec:
    """How samples are compared.

    Attributes:
        clusters: bins.
        variance: share of the variance that PCA keeps.
        bootstrap: resamples.
        confidence: of the intervals.
        seed: of k-means and of the resamples.
    """

    clusters: int = 10
    variance: float = 0.9
    bootstrap: int = 200
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Divergence:
    """One divergence D(p || q) in nats, with the ends of its interval."""

    metric: str
    p: str
    q: str
    estimate: float
    low: float
    high: float
    n: int
    unit: str
    method: str


def kl(p: Counts, q: Counts) -> NDArray[np.float64]:
    """Return the plug-in Kullback-Leibler divergence sum p log(p / q) in nats; inf where q has an empty bin of p.

    Args:
        p: counts (..., k).
        q: counts (..., k).
    """
    a, b = _shares(p), _shares(q)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(a > 0, a * (np.log(a) - np.log(b)), 0.0)
    return np.asarray(terms.sum(axis=-1), dtype=np.float64)


def kl_kt(p: Counts, q: Counts) -> NDArray[np.float64]:
    """Return the divergence after half a count is added to every bin (Krichevsky & Trofimov 1981), in nats."""
    return kl(p + 0.5, q + 0.5)


def js(p: Counts, q: Counts) -> NDArray[np.float64]:
    """Return the Jensen-Shannon divergence in nats, between 0 and log 2."""
    a, b = _shares(p), _shares(q)
    middle = (a + b) / 2
    return (kl(a, middle) + kl(b, middle)) / 2


METRICS: Mapping[str, Callable[[Counts, Counts], NDArray[np.float64]]] = {"kl": kl, "kl_kt": kl_kt, "js": js}


def divergences(samples: Mapping[str, Sample], spec: DivergenceSpec) -> Iterator[Divergence]:
    """Yield every metric of `METRICS` for every ordered pair of samples.

    Each pair is quantised jointly: PCA of both samples to a share of their variance without whitening, then
    k-means of both, then a histogram each (Pillutla et al. 2021, MAUVE, section 3 and appendix).

    Raises:
        ConfigError: a sample with fewer vectors than bins.
    """
    for name, sample in samples.items():
        if len(sample.vectors) < spec.clusters:
            raise ConfigError(
                f"distinctiveness.clusters must be at most the images of each corpus. Got {spec.clusters} "
                f"and {len(sample.vectors)} of '{name}'."
            )
    for one, other in combinations(samples, 2):
        yield from _pair(one, other, samples, spec)


def quantise(one: Vectors, other: Vectors, spec: DivergenceSpec) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the bin of each vector of `one` and of `other` after joint PCA and k-means."""
    both = np.concatenate([one, other]).astype(np.float64)
    reduced = PCA(n_components=spec.variance, svd_solver="full", whiten=False).fit_transform(both)
    fit = KMeans(spec.clusters, n_init=KMEANS_STARTS, random_state=spec.seed).fit(reduced)
    return np.split(fit.labels_, [len(one)])[0], np.split(fit.labels_, [len(one)])[1]


def resampled_counts(
    bins: NDArray[np.int32], groups: NDArray[np.str_], spec: DivergenceSpec, seed: int
) -> tuple[Counts, Counts]:
    """Return the histogram (k,) and those of bootstrap samples of the groups (B, k)."""
    number, inverse = np.unique(groups, return_inverse=True)
    table = np.zeros((len(number), spec.clusters))
    np.add.at(table, (inverse, bins), 1)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(number), np.full(len(number), 1 / len(number)), size=spec.bootstrap)
    return table.sum(axis=0), draws @ table


def _pair(one: str, other: str, samples: Mapping[str, Sample], spec: DivergenceSpec) -> Iterator[Divergence]:
    bins = dict(zip((one, other), quantise(samples[one].vectors, samples[other].vectors, spec), strict=True))
    counted = {
        name: resampled_counts(bins[name], samples[name].groups, spec, spec.seed + place)
        for place, name in enumerate((one, other))
    }
    for p, q in ((one, other), (other, one)):
        for metric in METRICS:
            yield _estimate(metric, (p, q), counted, samples, spec)


def _estimate(
    metric: str,
    names: tuple[str, str],
    counted: Mapping[str, tuple[Counts, Counts]],
    samples: Mapping[str, Sample],
    spec: DivergenceSpec,
) -> Divergence:
    (p, q), measure = names, METRICS[metric]
    tail = (1 - spec.confidence) / 2
    drawn = measure(counted[p][1], counted[q][1])
    low, high = np.quantile(drawn, [tail, 1 - tail], method="inverted_cdf")
    n = len(np.unique(samples[p].groups)) + len(np.unique(samples[q].groups))
    units = sorted({samples[p].unit, samples[q].unit})
    method = (
        f"joint PCA to {spec.variance:g} of the variance, k-means with {spec.clusters} bins, histograms; "
        f"{spec.confidence:.0%} percentile bootstrap of {' and '.join(units)} "
        f"({spec.bootstrap} resamples, bins fixed)"
    )
    estimate = float(measure(counted[p][0], counted[q][0]))
    return Divergence(metric, p, q, estimate, float(low), float(high), n, " + ".join(units), method)


def _shares(counts: Counts) -> Counts:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True), dtype=np.float64)
