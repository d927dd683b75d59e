"""How distinct two sets of vectors are: divergences of their histograms over common clusters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from twigma_spark.stats import intervals

T = TypeVar("T")
Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Bins = NDArray[np.int64]
Measure = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Sample:
    """The vectors of one corpus.

    Attributes:
        vectors: (n, d) float32; taken as they are, so scale them to unit length for directions.
        groups: label of each row's post, prompt or artist (n,), the unit that is resampled; None: the row.
        unit: what a group is, such as "posts".
    """

    vectors: Vectors
    groups: NDArray[Any] | None = None
    unit: str = "images"


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


@dataclass(frozen=True)
class Divergence:
    """One divergence with its interval.

    Attributes:
        metric: ``kl``, ``kl_kt`` or ``js``.
        p: first corpus; ``kl`` is the divergence of p from q, KL(p || q).
        q: second corpus.
        estimate: in nats; inf where p has a bin that q has not, None where a corpus is empty.
        low: lower end of the interval.
        high: upper end of the interval.
        n: groups of both that it rests on.
        unit: what n counts.
        method: estimator and interval, in words.
    """

    metric: str
    p: str
    q: str
    estimate: float | None
    low: float | None
    high: float | None
    n: int
    unit: str
    method: str


def kl(p: Floats, q: Floats) -> Floats:
    """Return KL(p || q) in nats of counts (..., k), plug-in; inf where p has a bin that q has not."""
    p, q = _shares(p), _shares(q)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * (np.log(p) - np.log(q)), 0.0)
    # A sum of rounded terms can fall below 0, which no divergence does.
    return np.asarray(np.maximum(terms.sum(axis=-1), 0.0), np.float64)


def kl_kt(p: Floats, q: Floats) -> Floats:
    """Return KL(p || q) in nats after half a count is added to each bin (Krichevsky & Trofimov 1981)."""
    return kl(p + 0.5, q + 0.5)


def js(p: Floats, q: Floats) -> Floats:
    """Return the Jensen-Shannon divergence in nats, 0 to log 2 (Lin 1991, with equal weights)."""
    p, q = _shares(p), _shares(q)
    middle = (p + q) / 2.0
    return (kl(p, middle) + kl(q, middle)) / 2.0


MEASURES: dict[str, tuple[Measure, str]] = {
    "kl": (kl, "plug-in KL"),
    "kl_kt": (kl_kt, "KL with half a count added to each bin"),
    "js": (js, "plug-in Jensen-Shannon"),
}


def divergences(samples: Mapping[str, Sample], spec: DivergenceSpec) -> list[Divergence]:
    """Return the measures of all ordered pairs of corpora, in their order; js once a pair, it is symmetric.

    Each pair is quantised for itself, as Pillutla et al. 2021 (MAUVE, section 3) do: principal components of
    both, k-means of both, histograms. Intervals resample the groups of each sample and keep the clusters.

    Args:
        samples: by corpus; vectors of one length.
        spec: how to estimate.
    """
    pairs = combinations(samples.items(), 2)
    found = {(d.metric, d.p, d.q): d for first, second in pairs for d in _of_pair(first, second, spec)}
    keys = [(metric, p, q) for metric in MEASURES for p in samples for q in samples]
    return [found[key] for key in keys if key in found]


def quantise(first: Vectors, second: Vectors, spec: DivergenceSpec) -> tuple[Bins, Bins, str]:
    """Return the bin of each row of both samples, (n,) and (m,) from 0 without gaps, and how they were made.

    The components are not whitened: a direction counts as much as it varies.
    """
    joint = np.concatenate([first, second]).astype(np.float32, copy=False)
    reduced = _reduced(joint, spec.variance)
    kmeans = KMeans(min(spec.clusters, len(joint)), n_init=spec.restarts, random_state=spec.seed % 2**32)
    with warnings.catch_warnings():
        # Fewer different vectors than clusters: then there are fewer bins, and the words say how many.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, labels = np.unique(kmeans.fit_predict(reduced), return_inverse=True)
    kept = f"{reduced.shape[1]} joint principal components ({spec.variance:g} of the variance)"
    return labels[: len(first)], labels[len(first) :], f"{labels.max() + 1} k-means clusters of {kept}"


@dataclass(frozen=True)
class _Histogram:
    """A corpus over the bins: counts (k,), bootstrap counts (replicates, k), groups and what they are."""

    name: str
    counts: Floats
    drawn: Floats
    groups: int
    unit: str


def _of_pair(first: Named, second: Named, spec: DivergenceSpec) -> list[Divergence]:
    """Return the measures of a pair, KL both ways."""
    if empty := [name for name, sample in (first, second) if not len(sample.vectors)]:
        why = f"not computed: no vectors of {' and '.join(empty)}"
        return [Divergence(m, p[0], q[0], None, None, None, 0, "images", why) for m, p, q in _asked(first, second)]
    *bins, how = quantise(first[1].vectors, second[1].vectors, spec)
    p, q = _histograms((first, second), bins, spec)
    unit = " and ".join(dict.fromkeys([p.unit, q.unit]))
    interval = f"{spec.confidence:.0%} percentile bootstrap, {spec.bootstrap} resamples of {unit}, clusters kept"
    blank = Divergence("", "", "", None, None, None, p.groups + q.groups, unit, f"over {how}; {interval}")
    return [_measured(metric, a, b, blank, spec.confidence) for metric, a, b in _asked(p, q)]


def _asked(first: T, second: T) -> Iterator[tuple[str, T, T]]:
    """Yield the measures of a pair with the order of its sides."""
    for metric in MEASURES:
        yield metric, first, second
        if metric != "js":
            yield metric, second, first


def _measured(metric: str, p: _Histogram, q: _Histogram, blank: Divergence, confidence: float) -> Divergence:
    """Return `blank` filled with one measure of two histograms."""
    measure, words = MEASURES[metric]
    low, high = intervals.percentiles(measure(p.drawn, q.drawn), confidence)
    estimate, method = float(measure(p.counts, q.counts)), f"{words} {blank.method}"
    return replace(blank, metric=metric, p=p.name, q=q.name, estimate=estimate, low=low, high=high, method=method)


def _histograms(pair: Sequence[Named], bins: Sequence[Bins], spec: DivergenceSpec) -> list[_Histogram]:
    """Return the histograms of two corpora; one stream of random numbers, so that they are drawn apart."""
    rng = np.random.default_rng(spec.seed)
    k = int(max(each.max() for each in bins)) + 1
    found = []
    for (name, sample), own in zip(pair, bins, strict=True):
        table = intervals.count_table(sample.groups, own, k)
        drawn = intervals.resampled_counts(table, spec.bootstrap, rng)
        found.append(_Histogram(name, table.sum(axis=0), drawn, len(table), sample.unit))
    return found


def _reduced(joint: Vectors, variance: float) -> Vectors:
    """Return the principal components (n, r) that keep `variance`; the vectors themselves where all is kept."""
    if variance >= 1.0 or not np.any(joint != joint[0]):
        return joint
    reduced: Vectors = PCA(variance, svd_solver="covariance_eigh").fit_transform(joint)
    return reduced


def _shares(counts: Floats) -> Floats:
    values = np.asarray(counts, np.float64)
    return np.asarray(values / values.sum(axis=-1, keepdims=True), np.float64)
