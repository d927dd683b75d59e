"""Cross-validation of a reward model: no author and no prompt of a test pair is among the training pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.estimators.reward import Pairs, Training, train
from twigma_spark.models.pair_losses import TrainingSpec
from twigma_spark.models.reward_head import Head
from twigma_spark.stats.reward import hits

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
# Pairs that are scored at once.
BLOCK = 8192
# Draws of other images: of one, chance alone would often move an accuracy of a half.
SWAPS = 10


@dataclass(frozen=True)
class PairTable:
    """Pairs and what splits and baselines need to know of them, a row each.

    Attributes:
        pairs: rows of the matrices of vectors, and weights.
        prompt: code of the prompt (n,).
        fold: part that the prompt is in, from 0 (n,).
        authors: codes of the authors of the preferred and of the other image (n, 2).
        cluster: theme (n,); -1 where not known.
        matched: whether the two images were posted alike (n,).
        nsfw: whether one of the two is known to be NSFW (n,).
        engagement: (n, features) of the preferred image less those of the other: followers and hour, not the picture.
    """

    pairs: Pairs
    prompt: Rows
    fold: Rows
    authors: Rows
    cluster: Rows
    matched: NDArray[np.bool_]
    nsfw: NDArray[np.bool_]
    engagement: Floats

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def pairs_of(self, rows: NDArray[np.bool_]) -> Pairs:
        """Return some of the pairs; those of a prompt weigh as much together as those of another."""
        own = self.pairs
        _, codes, counts = np.unique(self.prompt[rows], return_inverse=True, return_counts=True)
        weight = (1 / counts[codes]).astype(np.float32)
        return Pairs(own.text[rows], own.preferred[rows], own.other[rows], weight)


@dataclass(frozen=True)
class Split:
    """Which pairs are for what: (n,) booleans."""

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    test: NDArray[np.bool_]


def split(table: PairTable, test: int | None, validation: int) -> Split:
    """Return the pairs to learn from, to stop by and to test; no author and no prompt is in two of them.

    A pair of the training folds one of whose authors has an image in the test or validation fold is in none, as
    is one of the validation fold with an author of the test fold.

    Args:
        table: the pairs.
        test: the fold that is tested; None for a model that nothing is held out of but the validation fold.
        validation: the fold that training is stopped by.
    """
    is_test = np.zeros(len(table), bool) if test is None else table.fold == test
    is_validation = (table.fold == validation) & ~_has_author_of(table, is_test)
    blocked = is_test | (table.fold == validation)
    return Split(~blocked & ~_has_author_of(table, blocked), is_validation, is_test)


def _has_author_of(table: PairTable, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which pairs have an author that one of `rows` has."""
    return np.asarray(np.isin(table.authors, np.unique(table.authors[rows])).any(axis=1), np.bool_)


@dataclass(frozen=True)
class HeldOutScores:
    """What models said of pairs that they were not trained on.

    Attributes:
        rows: rows of the table that were tested (m,).
        margins: of each model (m,) the score of the preferred image less that of the other; NaN of a model that was
            not trained for such pairs.
        scores: of the model of the matched pairs and of the encoder (m, 2), of the preferred and the other image.
        sharpness: of the model of the matched pairs (m,).
        swapped: how often that model (m,) has the right order where other images stand for the two, of `SWAPS` draws;
            NaN where there are none.
        trained: pairs that each fold's models learnt from: matched; matched or not; matched and not NSFW.
    """

    rows: Rows
    margins: dict[str, Floats]
    scores: dict[str, Floats]
    sharpness: Floats
    swapped: Floats
    trained: tuple[tuple[int, int, int], ...]


# What cross_validate computes: trained on matched pairs, on all pairs, on matched pairs without NSFW (tested on such),
# the encoder's own score, trained on no picture.
MATCHED, ALL, WITHOUT_NSFW, ENCODER, ENGAGEMENT = SCORERS = "matched", "all", "without NSFW", "encoder", "engagement"


