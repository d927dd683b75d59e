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
# What the kind of the prompts of a corpus ends with.
PROMPTS = " prompts"
# Texts of a kind that should be left after matching.
FEW = 200
# Blocks of texts that are left out in turn.
BLOCKS = 10


def of_texts(samples: Mapping[str, Sample], words: Mapping[str, Codes], spec: VariationSpec) -> list[Result]:
    """Return the variation of each kind of text and of the prompts, over texts of the same lengths.

    Each kind is matched on word counts with the prompts alone: were all kinds matched at once, few texts would have a
    length that occurs in all. Where there are no prompts, the kind with the most texts takes their place.

    Args:
        samples: unit vectors by kind of text.
        words: word count of each text by kind.
        spec: how to measure.

    Source: Chen & Zou 2023 (TWIGMA), on variation (texts of equal length).
    """
    used = {name: sample for name, sample in samples.items() if len(sample.vectors)}
    if not used:
        return []
    base = max(used, key=lambda name: (name.endswith(PROMPTS), len(used[name].vectors), name))
    others = [name for name in used if name != base]
    if not others:
        return _of_kinds({base: used[base]}, {base: None}, spec)
    return [r for other in others for r in _compare_with({other: used[other], base: used[base]}, words, spec)]


def _compare_with(pair: Mapping[str, Sample], words: Mapping[str, Codes], spec: VariationSpec) -> list[Result]:
    """Return the variation of two kinds of text of the same lengths, each labelled with what it is matched to."""
    rows = match_on_words({name: words[name] for name in pair}, spec.seed)
    kinds = list(pair)
    versus: dict[str, str | None] = dict(zip(kinds, reversed(kinds), strict=True))
    left = min(len(each) for each in rows.values())
    if not left:
        why = not_computed(f"no word count occurs in both {' and '.join(kinds)}", 0, "texts")
        metrics = ("pair_distance", "entropy", *MOMENT_WORDS)
        return [Result.of(ANALYSIS, m, why, kind=name, versus=versus[name]) for name in kinds for m in metrics]
    few = f", fewer than {FEW}: read with care" if left < FEW else ""
    of = " and ".join(f"{len(sample.vectors):,} {name}" for name, sample in pair.items())
    note = f"matched on word count: {left:,} of {of}{few}"
    results = _of_kinds({name: sample.rows(rows[name]) for name, sample in pair.items()}, versus, spec)
    return [result.with_value(method=f"{result.method}; {note}") for result in results]


def _of_kinds(samples: Mapping[str, Sample], versus: Mapping[str, str | None], spec: VariationSpec) -> list[Result]:
    """Return all measures of kinds of text, with what each is matched to as a label."""
    entropy, _ = entropies(samples, spec, "kind")
    results = list(entropy)
    for name, sample in samples.items():
        results += [*of_pairs(sample, {"kind": name}, spec), *_moments({"kind": name}, sample, spec)]
    return [replace(r, analysis=ANALYSIS, labels=_labels(r.labels, versus[r.labels["kind"]])) for r in results]


def _labels(labels: Mapping[str, str], versus: str | None) -> dict[str, str]:
    """Return the labels with `versus` after the kind."""
    rest = {name: value for name, value in labels.items() if name != "kind"}
    return {"kind": labels["kind"], **({"versus": versus} if versus else {}), **rest}


def _moments(labels: Mapping[str, str], sample: Sample, spec: VariationSpec) -> list[Result]:
    codes = sample.codes
    block = np.random.default_rng(spec.seed).permutation(int(codes.max()) + 1)[codes] % BLOCKS
    parts = [moments(sample.vectors[block == b]) for b in range(BLOCKS)]
    return [s.with_value(unit=sample.unit) for s in of_moments(parts, labels, sample.unit, spec.confidence)]
