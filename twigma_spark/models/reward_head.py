"""A reward model: how much a community likes an image for a prompt, by a head on the vectors of a CLIP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twigma_spark.models.base import Floats

# The sharpness that CLIP starts its training with (Radford et al. 2021, section 2.5).
SHARPNESS = 1 / 0.07
# How much faster the offsets learn than the maps: what is liked whatever the prompt is dim numbers and not dim², and is
# learnt from a few hundred pairs (accuracy 0.69 instead of 0.59 on the 140 pairs of the sample world).
OFFSETS = 100


@dataclass(frozen=True, eq=False)
class Head:
    """Affine maps of the image's and the prompt's vector; the score is the cosine of what they give.

    Identity maps without offsets are CLIP's own score.

    Attributes:
        image: (dim, dim) float32.
        image_offset: (dim,) float32.
        text: (dim, dim) float32.
        text_offset: (dim,) float32.
        sharpness: the difference of two scores times this is the log odds that the first image is preferred.
    """

    image: Floats
    image_offset: Floats
    text: Floats
    text_offset: Floats
    sharpness: float

    @classmethod
    def identity(cls, dim: int) -> Head:
        """Return the head whose score is the encoder's own cosine."""
        zeros = np.zeros(dim, np.float32)
        return cls(np.eye(dim, dtype=np.float32), zeros, np.eye(dim, dtype=np.float32), zeros, SHARPNESS)

    @classmethod
    def of_network(cls, network: Any) -> Head:
        """Return the head that a trained network holds."""
        eye = np.eye(network.image.weight.shape[0], dtype=np.float32)
        return cls(
            eye + network.image.weight.detach().numpy(),
            network.image.bias.detach().numpy().copy(),
            eye + network.text.weight.detach().numpy(),
            network.text.bias.detach().numpy().copy(),
            float(network.sharpness().detach()),
        )

    def network(self) -> Any:
        """Return the trainable torch module that gives what this head gives."""
        import torch

        network = new_network(self.dim)
        eye = np.eye(self.dim, dtype=np.float32)
        with torch.no_grad():
            for layer, weight, offset in (
                (network.image, self.image, self.image_offset),
                (network.text, self.text, self.text_offset),
            ):
                layer.weight.copy_(torch.from_numpy(weight - eye))
                layer.bias.copy_(torch.from_numpy(np.array(offset)))
            network.log_sharpness.fill_(float(np.log(self.sharpness)))
        return network

    @property
    def dim(self) -> int:
        """The length of the vectors that it takes."""
        return len(self.image_offset)

    def scores(self, images: NDArray[np.floating[Any]], texts: NDArray[np.floating[Any]]) -> Floats:
        """Return the scores (n,) float32, from -1 to 1, of images for prompts.

        Args:
            images: (n, dim), unit vectors.
            texts: (n, dim), unit vectors: the prompt of each image.
        """
        return np.asarray(np.einsum("ij,ij->i", self.image_vectors(images), self.text_vectors(texts)), np.float32)

    def image_vectors(self, images: NDArray[np.floating[Any]]) -> Floats:
        """Return the mapped vectors of images, (n, dim) float32 unit vectors."""
        return _unit(np.asarray(images, np.float32) @ self.image.T + self.image_offset)

    def text_vectors(self, texts: NDArray[np.floating[Any]]) -> Floats:
        """Return the mapped vectors of prompts, (n, dim) float32 unit vectors."""
        return _unit(np.asarray(texts, np.float32) @ self.text.T + self.text_offset)


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)


def new_network(dim: int) -> Any:
    """Return the trainable head, a torch module; its weights are the differences from the encoder's own score."""
    import torch
    from torch.nn import functional

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image, self.text = torch.nn.Linear(dim, dim), torch.nn.Linear(dim, dim)
            for layer in (self.image, self.text):
                torch.nn.init.zeros_(layer.weight)
                torch.nn.init.zeros_(layer.bias)
            self.log_sharpness = torch.nn.Parameter(torch.tensor(float(np.log(SHARPNESS))))

        def image_vectors(self, vectors: Any) -> Any:
            return functional.normalize(vectors + self.image(vectors), dim=-1)

        def text_vectors(self, vectors: Any) -> Any:
            return functional.normalize(vectors + self.text(vectors), dim=-1)

        def sharpness(self) -> Any:
            return self.log_sharpness.exp().clamp(max=100)

        def parameter_groups(self, rate: float, decay: float) -> list[dict[str, Any]]:
            """Return the groups for AdamW: offsets are few, learn fast and are not held back."""
            offsets = [self.image.bias, self.text.bias, self.log_sharpness]
            return [
                {"params": [self.image.weight, self.text.weight], "lr": rate, "weight_decay": decay},
                {"params": offsets, "lr": OFFSETS * rate, "weight_decay": 0.0},
            ]

    return Network()