def cross_validate(
    images: NDArray[np.floating[Any]],
    texts: NDArray[np.floating[Any]],
    table: PairTable,
    spec: TrainingSpec,
    folds: int,
    tested: Sequence[int],
    progress: Callable[[str], None] = lambda text: None,
) -> HeldOutScores:
    """Return the scores of the pairs of the tested folds by models that saw neither their prompts nor their authors.

    Args:
        images: (n, dim), unit vectors.
        texts: (m, dim), unit vectors.
        table: the pairs.
        spec: how each model is trained.
        folds: parts of the prompts; the one after the tested one stops the training.
        tested: the folds that are held out in turn.
        progress: shows a line an epoch.
    """
    found = []
    for number, test in enumerate(tested, start=1):
        own = split(table, test, (test + 1) % folds)
        say = _add_prefix(progress, f"fold {number} of {len(tested)}: ")
        rng = np.random.default_rng((spec.seed, test))
        found.append(_score_fold(images, texts, table, own, replace(spec, seed=spec.seed + test), rng, say))
    parts = [part for part in found if part is not None] or [_no_scores()]
    return HeldOutScores(
        np.concatenate([p.rows for p in parts]),
        {name: np.concatenate([p.margins[name] for p in parts]) for name in SCORERS},
        {name: np.concatenate([p.scores[name] for p in parts]) for name in (MATCHED, ENCODER)},
        np.concatenate([p.sharpness for p in parts]),
        np.concatenate([p.swapped for p in parts]),
        tuple(counts for p in parts for counts in p.trained),
    )


def _no_scores() -> HeldOutScores:
    """Return the scores of no pairs."""
    none = np.zeros(0)
    margins = dict.fromkeys(SCORERS, none)
    scores = dict.fromkeys((MATCHED, ENCODER), np.zeros((0, 2)))
    return HeldOutScores(np.zeros(0, np.int64), margins, scores, none, none, ())


def _score_fold(
    images: Any,
    texts: Any,
    table: PairTable,
    own: Split,
    spec: TrainingSpec,
    rng: np.random.Generator,
    progress: Callable[[str], None],
) -> HeldOutScores | None:
    """Return the scores of one fold's pairs; None where there is nothing to learn from, to stop by or to test."""
    matched = Split(own.train & table.matched, own.validation & table.matched, own.test)
    if not (matched.train.any() and matched.validation.any() and own.test.any()):
        return None
    trained = {
        name: train(images, texts, table.pairs_of(part.train), table.pairs_of(part.validation), spec, progress).head
        for name, part in ((MATCHED, matched), (ALL, own))
    }
    heads = {**trained, ENCODER: Head.identity(images.shape[1])}
    pairs, rows = table.pairs_of(own.test), np.flatnonzero(own.test)
    scores = {name: _scores(head, images, texts, pairs) for name, head in heads.items()}
    margins = {name: both[:, 0] - both[:, 1] for name, both in scores.items()}
    margins[ENGAGEMENT] = _engagement_margins(table.engagement[own.train], table.engagement[own.test])
    safe = Split(matched.train & ~table.nsfw, matched.validation & ~table.nsfw, own.test & ~table.nsfw)
    margins[WITHOUT_NSFW] = _margins_without_nsfw(images, texts, table, matched, safe, spec, trained[MATCHED], progress)
    counts = (int(matched.train.sum()), int(own.train.sum()), int(safe.train.sum()))
    sharpness = np.full(len(rows), trained[MATCHED].sharpness)
    kept = {name: scores[name] for name in (MATCHED, ENCODER)}
    swapped = [_score_swapped(trained[MATCHED], images, texts, table, rows, rng) for _ in range(SWAPS)]
    return HeldOutScores(rows, margins, kept, sharpness, _mean_known(swapped), (counts,))


def _margins_without_nsfw(
    images: Any,
    texts: Any,
    table: PairTable,
    matched: Split,
    safe: Split,
    spec: TrainingSpec,
    of_matched: Head,
    progress: Callable[[str], None],
) -> Floats:
    """Return the margins of the test pairs (n,) by a model of `safe` pairs alone; NaN of the others.

    Where no other pair was trained on or stopped by, that is the model `of_matched`, and is not trained again.
    """
    margins = np.full(int(matched.test.sum()), np.nan)
    if not (safe.train.any() and safe.validation.any() and safe.test.any()):
        return margins
    head = of_matched
    if safe.train.sum() < matched.train.sum() or safe.validation.sum() < matched.validation.sum():
        parts = (table.pairs_of(safe.train), table.pairs_of(safe.validation))
        head = train(images, texts, *parts, spec, progress).head
    scores = _scores(head, images, texts, table.pairs_of(safe.test))
    margins[safe.test[matched.test]] = scores[:, 0] - scores[:, 1]
    return margins


