"""Thumbnails of an atlas: their size is bounded, and a blurred one holds nothing of the picture but colours."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from twigma_spark.models.decode import ImageError
from twigma_spark.models.small_jpegs import MOST_BYTES, SIDE, small_jpeg


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    return image


@settings(max_examples=15)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 9))
def test_noise_of_any_shape_stays_under_the_bound(width: int, height: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    jpeg = small_jpeg(png(noise), blurred=False)
    assert len(jpeg) <= MOST_BYTES
    assert max(opened(jpeg).size) <= SIDE


def test_a_plain_picture_is_kept_at_full_side_and_shape() -> None:
    pixels = np.zeros((100, 200, 3))
    pixels[:, 100:] = 255
    image = opened(small_jpeg(png(pixels), blurred=False))
    assert image.size == (SIDE, SIDE // 2)
    row = np.asarray(image.convert("L"), float)[16]
    assert row[:30].max() < 30
    assert row[34:].min() > 225


def test_two_pictures_that_differ_in_detail_alone_are_blurred_to_the_same() -> None:
    board = np.indices((100, 100)).sum(axis=0) // 4 % 2 * 255.0
    upright, mirrored = (np.repeat(each[..., None], 3, axis=2) for each in (board, 255 - board))
    blurred = [np.asarray(opened(small_jpeg(png(p), blurred=True)).convert("L"), float) for p in (upright, mirrored)]
    assert np.abs(blurred[0] - blurred[1]).max() < 12
    assert np.abs(blurred[0] - 127.5).max() < 12
    plain = [np.asarray(opened(small_jpeg(png(p), blurred=False)).convert("L"), float) for p in (upright, mirrored)]
    assert np.abs(plain[0] - plain[1]).max() > 150


def test_a_blurred_picture_keeps_its_shape() -> None:
    assert opened(small_jpeg(png(np.full((50, 200, 3), 99.0)), blurred=True)).size == (SIDE, SIDE // 4)


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_what_is_no_picture_has_no_thumbnail(content: bytes) -> None:
    with pytest.raises(ImageError):
        small_jpeg(content, blurred=False)
