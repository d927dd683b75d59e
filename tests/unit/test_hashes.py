"""Perceptual hashes: small changes keep them, other pictures do not have them."""

from __future__ import annotations

import io

import imagehash
import numpy as np
import pytest
from PIL import Image

from twigma_spark.models.decode import ImageError
from twigma_spark.models.hashes import _ONES, BITS, SIZE, distance, hashes


def drawn(seed: int) -> Image.Image:
    soft = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(soft).resize((300, 300), Image.Resampling.BICUBIC)


def file(image: Image.Image, name: str = "PNG", **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue()


def apart(one: bytes, other: bytes) -> int:
    return int(distance(hashes(one)[None], hashes(other)[None])[0])


@pytest.mark.parametrize(
    "changed",
    [
        file(drawn(1), "JPEG", quality=60),
        file(drawn(1).resize((210, 210))),
        file(drawn(1).convert("L")),
        file(drawn(1).crop((12, 12, 288, 288))),
        file(drawn(1).crop((0, 0, 285, 285))),
        file(drawn(1).crop((20, 22, 300, 300))),
    ],
)
def test_a_changed_copy_is_near(changed: bytes) -> None:
    assert apart(file(drawn(1)), changed) <= 24


def test_another_picture_is_far() -> None:
    assert min(apart(file(drawn(1)), file(drawn(seed))) for seed in range(2, 12)) > 60


def test_the_first_hash_is_that_of_imagehash_on_the_shrunk_picture() -> None:
    small = drawn(3).convert("L").resize((128, 128), Image.Resampling.BILINEAR, reducing_gap=2.0)
    whole, window = (
        small,
        small.crop((0, 0, 128, 128)).resize((64, 64), Image.Resampling.LANCZOS, (5.12, 0, 122.88, 117.76)),
    )
    found = hashes(file(drawn(3)))
    assert (np.unpackbits(found[0])[:BITS] == imagehash.phash(whole, hash_size=SIZE).hash.ravel()).all()
    assert (np.unpackbits(found[13])[:BITS] == imagehash.phash(window, hash_size=SIZE).hash.ravel()).all()


def test_the_distance_is_the_least_of_whole_against_window_either_way() -> None:
    rng = np.random.default_rng(4)
    one, other = (rng.integers(0, 256, (5, 3, 32), dtype=np.uint8) for _ in "ab")
    wanted = [
        min(
            min(int(np.unpackbits(a[0] ^ w).sum()) for w in b),
            min(int(np.unpackbits(b[0] ^ w).sum()) for w in a),
        )
        for a, b in zip(one, other, strict=True)
    ]
    assert distance(one, other).tolist() == wanted
    assert _ONES[0b1011] == 3


def test_a_broken_file_is_an_error() -> None:
    with pytest.raises(ImageError):
        hashes(b"broken")
