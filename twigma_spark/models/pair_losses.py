"""What a reward model is trained by: losses of pairs of images of one prompt, and the course of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Loss = Literal["triplet", "soft_label", "info_nce"]


@dataclass(frozen=True)
class TrainingSpec:
    """How a reward model is trained.

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
    """Losses after an epoch; epoch 0 is what training starts from. NaN where a loss was not computed."""

    number: int
    train: float
    validation: float


def pair_losses(anchor: Any, preferred: Any, other: Any, sharpness: Any, spec: TrainingSpec) -> Any:
    """Return the loss of each pair, a tensor (n,).

    Args:
        anchor: (n, dim), unit vectors of the prompts.
        preferred: (n, dim), unit vectors of the images that are liked more.
        other: (n, dim), likewise of those that are liked less.
        sharpness: what a difference of two scores is multiplied by, to be log odds.
        spec: which loss.
    """
    import torch

    near, far = (anchor * preferred).sum(1), (anchor * other).sum(1)
    if spec.loss == "triplet":
        # |a - b|² = 2 - 2 a·b for unit vectors.
        return torch.relu(2 * (far - near) + spec.margin)
    if spec.loss == "soft_label":
        return torch.nn.functional.softplus(sharpness * (far - near))
    logits = torch.cat([anchor @ preferred.T, far[:, None]], dim=1) * sharpness
    own = torch.arange(len(logits), device=logits.device)
    return torch.nn.functional.cross_entropy(logits, own, reduction="none")


def rate_factor(steps: int, warmup: float) -> Callable[[int], float]:
    """Return the factor of the learning rate at a step: a linear warm-up, then half a cosine.

    Args:
        steps: of the whole training.
        warmup: fraction of the steps.
    """
    rising = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return factor
