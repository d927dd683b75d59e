"""Training of a reward head on pairs of stored vectors: which of two images of a prompt is liked more."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.errors import ModelError
from twigma_spark.models.pair_losses import Epoch, TrainingSpec, pair_losses, rate_factor
from twigma_spark.models.reward_head import Head, new_network

# Pairs that the loss before training is a mean of.
LOOKED_AT = 50_000


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

    def first(self, most: int) -> Pairs:
        """Return the first of the pairs, at most `most`."""
        return Pairs(self.text[:most], self.preferred[:most], self.other[:most], self.weight[:most])


@dataclass(frozen=True)
class Training:
    """A trained head, and how the losses went; `best` is the epoch whose weights were kept."""

    head: Head
    epochs: tuple[Epoch, ...]
    best: int


def train(
    images: NDArray[np.floating[Any]],
    texts: NDArray[np.floating[Any]],
    pairs: Pairs,
    validation: Pairs,
    spec: TrainingSpec,
    progress: Callable[[str], None] = lambda text: None,
) -> Training:
    """Return the head with the least loss of the validation pairs, the encoder's own score among the candidates.

    Batches are gathered from the matrices, which may be memory-mapped files: what training holds in memory is a
    batch and a few numbers a pair.

    Args:
        images: (n, dim), unit vectors of images.
        texts: (m, dim), unit vectors of prompts.
        pairs: what is learnt from.
        validation: held-out pairs that training is stopped by.
        spec: how.
        progress: shows a line an epoch.

    Raises:
        ModelError: no pair to learn from or to stop by, or a loss that is no number.
    """
    import torch

    for name, part in (("training", pairs), ("validation", validation)):
        if not len(part):
            raise ModelError(f"{name} pairs must be one at least. Got none.")
    network = new_network(images.shape[1])
    optimizer = torch.optim.AdamW(network.parameter_groups(spec.learning_rate, spec.weight_decay))
    per_epoch = math.ceil(len(pairs) / spec.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor(per_epoch * spec.epochs, spec.warmup))
    rng = np.random.default_rng(spec.seed)
    losses = [_loss_of(network, images, texts, part, spec) for part in (pairs.first(LOOKED_AT), validation)]
    epochs = [Epoch(0, losses[0], losses[1])]
    best, kept = 0, copy.deepcopy(network.state_dict())
    for number in range(1, spec.epochs + 1):
        total = 0.0
        order = rng.permutation(len(pairs))
        for start in range(0, len(pairs), spec.batch_size):
            rows = order[start : start + spec.batch_size]
            loss, weight = _batch_loss(network, images, texts, pairs, rows, spec)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * weight
        epochs.append(
            Epoch(number, total / float(pairs.weight.sum()), _loss_of(network, images, texts, validation, spec))
        )
        if not math.isfinite(epochs[-1].train):
            raise ModelError(
                f"loss must be a finite number. Got {epochs[-1].train} in epoch {number}; lower reward.learning_rate."
            )
        progress(f"epoch {number} of {spec.epochs}: loss {epochs[-1].train:.4f}, held out {epochs[-1].validation:.4f}")
        if epochs[-1].validation < epochs[best].validation:
            best, kept = number, copy.deepcopy(network.state_dict())
        elif number - best >= spec.patience:
            break
    network.load_state_dict(kept)
    return Training(Head.of_network(network), tuple(epochs), best)


def _loss_of(network: Any, images: Any, texts: Any, pairs: Pairs, spec: TrainingSpec) -> float:
    """Return the mean loss of all pairs, without gradients."""
    import torch

    total = 0.0
    with torch.no_grad():
        # In the batches of the training, since InfoNCE depends on their size.
        for start in range(0, len(pairs), spec.batch_size):
            rows = np.arange(start, min(start + spec.batch_size, len(pairs)))
            loss, weight = _batch_loss(network, images, texts, pairs, rows, spec)
            total += float(loss) * weight
    return total / float(pairs.weight.sum())


def _batch_loss(
    network: Any, images: Any, texts: Any, pairs: Pairs, rows: Any, spec: TrainingSpec
) -> tuple[Any, float]:
    """Return the weighted mean loss of some pairs, and the sum of their weights."""
    import torch

    def gather(matrix: Any, places: Any) -> Any:
        return torch.from_numpy(np.asarray(matrix[places], np.float32))

    anchor = network.text_vectors(gather(texts, pairs.text[rows]))
    preferred = network.image_vectors(gather(images, pairs.preferred[rows]))
    other = network.image_vectors(gather(images, pairs.other[rows]))
    losses = pair_losses(anchor, preferred, other, network.sharpness(), spec)
    weight = torch.from_numpy(pairs.weight[rows])
    total = weight.sum()
    return (losses * weight).sum() / total, float(total)
