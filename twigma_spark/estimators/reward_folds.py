"""Cross-validation of a reward model and of what it is compared with: the scores of held-out pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from twigma_spark.estimators.pair_table import PairTable, Split, split
from twigma_spark.estimators.reward import HeadTrainer, Pairs, Training
from twigma_spark.models.reward_head import Head
from twigma_spark.stats.reward import hits

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
# Pairs that are scored at once.
BLOCK = 8192
# Draws of other images: of one, chance alone would often move an accuracy of a half.
SWAPS = 10


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


def cross_validate(trainer: HeadTrainer, table: PairTable, folds: int, tested: Sequence[int]) -> HeldOutScores:
    """Return the scores of the pairs of the tested folds by models that saw neither their prompts nor their authors.

    Args:
        trainer: how each model is trained.
        table: the pairs.
        folds: parts of the prompts; the one after the tested one stops the training.
        tested: the folds that are held out in turn.
    """
    margins = []
    for number, test in enumerate(tested, start=1):
        own = split(table, test, (test + 1) % folds)
        trained = replace(
            trainer,
            spec=replace(trainer.spec, seed=trainer.spec.seed + test),
            progress=_add_prefix(trainer.progress, f"fold {number} of {len(tested)}: "),
            folder=None if trainer.folder is None else trainer.folder / f"fold-{test}",
        )
        margins.append(_score_fold(trained, table, own, np.random.default_rng((trainer.spec.seed, test))))
    parts = [part for part in margins if part is not None] or [_no_scores()]
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


def _score_fold(trainer: HeadTrainer, table: PairTable, own: Split, rng: np.random.Generator) -> HeldOutScores | None:
    """Return the scores of one fold's pairs; None where there is nothing to learn from, to stop by or to test."""
    matched = Split(own.train & table.matched, own.validation & table.matched, own.test)
    if not _is_whole(matched):
        return None
    trained = {name: _train(trainer, table, part, name) for name, part in ((MATCHED, matched), (ALL, own))}
    heads = {**trained, ENCODER: Head.identity(trainer.images.shape[1])}
    pairs, rows = table.pairs_of(own.test), np.flatnonzero(own.test)
    scores = {name: _scores(trainer, head, pairs) for name, head in heads.items()}
    margins = {name: both[:, 0] - both[:, 1] for name, both in scores.items()}
    margins[ENGAGEMENT] = _engagement_margins(table.engagement[own.train], table.engagement[own.test])
    safe = matched.without(table.nsfw)
    margins[WITHOUT_NSFW] = _margins_without_nsfw(trainer, table, matched, safe, trained[MATCHED])
    counts = (int(matched.train.sum()), int(own.train.sum()), int(safe.train.sum()))
    sharpness = np.full(len(rows), trained[MATCHED].sharpness)
    kept = {name: scores[name] for name in (MATCHED, ENCODER)}
    swapped = [_score_swapped(trainer, trained[MATCHED], table, rows, rng) for _ in range(SWAPS)]
    return HeldOutScores(rows, margins, kept, sharpness, _mean_known(swapped), (counts,))


def _is_whole(own: Split) -> bool:
    """Return whether there are pairs to learn from, to stop by and to test."""
    return bool(own.train.any() and own.validation.any() and own.test.any())


def _train(trainer: HeadTrainer, table: PairTable, own: Split, name: str) -> Head:
    return trainer.train(table.pairs_of(own.train), table.pairs_of(own.validation), name).head


def _margins_without_nsfw(
    trainer: HeadTrainer, table: PairTable, matched: Split, safe: Split, of_matched: Head
) -> Floats:
    """Return the margins of the test pairs (n,) by a model of `safe` pairs alone; NaN of the others.

    Where no other pair was trained on or stopped by, that is the model `of_matched`, and is not trained again.
    """
    margins = np.full(int(matched.test.sum()), np.nan)
    if not _is_whole(safe):
        return margins
    head = of_matched
    if safe.train.sum() < matched.train.sum() or safe.validation.sum() < matched.validation.sum():
        head = _train(trainer, table, safe, WITHOUT_NSFW)
    scores = _scores(trainer, head, table.pairs_of(safe.test))
    margins[safe.test[matched.test]] = scores[:, 0] - scores[:, 1]
    return margins


