"""A trained reward model for others to call: scores of images for prompts, differentiable in the pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twigma_spark.errors import ModelError
from twigma_spark.models.base import Floats
from twigma_spark.models.clip import ClipImage, preparation
from twigma_spark.models.clip_source import ClipSource, load_clip, open_clip_name
from twigma_spark.models.image_input import ImageInput
from twigma_spark.models.pixels import prepare
from twigma_spark.models.prompted import LoadedTowers
from twigma_spark.models.reward_files import RewardConfig, load_encoder, load_head
from twigma_spark.models.reward_head import Head
from twigma_spark.models.reward_tower import replace_weights


class Reward:
    """How much the community that a model was trained on likes an image for a prompt.

    Scores are cosines, from -1 to 1; the difference of two, times `sharpness`, is the log odds that the first image
    of a prompt is preferred. Scores of different prompts are not to be compared.

    Args:
        head: the trained weights.
        encoder: which CLIP they were trained on.
        device: "cpu" or "cuda:0".
        trained: those of the CLIP's weights that were trained too, by its own names.

    Raises:
        ModelError: the encoder has no such weights.
    """

    def __init__(
        self, head: Head, encoder: ClipImage, device: str = "cpu", trained: Mapping[str, Floats] | None = None
    ) -> None:
        import open_clip
        import torch

        self.sharpness = head.sharpness
        self._device = torch.device(device)
        # Whatever the precision of the stored vectors: gradients want float32.
        self._clip = load_clip(encoder.source).to(self._device)
        tensors = {name: torch.from_numpy(value) for name, value in (trained or {}).items()}
        replace_weights(self._clip, tensors, encoder.model_id)
        self._tokenizer = open_clip.get_tokenizer(open_clip_name(encoder.source))
        self._head = head.network().eval().requires_grad_(False).to(self._device)
        config = self._clip.visual.preprocess_cfg
        self._preparation, self._preprocess_cfg = preparation(encoder, config), config
        self._mean, self._std = (torch.tensor(config[key], device=device).view(1, 3, 1, 1) for key in ("mean", "std"))

    @classmethod
    def from_pretrained(
        cls, path: str | Path, device: str = "cpu", encoder_source: Mapping[str, str] | None = None
    ) -> Reward:
        """Return the model of a folder that the stage `reward` or `save_head` wrote.

        Args:
            path: the folder.
            device: "cpu" or "cuda:0".
            encoder_source: name and pretrained, or path, of the encoder where it lies elsewhere than when the model
                was trained; it must be the same weights.

        Raises:
            ModelError: the folder holds no such model, or its encoder is another one than it was trained on.
        """
        head, config = load_head(Path(path))
        encoder = saved_encoder(Path(path), config, encoder_source)
        return cls(head, encoder, device, load_encoder(Path(path), config))

    def score(self, *, images: Any, prompts: Sequence[str], batch_size: int = 32) -> Any:
        """Return the scores, a torch tensor (n,) float32 on the model's device.

        Args:
            images: n images: the bytes or paths of files; or a float tensor (n, 3, height, width) of values from 0 to
                1, through which gradients flow.
            prompts: n prompts, one for each image; or a single one for all.
            batch_size: images of one forward pass.

        Raises:
            ModelError: another number of prompts than of images, or a tensor of another shape.
            ImageError: a file that is no usable image.
        """
        import torch

        texts = list(prompts) * len(images) if len(prompts) == 1 else list(prompts)
        if isinstance(prompts, str) or len(texts) != len(images):
            raise ModelError(
                f"prompts must be a list of one prompt, or of one an image. Got {len(prompts)} for {len(images)} "
                "images."
            )
        parts = [
            (self._head.image_vectors(image) * self._head.text_vectors(text)).sum(dim=-1)
            for image, text in zip(
                self._image_vectors(images, batch_size), self._text_vectors(texts, batch_size), strict=True
            )
        ]
        return torch.cat(parts) if parts else torch.zeros(0, device=self._device)

    def scorer(self) -> LoadedTowers:
        """Return the same model as the stages run models: items are an image's bytes and its prompt."""
        import torch

        mean, std = self._preprocess_cfg["mean"], self._preprocess_cfg["std"]
        device = str(self._device)
        images = ImageInput(self._preparation, self._preparation.decode, mean, std, device, torch.float32)
        return LoadedTowers(_Towers(self._clip, self._head, self._tokenizer, self._device), images, device)

    def _image_vectors(self, images: Any, batch_size: int) -> Iterator[Any]:
        import torch

        for start in range(0, len(images), batch_size):
            part = images[start : start + batch_size]
            if isinstance(part, torch.Tensor):
                yield self._clip.encode_image(self._normalise(self._fit(part)), normalize=True).float()
                continue
            files = [Path(item).read_bytes() if isinstance(item, str | Path) else item for item in part]
            levels = torch.from_numpy(np.stack([prepare(file, self._preparation) for file in files]))
            with torch.no_grad():
                pixels = self._normalise(levels.to(self._device).float() / 255)
                yield self._clip.encode_image(pixels, normalize=True).float()

    def _text_vectors(self, texts: Sequence[str], batch_size: int) -> Iterator[Any]:
        import torch

        for start in range(0, len(texts), batch_size):
            part = texts[start : start + batch_size]
            # Most batches repeat one prompt: it is encoded once.
            different = list(dict.fromkeys(part))
            with torch.no_grad():
                tokens = self._tokenizer(different).to(self._device)
                vectors = self._clip.encode_text(tokens, normalize=True).float()
            yield vectors[[different.index(text) for text in part]]

    def _normalise(self, pixels: Any) -> Any:
        return (pixels - self._mean) / self._std

    def _fit(self, pixels: Any) -> Any:
        """Return pixels of the size that the encoder takes; a resize that lets gradients through."""
        from torch.nn.functional import interpolate

        if pixels.ndim != 4 or pixels.shape[1] != 3 or not pixels.is_floating_point():
            raise ModelError(
                "images must be files, or a float tensor (n, 3, height, width). Got "
                f"{tuple(pixels.shape)}, {pixels.dtype}."
            )
        size = (self._preparation.height, self._preparation.width)
        moved = pixels.to(self._device)
        if tuple(moved.shape[2:]) == size:
            return moved
        return interpolate(moved, size, mode="bicubic", antialias=True, align_corners=False)


