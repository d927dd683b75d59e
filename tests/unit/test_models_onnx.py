"""ONNX networks of either layout and any batch."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.onnx_network import field, mean_colour_network
from twigma_spark.errors import ModelError
from twigma_spark.models.onnx import OnnxEncoder, OnnxNet, OnnxScorer
from twigma_spark.models.runner import run_batches

COLOURS = [(200, 40, 10), (10, 90, 200), (0, 0, 0), (255, 255, 255), (128, 1, 60)]


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


def test_weights_in_files_beside_the_network_are_part_of_its_id(tmp_path: Path) -> None:
    tensors = b"".join(
        field(5, field(8, name) + field(13, field(1, "location") + field(2, file)) + field(14, 1))
        for name, file in (("w", "net.bin"), ("b", "net.bin"), ("v", "gone.bin"))
    )
    path, weights = tmp_path / "net.onnx", tmp_path / "net.bin"
    path.write_bytes(field(1, 8) + field(7, tensors))
    ids = [OnnxNet(str(path)).model_id]
    for content in (b"one", b"other"):
        weights.write_bytes(content)
        path.touch()  # the names are looked up once a version of the file
        ids.append(OnnxNet(str(path)).model_id)
    assert len(set(ids)) == 3


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
