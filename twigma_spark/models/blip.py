"""Captions by BLIP through transformers: bytes of images in, texts out; the same for the same settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twigma_spark.errors import ModelError
from twigma_spark.models.base import SAMPLE_PREFIX, Array, Loaded, file_digest, local_path
from twigma_spark.models.clip import torch_dtype
from twigma_spark.models.device import free_memory, limit_threads
from twigma_spark.models.image_input import ImageInput, ImageSettings, Prepared
from twigma_spark.models.nvjpeg import JpegFile
from twigma_spark.models.pixels import Pixels, Preparation, revision

_HUB_SIZE = 384  # of both captioning models that Salesforce published
_WEIGHTS = "model.safetensors"
# The commit of `main` that public projects pin: a name alone is another model on the day that its owner changes it.
PINNED = {"Salesforce/blip-image-captioning-base": "82a37760796d32b1411fe092ab5d4e227313294b"}


@dataclass(frozen=True)
class BlipCaptioner(ImageSettings):
    """A BLIP captioning model and how it is asked; never by sampling, so that a run can be repeated.

    Attributes:
        name: A name on the Hugging Face hub, a local folder, or "sample:blip".
        revision: A commit or tag on the hub; a commit pins it. Empty: the one in PINNED, else "main".
        num_beams: 1 is greedy.
        max_length: Most tokens of a caption, the start token counted (transformers' `max_length`).
        min_length: Fewest tokens, counted alike.
    """

    name: str
    revision: str = ""
    num_beams: int = 1
    max_length: int = 20
    min_length: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.num_beams >= 1 and 0 <= self.min_length <= self.max_length):
            got = (self.num_beams, self.min_length, self.max_length)
            raise ModelError(f"num_beams must be >= 1 and min_length <= max_length. Got {got!r}.")

    @property
    def model_id(self) -> str:
        """Return for example "blip/<name>@<digest or commit>/beams1-0-20/fast-v1/fp32/384".

        How it is asked, and of which pixels at which precision, is a part: `captions` has no column for it.
        """
        settings = f"beams{self.num_beams}-{self.min_length}-{self.max_length}/{self.preprocess_rev}"
        if not self.is_local:
            return f"blip/{self.name}@{self.commit}/{settings}"
        folder = local_path(self.name)
        return f"blip/{folder.name}@{file_digest(folder / _WEIGHTS)}/{settings}"

    @property
    def commit(self) -> str:
        """Return which state of the hub's files is loaded."""
        return self.revision or PINNED.get(self.name, "main")

    @property
    def preprocess_rev(self) -> str:
        """Return for example "fast-v1/fp32/384"."""
        return revision(self.decode, self.precision, self.image_size, self.image_size)

    @property
    def is_local(self) -> bool:
        """Return whether `name` is a folder on this machine and not a name on the hub."""
        return self.name.startswith((SAMPLE_PREFIX, "/", ".")) or Path(self.name).is_dir()

    @property
    def image_size(self) -> int:
        """Return height and width of the input."""
        if not self.is_local:
            return _HUB_SIZE
        config = json.loads((local_path(self.name) / "config.json").read_text(encoding="utf-8"))
        return int(config["vision_config"]["image_size"])

    def setup(self, device: str = "cpu", threads: int | None = None) -> LoadedBlip:
        """Return the model with its weights on `device`."""
        limit_threads(threads)
        return LoadedBlip(self, device)


class LoadedBlip(Loaded):
    """A captioning model, its tokenizer and its image settings in memory."""

    def __init__(self, spec: BlipCaptioner, device: str) -> None:
        model, self._tokenizer, images = _load(spec)
        self._asked = {
            "num_beams": spec.num_beams,
            "max_length": spec.max_length,
            "min_length": spec.min_length,
            "do_sample": False,
        }
        self._device = device
        dtype = torch_dtype(spec.precision)
        preparation = _preparation(spec, images)
        self._images = ImageInput(preparation, spec.decode, images.image_mean, images.image_std, device, dtype)
        self._model = model.eval().requires_grad_(False).to(device=device, dtype=dtype)

    def prepare(self, item: bytes) -> Pixels | JpegFile:
        """Return an image as uint8 of shape (3, height, width), or its file where the GPU is to decode it."""
        return self._images.prepare(item)

    def begin(self, prepared: Prepared) -> Callable[[], list[Any]]:
        """Return a call for the captions of prepared images, which are there already."""
        import torch

        with torch.inference_mode():
            pixels, errors = self._images.tensor(prepared)
            tokens = self._model.generate(pixel_values=pixels, **self._asked)
        texts = self._tokenizer.batch_decode(tokens.cpu(), skip_special_tokens=True)
        captions = [errors.get(row, text.strip()) for row, text in enumerate(texts)]
        return lambda: captions

    def forward(self, batch: Array) -> list[str]:
        """Return n captions for uint8 pixels of shape (n, 3, height, width)."""
        return self.begin(batch)()

    def empty(self) -> list[str]:
        """Return an empty list."""
        return []

    def release(self) -> None:
        """Give cached GPU memory back."""
        free_memory(self._device)


def _load(spec: BlipCaptioner) -> tuple[Any, Any, Any]:
    """Return (model, tokenizer, image settings), the same way for the hub and for a folder.

    Raises:
        ModelError: With transformers' own words.
    """
    from transformers import AutoTokenizer, BlipForConditionalGeneration, BlipImageProcessor
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of loading weights: a worker's own, over the driver's lines

    where = str(local_path(spec.name)) if spec.is_local else spec.name
    pinned = {} if spec.is_local else {"revision": spec.commit}
    try:
        model = BlipForConditionalGeneration.from_pretrained(where, **pinned)
        tokenizer = AutoTokenizer.from_pretrained(where, **pinned)
        images = BlipImageProcessor.from_pretrained(where, **pinned)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"transformers could not load BLIP {spec.name!r}: {error}. "
            "Without access to the hub, give the path of a local folder."
        ) from error
    return model, tokenizer, images


def _preparation(spec: BlipCaptioner, images: Any) -> Preparation:
    """Return how the model wants its images.

    Raises:
        ModelError: Not as `preprocess_rev` says.
    """
    size = (int(images.size["height"]), int(images.size["width"]))
    if size != (spec.image_size, spec.image_size) or int(images.resample) != 3:
        raise ModelError(
            f"images of {spec.name!r} must be resized to {spec.image_size}, bicubic. "
            f"Got {size!r} with filter {images.resample!r}."
        )
    return Preparation(*size, fit="squash", max_pixels=spec.max_pixels)
