"""How varied kinds of texts are (captions, prompts, posts, poems, news, a book), at equal lengths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from twigma_spark.stats.matching import match_on_words
from twigma_spark.stats.moments import moments
from twigma_spark.stats.sample import Codes, Sample, Statistic
from twigma_spark.stats.variation import MOMENT_WORDS, VariationSpec, entropies, of_moments, of_pairs

# Blocks of texts that are left out in turn.
BLOCKS = 10


def of_texts(samples: Mapping[str, Sample], words: Mapping[str, Codes], spec: VariationSpec) -> list[Statistic]:
    """Return the variation of each kind of text, over texts matched on their word counts.

    Kinds without texts are left out of the matching, since nothing would be left of the others.

    Args:
        samples: unit vectors by kind of text.
        words: word count of each text by kind.
        spec: how to measure.

    Source: Chen & Zou 2023 (TWIGMA), on variation (texts of equal length).
    """
    used = {name: sample for name, sample in samples.items() if len(sample.vectors)}
    rows = match_on_words({name: words[name] for name in used}, spec.seed)
    if not any(len(each) for each in rows.values()):
        why = f"not computed: no word count occurs in all of {', '.join(used)}"
        metrics = ("pair_distance", "entropy", *MOMENT_WORDS)
        return [Statistic(m, name, None, None, None, 0, "texts", why) for name in used for m in metrics]
    matched = {name: sample.rows(rows[name]) for name, sample in used.items()}
    entropy, _ = entropies(matched, spec)
    found = [
        s for name, sample in matched.items() for s in (*of_pairs(sample, name, spec), *_moments(name, sample, spec))
    ]
    return [replace(s, method=f"{s.method}; matched on word count") for s in [*entropy, *found]]


def _moments(name: str, sample: Sample, spec: VariationSpec) -> list[Statistic]:
    codes = sample.codes
    block = np.random.default_rng(spec.seed).permutation(int(codes.max()) + 1)[codes] % BLOCKS
    parts = [moments(sample.vectors[block == b]) for b in range(BLOCKS)]
    return [replace(s, unit=sample.unit) for s in of_moments(parts, name, sample.unit, spec.confidence)]
