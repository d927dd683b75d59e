"""Scores of an image for its prompt: what all such models share, and those that compare the vectors of two towers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from twigma_spark.models.base import Floats, Loaded, check_choice
from twigma_spark.models.device import free_memory
from twigma_spark.models.image_input import ImageInput, ImageSettings, Prepared, to_host
from twigma_spark.models.pixels import DECODERS

# The file of an image, and its prompt.
Prompted = tuple[bytes, str]


@dataclass(frozen=True, kw_only=True)
class PromptedSettings(ImageSettings):
    """How such a model computes; images are decoded on the CPU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("decode", self.decode, DECODERS)


class LoadedPrompted(Loaded):
    """A model in memory that scores images for their prompts.

    Args:
        images: how it is fed with images.
        device: "cpu" or "cuda:0".
    """

    def __init__(self, images: ImageInput, device: str) -> None:
        self._images = images
        self._device = device
        self.in_flight = 2 if device.startswith("cuda") else 1

    def prepare(self, item: Prompted) -> tuple[Any, str]:
        """Return the image as uint8 of shape (3, height, width), and the prompt.

        Tokens are made a batch: transformers' tokenizers are not to be used by several threads at once.
        """
        content, prompt = item
        return self._images.prepare(content), prompt

    def begin(self, prepared: Prepared) -> Callable[[], Sequence[Any] | Floats]:
        """Return a call for the scores, (n,) float32, of prepared items."""
        import torch

        with torch.inference_mode():
            pixels, errors = self._images.tensor([image for image, _ in prepared])
            wait = to_host(self._scores(pixels, [prompt for _, prompt in prepared]).float())
        if not errors:
            return wait
        return lambda: [errors.get(row, score) for row, score in enumerate(wait())]

    @abstractmethod
    def _scores(self, pixels: Any, prompts: Sequence[str]) -> Any:
        """Return the scores, a tensor (n,), of normalised pixels (n, 3, height, width) for n prompts."""

    def forward(self, batch: Any) -> Sequence[Any] | Floats:
        """Return the scores, (n,) float32, of a sequence of prepared items."""
        return self.begin(batch)()

    def empty(self) -> Floats:
        """Return an array of shape (0,)."""
        return np.zeros(0, np.float32)

    def release(self) -> None:
        """Give cached GPU memory back."""
        free_memory(self._device)


class Towers(Protocol):
    """Two encoders into one space."""

    @property
    def scale(self) -> float:
        """What the cosine is multiplied by."""

    def image_vectors(self, pixels: Any) -> Any:
        """Return a tensor (n, dim) of normalised pixels (n, 3, height, width)."""

    def text_vectors(self, texts: Sequence[str]) -> Any:
        """Return a tensor (n, dim) of n texts."""


class LoadedTowers(LoadedPrompted):
    """A model whose score is `scale` times the cosine of the image's and the prompt's vector."""

    def __init__(self, towers: Towers, images: ImageInput, device: str) -> None:
        super().__init__(images, device)
        self._towers = towers

    def _scores(self, pixels: Any, prompts: Sequence[str]) -> Any:
        from torch.nn.functional import cosine_similarity

        # Images of a batch often share a prompt, which is encoded once.
        place = {text: row for row, text in enumerate(dict.fromkeys(prompts))}
        texts = self._towers.text_vectors(list(place))[[place[text] for text in prompts]]
        return self._towers.scale * cosine_similarity(self._towers.image_vectors(pixels).float(), texts.float(), dim=-1)
