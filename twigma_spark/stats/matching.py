"""Texts of the same length: word counts are made alike before corpora are compared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twigma_spark.stats.sample import Codes


def match_on_words(words: Mapping[str, Codes], seed: int) -> dict[str, Codes]:
    """Return rows of each corpus such that all corpora have the same histogram of word counts.

    Of each count, as many rows as the corpus with the fewest has, drawn without replacement. No rows at all
    where no count occurs in every corpus.

    Args:
        words: word count of each row by corpus.
        seed: of the draw.

    Source: Chen & Zou 2023 (TWIGMA), on variation (texts of equal length).
    """
    if not words:
        return {}
    top = 1 + max(int(np.max(each, initial=0)) for each in words.values())
    common = np.min([np.bincount(each, minlength=top) for each in words.values()], axis=0)
    return {
        name: _draw_rows(each, common, np.random.default_rng([seed, i])) for i, (name, each) in enumerate(words.items())
    }


def _draw_rows(words: Codes, wanted: Codes, rng: np.random.Generator) -> Codes:
    """Return, for each word count, `wanted` rows that have it; in the order of the rows."""
    order = rng.permutation(len(words))
    ranked = order[np.argsort(words[order], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(words, minlength=len(wanted)))[:-1]])
    place = np.arange(len(words)) - starts[words[ranked]]
    return np.sort(ranked[place < wanted[words[ranked]]]).astype(np.int64)
