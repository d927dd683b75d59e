"""ImageReward through transformers: how much people prefer an image for its prompt (Xu et al. 2023)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twigma_spark.errors import ModelError
from twigma_spark.models.base import file_digest, local_path
from twigma_spark.models.clip import torch_dtype
from twigma_spark.models.device import limit_threads
from twigma_spark.models.image_input import ImageInput, to_device
from twigma_spark.models.pixels import Preparation, revision
from twigma_spark.models.prompted import LoadedPrompted, PromptedSettings

# Of the authors' code: what the scores of their training data have, and how many tokens of a prompt are read.
MEAN, STD = 0.16717362830052426, 1.0333394966054072
TOKENS = 35
# CLIP's, which ImageReward feeds its BLIP with.
RGB_MEAN, RGB_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# Both encoders have heads of 64 numbers; their weights do not tell.
HEAD = 64
# Names of the authors' vision transformer and transformers' own, in this order.
RENAMED = (
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^norm\.", "post_layernorm."),
    (r"^blocks\.", "encoder.layers."),
    (r"\.attn\.proj\.", ".self_attn.projection."),
    (r"\.attn\.", ".self_attn."),
    (r"\.norm([12])\.", r".layer_norm\1."),
)


@dataclass(frozen=True)
class ImageReward(PromptedSettings):
    """A BLIP whose text encoder attends to the image, and layers that make a number of its first token.

    Attributes:
        path: the weights, such as ImageReward.pt; read with `weights_only`.
        tokenizer: folder of the tokenizer of bert-base-uncased.
    """

    path: str
    tokenizer: str

    @property
    def model_id(self) -> str:
        """Return for example "imagereward/<file>@<digest>/fast-v1/fp32/224"."""
        file = local_path(self.path)
        return f"imagereward/{file.stem}@{file_digest(file)}/{self.preprocess_rev}"

    @property
    def preprocess_rev(self) -> str:
        """Return for example "fast-v1/fp32/224": the published network's size."""
        return revision(self.decode, self.precision, 224, 224)

    def setup(self, device: str = "cpu", threads: int | None = None) -> LoadedImageReward:
        """Return the model with its weights on `device`."""
        limit_threads(threads)
        return LoadedImageReward(self, device)


class LoadedImageReward(LoadedPrompted):
    """The model in memory."""

    def __init__(self, spec: ImageReward, device: str) -> None:
        from transformers import AutoTokenizer

        weights, dtype = _read(spec.path), torch_dtype(spec.precision)
        self._tokenizer = AutoTokenizer.from_pretrained(str(local_path(spec.tokenizer)))
        vision, text, self._layers = _networks(weights, spec.path)
        self._vision, self._text = (part.eval().to(device=device, dtype=dtype) for part in (vision, text))
        self._layers = [(w.to(device), b.to(device)) for w, b in self._layers]
        side = int(vision.config.image_size)
        preparation = Preparation(side, side, decode=spec.decode, max_pixels=spec.max_pixels)
        super().__init__(ImageInput(preparation, spec.decode, RGB_MEAN, RGB_STD, device, dtype), device)

    def _scores(self, pixels: Any, prompts: Sequence[str]) -> Any:
        from torch.nn.functional import linear

        encoded = self._tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=TOKENS, return_tensors="np"
        )
        tokens, mask = (to_device(encoded[name], self._device) for name in ("input_ids", "attention_mask"))
        seen = self._vision(pixel_values=pixels).last_hidden_state
        read = self._text(input_ids=tokens, attention_mask=mask, encoder_hidden_states=seen).last_hidden_state
        values = read[:, 0].float()
        for weight, bias in self._layers:  # there is nothing between them but dropout
            values = linear(values, weight, bias)
        return (values[:, 0] - MEAN) / STD


def _read(path: str) -> dict[str, Any]:
    """Return the weights of a file.

    Raises:
        ModelError: it holds more than numbers.
    """
    import torch

    try:
        weights: dict[str, Any] = torch.load(local_path(path), map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle each have their own
        raise ModelError(f"torch could not load ImageReward {path!r}: {str(error).splitlines()[0]}") from error
    return weights


def _networks(weights: Mapping[str, Any], path: str) -> tuple[Any, Any, list[tuple[Any, Any]]]:
    """Return the image encoder, the text encoder, and weight and bias of the layers behind them, in order.

    Raises:
        ModelError: the weights are not those of an ImageReward.
    """
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    try:
        seen, read = _part(weights, "blip.visual_encoder."), _part(weights, "blip.text_encoder.")
        layers = _part(weights, "mlp.layers.")
        seen = {_rename(name): value for name, value in seen.items()}
        read.pop("embeddings.position_ids", None)  # no weight
        patches, patch = seen["embeddings.position_embedding"], seen["embeddings.patch_embedding.weight"]
        width, side = patch.shape[0], patch.shape[-1]
        vision = BlipVisionModel(
            BlipVisionConfig(
                hidden_size=width,
                intermediate_size=len(seen["encoder.layers.0.mlp.fc1.bias"]),
                num_hidden_layers=_count(seen, r"encoder\.layers\.(\d+)\."),
                num_attention_heads=width // HEAD,
                image_size=side * round((patches.shape[1] - 1) ** 0.5),
                patch_size=side,
                layer_norm_eps=1e-6,
            )
        )
        words, places = (read[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position"))
        text = BlipTextModel(
            BlipTextConfig(
                vocab_size=len(words),
                hidden_size=words.shape[1],
                encoder_hidden_size=width,
                intermediate_size=len(read["encoder.layer.0.intermediate.dense.bias"]),
                num_hidden_layers=_count(read, r"encoder\.layer\.(\d+)\."),
                num_attention_heads=words.shape[1] // HEAD,
                max_position_embeddings=len(places),
            ),
            add_pooling_layer=False,
        )
        vision.load_state_dict(seen)
        text.load_state_dict(read)
        order = sorted({int(name.split(".")[0]) for name in layers})
        return vision, text, [(layers[f"{n}.weight"].float(), layers[f"{n}.bias"].float()) for n in order]
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"weights of ImageReward must be those of its authors' BLIP and layers. Got {path!r}: {error}"
        ) from error


def _part(weights: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _rename(name: str) -> str:
    for pattern, ours in RENAMED:
        name = re.sub(pattern, ours, name)
    return name


def _count(weights: Mapping[str, Any], pattern: str) -> int:
    return 1 + max(int(match.group(1)) for name in weights if (match := re.match(pattern, name)))