def _scores(head: Head, images: Any, texts: Any, pairs: Pairs) -> Floats:
    """Return the scores (n, 2) of the preferred and of the other image, block by block."""
    found = np.empty((len(pairs), 2))
    for start in range(0, len(pairs), BLOCK):
        part = slice(start, start + BLOCK)
        text = head.text_vectors(texts[pairs.text[part]])
        for place, rows in enumerate((pairs.preferred[part], pairs.other[part])):
            found[part, place] = np.einsum("ij,ij->i", head.image_vectors(images[rows]), text)
    return found


def _engagement_margins(train_rows: Floats, test_rows: Floats) -> Floats:
    """Return the margins of a logistic regression on what is known of the posts and not of the pictures."""
    from sklearn.linear_model import LogisticRegression

    # What is not known of a pair is no difference; as NaN it would take the scale, and so the feature, from all others.
    known, asked = np.nan_to_num(train_rows), np.nan_to_num(test_rows)
    scale = known.std(axis=0)
    scale[scale == 0] = 1.0
    known = known / scale
    # Each pair is asked both ways round, so that there is no intercept.
    model = LogisticRegression(fit_intercept=False)
    model.fit(np.concatenate([known, -known]), np.repeat([1, 0], len(known)))
    margins: Floats = (asked / scale) @ model.coef_[0]
    return margins


def _score_swapped(
    head: Head, images: Any, texts: Any, table: PairTable, rows: Rows, rng: np.random.Generator
) -> Floats:
    """Return 1 where the order is right although other images stand for the two, else 0 or a half; NaN without any."""
    preferred, other, there = _swap_images(table, rows, rng)
    changed = Pairs(table.pairs.text[rows], preferred, other, table.pairs.weight[rows])
    scores = _scores(head, images, texts, changed)
    return np.where(there, hits(scores[:, 0] - scores[:, 1]), np.nan)


def _mean_known(draws: Sequence[Floats]) -> Floats:
    """Return the mean of the draws that are known; NaN where none is."""
    every = np.stack(draws)
    known = np.isfinite(every)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, every, 0).sum(axis=0) / known.sum(axis=0), np.float64)


def _swap_images(table: PairTable, rows: Rows, rng: np.random.Generator) -> tuple[Rows, Rows, NDArray[np.bool_]]:
    """Return, for tested pairs, another pair's two images of the same cluster by other authors, in random order.

    The last array says where there is such a pair.
    """
    preferred, other = table.pairs.preferred[rows].copy(), table.pairs.other[rows].copy()
    there = np.zeros(len(rows), bool)
    for cluster in np.unique(table.cluster[rows]):
        own = np.flatnonzero(table.cluster[rows] == cluster)
        partner = rows[rng.permutation(own)]
        authors, others = table.authors[rows[own]], table.authors[partner]
        apart = ~((authors[:, :, None] == others[:, None, :]).any(axis=(1, 2)))
        apart &= table.prompt[rows[own]] != table.prompt[partner]
        turned = rng.integers(0, 2, len(own)).astype(bool)
        first, second = table.pairs.preferred[partner], table.pairs.other[partner]
        preferred[own], other[own] = np.where(turned, second, first), np.where(turned, first, second)
        there[own] = apart
    return preferred, other, there


def train_final(
    images: NDArray[np.floating[Any]],
    texts: NDArray[np.floating[Any]],
    table: PairTable,
    spec: TrainingSpec,
    progress: Callable[[str], None] = lambda text: None,
) -> Training:
    """Return the model that is kept: trained on the matched pairs of all folds but the first, which stops it."""
    own = split(table, None, 0)
    pairs, validation = (table.pairs_of(rows & table.matched) for rows in (own.train, own.validation))
    return train(images, texts, pairs, validation, spec, progress)


def _add_prefix(progress: Callable[[str], None], prefix: str) -> Callable[[str], None]:
    return lambda text: progress(prefix + text)
