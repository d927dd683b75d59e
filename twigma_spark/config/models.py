"""The models, by kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from twigma_spark.config.section import Name, Section

Precision = Literal["auto", "fp32", "bf16", "fp16"]
CpuDecode = Literal["fast", "pillow"]
Decode = Literal["fast", "pillow", "nvjpeg"]
Rgb = tuple[float, float, float]
PROMPT = r"\w"


class OpenClip(Section):
    """An open_clip model: by architecture and pretrained tag or file, or by a folder."""

    # What a worker must import for it, and takes seconds.
    worker_import: ClassVar[str] = "open_clip"

    kind: Literal["open_clip"]
    name: str | None = None
    pretrained: str | None = None
    path: str | None = None
    precision: Precision = "auto"
    decode: Decode = "fast"


# What the images of well-known networks are fed as, by the name of the preset.
PRESETS: Mapping[str, Mapping[str, object]] = {
    "zero_to_one": {},
    # torchvision's classifiers, but for its margin: it scales to 256 and cuts out 224.
    "imagenet": {
        "fit": "shortest",
        "interpolation": "bilinear",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    },
    # OpenAI's CLIP and most of open_clip's models.
    "clip": {
        "fit": "shortest",
        "interpolation": "bicubic",
        "mean": (0.48145466, 0.4578275, 0.40821073),
        "std": (0.26862954, 0.26130258, 0.27577711),
    },
}


class OnnxSettings(Section):
    """An ONNX network and what it wants to be fed; a preset fills in the settings that are not given."""

    path: str
    preset: Literal["zero_to_one", "imagenet", "clip"] | None = None
    output: str | None = None
    size: int = Field(224, ge=8)
    fit: Literal["squash", "shortest"] = "squash"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    scale: float = 1 / 255
    mean: Rgb = (0.0, 0.0, 0.0)
    std: Rgb = (1.0, 1.0, 1.0)
    decode: CpuDecode = "fast"

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, values: Any) -> Any:
        preset = PRESETS.get(str(values.get("preset"))) if isinstance(values, Mapping) else None
        return values if preset is None else {**preset, **values}

    @property
    def is_scaling_given(self) -> bool:
        """Whether somebody said which numbers the network takes."""
        return self.preset is not None or bool({"scale", "mean", "std"} & self.model_fields_set)


class Onnx(OnnxSettings):
    """An ONNX encoder."""

    kind: Literal["onnx"]
    normalise: bool = True


class OnnxClasses(OnnxSettings):
    """An ONNX classifier; the probabilities of the `positive` classes are added."""

    kind: Literal["onnx_classes"]
    classes: tuple[str, ...]
    positive: tuple[str, ...]


class Blip(Section):
    """A BLIP captioner by hub name or local folder."""

    worker_import: ClassVar[str] = "transformers.models.blip.modeling_blip"

    kind: Literal["blip"]
    name: str = "Salesforce/blip-image-captioning-base"
    revision: str | None = None
    num_beams: int = Field(1, ge=1)
    min_length: int = Field(0, ge=0)
    max_length: int = Field(20, ge=1)
    precision: Precision = "auto"
    decode: Decode = "fast"


class HeadSettings(Section):
    """A head that scores the image encoder's embeddings."""

    kind: Literal["linear", "laion_nsfw", "laion_aesthetic"]
    path: str
    vocabulary: str | None = None
    embedding_model: str | None = None


class RewardModelSettings(Section):
    """A saved reward model: how much an image is liked for its own prompt, or for `prompt` where it has none."""

    kind: Literal["reward"]
    path: str
    prompt: str | None = Field(None, pattern=PROMPT)


class PickScoreSettings(Section):
    """PickScore, or another CLIPModel of transformers, in a folder."""

    kind: Literal["pickscore"]
    path: str
    precision: Precision = "auto"
    decode: CpuDecode = "fast"


class HpsV2Settings(Section):
    """HPSv2, or other weights of an open_clip architecture, in a file."""

    kind: Literal["hpsv2"]
    path: str
    name: str = "ViT-H-14"
    precision: Precision = "auto"
    decode: CpuDecode = "fast"


class ImageRewardSettings(Section):
    """ImageReward: weights in a file, and the folder of its tokenizer."""

    kind: Literal["imagereward"]
    path: str
    tokenizer: str
    precision: Precision = "auto"
    decode: CpuDecode = "fast"


ImageModel = Annotated[OpenClip | Onnx, Field(discriminator="kind")]
ScoreModel = Annotated[HeadSettings | OnnxClasses | RewardModelSettings, Field(discriminator="kind")]
BaselineModel = Annotated[PickScoreSettings | HpsV2Settings | ImageRewardSettings, Field(discriminator="kind")]


class RealImages(Section):
    """Which score says that an image is likely not generated, and from where on."""

    score: Name
    above: float = 0.5


class Models(Section):
    """Which models are used; null leaves the stage that needs one without work."""

    device: Literal["cpu", "cuda"] = "cpu"
    image: ImageModel = OpenClip(kind="open_clip", name="ViT-L-14", pretrained="openai")
    image_also: ImageModel | None = None
    caption: Blip | None = Blip(kind="blip")
    scores: Mapping[Name, ScoreModel] = {}
    real: RealImages | None = None

    @model_validator(mode="after")
    def _score_is_known(self) -> Models:
        if self.real is not None and self.real.score not in self.scores:
            raise ValueError(f"models.real.score must be a name of models.scores. Got {self.real.score!r}.")
        return self

    @model_validator(mode="after")
    def _encoders_differ(self) -> Models:
        if self.image_also == self.image:
            raise ValueError("models.image_also must be another encoder than models.image. Got the same.")
        return self