def _scores(trainer: HeadTrainer, head: Head, pairs: Pairs) -> Floats:
    """Return the scores (n, 2) of the preferred and of the other image, block by block."""
    scores = np.empty((len(pairs), 2))
    for start in range(0, len(pairs), BLOCK):
        part = slice(start, start + BLOCK)
        text = head.text_vectors(trainer.texts[pairs.text[part]])
        for place, rows in enumerate((pairs.preferred[part], pairs.other[part])):
            scores[part, place] = np.einsum("ij,ij->i", head.image_vectors(trainer.images[rows]), text)
    return scores


def _engagement_margins(train_rows: Floats, test_rows: Floats) -> Floats:
    """Return the margins of a logistic regression on what is known of the posts and not of the pictures."""
    from sklearn.linear_model import LogisticRegression

    # What is not known of a pair is no difference; as NaN it would take the scale, and so the feature, from all others.
    known, test = np.nan_to_num(train_rows), np.nan_to_num(test_rows)
    scale = known.std(axis=0)
    scale[scale == 0] = 1.0
    known = known / scale
    # Each pair is asked both ways round, so that there is no intercept.
    model = LogisticRegression(fit_intercept=False)
    model.fit(np.concatenate([known, -known]), np.repeat([1, 0], len(known)))
    margins: Floats = (test / scale) @ model.coef_[0]
    return margins


def _score_swapped(trainer: HeadTrainer, head: Head, table: PairTable, rows: Rows, rng: np.random.Generator) -> Floats:
    """Return 1 where the order is right although other images stand for the two, else 0 or a half; NaN without any."""
    images, there = _swap_images(table, rows, rng)
    changed = Pairs(table.text[rows], images[:, 0], images[:, 1], np.ones(len(rows), np.float32))
    scores = _scores(trainer, head, changed)
    return np.where(there, hits(scores[:, 0] - scores[:, 1]), np.nan)


def _mean_known(draws: Sequence[Floats]) -> Floats:
    """Return the mean of the draws that are known; NaN where none is."""
    every = np.stack(draws)
    known = np.isfinite(every)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, every, 0).sum(axis=0) / known.sum(axis=0), np.float64)


def _swap_images(table: PairTable, rows: Rows, rng: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    """Return, for tested pairs, another pair's two images (m, 2) of the same cluster by other authors, in random order.

    The second array says where there is such a pair.
    """
    images, there = table.images[rows], np.zeros(len(rows), bool)
    for cluster in np.unique(table.cluster[rows]):
        own = np.flatnonzero(table.cluster[rows] == cluster)
        partner = rows[rng.permutation(own)]
        authors, others = table.authors[rows[own]], table.authors[partner]
        apart = ~((authors[:, :, None] == others[:, None, :]).any(axis=(1, 2)))
        apart &= table.prompt[rows[own]] != table.prompt[partner]
        turned = rng.integers(0, 2, len(own)).astype(bool)
        images[own] = np.where(turned[:, None], table.images[partner][:, ::-1], table.images[partner])
        there[own] = apart
    return images, there


def train_final(trainer: HeadTrainer, table: PairTable) -> Training:
    """Return the model that is kept: trained on the matched pairs of all folds but the first, which stops it."""
    own = split(table, None, 0)
    pairs, validation = (table.pairs_of(rows & table.matched) for rows in (own.train, own.validation))
    return trainer.train(pairs, validation, "final")


def _add_prefix(progress: Callable[[str], None], prefix: str) -> Callable[[str], None]:
    return lambda text: progress(prefix + text)
