"""How varied kinds of texts are (captions, prompts, posts, poems, news, a book), at equal lengths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from twigma_spark.results import Result, not_computed
from twigma_spark.stats.matching import match_on_words
from twigma_spark.stats.moments import moments
from twigma_spark.stats.sample import Codes, Sample
from twigma_spark.stats.variation import MOMENT_WORDS, VariationSpec, entropies, of_moments, of_pairs

ANALYSIS = "text_variation"
# Blocks of texts that are left out in turn.
BLOCKS = 10


def of_texts(samples: Mapping[str, Sample], words: Mapping[str, Codes], spec: VariationSpec) -> list[Result]:
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
        why = not_computed(f"no word count occurs in all of {', '.join(used)}", 0, "texts")
        metrics = ("pair_distance", "entropy", *MOMENT_WORDS)
        return [Result.of(ANALYSIS, m, why, kind=name) for name in used for m in metrics]
    matched = {name: sample.rows(rows[name]) for name, sample in used.items()}
    entropy, _ = entropies(matched, spec, "kind")
    found = list(entropy)
    for name, sample in matched.items():
        found += [*of_pairs(sample, {"kind": name}, spec), *_moments({"kind": name}, sample, spec)]
    own = (replace(result, analysis=ANALYSIS) for result in found)
    return [result.with_value(method=f"{result.method}; matched on word count") for result in own]


def _moments(labels: Mapping[str, str], sample: Sample, spec: VariationSpec) -> list[Result]:
    codes = sample.codes
    block = np.random.default_rng(spec.seed).permutation(int(codes.max()) + 1)[codes] % BLOCKS
    parts = [moments(sample.vectors[block == b]) for b in range(BLOCKS)]
    return [s.with_value(unit=sample.unit) for s in of_moments(parts, labels, sample.unit, spec.confidence)]
