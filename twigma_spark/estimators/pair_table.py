"""Pairs on the driver and their splits: no author and no prompt of a tested pair is among those of the training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twigma_spark.estimators.reward import Pairs

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class PairTable:
    """Pairs and what splits and baselines need to know of them, a row each.

    Attributes:
        text: row of the prompt in the matrix of texts (n,).
        images: rows of the preferred and of the other image in the matrix of images (n, 2).
        prompt: code of the prompt (n,).
        fold: part that the prompt is in, from 0 (n,).
        authors: codes of the authors of the preferred and of the other image (n, 2).
        cluster: theme (n,); -1 where not known.
        matched: whether the two images were posted alike (n,).
        nsfw: whether one of the two is known to be NSFW (n,).
        engagement: (n, features) of the preferred image less those of the other: followers and hour, not the picture.
    """

    text: Rows
    images: Rows
    prompt: Rows
    fold: Rows
    authors: Rows
    cluster: Rows
    matched: NDArray[np.bool_]
    nsfw: NDArray[np.bool_]
    engagement: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.text)

    def pairs_of(self, rows: NDArray[np.bool_]) -> Pairs:
        """Return some of the pairs; those of a prompt weigh as much together as those of another."""
        _, codes, counts = np.unique(self.prompt[rows], return_inverse=True, return_counts=True)
        weight = (1 / counts[codes]).astype(np.float32)
        return Pairs(self.text[rows], self.images[rows, 0], self.images[rows, 1], weight)


@dataclass(frozen=True)
class Split:
    """Which pairs are for what: (n,) booleans."""

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    test: NDArray[np.bool_]

    def without(self, rows: NDArray[np.bool_]) -> Split:
        """Return the split of the other pairs."""
        return Split(self.train & ~rows, self.validation & ~rows, self.test & ~rows)


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
