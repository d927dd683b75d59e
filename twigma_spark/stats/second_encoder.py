"""The same measures by a second encoder, and whether both put the corpora in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from scipy.stats import kendalltau

from twigma_spark.results import Result, Value, not_computed

ANALYSIS = "second_encoder"
# What is compared: the measures of pairs of corpora, then those of one corpus.
OF_PAIRS = (
    "kl", "kl_kt", "js", "frontier_integral", "mauve", "knn_kl", "precision", "recall", "density", "coverage", "mmd",
    "cmmd",
)  # fmt: skip
OF_CORPORA = ("pair_distance", "entropy", "iev", "pmv", "vendi", "effective_rank", "generalised_variance")


def second_encoder_results(first: Iterable[Result], second: Iterable[Result]) -> Iterator[Result]:
    """Yield the second encoder's values under an analysis of their own, and the agreement of ranks by measure.

    Args:
        first: results by the first encoder; of pairs of corpora (labels p and q), or of a corpus (label corpus).
        second: the same by the second encoder.
    """
    own, other = _by_measure(first), _by_measure(second)
    for metric, values in other.items():
        yield from (Result(ANALYSIS, metric, r.labels, r.value) for r in values.values())
        yield Result.of(ANALYSIS, "rank_agreement", _agreement(own.get(metric, {}), values), measure=metric)


def _by_measure(results: Iterable[Result]) -> dict[str, dict[str, Result]]:
    found: dict[str, dict[str, Result]] = {}
    for each in results:
        labels = set(each.labels)
        if (each.metric in OF_PAIRS and labels == {"p", "q"}) or (each.metric in OF_CORPORA and labels == {"corpus"}):
            found.setdefault(each.metric, {})[each.key] = each
    return found


def _agreement(first: Mapping[str, Result], second: Mapping[str, Result]) -> Value:
    """Return Kendall's tau-b of the values of both encoders."""
    pairs = [(first[key].estimate, value.estimate) for key, value in second.items() if key in first]
    known = np.array([(a, b) for a, b in pairs if a is not None and b is not None], np.float64).reshape(-1, 2)
    unit = "pairs of corpora" if any("p" in r.labels for r in second.values()) else "corpora"
    if len(known) < 3:
        return not_computed(f"ranks of fewer than three {unit} say nothing", len(known), unit)
    found = kendalltau(known[:, 0], known[:, 1])
    if not np.isfinite(found.statistic):
        return not_computed("one encoder gives all the same value", len(known), unit)
    method = (
        f"Kendall's tau-b of the values by both encoders; exact p = {found.pvalue:.2g} of no agreement; no interval"
    )
    return Value(float(found.statistic), None, None, len(known), unit, method)
