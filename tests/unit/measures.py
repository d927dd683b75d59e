"""Every measure in one list, with what each must not depend on; a test walks it, so that none is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from twigma_spark.stats import kernels, nearest, pairs
from twigma_spark.stats.association import kendall
from twigma_spark.stats.explained import explain_variance, group_sums
from twigma_spark.stats.groups import within_groups
from twigma_spark.stats.histograms import HISTOGRAMS, entropy
from twigma_spark.stats.moments import Moments, moments
from twigma_spark.stats.quantise import QuantiseSpec, quantise
from twigma_spark.stats.sample import Codes, Vectors
from twigma_spark.stats.spread import (
    effective_rank,
    generalised_variance,
    inverse_explained_variance,
    pseudo_multivariate_variance,
    vendi,
)

# What may be done to the vectors: rows in another order, all turned, all there twice, all longer, all moved.
CHANGES = ("order", "rotation", "duplicates", "scale", "shift")
K = 3

# A measure of two samples (n, d) and (m, d) and the groups of the first (n,); many ignore one of them.
Function = Callable[[Vectors, Vectors, Codes], float]


@dataclass(frozen=True)
class Measure:
    """A measure of vectors.

    Attributes:
        value: the function.
        keeps: which of `CHANGES` leave the value as it is; each of the others must change it.
        low: least value that it can have.
        high: greatest.
        alike: value of a sample against itself; None for measures of one sample, and where it has no such value.
        symmetric: whether the two samples can change places; None for measures of one sample.
    """

    value: Function
    keeps: tuple[str, ...]
    low: float = 0.0
    high: float = np.inf
    alike: float | None = None
    symmetric: bool | None = None


def _histograms(metric: str, p: Vectors, q: Vectors, codes: Codes) -> float:
    (a, b), _ = quantise([p, q], QuantiseSpec(clusters=6, restarts=8))
    k = int(max(a.max(), b.max())) + 1
    counts = [np.bincount(bins, minlength=k).astype(float) for bins in (a, b)]
    return float(HISTOGRAMS[metric].measure(*counts))


def _knn(p: Vectors, q: Vectors, codes: Codes) -> float:
    parts = nearest.knn_kl(p, q, K)
    return float(np.nanmean(parts))


def _manifold(name: str, p: Vectors, q: Vectors, codes: Codes) -> float:
    return float(getattr(nearest.manifolds(p, q, K), name).mean())


def _mmd(p: Vectors, q: Vectors, codes: Codes) -> float:
    return kernels.mmd(kernels.kernels(p, q, kernels.median_bandwidth(p, q)))


def _cmmd(p: Vectors, q: Vectors, codes: Codes) -> float:
    return kernels.CMMD_FACTOR * kernels.mmd(kernels.kernels(p, q, kernels.CMMD_BANDWIDTH))


def _moment(measure: Callable[[Moments], float | None], p: Vectors, q: Vectors, codes: Codes) -> float:
    value = measure(moments(p))
    return np.nan if value is None else value


def _pair_distance(p: Vectors, q: Vectors, codes: Codes) -> float:
    return float(pairs.sample_pairs(p, len(p) ** 2, np.random.default_rng(0)).distance.mean())


def _within(name: str, p: Vectors, q: Vectors, codes: Codes) -> float:
    (bins,), _ = quantise([p], QuantiseSpec(clusters=6, restarts=8))
    return float(getattr(within_groups(p, codes, bins), name).mean())


def _entropy(p: Vectors, q: Vectors, codes: Codes) -> float:
    (bins,), _ = quantise([p], QuantiseSpec(clusters=6, restarts=8))
    return float(entropy(np.bincount(bins).astype(float)))


def _explained(name: str, p: Vectors, q: Vectors, codes: Codes) -> float:
    sums = group_sums(p, codes)
    return float(getattr(explain_variance(sums, np.ones((1, len(sums.n)))), name)[0])


def _kendall(p: Vectors, q: Vectors, codes: Codes) -> float:
    found = kendall(p[:, 0].astype(float), p[:, 1].astype(float), np.arange(len(p)), 2, 0.9, 0)
    return np.nan if found is None else found.tau


ALL_BUT_DUPLICATES = ("order", "rotation", "scale", "shift")
MEASURES: dict[str, Measure] = {
    "kl": Measure(partial(_histograms, "kl"), CHANGES, alike=0.0, symmetric=False),
    "kl_kt": Measure(partial(_histograms, "kl_kt"), ALL_BUT_DUPLICATES, alike=0.0, symmetric=False),
    "js": Measure(partial(_histograms, "js"), CHANGES, high=np.log(2), alike=0.0, symmetric=True),
    "frontier_integral": Measure(
        partial(_histograms, "frontier_integral"), CHANGES, high=1.0, alike=0.0, symmetric=True
    ),
    "mauve": Measure(partial(_histograms, "mauve"), CHANGES, high=1.0, alike=1.0, symmetric=True),
    "knn_kl": Measure(_knn, ALL_BUT_DUPLICATES, low=-np.inf, symmetric=False),
    "mmd": Measure(_mmd, ALL_BUT_DUPLICATES, low=-2.0, high=2.0, symmetric=True),
    "cmmd": Measure(_cmmd, ("order", "rotation", "shift"), low=-2000.0, high=2000.0, symmetric=True),
    "precision": Measure(partial(_manifold, "precision"), ALL_BUT_DUPLICATES, high=1.0, alike=1.0, symmetric=False),
    "recall": Measure(partial(_manifold, "recall"), ALL_BUT_DUPLICATES, high=1.0, alike=1.0, symmetric=False),
    "density": Measure(partial(_manifold, "density"), ALL_BUT_DUPLICATES, symmetric=False),
    "coverage": Measure(partial(_manifold, "coverage"), ALL_BUT_DUPLICATES, high=1.0, alike=1.0, symmetric=False),
    "pair_distance": Measure(_pair_distance, ("order", "rotation", "shift")),
    "iev": Measure(
        partial(_moment, lambda m: inverse_explained_variance(m.second())),
        ("order", "rotation", "duplicates", "scale"),
        low=1.0,
    ),
    "pmv": Measure(partial(_moment, lambda m: pseudo_multivariate_variance(m.feature_variances())), ("order", "shift")),
    "effective_rank": Measure(partial(_moment, lambda m: effective_rank(m.variances())), CHANGES, low=1.0),
    "generalised_variance": Measure(
        partial(_moment, lambda m: generalised_variance(m.variances())), ("order", "rotation", "shift")
    ),
    "vendi": Measure(
        partial(_moment, lambda m: vendi(m.second())), ("order", "rotation", "duplicates", "scale"), low=1.0
    ),
    "entropy": Measure(_entropy, CHANGES),
    "group_distance": Measure(partial(_within, "distance"), ("order", "rotation", "shift")),
    "group_vendi": Measure(partial(_within, "vendi"), ("order", "rotation", "duplicates", "scale"), low=1.0),
    "group_entropy": Measure(partial(_within, "entropy"), CHANGES),
    "share_explained": Measure(partial(_explained, "share"), CHANGES, high=1.0),
    "variance_component": Measure(partial(_explained, "component"), ALL_BUT_DUPLICATES, high=1.0),
    "kendall_tau": Measure(_kendall, ("order", "duplicates", "scale", "shift"), low=-1.0, high=1.0),
}
