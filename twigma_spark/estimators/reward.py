"""Training of a reward head on pairs of stored vectors: which of two images of a prompt is liked more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.models.checkpoints import keep_here
from twigma_spark.models.device import torch_threads
from twigma_spark.models.pair_inputs import Columns, VectorRows
from twigma_spark.models.pair_losses import Epoch, TrainingSpec
from twigma_spark.models.reward_fit import Trainer
from twigma_spark.models.reward_head import Head, new_network

# Seconds between two checkpoints: what is lost of an interrupted training takes no longer to compute again.
EVERY = 60.0
# Vectors so short give several threads too little to do. 400 steps of 512 numbers on two cores took 2 to 5 s with two
# threads and 3 to 4 s with one where nothing else ran, and 8 to 32 s and 3 s where others used the processor too: a
# thread that waits for another keeps its core, so each wait lasts a time slice.
SMALL = 512


@dataclass(frozen=True)
class Pairs:
    """Pairs of images of one prompt, as rows of the matrices of vectors.

    Attributes:
        text: (n,) row of the prompt.
        preferred: (n,) row of the image that is liked more.
        other: (n,) row of the image that is liked less.
        weight: (n,) float32, how much the pair counts.
    """

    text: NDArray[np.int64]
    preferred: NDArray[np.int64]
    other: NDArray[np.int64]
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.text)


@dataclass(frozen=True)
class Training:
    """A trained head, and how the losses went; `best` is the epoch whose weights were kept."""

    head: Head
    epochs: tuple[Epoch, ...]
    best: int


@dataclass(frozen=True)
class HeadTrainer:
    """What heads are trained on, and how.

    Batches are gathered from the matrices, which may be memory-mapped files: what training holds in memory is a
    batch and a few numbers a pair.

    Attributes:
        images: (n, dim), unit vectors of images.
        texts: (m, dim), unit vectors of prompts.
        spec: how.
        progress: shows a line an epoch.
        folder: of the checkpoints, one below it for each head; None for none.
        every: seconds between two checkpoints at least.
        saved: is given the folder of a head when its checkpoints have changed.
    """

    images: NDArray[np.floating[Any]]
    texts: NDArray[np.floating[Any]]
    spec: TrainingSpec
    progress: Callable[[str], None] = lambda text: None
    folder: Path | None = None
    every: float = EVERY
    saved: Callable[[Path], None] = keep_here

    def train(self, pairs: Pairs, validation: Pairs, name: str = "head") -> Training:
        """Return the head with the least loss of the validation pairs, the encoder's own score among the candidates.

        Args:
            pairs: what is learnt from.
            validation: held-out pairs that training is stopped by.
            name: of the head, of its checkpoints.

        Raises:
            ModelError: no pair to learn from or to stop by, a loss that is no number, or a checkpoint of another head.
        """
        dim = self.images.shape[1]
        network = new_network(dim)
        trainer = Trainer(
            network,
            network.parameter_groups(self.spec.learning_rate, self.spec.weight_decay),
            VectorRows(self.images, self.texts),
            _RowFeed(pairs, validation, self.spec.seed),
            self.spec,
            folder=None if self.folder is None else self.folder / name,
            every=self.every,
            progress=self.progress,
            saved=self.saved,
        )
        with torch_threads(1 if dim <= SMALL else None):
            fitted = trainer.fit()
        return Training(Head.of_network(network), fitted.epochs, fitted.best)


@dataclass(frozen=True)
class _RowFeed:
    """Pairs in memory, in an order of the seed and the epoch."""

    train: Pairs
    validation: Pairs
    seed: int

    def rows(self, part: str) -> tuple[int, ...]:
        return (len(self._pairs(part)),)

    def batches(self, part: str, size: int, epoch: int | None = None) -> Iterator[Columns]:
        pairs = self._pairs(part)
        n = len(pairs)
        order = np.arange(n) if epoch is None else np.random.default_rng((self.seed, epoch)).permutation(n)
        for start in range(0, n, size):
            own = order[start : start + size]
            names = ("text", "preferred", "other", "weight")
            yield {"row": own, **{name: getattr(pairs, name)[own] for name in names}}

    def _pairs(self, part: str) -> Pairs:
        return self.train if part == "train" else self.validation
