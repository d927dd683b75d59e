"""A small ONNX network in a file, written byte by byte, without `onnx`."""

from __future__ import annotations

from pathlib import Path


def field(number: int, value: int | str | bytes) -> bytes:
    """One protobuf field: a varint, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def tensor(name: str, shape: list[int | str], kind: int = 1) -> bytes:
    dims = b"".join(field(1, field(1 if isinstance(dim, int) else 2, dim)) for dim in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def mean_colour_network(path: Path, shape: list[int | str], batch: int | str, outputs: int = 1) -> str:
    """A network that returns each image's mean red, green and blue, as ReduceMean over its pixels."""
    axes = [1, 2] if shape[3] == 3 else [2, 3]
    options = field(5, field(1, "axes") + b"".join(field(8, axis) for axis in axes) + field(20, 7))
    options += field(5, field(1, "keepdims") + field(3, 0) + field(20, 2))
    names = [f"out{number}" for number in range(outputs)]
    nodes = b"".join(field(1, field(1, "pixels") + field(2, name) + field(4, "ReduceMean") + options) for name in names)
    ends = b"".join(field(12, tensor(name, [batch, 3])) for name in names)
    graph = nodes + field(2, "g") + field(11, tensor("pixels", shape)) + ends
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return str(path)
