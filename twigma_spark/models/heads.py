"""Scores from embeddings, in numpy: LAION's NSFW and aesthetic heads, and linear heads of one's own.

A head belongs to one embedding model: given vectors of another it would return numbers all the same, so it
refuses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from twigma_spark.errors import ModelError
from twigma_spark.models.base import Array, Floats, check_choice, file_digest, local_path
from twigma_spark.models.heads_laion import load_nsfw

HEAD_KINDS = ("laion_nsfw", "laion_aesthetic", "linear")
# What LAION trained its heads on, by the length of the vectors.
_OPENAI = {
    512: ("open_clip/ViT-B-32/openai", "open_clip/ViT-B-32-quickgelu/openai"),
    768: ("open_clip/ViT-L-14/openai", "open_clip/ViT-L-14-quickgelu/openai"),
}


class Net(Protocol):
    """The arithmetic of a head."""

    @property
    def dim(self) -> int:
        """The length of the vectors it takes."""

    def score(self, embeddings: Floats) -> Floats:
        """Return (n,) float32 for (n, dim) float32."""


@dataclass(frozen=True, eq=False)
class LinearNet:
    """w·x + b, through a sigmoid where `sigmoid` says so."""

    weight: Floats
    bias: float
    sigmoid: bool = False

    @property
    def dim(self) -> int:
        """Return the length of the vectors."""
        return len(self.weight)

    def score(self, embeddings: Floats) -> Floats:
        """Return (n,) float32 scores."""
        values = embeddings @ self.weight + np.float32(self.bias)
        if self.sigmoid:
            values = 1 / (1 + np.exp(-values))
        return np.asarray(values, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Head:
    """A loaded head; a few MB of numbers at most, so it may also travel in a closure.

    Attributes:
        model_id: Which head.
        embedding_models: The ids of the models whose vectors it takes.
        net: Its arithmetic.
    """

    model_id: str
    embedding_models: tuple[str, ...]
    net: Net

    @property
    def dim(self) -> int:
        """Return the length of the vectors it takes."""
        return self.net.dim

    def check(self, model_id: str) -> None:
        """Return nothing where the head takes vectors of `model_id`.

        Raises:
            ModelError: It does not.
        """
        if model_id not in self.embedding_models:
            raise ModelError(
                f"embeddings for head {self.model_id!r} must be of {' or '.join(self.embedding_models)}. "
                f"Got {model_id!r}. Take the head of that model, or set `embedding_model`."
            )

    def __call__(self, embeddings: Array, model_id: str | None = None) -> Floats:
        """Return scores, (n,) float32.

        Args:
            embeddings: (n, dim), unit vectors.
            model_id: The id of the model that made them; checked where given.

        Raises:
            ModelError: Vectors of another length or another model.
        """
        if model_id is not None:
            self.check(model_id)
        vectors = np.asarray(embeddings, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise ModelError(
                f"embeddings for head {self.model_id!r} must be of shape (n, {self.dim}). "
                f"Got {vectors.shape!r}. A head takes the vectors of its own model only."
            )
        return self.net.score(vectors)


@dataclass(frozen=True)
class HeadSpec:
    """Which head; `setup` reads it.

    Attributes:
        kind: "laion_nsfw" (.npz weights with a .json vocabulary), "laion_aesthetic" (.pth, linear or MLP)
            or "linear" (.safetensors with its metadata).
        path: Its file.
        vocabulary: For "laion_nsfw"; by default the file beside it that ends in _vocab.json.
        embedding_model: The id of the model whose vectors it takes, where the file is for another id than
            the default (OpenAI's ViT-B/32 or ViT-L/14 for LAION's heads, the metadata for "linear").
        cast_float16: For "laion_nsfw"; see `heads_laion`.
    """

    kind: str
    path: str
    vocabulary: str = ""
    embedding_model: str = ""
    cast_float16: bool = True

    def __post_init__(self) -> None:
        check_choice("kind of a head", self.kind, HEAD_KINDS)

    @property
    def model_id(self) -> str:
        """Return "<kind>/<file>@<digest>"."""
        file = local_path(self.path)
        return f"{self.kind}/{file.stem}@{file_digest(file)}"

    @property
    def consumes(self) -> str:
        """Return "embedding": it scores vectors, not bytes of images."""
        return "embedding"

    def setup(self, device: str = "cpu", threads: int | None = None) -> Head:
        """Return the head in memory; `device` and `threads` are those of the protocol, numpy needs neither.

        Raises:
            ModelError: The file is not such a head.
        """
        file = local_path(self.path)
        net, trained_on = self._load(file)
        if not np.isfinite(net.score(np.zeros((1, net.dim), np.float32))).all():
            raise ModelError(f"weights of a head must be finite numbers. Got NaN or infinity in {str(file)!r}.")
        models = (self.embedding_model,) if self.embedding_model else trained_on
        if not models:
            raise ModelError(f"embedding_model must be set for {self.path!r}. Got none in its file.")
        return Head(self.model_id, models, net)

    def _load(self, file: Path) -> tuple[Net, tuple[str, ...]]:
        if self.kind == "linear":
            return load_linear(file)
        net: Net
        if self.kind == "laion_nsfw":
            vocabulary = self.vocabulary or str(file).replace("_weights.npz", "_vocab.json")
            net = load_nsfw(file, local_path(vocabulary), self.cast_float16)
        else:
            net = load_aesthetic(file)
        return net, _OPENAI.get(net.dim, ())


def load_linear(file: Path) -> tuple[LinearNet, tuple[str, ...]]:
    """Return a linear head of a safetensors file, and the embedding models that its metadata names.

    The file holds `weight` (dim) and `bias` (1); the metadata holds embedding_model, and link: "sigmoid"
    or "identity".

    Raises:
        ModelError: It does not.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="numpy") as opened:
            meta: dict[str, str] = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
        link = meta.get("link", "sigmoid")
        check_choice("link of a linear head", link, ("sigmoid", "identity"))
        weight, bias = np.asarray(tensors["weight"], dtype=np.float32), tensors["bias"].ravel()
        if max(weight.shape, default=0) != weight.size or bias.size != 1:
            shapes = f"{weight.shape} and {tensors['bias'].shape}"
            raise ModelError(
                f"weight and bias of a linear head must be one vector and one number. Got {shapes} in {str(file)!r}."
            )
        net = LinearNet(weight.ravel(), float(bias[0]), sigmoid=link == "sigmoid")
    except (SafetensorError, KeyError) as error:
        raise ModelError(f"linear head must hold weight and bias. Got {str(file)!r}: {error}.") from error
    trained_on = meta.get("embedding_model", "")
    return net, (trained_on,) if trained_on else ()


