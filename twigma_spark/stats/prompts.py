"""Whether longer prompts make images that are more alike: Kendall's tau of length and same-prompt distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.stats.association import kendall
from twigma_spark.stats.sample import Floats, Statistic, group_codes

FEWEST = 3


def length_and_distance(
    words: Floats, distance: Floats, owners: NDArray[Any], corpus: str, confidence: float, bootstrap: int, seed: int
) -> list[Statistic]:
    """Return `kendall_tau` of prompt length and same-prompt distance with its interval, and `kendall_p`.

    Args:
        words: of each prompt (g,); NaN where its text is not known, and the prompt is left out.
        distance: mean distance of its images (g,).
        owners: who wrote it, or the prompt itself (g,): the unit that is resampled.
        corpus: name of the results' group.
        confidence: of the interval.
        bootstrap: resamples.
        seed: of the resamples.

    Source: Chen & Zou 2023 (TWIGMA), on variation (prompt length against pairwise distance).
    """
    known = np.isfinite(words)
    codes = group_codes(owners[known], int(known.sum()))
    found = kendall(words[known], distance[known], codes, bootstrap, confidence, seed)
    n = len(codes)
    if found is None:
        why = f"not computed: {FEWEST} prompts or more of different length and distance are needed, there are {n}"
        return [
            Statistic(metric, corpus, None, None, None, n, "prompts", why) for metric in ("kendall_tau", "kendall_p")
        ]
    unit = "prompts" if found.groups == n else f"authors of {n} prompts"
    interval = f"{confidence:.0%} percentile bootstrap, {bootstrap} resamples of {found.groups} {unit}"
    about = f"{found.method}; words of the prompt against the mean distance of its images"
    return [
        Statistic("kendall_tau", corpus, found.tau, found.low, found.high, n, "prompts", f"{about}; {interval}"),
        Statistic("kendall_p", corpus, found.p, None, None, n, "prompts", f"{about}; no interval: a p-value"),
    ]
