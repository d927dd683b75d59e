"""A CLIP whose last blocks are trained with a reward head: which weights those are, and what the two give together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twigma_spark.errors import ModelError

# What stands between a tower's last block and its vectors.
ENDS = ("ln_post", "proj", "attnpool", "ln_final", "text_projection")


def new_tuned(clip: Any, head: Any, blocks: int, precision: str = "fp32") -> Any:
    """Return a torch module of both towers and a head, with the last blocks, what follows them and the head trainable.

    All else is frozen. The towers stay in evaluation mode, so that the statistics of a ResNet's normalisation do not
    move either.

    Args:
        clip: an open_clip model, all of it frozen.
        head: from `reward_head.new_network`.
        blocks: of each tower, from its end.
        precision: fp32, or bf16 for the towers' arithmetic; weights and the head stay in fp32.

    Raises:
        ModelError: towers of another kind, or fewer blocks than asked for.
    """
    import torch

    class Tuned(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.clip, self.head = clip, head

        def image_vectors(self, pixels: Any) -> Any:
            with self._precision(pixels.device):
                vectors = self.clip.encode_image(pixels, normalize=True)
            return self.head.image_vectors(vectors.float())

        def text_vectors(self, tokens: Any) -> Any:
            with self._precision(tokens.device):
                vectors = self.clip.encode_text(tokens, normalize=True)
            return self.head.text_vectors(vectors.float())

        def _precision(self, device: Any) -> Any:
            return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")

        def sharpness(self) -> Any:
            return self.head.sharpness()

        def parameter_groups(self, rate: float, head_rate: float, decay: float) -> list[dict[str, Any]]:
            """Return the groups for AdamW: gains and offsets do not decay."""
            own = [value for value in self.clip.parameters() if value.requires_grad]
            return [
                {"params": [value for value in own if value.ndim > 1], "lr": rate, "weight_decay": decay},
                {"params": [value for value in own if value.ndim <= 1], "lr": rate, "weight_decay": 0.0},
                *self.head.parameter_groups(head_rate, decay),
            ]

    for part in (*_last(_image_blocks(clip.visual), blocks, "image"), *_last(_text_blocks(clip), blocks, "text")):
        part.requires_grad_(True)
    for tower in (clip.visual, _text_tower(clip)):
        for name in ENDS:
            part = getattr(tower, name, None)
            if part is not None:
                part.requires_grad_(True)
    return Tuned().eval()


def tower_weights(trained: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the trained weights that are the encoder's, by the encoder's own names."""
    return {name.removeprefix("clip."): value for name, value in trained.items() if name.startswith("clip.")}


def replace_weights(clip: Any, weights: Mapping[str, Any], where: str) -> None:
    """Put trained weights in the place of the encoder's own.

    Args:
        clip: an open_clip model.
        weights: of `tower_weights`.
        where: the weights come from, for the message.

    Raises:
        ModelError: the encoder has no such weight, or one of another shape.
    """
    own = clip.state_dict()
    for name, value in weights.items():
        if name not in own or own[name].shape != value.shape:
            wanted = tuple(own[name].shape) if name in own else "no such weight"
            raise ModelError(
                f"'{name}' of the trained encoder must fit its base: {wanted}. Got {tuple(value.shape)} in {where!r}."
            )
    clip.load_state_dict(weights, strict=False)


def _text_tower(clip: Any) -> Any:
    return getattr(clip, "text", clip)


def _text_blocks(clip: Any) -> list[Any]:
    transformer = getattr(_text_tower(clip), "transformer", None)
    return list(getattr(transformer, "resblocks", []))


def _image_blocks(visual: Any) -> list[Any]:
    if hasattr(visual, "layer4"):
        return [block for n in range(1, 5) for block in getattr(visual, f"layer{n}")]
    return list(getattr(getattr(visual, "transformer", None), "resblocks", []))


def _last(layers: list[Any], blocks: int, tower: str) -> list[Any]:
    if not layers:
        raise ModelError(
            f"{tower} tower must be open_clip's own transformer or ResNet to be fine-tuned. Got one of another kind; "
            "set reward.fine_tune.enabled: false, or take another encoder."
        )
    if blocks > len(layers):
        raise ModelError(f"reward.fine_tune.blocks must be at most {len(layers)}, the {tower} tower's. Got {blocks}.")
    return layers[len(layers) - blocks :]
