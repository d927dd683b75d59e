"""PickScore through transformers: how much people prefer an image for its prompt (Kirstain et al. 2023)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twigma_spark.errors import ModelError
from twigma_spark.models.base import file_digest, local_path
from twigma_spark.models.clip import torch_dtype
from twigma_spark.models.device import limit_threads
from twigma_spark.models.image_input import ImageInput, to_device
from twigma_spark.models.pixels import Preparation, revision
from twigma_spark.models.prompted import LoadedTowers, PromptedSettings

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class PickScore(PromptedSettings):
    """A CLIP in transformers' layout; the score is its logit scale times the cosine.

    Attributes:
        path: the folder of a `CLIPModel`: config.json, model.safetensors, preprocessor_config.json, tokenizer files.
    """

    path: str

    @property
    def model_id(self) -> str:
        """Return for example "pickscore/<folder>@<digest>/fast-v1/fp32/224".

        Raises:
            ModelError: the folder has no safetensors.
        """
        folder = local_path(self.path)
        if not (folder / WEIGHTS).is_file():
            raise ModelError(
                f"PickScore must be a folder with {WEIGHTS}. Got {self.path!r}; a file of another kind can hold code "
                "and is not loaded."
            )
        return f"pickscore/{folder.name}@{file_digest(folder / WEIGHTS)}/{self.preprocess_rev}"

    @property
    def preprocess_rev(self) -> str:
        """Return for example "fast-v1/fp32/224"."""
        return revision(self.decode, self.precision, self.image_size, self.image_size)

    @property
    def image_size(self) -> int:
        """Return height and width of the input.

        Raises:
            ModelError: the folder holds no CLIP.
        """
        file = local_path(self.path) / "config.json"
        config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if config.get("model_type") != "clip":
            raise ModelError(
                f"PickScore must be the folder of a CLIPModel of transformers, whose config.json has model_type clip. "
                f"Got {self.path!r}."
            )
        return int(config.get("vision_config", {}).get("image_size", 224))

    def setup(self, device: str = "cpu", threads: int | None = None) -> LoadedTowers:
        """Return the model with its weights on `device`."""
        limit_threads(threads)
        side = self.image_size
        model, tokenizer, processor = _load(self.path)
        dtype = torch_dtype(self.precision)
        preparation = _preparation(self, side, processor)
        images = ImageInput(preparation, self.decode, processor.image_mean, processor.image_std, device, dtype)
        model = model.eval().requires_grad_(False).to(device=device, dtype=dtype)
        return LoadedTowers(_Clip(model, tokenizer, device), images, device)


class _Clip:
    """The towers of a `CLIPModel` and its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, device: str) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device
        self._tokens = int(model.config.text_config.max_position_embeddings)
        self.scale = float(model.logit_scale.detach().float().exp())

    def image_vectors(self, pixels: Any) -> Any:
        return self._model.visual_projection(self._model.vision_model(pixel_values=pixels).pooler_output)

    def text_vectors(self, texts: Sequence[str]) -> Any:
        asked = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._tokens, return_tensors="np"
        )
        tokens, mask = (to_device(asked[name], self._device) for name in ("input_ids", "attention_mask"))
        encoded = self._model.text_model(input_ids=tokens, attention_mask=mask)
        return self._model.text_projection(encoded.pooler_output)


def _load(path: str) -> tuple[Any, Any, Any]:
    """Return (model, tokenizer, image settings).

    Raises:
        ModelError: With transformers' own words.
    """
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of loading weights: a worker's own, over the driver's lines
    where = str(local_path(path))
    try:
        model = CLIPModel.from_pretrained(where, use_safetensors=True)
        return model, AutoTokenizer.from_pretrained(where), CLIPImageProcessor.from_pretrained(where)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"transformers could not load PickScore {path!r}: {error}") from error


def _preparation(spec: PickScore, side: int, processor: Any) -> Preparation:
    """Return how the model wants its images.

    Raises:
        ModelError: Not as CLIP wants them.
    """
    wanted = (processor.size.get("shortest_edge"), processor.crop_size.get("height"), processor.crop_size.get("width"))
    if wanted != (side, side, side) or int(processor.resample) != 3:
        raise ModelError(
            f"images of {spec.path!r} must be resized to {side} on the shorter side, bicubic, and cut to {side}. "
            f"Got {wanted!r} with filter {processor.resample!r}."
        )
    return Preparation(side, side, decode=spec.decode, max_pixels=spec.max_pixels, cut_down=True)
