"""Whether longer prompts make images that are more alike: Kendall's tau of length and same-prompt distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats.association import kendall
from twigma_spark.stats.sample import Floats, group_codes

ANALYSIS = "prompt_length"
FEWEST = 3


def length_and_distance(
    words: Floats, distance: Floats, owners: NDArray[Any], corpus: str, confidence: float, bootstrap: int, seed: int
) -> list[Result]:
    """Return `kendall_tau` of prompt length and same-prompt distance with its interval, and `kendall_p`.

    Args:
        words: of each prompt (g,); NaN where its text is not known, and the prompt is left out.
        distance: mean distance of its images (g,).
        owners: who wrote it, or the prompt itself (g,): the unit that is resampled.
        corpus: name of the corpus.
        confidence: of the interval.
        bootstrap: resamples.
        seed: of the resamples.

    Source: Chen & Zou 2023 (TWIGMA), on variation (prompt length against pairwise distance).
    """
    known = np.isfinite(words)
    codes = group_codes(owners[known], int(known.sum()))
    correlation = kendall(words[known], distance[known], codes, bootstrap, confidence, seed)
    n = len(codes)
    if correlation is None:
        why = f"{FEWEST} prompts or more of different length and distance are needed, there are {n}"
        absent = not_computed(why, n, "prompts")
        return [Result.of(ANALYSIS, metric, absent, corpus=corpus) for metric in ("kendall_tau", "kendall_p")]
    unit = "prompts" if correlation.groups == n else f"authors of {n} prompts"
    interval = f"{confidence:.0%} percentile bootstrap, {bootstrap} resamples of {correlation.groups} {unit}"
    about = f"{correlation.method}; words of the prompt against the mean distance of its images"
    tau = Value(correlation.tau, correlation.low, correlation.high, n, "prompts", f"{about}; {interval}")
    p = Value(correlation.p, None, None, n, "prompts", f"{about}; no interval: a p-value")
    return [
        Result.of(ANALYSIS, "kendall_tau", tau, corpus=corpus), Result.of(ANALYSIS, "kendall_p", p, corpus=corpus)
    ]  # fmt: skip
