"""Perceptual hashes: small changes keep them, other pictures do not have them."""

from __future__ import annotations

import io
from typing import Any

import imagehash
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps
from scipy.fft import dctn, idctn

from twigma_spark.models import hashes
from twigma_spark.models.decode import ImageError
from twigma_spark.models.hashes import (
    _ONES,
    DIM,
    FLIP,
    LOW,
    MIRROR,
    NEGATIVE,
    SIZE,
    TRANSPOSE,
    VECTOR_BYTES,
    WINDOW_BYTES,
    Hasher,
    compute_hash,
    distance,
    turn_vectors,
    turn_windows,
    unpack_windows,
)


def drawn(seed: int) -> Image.Image:
    soft = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(soft).resize((300, 300), Image.Resampling.BICUBIC)


def file(image: Image.Image, name: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue()


def apart(one: bytes, other: bytes) -> int:
    return int(distance(compute_hash(one).windows[None], compute_hash(other).windows[None])[0])


def alike(one: bytes, other: bytes) -> float:
    return float(compute_hash(one).vector.astype(float) @ compute_hash(other).vector.astype(float))


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


@pytest.mark.parametrize("box", [(12, 12, 288, 288), (0, 0, 285, 285), (15, 0, 300, 300)])
def test_a_crop_is_a_candidate(box: tuple[int, int, int, int]) -> None:
    """Of a picture with the spectrum that photographs have: amplitude falls with the frequency."""
    rng = np.random.default_rng(1)
    amplitude = 1 / np.maximum(np.hypot(*np.indices((300, 300))), 1)
    levels = idctn(rng.standard_normal((300, 300)) * amplitude)
    levels = (levels - levels.mean()) / levels.std() * 50 + 128
    picture = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    assert alike(file(picture), file(picture.crop(box))) >= 0.8
    assert alike(file(picture), file(picture, "JPEG", quality=30)) >= 0.99


def test_another_picture_is_far() -> None:
    assert min(apart(file(drawn(1)), file(drawn(seed))) for seed in range(2, 12)) > 60
    assert max(alike(file(drawn(1)), file(drawn(seed))) for seed in range(2, 12)) < 0.6


def test_the_bits_are_the_signs_of_scipy_s_transform() -> None:
    small = drawn(3).convert("L").resize((128, 128), Image.Resampling.BILINEAR, reducing_gap=2.0)
    found = compute_hash(file(drawn(3))).windows
    for place, box in ((0, (0, 0, 128, 128)), (13, (5.12, 0, 122.88, 117.76))):
        window = np.asarray(small.resize((64, 64), Image.Resampling.LANCZOS, box), float)
        low = dctn(window)[:SIZE, :SIZE]
        low[0, 0] = 0
        assert (np.unpackbits(found[place]).reshape(SIZE, SIZE) == (low > 0)).all()


def test_the_bits_are_those_of_imagehash_but_for_its_median() -> None:
    """Against the median as many bits are 1 as 0; the median of frequencies is about 0."""
    small = drawn(3).convert("L").resize((128, 128), Image.Resampling.BILINEAR, reducing_gap=2.0)
    found = np.unpackbits(compute_hash(file(drawn(3))).windows[0])
    assert (found == imagehash.phash(small, hash_size=SIZE).hash.ravel()).mean() >= 0.95


def test_the_pixel_vector_is_the_lowest_frequencies_times_their_own() -> None:
    small = drawn(3).convert("L").resize((128, 128), Image.Resampling.BILINEAR, reducing_gap=2.0)
    low = dctn(np.asarray(small.resize((64, 64), Image.Resampling.LANCZOS), float))[:LOW, :LOW]
    wanted = (low * np.hypot(*np.indices((LOW, LOW)))).ravel()[1:]
    found = compute_hash(file(drawn(3))).vector
    assert found.shape == (DIM,) and found == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-3)


@pytest.mark.parametrize("options", [{}, {"keep_rgb": True}, {"progressive": True}])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_file_is_decoded_as_in_grey(options: dict[str, bool], orientation: int) -> None:
    """Files in YCbCr and in RGB, upright and turned; where its colours are decoded too, the hash is the same."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = file(drawn(3).resize((900, 600)), "JPEG", exif=exif, **options)
    grey = Image.open(io.BytesIO(content))
    grey.draft("L", (256, 256))
    wanted = hashes.hash_picture(ImageOps.exif_transpose(grey))
    found = compute_hash(content)
    assert (found.windows == wanted.windows).all() and (found.vector == wanted.vector).all()


def test_the_value_is_vector_windows_and_thumbnail() -> None:
    content = file(drawn(3), "JPEG", quality=95)
    (value,) = Hasher().setup()([content])
    hashed, picture = value[: VECTOR_BYTES + WINDOW_BYTES], Image.open(io.BytesIO(value[VECTOR_BYTES + WINDOW_BYTES :]))
    assert hashed == b"".join(part.tobytes() for part in compute_hash(content))
    assert (picture.format, picture.size) == ("JPEG", (64, 64))
    small = drawn(3).resize((64, 64), Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(picture.convert("RGB"), float) - np.asarray(small, float)).mean() < 6


TURNED = {
    MIRROR: ImageOps.mirror,
    FLIP: ImageOps.flip,
    MIRROR + FLIP: lambda image: image.rotate(180),
    TRANSPOSE: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    TRANSPOSE + MIRROR: lambda image: image.transpose(Image.Transpose.ROTATE_270),
    TRANSPOSE + FLIP: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    TRANSPOSE + MIRROR + FLIP: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    NEGATIVE: ImageOps.invert,
}


@pytest.mark.parametrize("turn", TURNED)
def test_the_hash_of_a_turned_picture_is_the_turned_hash(turn: int) -> None:
    one, turned = compute_hash(file(drawn(1))), compute_hash(file(TURNED[turn](drawn(1))))
    assert distance(turn_windows(one.windows[None], turn), turned.windows[None])[0] <= 2
    assert distance(one.windows[None], turned.windows[None])[0] > 60
    vector = turn_vectors(one.vector[None].astype(np.float32), turn)[0]
    assert vector == pytest.approx(turned.vector.astype(np.float32), abs=5e-3)


def test_a_flat_picture_has_no_pixel_vector() -> None:
    grey = Image.new("RGB", (40, 30), (90, 91, 92))
    assert not compute_hash(file(grey, "JPEG")).vector.any()
    grey.putpixel((3, 3), (94, 91, 92))
    assert not compute_hash(file(grey)).vector.any()


def test_a_broken_or_too_large_file_has_no_hash() -> None:
    for content in (b"broken", file(drawn(1))):
        with pytest.raises(ImageError):
            Hasher(max_pixels=100).setup()([content])


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


def test_windows_come_back_from_their_bytes_also_of_no_image() -> None:
    own = compute_hash(file(drawn(1))).windows
    assert (unpack_windows([own.tobytes()] * 2) == own).all()
    assert unpack_windows([]).shape == (0, *own.shape) and distance(unpack_windows([]), unpack_windows([])).size == 0


def test_a_broken_file_is_an_error() -> None:
    with pytest.raises(ImageError):
        compute_hash(b"broken")
