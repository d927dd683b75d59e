"""The sample's tiny CLIP and BLIP: their architectures, and folders in the layouts that the loaders read.

Nothing else in the package knows them: they load through the same code as ViT-L/14 and the published BLIP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

IMAGE_SIZE = 64
CONTEXT_LENGTH = 32
SPECIAL_WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]")
_PAD, _UNKNOWN, _START, _END, _DECODE = range(len(SPECIAL_WORDS))
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def vocabulary(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the special words and then every word and sign of `texts`, lower case, sorted."""
    words = {word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())}
    return SPECIAL_WORDS + tuple(sorted(words))


def save_tokenizer(folder: Path, words: Sequence[str]) -> None:
    """Write a word tokenizer that `AutoTokenizer` reads: a BERT vocabulary with no word parts."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "bos_token": SPECIAL_WORDS[_DECODE],
        "model_max_length": CONTEXT_LENGTH,
    }
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def clip_config(words: int, dim: int = 96) -> dict[str, Any]:
    """Return an open_clip config: a small ResNet for 64 x 64 pixels and a small text transformer."""
    vision = {"image_size": IMAGE_SIZE, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None}
    text = {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": words,
        "hf_tokenizer_name": "in this folder",
        "width": 96,
        "heads": 3,
        "layers": 2,
        "pool_type": "eos",
        "eos_id": _END,
    }
    return {"embed_dim": dim, "vision_cfg": vision, "text_cfg": text}


def new_clip(config: dict[str, Any], seed: int) -> Any:
    """Return an untrained open_clip model of `config`, the same for the same seed."""
    import open_clip
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return open_clip.CLIP(**config)


def save_clip(model: Any, config: dict[str, Any], words: Sequence[str], folder: Path) -> None:
    """Write a folder that open_clip loads as "local-dir:"; weights as float16, half the size."""
    save_tokenizer(folder, words)
    described = {"model_cfg": config, "preprocess_cfg": {"mean": MEAN, "std": STD}}
    (folder / "open_clip_config.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    weights = {name: _halve(value) for name, value in model.state_dict().items()}
    _write(weights, folder / "open_clip_model.safetensors")


def blip_config(words: int, width: int = 96) -> Any:
    """Return a BlipConfig for 64 x 64 pixels: 3 layers that see, 2 that write."""
    from transformers import BlipConfig

    shared = {"hidden_size": width, "intermediate_size": 4 * width, "projection_dim": width}
    vision = {"image_size": IMAGE_SIZE, "patch_size": 8, "num_hidden_layers": 3, "num_attention_heads": 3}
    text = {
        "vocab_size": words,
        "encoder_hidden_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "max_position_embeddings": CONTEXT_LENGTH,
        "pad_token_id": _PAD,
        "bos_token_id": _DECODE,
        "eos_token_id": _END,
        "sep_token_id": _END,
    }
    return BlipConfig(
        text_config={**shared, **text},
        # The default of the vision part, 1e-10, is for weights that are loaded and never trained.
        vision_config={**shared, **vision, "initializer_range": 0.02},
        projection_dim=width,
        image_text_hidden_size=width,
    )


def new_blip(config: Any, seed: int) -> Any:
    """Return an untrained BLIP of `config`, the same for the same seed."""
    import torch
    from transformers import BlipForConditionalGeneration

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BlipForConditionalGeneration(config)


def save_blip(model: Any, words: Sequence[str], folder: Path) -> None:
    """Write a folder that transformers loads; weights as float16, read back as float32."""
    from transformers import BlipImageProcessor

    save_tokenizer(folder, words)
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    BlipImageProcessor(size=size, image_mean=MEAN, image_std=STD).save_pretrained(folder)
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tied = set(model.all_tied_weights_keys)
    weights = {name: _halve(value) for name, value in model.state_dict().items() if name not in tied}
    _write(weights, folder / "model.safetensors")


def _write(weights: dict[str, Any], file: Path) -> None:
    from safetensors.torch import save_file

    save_file(weights, str(file), metadata={"format": "pt"})
    file.chmod(0o644)  # safetensors lets only the owner read; an installed package is read by others


def _halve(value: Any) -> Any:
    return value.half().contiguous() if value.is_floating_point() else value.contiguous()
