"""CLIP's two towers through open_clip: images or texts in, unit vectors out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twigma_spark.errors import ModelError
from twigma_spark.models.base import PRECISIONS, Array, Floats, Loaded, check_choice
from twigma_spark.models.clip_source import ClipSource, load_clip, open_clip_name
from twigma_spark.models.device import free_memory, limit_threads
from twigma_spark.models.image_input import ImageInput, ImageSettings, Prepared, to_device, to_host
from twigma_spark.models.nvjpeg import JpegFile
from twigma_spark.models.pixels import Pixels, Preparation, revision


@dataclass(frozen=True)
class ClipImage(ImageSettings):
    """The image tower: bytes of images in, (n, dim) float32 unit vectors out.

    Attributes:
        source: Which model.
    """

    source: ClipSource

    @property
    def model_id(self) -> str:
        """Return the id of the weights; that of the text tower is the same."""
        return self.source.model_id

    @property
    def preprocess_rev(self) -> str:
        """Return for example "fast-v1/fp32/224"."""
        return revision(self.decode, self.precision, *_height_width(self.source.config()))

    @property
    def dim(self) -> int:
        """Return the length of the vectors."""
        return int(self.source.config()["embed_dim"])

    def setup(self, device: str = "cpu", threads: int | None = None) -> LoadedClipImage:
        """Return the tower with its weights on `device`."""
        limit_threads(threads)
        return LoadedClipImage(self, load_clip(self.source), device)


@dataclass(frozen=True)
class ClipText:
    """The text tower: texts in, (n, dim) float32 unit vectors out; longer texts are cut, as CLIP cuts them.

    Attributes:
        source: Which model.
        precision: "fp32", "bf16" or "fp16".
    """

    source: ClipSource
    precision: str = "fp32"

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)

    @property
    def model_id(self) -> str:
        """Return the id of the weights; that of the image tower is the same."""
        return self.source.model_id

    @property
    def preprocess_rev(self) -> str:
        """Return for example "text-v1/fp32/77": precision and the number of tokens."""
        tokens = self.source.config().get("text_cfg", {}).get("context_length", 77)
        return f"text-v1/{self.precision}/{tokens}"

    @property
    def dim(self) -> int:
        """Return the length of the vectors."""
        return int(self.source.config()["embed_dim"])

    def setup(self, device: str = "cpu", threads: int | None = None) -> LoadedClipText:
        """Return the tower with its weights on `device`, and its tokenizer."""
        limit_threads(threads)
        return LoadedClipText(self, load_clip(self.source), device)


class LoadedClipImage(Loaded):
    """The image tower in memory."""

    def __init__(self, spec: ClipImage, model: Any, device: str) -> None:
        config, dtype = model.visual.preprocess_cfg, torch_dtype(spec.precision)
        self.dim = spec.dim
        self.in_flight = 2 if device.startswith("cuda") else 1
        self._device = device
        prepared = preparation(spec, config)
        self._images = ImageInput(prepared, spec.decode, config["mean"], config["std"], device, dtype)
        # The text tower is not kept: half of the memory.
        self._tower = model.visual.to(device=device, dtype=dtype)

    def prepare(self, item: bytes) -> Pixels | JpegFile:
        """Return an image as uint8 of shape (3, height, width), or its file where the GPU is to decode it."""
        return self._images.prepare(item)

    def begin(self, prepared: Prepared) -> Callable[[], Floats | list[Any]]:
        """Return a call for the unit vectors, (n, dim) float32, of prepared images."""
        import torch

        with torch.inference_mode():
            pixels, errors = self._images.tensor(prepared)
            wait = to_host(_unit(self._tower(pixels)))
        if not errors:
            return wait
        return lambda: [errors.get(row, vector) for row, vector in enumerate(wait())]

    def forward(self, batch: Array) -> Floats:
        """Return unit vectors, (n, dim) float32, for uint8 pixels of shape (n, 3, height, width)."""
        vectors: Floats = np.asarray(self.begin(batch)())
        return vectors

    def empty(self) -> Floats:
        """Return an array of shape (0, dim)."""
        return np.zeros((0, self.dim), dtype=np.float32)

    def release(self) -> None:
        """Give cached GPU memory back."""
        free_memory(self._device)


class LoadedClipText(Loaded):
    """The text tower and its tokenizer in memory."""

    def __init__(self, spec: ClipText, model: Any, device: str) -> None:
        import open_clip

        self.dim = spec.dim
        self._device = device
        self._tokenizer = open_clip.get_tokenizer(open_clip_name(spec.source))
        model.visual = None  # not kept: most of the memory
        self._model = model.to(device=device, dtype=torch_dtype(spec.precision))

    def prepare(self, item: str) -> Array:
        """Return the token ids of a text, int64 of the model's context length."""
        return np.asarray(self._tokenizer([item])[0].numpy(), dtype=np.int64)

    def forward(self, batch: Array) -> Floats:
        """Return unit vectors, (n, dim) float32, for token ids of shape (n, tokens)."""
        import torch

        with torch.inference_mode():
            vectors: Floats = _unit(self._model.encode_text(to_device(batch, self._device))).cpu().numpy()
            return vectors

    def empty(self) -> Floats:
        """Return an array of shape (0, dim)."""
        return np.zeros((0, self.dim), dtype=np.float32)

    def release(self) -> None:
        """Give cached GPU memory back."""
        free_memory(self._device)


def torch_dtype(precision: str) -> Any:
    """Return torch's name for "fp32", "bf16" or "fp16"."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _unit(features: Any) -> Any:
    """Return the rows as float32 of length 1; normalised in float32 whatever the model's precision."""
    from torch.nn.functional import normalize

    return normalize(features.float(), dim=-1)


def preparation(spec: ClipImage, config: dict[str, Any]) -> Preparation:
    """Return how the model wants its images, by the preprocessing that open_clip attached to it.

    Raises:
        ModelError: It wants something that neither path does.
    """
    if config.get("resize_mode") not in ("shortest", "squash"):
        raise ModelError(f"resize mode of {spec.model_id} must be shortest or squash. Got {config!r}.")
    height, width = _pair(config["size"])
    return Preparation(
        height,
        width,
        fit=config["resize_mode"],
        interpolation=config["interpolation"],
        max_pixels=spec.max_pixels,
    )


def _height_width(config: dict[str, Any]) -> tuple[int, int]:
    return _pair(config["vision_cfg"].get("image_size", 224))


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
