"""The fast decode path against Pillow on real images: pixels within 3 levels, vectors within 0.9995."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twigma_spark.models.decode import probe
from twigma_spark.models.onnx import OnnxEncoder, OnnxNet
from twigma_spark.models.pixels import Preparation, prepare
from twigma_spark.models.registry import image_encoder, scorer

pytestmark = pytest.mark.realdata

CLASSES = ["Drawing", "Hentai", "Neutral", "Porn", "Sexy"]


def files(shared_data: Path, folder: str, count: int) -> list[bytes]:
    paths = sorted((shared_data / folder).glob("*.jpg"))
    return [path.read_bytes() for path in paths[:: max(1, len(paths) // count)][:count]]


def largest_difference(content: bytes, how: Preparation) -> int:
    slow = Preparation(how.height, how.width, how.fit, how.interpolation, "pillow")
    return int(np.abs(prepare(content, how).astype(int) - prepare(content, slow)).max())


@pytest.mark.parametrize("folder", ["genai", "art", "photo"])
@pytest.mark.parametrize("how", [Preparation(224, 224), Preparation(384, 384, "squash"), Preparation(64, 64)])
def test_pixels_are_within_3_levels(shared_data: Path, folder: str, how: Preparation) -> None:
    assert max(largest_difference(content, how) for content in files(shared_data, folder, 20)) <= 3


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("side", [3600, 4200])
def test_scaled_decoding_of_large_images_is_within_3_levels(shared_data: Path, side: int, subsampling: int) -> None:
    """Mosaics, for want of large photographs: their seams are harder than anything in one."""
    tiles = [Image.open(io.BytesIO(content)) for content in files(shared_data, "art", 60)]
    mosaic = Image.new("RGB", (side, side))
    for number in range((side // 300) ** 2):
        at = (number % (side // 300) * 300, number // (side // 300) * 300)
        mosaic.paste(tiles[number % len(tiles)].convert("RGB"), at)
    out = io.BytesIO()
    mosaic.save(out, "JPEG", quality=88, subsampling=subsampling)
    assert largest_difference(out.getvalue(), Preparation(224, 224)) <= 3


@pytest.mark.parametrize("folder", ["genai", "art", "photo"])
def test_vectors_are_within_cosine_0_9995(shared_data: Path, folder: str) -> None:
    path = str(shared_data / "models/nsfw_mobilenet_v2.onnx")
    contents = files(shared_data, folder, 24)
    fast, slow = (
        OnnxEncoder(OnnxNet(path, "flatten_1_o", decode=decode)).setup(threads=1)(contents)
        for decode in ("fast", "pillow")
    )
    assert fast.shape == (len(contents), 1280)
    assert (fast * slow).sum(axis=1).min() >= 0.9995


def test_the_real_encoder_tells_images_apart(shared_data: Path) -> None:
    settings = {"kind": "onnx", "path": str(shared_data / "models/nsfw_mobilenet_v2.onnx")}
    encoder = image_encoder({**settings, "output": "flatten_1_o"}).setup(threads=1)
    photos, art = (encoder(files(shared_data, folder, 20)) for folder in ("photo", "art"))
    within, across = (art @ art.T)[np.triu_indices(20, 1)].mean(), (art @ photos.T).mean()
    assert within > across + 0.05


def test_nsfw_scores_of_harmless_images_are_low(shared_data: Path) -> None:
    settings = {
        "kind": "onnx_classes",
        "path": str(shared_data / "models/nsfw_mobilenet_v2.onnx"),
        "output": "dense_3_o",
        "classes": CLASSES,
        "positive": ["Hentai", "Porn", "Sexy"],
    }
    scores = scorer(settings).setup(threads=1)(files(shared_data, "photo", 20))
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert np.median(scores) < 0.2


def test_headers_of_real_files(shared_data: Path) -> None:
    assert {probe(content)[:] for content in files(shared_data, "genai", 20)} == {("JPEG", 288, 288)}
    assert all(max(probe(content)[1:]) == 448 for content in files(shared_data, "art", 20))
