"""Training of a reward head on pairs of stored vectors: which of two images of a prompt is liked more."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twigma_spark.errors import ModelError
from twigma_spark.models.reward_head import Head, new_network

# Pairs that the loss before training is a mean of.
LOOKED_AT = 50_000
Loss = Literal["triplet", "soft_label", "info_nce"]


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
class TrainingSpec:
    """How the head is trained.

    Attributes:
        loss: triplet (Isajanyan et al. 2024, section 4: squared distance of unit vectors, the prompt as anchor),
            soft_label (cross-entropy of the two scores; Kirstain et al. 2023, Pick-a-Pic, equation 2) or info_nce (the
            preferred image among the other one and the preferred images of the batch; Radford et al. 2021).
        margin: of the triplet loss, in squared distance.
        epochs: passes over the pairs, at most.
        patience: epochs without a lower loss of the validation pairs after which training ends.
        batch_size: pairs of a step.
        learning_rate: highest rate of AdamW; it rises over `warmup` of the steps and falls as a cosine.
        weight_decay: of AdamW; what decays is the difference from the encoder's own score.
        warmup: fraction of the steps.
        seed: of the order of the pairs.
    """

    loss: Loss = "triplet"
    margin: float = 0.3
    epochs: int = 100
    patience: int = 10
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warmup: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """Losses after an epoch; epoch 0 is the encoder's own score, before training."""

    number: int
    train: float
    validation: float


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
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate(per_epoch * spec.epochs, spec.warmup))
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


def _rate(steps: int, warmup: float) -> Callable[[int], float]:
    """Return the factor of the learning rate at a step: a linear warm-up, then half a cosine."""
    rising = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return factor


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
    near, far = (anchor * preferred).sum(1), (anchor * other).sum(1)
    if spec.loss == "triplet":
        # |a - b|² = 2 - 2 a·b for unit vectors.
        losses = torch.relu(2 * (far - near) + spec.margin)
    elif spec.loss == "soft_label":
        losses = torch.nn.functional.softplus(network.sharpness() * (far - near))
    else:
        logits = torch.cat([anchor @ preferred.T, far[:, None]], dim=1) * network.sharpness()
        losses = torch.nn.functional.cross_entropy(logits, torch.arange(len(rows)), reduction="none")
    weight = torch.from_numpy(pairs.weight[rows])
    total = weight.sum()
    return (losses * weight).sum() / total, float(total)
