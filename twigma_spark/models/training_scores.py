"""How good the tiny models are: retrieval, captions, a ranking; each a number from 0 to 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from twigma_spark.models.base import Floats


def recall_at(images: Floats, texts: Floats, best: int) -> float:
    """Return the share of images whose own text is among the `best` nearest of all texts.

    Args:
        images: (n, dim) unit vectors.
        texts: (n, dim) unit vectors; row i belongs to image i.
        best: How many count.
    """
    scores = images @ texts.T
    better = (scores > np.diag(scores)[:, None]).sum(axis=1)
    return float((better < best).mean())


def word_f1(written: Sequence[str], true: Sequence[str]) -> float:
    """Return the mean over captions of the F1 of their words, as multisets."""
    return float(np.mean([_f1(Counter(a.split()), Counter(b.split())) for a, b in zip(written, true, strict=True)]))


def _f1(written: Counter[str], true: Counter[str]) -> float:
    common = sum((written & true).values())
    return 2 * common / max(1, sum(written.values()) + sum(true.values()))


def theme_words(captions: Sequence[str], themes: Sequence[str], least: int = 3) -> dict[str, str]:
    """Return the theme of each word that speaks of one theme: 95 of 100 captions with it, and `least` at least."""
    seen: dict[str, Counter[str]] = {}
    for caption, theme in zip(captions, themes, strict=True):
        for word in set(caption.split()):
            seen.setdefault(word, Counter())[theme] += 1
    tops = {word: (*counts.most_common(1)[0], counts.total()) for word, counts in seen.items()}
    return {word: theme for word, (theme, top, total) in tops.items() if top >= least and top >= 0.95 * total}


def theme_accuracy(written: Sequence[str], themes: Sequence[str], words: dict[str, str]) -> float:
    """Return the share of captions most of whose theme words are of the right theme; none counts as wrong."""
    right = 0
    for caption, theme in zip(written, themes, strict=True):
        votes = Counter(words[word] for word in caption.split() if word in words)
        right += bool(votes) and votes.most_common(1)[0][0] == theme
    return right / len(themes)


def area_under_roc(scores: Floats, labels: npt.NDArray[np.bool_]) -> float:
    """Return the chance that a random true row scores above a random false one; ties count half.

    Where all rows are of one kind there is nothing to tell apart, and the result is that of guessing, 0.5.
    """
    true, false = scores[labels], scores[~labels]
    if not (len(true) and len(false)):
        return 0.5
    above = (true[:, None] > false[None, :]).mean()
    return float(above + 0.5 * (true[:, None] == false[None, :]).mean())


def neighbours_agree(vectors: Floats, names: Sequence[str], nearest: int = 5) -> float:
    """Return the share of rows most of whose `nearest` neighbours have their name.

    Args:
        vectors: (n, dim) unit vectors.
        names: n.
        nearest: How many neighbours vote.
    """
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    voters = np.argsort(-scores, axis=1)[:, :nearest]
    votes = [Counter(names[other] for other in row).most_common(1)[0][0] for row in voters]
    return float(np.mean([vote == name for vote, name in zip(votes, names, strict=True)]))