@dataclass(frozen=True)
class _Towers:
    """The two encoders with the head's maps behind them."""

    clip: Any
    head: Any
    tokenizer: Any
    device: Any
    scale: float = 1.0

    def image_vectors(self, pixels: Any) -> Any:
        return self.head.image_vectors(self.clip.encode_image(pixels, normalize=True))

    def text_vectors(self, texts: Sequence[str]) -> Any:
        return self.head.text_vectors(
            self.clip.encode_text(self.tokenizer(list(texts)).to(self.device), normalize=True)
        )


def saved_encoder(folder: Path, config: RewardConfig, source: Mapping[str, str] | None = None) -> ClipImage:
    """Return the spec of the encoder that a saved model was trained on.

    Args:
        folder: of the model, for the message.
        config: what the model belongs to.
        source: name and pretrained, or path, of the encoder where it lies elsewhere than when the model was trained.

    Raises:
        ModelError: it is not there, or another one is.
    """
    wanted = source or config.encoder
    if unknown := sorted(set(wanted) - {"name", "pretrained", "path", "precision"}):
        raise ModelError(f"encoder of a reward model must have name and pretrained, or path. Got {unknown}.")
    given = ClipSource(**{key: value for key, value in wanted.items() if key != "precision"})
    encoder = ClipImage(given, precision=config.encoder.get("precision", "fp32"))
    if encoder.model_id != config.model_id:
        raise ModelError(
            f"encoder of the reward model in {str(folder)!r} must be {config.model_id!r}. Got {encoder.model_id!r}."
        )
    return encoder


def encoder_settings(encoder: ClipImage) -> dict[str, str]:
    """Return what a saved model says of its encoder, from which `Reward.from_pretrained` loads it again."""
    source = encoder.source
    given = {"name": source.name, "pretrained": source.pretrained, "path": source.path, "precision": encoder.precision}
    return {key: value for key, value in given.items() if value}
