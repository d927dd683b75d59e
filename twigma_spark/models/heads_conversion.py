"""LAION's published NSFW detectors, Keras models in zip files, as the arrays that `heads_laion` reads."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from pathlib import Path

import numpy as np

from twigma_spark.errors import ModelError
from twigma_spark.models import savedmodel

# SHA-256 of the files of github.com/LAION-AI/CLIP-based-NSFW-Detector, for ViT-L/14 and for ViT-B/32.
PUBLISHED = {
    "905520bb0336accc73ee282c605d926aef90cf14248889d44b9cee50eef71f8a": "clip_autokeras_binary_nsfw",
    "78715ab9d64485167e8c9ade3b8e6761a17a16c24d114bd47431ac1dab46462b": "clip_autokeras_nsfw_b32",
}
_LAYER = re.compile(r"layer_with_weights-(\d+)/(kernel|bias|mean|variance)/\.ATTRIBUTES/VARIABLE_VALUE")
_COLUMN = re.compile(r"layer_with_weights-0/encoding_layers/(\d+)/")


def convert_nsfw(file: Path, out: Path) -> tuple[Path, Path]:
    """Return the weights (.npz) and the vocabulary (.json) that were written into the folder `out`.

    Args:
        file: clip_autokeras_binary_nsfw.zip or clip_autokeras_nsfw_b32.zip, as published.
        out: is made where it is not there.

    Raises:
        ModelError: The file is another.
    """
    if not file.is_file():
        raise ModelError(f"NSFW detector must be an existing file. Got {str(file)!r}.")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest not in PUBLISHED:
        names = " or ".join(f"{name}.zip" for name in PUBLISHED.values())
        raise ModelError(f"NSFW detector must be {names} as LAION published it. Got {str(file)!r} of SHA-256 {digest}.")
    name = PUBLISHED[digest]
    with zipfile.ZipFile(file) as archive:
        index = archive.read(f"{name}/variables/variables.index")
        data = archive.read(f"{name}/variables/variables.data-00000-of-00001")
        words = savedmodel.read_vocabularies(archive.read(f"{name}/saved_model.pb"))
    out.mkdir(parents=True, exist_ok=True)
    weights, vocabulary = out / f"{name}_weights.npz", out / f"{name}_vocab.json"
    np.savez_compressed(weights, **arrays(index, data))
    vocabulary.write_text(json.dumps(vocabularies(index, words)), encoding="utf-8")
    return weights, vocabulary


def arrays(index: bytes, data: bytes) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Return mean and variance, and kernel2, bias2 and so on, numbered as the layers are."""
    named = {}
    for name, array in savedmodel.read_floats(index, data).items():
        if layer := _LAYER.fullmatch(name):
            number = layer[1] if layer[2] in ("kernel", "bias") else ""
            named[layer[2] + number] = array
    return named


def vocabularies(index: bytes, words: list[list[str]]) -> dict[str, object]:
    """Return the vocabulary of each categorical column: words count from 1, the columns are in the graph's order.

    Raises:
        ModelError: There are more columns than vocabularies, or fewer.
    """
    columns = sorted({int(match[1]) for name in savedmodel.names(index) if (match := _COLUMN.match(name))})
    if len(columns) != len(words):
        raise ModelError(f"each categorical column must have a vocabulary. Got {len(words)} for {len(columns)}.")
    vocab = {
        str(column): {word: number for number, word in enumerate(match, 1)}
        for column, match in zip(columns, words, strict=True)
    }
    return {"int_columns": columns, "vocab": vocab}
