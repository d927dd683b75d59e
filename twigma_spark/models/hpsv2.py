"""HPSv2 through open_clip: how much people prefer an image for its prompt (Wu et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twigma_spark.models.clip import ClipImage, torch_dtype
from twigma_spark.models.clip_source import ClipSource, load_clip, open_clip_name
from twigma_spark.models.device import limit_threads
from twigma_spark.models.image_input import ImageInput
from twigma_spark.models.pixels import Preparation
from twigma_spark.models.prompted import LoadedTowers, PromptedSettings


@dataclass(frozen=True)
class HpsV2(PromptedSettings):
    """A ViT-H-14 of open_clip with weights of its own; the score is the cosine.

    Attributes:
        path: the weights, such as HPS_v2.1_compressed.pt; read with `weights_only`.
        name: an architecture of open_clip, or a JSON file in the format of its model configs.
    """

    path: str
    name: str = "ViT-H-14"

    @property
    def source(self) -> ClipSource:
        """Return the model as open_clip knows it."""
        return ClipSource(self.name, self.path)

    @property
    def model_id(self) -> str:
        """Return for example "hpsv2/ViT-H-14@<digest>/fast-v1/fp32/224-longest"."""
        return f"hpsv2/{self.source.model_id.removeprefix('open_clip/')}/{self.preprocess_rev}"

    @property
    def preprocess_rev(self) -> str:
        """Return for example "fast-v1/fp32/224-longest"."""
        return f"{ClipImage(self.source, precision=self.precision, decode=self.decode).preprocess_rev}-longest"

    def setup(self, device: str = "cpu", threads: int | None = None) -> LoadedTowers:
        """Return the model with its weights on `device`."""
        limit_threads(threads)
        model = load_clip(self.source)
        config, dtype = model.visual.preprocess_cfg, torch_dtype(self.precision)
        # Its authors' preprocessing, not that of the CLIP that it was trained from: nothing is cut off.
        height, width = (config["size"],) * 2 if isinstance(config["size"], int) else config["size"]
        preparation = Preparation(height, width, "longest", config["interpolation"], self.decode, self.max_pixels)
        images = ImageInput(preparation, self.decode, config["mean"], config["std"], device, dtype)
        return LoadedTowers(_OpenClip(model.to(device=device, dtype=dtype), self.source, device), images, device)


class _OpenClip:
    """The towers of an open_clip model and its tokenizer."""

    scale = 1.0

    def __init__(self, model: Any, source: ClipSource, device: str) -> None:
        import open_clip

        self._model, self._device = model, device
        self._tokenizer = open_clip.get_tokenizer(open_clip_name(source))

    def image_vectors(self, pixels: Any) -> Any:
        return self._model.encode_image(pixels)

    def text_vectors(self, texts: Sequence[str]) -> Any:
        return self._model.encode_text(self._tokenizer(list(texts)).to(self._device))
