"""Arrays and constants of a TensorFlow SavedModel, read without TensorFlow; nothing of it is run.

The variables are a "tensor bundle": an index that is a LevelDB table of protocol buffers (tensorflow/core/util/
tensor_bundle), beside the bytes. Field numbers are those of tensorflow/core/protobuf and framework.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FOOTER, _TRAILER = 48, 5
_FLOAT, _STRING = 1, 7


def read_floats(index: bytes, data: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the float32 variables of a bundle of one shard, by their names in the checkpoint.

    Raises:
        ValueError: The bytes are not those of such a bundle.
    """
    named = {}
    for name, entry in _table(index):
        values = dict(_fields(entry))
        if not name or values.get(1) != _FLOAT:  # the entry without a name is the bundle's own
            continue
        start, size = values.get(4, 0), values.get(5, 0)
        array: NDArray[np.float32] = np.frombuffer(data[start : start + size], dtype="<f4")
        named[name.decode()] = array.reshape(_shape(values.get(2, b""))).astype(np.float32)
    return named


def names(index: bytes) -> list[str]:
    """Return the names of all variables of a bundle."""
    return [name.decode() for name, _ in _table(index)]


def read_vocabularies(saved_model: bytes) -> list[list[str]]:
    """Return the constants of a SavedModel's graph that are lists of words, in the order of the graph.

    Raises:
        ValueError: The bytes are not those of a SavedModel.
    """
    graphs = [graph for meta_graph in _all(saved_model, 2) for graph in _all(meta_graph, 2)]
    lists = [_words(node) for graph in graphs for node in _all(graph, 1)]
    # A single string is no list, and need be no text.
    return [[word.decode() for word in words] for words in lists if len(words) > 1]


def _words(node: bytes) -> list[bytes]:
    """Return the strings of a node that is a constant of them, else none."""
    if next(iter(_all(node, 2)), b"") != b"Const":
        return []
    for attribute in _all(node, 5):
        entry = dict(_fields(attribute))
        if entry.get(1) == b"value":
            for tensor in _all(entry[2], 8):
                if dict(_fields(tensor)).get(1) == _STRING:
                    return _all(tensor, 8)
    return []


def _shape(message: bytes) -> list[int]:
    """Return the sizes of a TensorShapeProto."""
    return [dict(_fields(dimension)).get(1, 0) for dimension in _all(message, 2)]


def _all(message: bytes, number: int) -> list[Any]:
    return [value for field, value in _fields(message) if field == number]


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field of a protocol buffer: an integer, or bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a protocol buffer must have fields of kind 0, 1, 2 or 5. Got {kind}.")
        if at + size > len(message):
            raise ValueError("a protocol buffer must be whole. Got one that is cut off.")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return an integer of seven bits a byte, and where the next thing begins."""
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("an integer must end within the data. Got none that does.")


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each entry of a LevelDB table that is not compressed."""
    _, at = _handle(data[-_FOOTER:], 0)
    index, _ = _handle(data[-_FOOTER:], at)
    for _, handle in _block(data, *index):
        yield from _block(data, *_handle(handle, 0)[0])


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Return offset and size of a block, and where the next handle begins."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a block: a key shares its beginning with the one before."""
    block = data[offset : offset + size + _TRAILER]
    if len(block) < size + _TRAILER or size < 4 or block[size] != 0:
        raise ValueError("a table must be whole and not compressed. Got another.")
    end = size - 4 * (1 + int.from_bytes(block[size - 4 : size], "little"))
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length
