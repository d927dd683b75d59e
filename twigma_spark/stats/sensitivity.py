"""The same measures in another way, such as by a second encoder, and whether the order of what is compared holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats.shares import dense, group_sums, share_estimates

ANALYSIS = "sensitivity"
AS_IT_IS, SECOND_ENCODER, WITHOUT_REAL = "as it is", "second encoder", "without likely real images"
# What is compared, by what it is of.
OF_PAIRS = (
    "kl", "kl_kt", "js", "frontier_integral", "mauve", "knn_kl", "precision", "recall", "density", "coverage", "mmd",
    "cmmd",
)  # fmt: skip
OF_CORPORA = ("pair_distance", "entropy", "iev", "pmv", "vendi", "effective_rank", "generalised_variance")
OF_LIKES = ("poisson_score",)
OF_GROUPS = ("share_explained", "variance_component")
OF_THEMES = ("share", "relative_change", "arrow")
OF_SCORES = ("share_above",)
OF_REFERENCES = ("nearest_share",)
UNITS = {
    frozenset({"p", "q"}): ("pairs of corpora", OF_PAIRS),
    frozenset({"corpus"}): ("corpora", OF_CORPORA),
    frozenset({"reference", "level"}): ("coefficients", OF_LIKES),
    frozenset({"corpus", "within"}): ("kinds of group", OF_GROUPS),
    frozenset({"cluster"}): ("themes", OF_THEMES),
    frozenset({"corpus", "threshold"}): ("corpora and thresholds", OF_SCORES),
    frozenset({"reference"}): ("references", OF_REFERENCES),
}


def sensitivity_results(variant: str, first: Iterable[Result], second: Iterable[Result]) -> Iterator[Result]:
    """Yield the values of a variant under an analysis of their own, and the agreement of ranks by measure.

    Args:
        variant: its name.
        first: results of the run; those whose labels and metric are in `UNITS` are compared.
        second: the same of the variant.
    """
    own, other = _by_measure(first), _by_measure(second)
    for metric, values in other.items():
        yield from (Result.of(ANALYSIS, metric, r.value, variant=variant, **r.labels) for r in values.values())
        agreement = _agreement(own.get(metric, {}), values)
        yield Result.of(ANALYSIS, "rank_agreement", agreement, variant=variant, measure=metric)


def nearest_shares(
    nearest: NDArray[Any], author: NDArray[Any], references: Sequence[str], confidence: float
) -> Iterator[Result]:
    """Yield the share of the images whose nearest reference image is in each reference.

    Args:
        nearest: place of the reference in `references`, 0 or more (n,).
        author: of the image (n,).
        references: names.
        confidence: of the intervals, clustered by author.
    """
    hits = np.asarray(nearest)[:, None] == np.arange(len(references))
    by_author = group_sums(hits.astype(np.float64), dense(author)) if len(nearest) else np.zeros((0, len(references)))
    shares = share_estimates(by_author, by_author.sum(axis=1), "images", "authors", confidence)
    for name, value in zip(references, shares, strict=True):
        yield Result.of(ANALYSIS, "nearest_share", value, reference=name)


def _by_measure(results: Iterable[Result]) -> dict[str, dict[str, Result]]:
    by_measure: dict[str, dict[str, Result]] = {}
    for each in results:
        _, metrics = UNITS.get(frozenset(each.labels), ("", ()))
        if each.metric in metrics:
            by_measure.setdefault(each.metric, {})[each.key] = each
    return by_measure


def _agreement(first: Mapping[str, Result], second: Mapping[str, Result]) -> Value:
    """Return Kendall's tau-b of the values of the run and of the variant."""
    pairs = [(first[key].estimate, value.estimate) for key, value in second.items() if key in first]
    known = np.array([(a, b) for a, b in pairs if a is not None and b is not None], np.float64).reshape(-1, 2)
    unit, _ = UNITS[frozenset(next(iter(second.values())).labels)]
    if len(known) < 3:
        return not_computed(f"ranks of fewer than three {unit} say nothing", len(known), unit)
    tau = kendalltau(known[:, 0], known[:, 1])
    if not np.isfinite(tau.statistic):
        return not_computed("one of both has all the same value", len(known), unit)
    method = (
        f"Kendall's tau-b of the values of the run and the variant; p = {tau.pvalue:.2g} of no agreement; no interval"
    )
    return Value(float(tau.statistic), None, None, len(known), unit, method)
