"""LAION's CLIP-based NSFW detectors (github.com/LAION-AI/CLIP-based-NSFW-Detector), in numpy.

The published Keras models treat a few columns of the embedding as categories: the value is printed as
"%.6f" and looked up in a vocabulary, whose index (0 for a miss) takes its place. Every word of the
vocabulary is a float16 value, so float32 embeddings miss and the score moves by up to 0.26. Embeddings are
therefore cast to float16 first, as those that the detectors were trained on were stored.

The layers are computed in float64: in float32 the scores depend on the processor in their sixth decimal.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twigma_spark.errors import ModelError
from twigma_spark.models.base import Floats


@dataclass(frozen=True, eq=False)
class NsfwNet:
    """Categories, normalisation, dense layers with ReLU between them, sigmoid.

    Attributes:
        vocabulary: For each categorical column, the index of each printed value.
        mean: (dim,).
        scale: (dim,) standard deviations.
        layers: Kernel (in, out) and bias (out,) of each layer.
        cast_float16: False gives the published model's own scores for float32 input, misses and all.
    """

    vocabulary: dict[int, dict[str, int]]
    mean: Floats
    scale: Floats
    layers: tuple[tuple[Floats, Floats], ...]
    cast_float16: bool = True

    @property
    def dim(self) -> int:
        """Return the length of the vectors."""
        return len(self.mean)

    def score(self, embeddings: Floats) -> Floats:
        """Return (n,) float32 probabilities of NSFW."""
        values = self._encode_categories(embeddings).astype(np.float64)
        values -= self.mean
        values /= self.scale
        for kernel, bias in self.layers[:-1]:
            values = np.maximum(values @ kernel + bias, 0)
        kernel, bias = self.layers[-1]
        logits = (values @ kernel + bias)[:, 0]
        return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)

    def _encode_categories(self, embeddings: Floats) -> Floats:
        """Return a copy whose categorical columns hold vocabulary indices."""
        halves = embeddings.astype(np.float16) if self.cast_float16 else embeddings
        values = halves.astype(np.float32)
        for column, words in self.vocabulary.items():
            values[:, column] = _look_up(halves[:, column], words)
        return values


def load_nsfw(weights: Path, vocabulary: Path, cast_float16: bool = True) -> NsfwNet:
    """Return a detector of its arrays (.npz, never unpickled) and its vocabulary (.json).

    Raises:
        ModelError: The files are not those of a detector.
    """
    try:
        with np.load(weights, allow_pickle=False) as arrays:
            layers = _layers(dict(arrays))
            mean, variance = arrays["mean"], arrays["variance"]
        words = json.loads(vocabulary.read_text(encoding="utf-8"))["vocab"]
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"NSFW head must be the detector's arrays. Got {str(weights)!r}: {error}.") from error
    # Keras' Normalization keeps a standard deviation from being 0 in this way.
    scale = np.maximum(np.sqrt(variance), np.float32(1e-7))
    return NsfwNet({int(column): values for column, values in words.items()}, mean, scale, layers, cast_float16)


def _layers(arrays: dict[str, npt.NDArray[np.float32]]) -> tuple[tuple[Floats, Floats], ...]:
    """Return the dense layers in order; their arrays are named kernel2, bias2, kernel3, ..."""
    numbers = sorted(int(name.removeprefix("kernel")) for name in arrays if name.startswith("kernel"))
    if not numbers:
        raise KeyError("kernel")
    return tuple((arrays[f"kernel{number}"], arrays[f"bias{number}"]) for number in numbers)


def _look_up(values: npt.NDArray[Any], words: dict[str, int]) -> Floats:
    """Return the index of each value as it is printed, 0 where the vocabulary has no such word."""
    distinct, where = np.unique(values, return_inverse=True)
    indices = [words.get(f"{float(value):.6f}", 0) for value in distinct]
    looked_up: Floats = np.array(indices, dtype=np.float32)[where.ravel()]
    return looked_up
