"""CLIP's two towers through open_clip: images or texts in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twigma_spark.errors import ModelError
from twigma_spark.models.base import PRECISIONS, Array, Floats, Loaded, check_choice
from twigma_spark.models.clip_source import ClipSource, load_clip, open_clip_name
from twigma_spark.models.decode import MAX_PIXELS
from twigma_spark.models.device import free_memory, limit_threads
from twigma_spark.models.pixels import DECODERS, Pixels, Preparation, prepare, revision


@dataclass(frozen=True)
class ClipImage:
    """The image tower: bytes of images in, (n, dim) float32 unit vectors out.

    Attributes:
        source: Which model.
        precision: "fp32", "bf16" or "fp16", to which the weights themselves are cast (autocast is slower
            than fp32 on a CPU).
        decode: "fast", or "pillow" for the model's own transform bit for bit.
        max_pixels: Larger images are refused.
    """

    source: ClipSource
    precision: str = "fp32"
    decode: str = "fast"
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("decode", self.decode, DECODERS)

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
        import torch

        config = model.visual.preprocess_cfg
        self.dim = spec.dim
        self.how = _preparation(spec, config)
        self._device = device
        self._dtype = torch_dtype(spec.precision)
        # The text tower is not kept: half of the memory.
        self._tower = model.visual.to(device=device, dtype=self._dtype)
        self._mean = torch.tensor(config["mean"], device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(config["std"], device=device).view(1, 3, 1, 1)

    def prepare(self, item: bytes) -> Pixels:
        """Return an image as uint8 of shape (3, height, width)."""
        return prepare(item, self.how)

    def forward(self, batch: Array) -> Floats:
        """Return unit vectors, (n, dim) float32, for uint8 pixels of shape (n, 3, height, width)."""
        import torch

        with torch.inference_mode():
            pixels = to_device(batch, self._device).to(torch.float32)
            # The order of the model's own ToTensor and Normalize, for the same bits.
            scaled = pixels.div_(255).sub_(self._mean).div_(self._std)
            return _unit(self._tower(scaled.to(self._dtype)))

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
            return _unit(self._model.encode_text(to_device(batch, self._device)))

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


def to_device(batch: Array, device: str) -> Any:
    """Return an array as a tensor on `device`; pinned on the way to a GPU, so as not to wait."""
    import torch

    tensor = torch.from_numpy(batch)
    if device.startswith("cuda"):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor


def _unit(features: Any) -> Floats:
    """Return the rows as float32 of length 1; normalised in float32 whatever the model's precision."""
    from torch.nn.functional import normalize

    rows: Floats = normalize(features.float(), dim=-1).cpu().numpy()
    return rows


def _preparation(spec: ClipImage, config: dict[str, Any]) -> Preparation:
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
        decode=spec.decode,
        max_pixels=spec.max_pixels,
    )


def _height_width(config: dict[str, Any]) -> tuple[int, int]:
    return _pair(config["vision_cfg"].get("image_size", 224))


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
