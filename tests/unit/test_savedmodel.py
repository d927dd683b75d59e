"""The reader of TensorFlow's files, on files made here by the format's description."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest

from twigma_spark.errors import ModelError
from twigma_spark.models import savedmodel
from twigma_spark.models.heads_conversion import arrays, convert_nsfw, vocabularies


def varint(value: int) -> bytes:
    digits = []
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: Mapping[bytes, bytes]) -> bytes:
    """Return a block whose keys share what they can with the one before."""
    body, before = b"", b""
    for key, value in entries.items():
        shared = len([*takewhile(lambda pair: pair[0] == pair[1], zip(before, key, strict=False))])
        body += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return body + struct.pack("<II", 0, 1)


def table(entries: Mapping[bytes, bytes]) -> bytes:
    """Return a LevelDB table of one data block, without compression and with checksums of nothing."""
    data = block(entries)
    index = block({b"~": varint(0) + varint(len(data))})
    start = len(data) + 5
    footer = varint(0) + varint(0) + varint(start) + varint(len(index))
    return data + b"\0" * 5 + index + b"\0" * 5 + footer.ljust(48, b"\0")


def bundle() -> tuple[bytes, bytes]:
    """Return index and data of two float variables, one of strings, and the bundle's own entry."""
    shape = b"".join(field(2, field(1, size)) for size in (2, 3))
    kernel = field(1, 1) + field(2, shape) + field(4, 8) + field(5, 24)
    bias = field(1, 1) + field(2, field(2, field(1, 2))) + field(5, 8)
    words = field(1, 7) + field(5, 0)
    suffix = b"/.ATTRIBUTES/VARIABLE_VALUE"
    entries = {
        b"": field(1, 1),
        b"layer_with_weights-0/encoding_layers/92/token_counts/.ATTRIBUTES/table-keys": words,
        b"layer_with_weights-2/bias" + suffix: bias,
        b"layer_with_weights-2/kernel" + suffix: kernel,
    }
    return table(entries), np.arange(8, dtype="<f4").tobytes()


def graph(*constants: list[bytes]) -> bytes:
    """Return a SavedModel whose graph has these constants of strings."""
    nodes = b""
    for words in constants:
        tensor = field(1, 7) + b"".join(field(8, word) for word in words)
        attribute = field(1, b"value") + field(2, field(8, tensor))
        nodes += field(1, field(1, b"name") + field(2, b"Const") + field(5, attribute))
    return field(2, field(2, nodes + field(1, field(2, b"MatMul"))))


def test_variables_come_back_with_their_names_and_shapes() -> None:
    found = arrays(*bundle())
    assert found.keys() == {"kernel2", "bias2"}
    assert found["bias2"].tolist() == [0, 1]
    assert found["kernel2"].tolist() == [[2, 3, 4], [5, 6, 7]]


def test_lists_of_words_come_back_and_single_strings_do_not() -> None:
    assert savedmodel.read_vocabularies(graph([b"a", b"b"], [b"\xff"], [b"c", b"d"])) == [["a", "b"], ["c", "d"]]


def test_words_count_from_one_and_each_column_has_its_own() -> None:
    index, _ = bundle()
    assert vocabularies(index, [["x", "y"]]) == {"int_columns": [92], "vocab": {"92": {"x": 1, "y": 2}}}
    with pytest.raises(ModelError, match="Got 0 for 1"):
        vocabularies(index, [])


def test_damaged_files_are_refused_wherever_they_end() -> None:
    index, data = bundle()
    for end in range(len(index)):
        with pytest.raises((ValueError, KeyError)):
            savedmodel.read_floats(index[:end], data)
    whole = graph([b"aa", b"bb"])
    for end in range(1, len(whole)):
        with pytest.raises(ValueError):
            savedmodel.read_vocabularies(whole[:end])


def test_only_the_published_files_are_converted(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="existing file"):
        convert_nsfw(tmp_path / "none.zip", tmp_path)
    (tmp_path / "other.zip").write_bytes(b"PK")
    with pytest.raises(ModelError, match="as LAION published it"):
        convert_nsfw(tmp_path / "other.zip", tmp_path)