def save_linear(file: Path, weight: Floats, bias: float, meta: dict[str, str]) -> None:
    """Write a linear head that `load_linear` reads.

    Args:
        file: Ends in .safetensors.
        weight: (dim,).
        bias: Added before the link.
        meta: embedding_model, link ("sigmoid" or "identity"), and whatever else is worth keeping.
    """
    from safetensors.numpy import save_file

    tensors = {
        "weight": np.ascontiguousarray(weight, dtype=np.float32),
        "bias": np.array([bias], dtype=np.float32),
    }
    save_file(tensors, str(file), metadata={**meta, "dim": str(len(weight))})
    file.chmod(0o644)  # safetensors lets only the owner read


def load_aesthetic(file: Path) -> LinearNet:
    """Return one of LAION's aesthetic heads as one linear map.

    The MLP of github.com/christophschuhmann/improved-aesthetic-predictor has no activations between its
    layers, so its matrices multiply into one vector: the same score, for a thousandth of the work.

    Raises:
        ModelError: The file holds something else.
    """
    weights = _read_pth(file)
    names = sorted((key for key in weights if key.endswith("weight")), key=_layer_number)
    if not names or weights[names[-1]].shape[0] != 1:
        raise ModelError(f"aesthetic head must hold linear layers to one score. Got {sorted(weights)!r}.")
    matrix = np.eye(weights[names[0]].shape[1])
    offset = np.zeros(len(matrix))
    for name in names:
        layer = weights[name].astype(np.float64)
        matrix = layer @ matrix
        offset = layer @ offset + weights[name.replace("weight", "bias")].astype(np.float64)
    return LinearNet(matrix[0].astype(np.float32), float(offset[0]))


def _read_pth(file: Path) -> dict[str, Any]:
    """Return the arrays of a .pth file; `weights_only` refuses pickled code."""
    import torch

    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
        return {str(key): np.asarray(value.numpy()) for key, value in loaded.items()}
    except Exception as error:  # pickle, zip and torch each have their own
        raise ModelError(f"aesthetic head must be plain weights. Got {str(file)!r}: {error}") from error


def _layer_number(name: str) -> int:
    return int("".join(filter(str.isdigit, name)) or 0)
