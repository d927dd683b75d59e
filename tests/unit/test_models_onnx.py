"""ONNX networks of either layout and any batch; the files are written here, byte by byte, without `onnx`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twigma_spark.errors import ModelError
from twigma_spark.models.onnx import OnnxEncoder, OnnxNet, OnnxScorer
from twigma_spark.models.runner import run_batches

COLOURS = [(200, 40, 10), (10, 90, 200), (0, 0, 0), (255, 255, 255), (128, 1, 60)]


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


def plain(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (20, 30), colour).save(out, "PNG")
    return out.getvalue()


FILES = [plain(colour) for colour in COLOURS]


@pytest.mark.parametrize("shape", [["n", 3, 8, 8], ["n", 8, 8, 3], [2, 3, 8, 8], [4, 8, 8, 3], ["n", 3, "h", "w"]])
def test_layout_and_batch_are_discovered(tmp_path: Path, shape: list[int | str]) -> None:
    path = mean_colour_network(tmp_path / "mean.onnx", shape, shape[0])
    loaded = OnnxEncoder(OnnxNet(path, size=8), normalise=False).setup(threads=1)
    np.testing.assert_allclose(loaded(FILES), np.array(COLOURS) / 255, atol=1e-6)
    values = next(run_batches([FILES], loaded, batch_size=3)).values
    np.testing.assert_allclose(np.stack(values), np.array(COLOURS) / 255, atol=1e-6)
    assert loaded([]).shape == (0, 3)


def test_scale_mean_and_std(tmp_path: Path) -> None:
    path = mean_colour_network(tmp_path / "mean.onnx", ["n", 3, 8, 8], "n")
    net = OnnxNet(path, size=8, scale=1.0, mean=(10, 20, 30), std=(1, 2, 4))
    loaded = OnnxEncoder(net, normalise=False).setup()
    np.testing.assert_allclose(loaded(FILES), (np.array(COLOURS) - [10, 20, 30]) / [1, 2, 4], atol=1e-4)


def test_vectors_have_length_1(tmp_path: Path) -> None:
    path = mean_colour_network(tmp_path / "mean.onnx", ["n", 3, 8, 8], "n")
    lengths = np.linalg.norm(OnnxEncoder(OnnxNet(path, size=8)).setup()(FILES), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 0, 1, 1], atol=1e-6)


def test_a_score_is_the_sum_of_named_classes(tmp_path: Path) -> None:
    path = mean_colour_network(tmp_path / "mean.onnx", ["n", 3, 8, 8], "n")
    spec = OnnxScorer(OnnxNet(path, size=8), ("red", "green", "blue"), ("red", "blue"))
    assert spec.consumes == "image"
    assert spec.model_id.endswith(f"/only:red+blue/{spec.preprocess_rev}")  # `scores` has no column for it
    np.testing.assert_allclose(spec.setup()(FILES), np.array(COLOURS)[:, [0, 2]].sum(1) / 255, atol=1e-6)
    assert spec.setup()([]).shape == (0,)


def test_ids_and_revisions(tmp_path: Path) -> None:
    path = mean_colour_network(tmp_path / "mean.onnx", ["n", 3, 8, 8], "n", outputs=2)
    first, second = OnnxNet(path, output="out0"), OnnxNet(path, output="out1", mean=(1, 2, 3))
    assert first.model_id.startswith("onnx/mean@")
    assert first.model_id.endswith("/out0")
    assert first.preprocess_rev.startswith("fast-v1/fp32/224/squash-bilinear-")
    assert first.preprocess_rev != second.preprocess_rev


def test_refusals(tmp_path: Path) -> None:
    path = mean_colour_network(tmp_path / "mean.onnx", ["n", 3, 8, 8], "n", outputs=2)
    for net, message in (
        (OnnxNet(path, size=8), "output must be one of out0, out1"),
        (OnnxNet(path, output="out7", size=8), "output must be one of"),
        (OnnxNet(path, output="out0", size=9), "3 channels and size 9"),
        (OnnxNet(str(tmp_path / "none.onnx"), size=8), "existing file"),
    ):
        with pytest.raises(ModelError, match=message):
            OnnxEncoder(net).setup()
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(ModelError, match="onnxruntime could not load"):
        OnnxEncoder(OnnxNet(str(tmp_path / "junk.onnx"))).setup()
    with pytest.raises(ModelError, match="positive must be some of a, b"):
        OnnxScorer(OnnxNet(path), ("a", "b"), ("c",))
    with pytest.raises(ModelError, match="classes must name the 3 columns"):
        OnnxScorer(OnnxNet(path, output="out0", size=8), ("a", "b"), ("a",)).setup()
