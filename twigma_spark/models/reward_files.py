"""A reward model as a folder: weights, what they belong to, and a model card."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from twigma_spark.errors import ModelError
from twigma_spark.models.base import Floats
from twigma_spark.models.reward_head import Head

WEIGHTS, CONFIG, CARD = "reward.safetensors", "reward.json", "README.md"
# A companion of the weights: what is done with their file is done with it.
ENCODER = "reward.encoder.safetensors"
FORMAT = 1
# Of the model that the stage `reward` writes, below the folder of the artifacts.
FOLDER = "reward"
TENSORS = ("image", "image_offset", "text", "text_offset")


@dataclass(frozen=True)
class RewardConfig:
    """What a head belongs to.

    Attributes:
        model_id: of the encoder whose vectors it takes.
        preprocess_rev: of the images' vectors.
        encoder: name, pretrained, path and precision of the encoder, as in `models.image`.
        dim: length of the vectors.
        sharpness: the difference of two scores times this is the log odds that the first image is preferred.
        sha256: of the weights file.
        encoder_sha256: of the file of those weights of the encoder that were trained too; empty where none were.
    """

    model_id: str
    preprocess_rev: str
    encoder: Mapping[str, str]
    dim: int
    sharpness: float
    sha256: str
    encoder_sha256: str = ""


def save_head(
    folder: Path,
    head: Head,
    model_id: str,
    preprocess_rev: str,
    encoder: Mapping[str, str],
    card: str,
    trained: Mapping[str, Floats] | None = None,
) -> Path:
    """Return the folder, written whole: it replaces an older one at the end, or stays as it was.

    Args:
        folder: of the model.
        head: its weights.
        model_id: of the encoder.
        preprocess_rev: of the images' vectors.
        encoder: name, pretrained, path and precision of the encoder.
        card: the model card, Markdown.
        trained: the encoder's weights that were trained, by its own names; None where it is as it was.
    """
    from safetensors.numpy import save_file

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        tensors = {name: np.ascontiguousarray(getattr(head, name), np.float32) for name in TENSORS}
        save_file(tensors, str(new / WEIGHTS))
        digests = [_digest(new / WEIGHTS)]
        if trained:
            save_file({name: np.ascontiguousarray(value) for name, value in trained.items()}, str(new / ENCODER))
            digests.append(_digest(new / ENCODER))
        config = RewardConfig(model_id, preprocess_rev, dict(encoder), head.dim, head.sharpness, *digests)
        (new / CONFIG).write_text(json.dumps({"format": FORMAT, **asdict(config)}, indent=1) + "\n", encoding="utf-8")
        (new / CARD).write_text(card, encoding="utf-8")
        for file in new.iterdir():
            file.chmod(0o644)  # safetensors lets only the owner read
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    return folder


def load_head(folder: Path) -> tuple[Head, RewardConfig]:
    """Return the weights and what they belong to; only safetensors are read, which hold numbers and no code.

    Raises:
        ModelError: the folder holds no such model, half of one, or weights of another shape.
    """
    config = read_config(folder)
    file = folder / WEIGHTS
    tensors = _read_tensors(file, config.sha256)
    shapes = {"image": (config.dim, config.dim), "text": (config.dim, config.dim)}
    for name in TENSORS:
        wanted = shapes.get(name, (config.dim,))
        if name not in tensors or tensors[name].shape != wanted:
            got = tensors[name].shape if name in tensors else None
            raise ModelError(f"'{name}' of a reward model must have the shape {wanted}. Got {got} in {str(file)!r}.")
        if not np.isfinite(tensors[name]).all():
            raise ModelError(f"weights of a reward model must be finite numbers. Got NaN or infinity in {str(file)!r}.")
    return Head(**{name: tensors[name] for name in TENSORS}, sharpness=config.sharpness), config


def load_encoder(folder: Path, config: RewardConfig) -> dict[str, Floats]:
    """Return the encoder's weights that were trained, by its own names; none where it is as it was.

    Raises:
        ModelError: they are not those that were written, or no numbers.
    """
    if not config.encoder_sha256:
        return {}
    tensors = _read_tensors(folder / ENCODER, config.encoder_sha256)
    if not all(np.isfinite(value).all() for value in tensors.values()):
        raise ModelError(f"weights of a reward model must be finite numbers. Got NaN or infinity in {str(folder)!r}.")
    return tensors


def _read_tensors(file: Path, digest: str) -> dict[str, Floats]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not file.is_file() or _digest(file) != digest:
        raise ModelError(
            f"{file.name} must be the file that {CONFIG} was written with. Got another or none in "
            f"{str(file.parent)!r}; copy the whole folder again, or run the stage reward."
        )
    try:
        return dict(load_file(str(file)))
    except SafetensorError as error:
        raise ModelError(f"{file.name} must be safetensors. Got {str(file)!r}: {error}.") from error


def read_config(folder: Path) -> RewardConfig:
    """Return what the model in a folder belongs to; its weights are not read.

    Raises:
        ModelError: the folder holds no such model.
    """
    try:
        content: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        names = {field.name for field in fields(RewardConfig)}
        # Models of older versions know of no trained encoder.
        if set(content) | {"encoder_sha256"} != names:
            raise ValueError(f"keys {sorted(content)}")
        config = RewardConfig(**content)
        if not (isinstance(config.sha256, str) and isinstance(config.dim, int) and isinstance(config.encoder, dict)):
            raise ValueError("values of another kind")
        return config
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(
            f"a reward model must be a folder with {WEIGHTS} and {CONFIG}. Got {str(folder)!r}: {error}."
        ) from error


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
