"""Damaged files, by a fixed seed: each is an image or an ImageError, and soon.

What Pillow reads, the fast decoder reads as well; of WebP it reads a little more, since libwebp's own reader looks at
fewer chunks.

`make fuzz` tries more of them, with another seed each time, which a failure names.
"""

from __future__ import annotations

import io
import os
import time

import numpy as np
import pytest
from PIL import Image

from twigma_spark.models.decode import REASONS, ImageError, probe, thumbnail
from twigma_spark.models.pixels import DECODERS, Preparation, prepare

MUTANTS = int(os.environ.get("TWIGMA_FUZZ_MUTANTS", "60"))
SEED = int(os.environ.get("TWIGMA_FUZZ_SEED", "14"))
FORMATS = {
    "JPEG": {}, "progressive": {"format": "JPEG", "progressive": True}, "PNG": {}, "WEBP": {}, "GIF": {}, "BMP": {},
    "TIFF": {"compression": "tiff_lzw"}, "pages": {"format": "TIFF", "save_all": True}, "AVIF": {}, "PPM": {},
}  # fmt: skip
# Some hundred times what a whole file of this size takes.
SECONDS = 10.0


def whole(name: str) -> bytes:
    rng, out = np.random.default_rng(7), io.BytesIO()
    options = dict(FORMATS[name])
    picture = Image.fromarray(rng.integers(0, 255, (48, 40, 3), np.uint8))
    if options.get("save_all"):
        options["append_images"] = [picture.rotate(90, expand=True)]
    picture.save(out, **{"format": name, **options})
    return out.getvalue()


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the content with some bytes changed, a part cut out, doubled, or put elsewhere, or its end cut off."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at, length = int(rng.integers(0, len(data))), int(rng.integers(1, 64))
        kind = rng.integers(0, 5)
        if kind == 0:
            data[at : at + length] = rng.integers(0, 256, min(length, len(data) - at), np.uint8).tobytes()
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = data[at : at + length]
        elif kind == 3:
            data[at] = int(rng.choice([0, 1, 127, 128, 255]))
        else:
            del data[max(at, 1) :]
        if not data:
            break
    return bytes(data)


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_an_image_or_an_error(name: str) -> None:
    rng, content = np.random.default_rng([SEED, *name.encode()]), whole(name)
    assert prepare(content, Preparation(24, 24)).shape == (3, 24, 24)
    for number in range(MUTANTS):
        damaged = mutate(content, rng)
        began, outcomes = time.monotonic(), []
        for decode in DECODERS:
            try:
                pixels = prepare(damaged, Preparation(24, 24, decode=decode, max_pixels=1_000_000))
                assert pixels.shape == (3, 24, 24) and pixels.dtype == np.uint8
                outcomes.append("image")
            except ImageError as error:
                assert error.reason in REASONS and len(str(error)) < 300
                outcomes.append(error.reason)
        for look in (probe, lambda data, limit: thumbnail(data, 16, limit)):
            try:
                look(damaged, 1_000_000)
            except ImageError as error:
                assert error.reason in REASONS
        assert time.monotonic() - began < SECONDS, f"{name}, seed {SEED}, mutant {number}"
        read = dict(zip(DECODERS, outcomes, strict=True))
        assert read["fast"] == "image" or read["pillow"] != "image", f"{name}, seed {SEED}, mutant {number}: {outcomes}"
