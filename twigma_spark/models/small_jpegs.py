"""Thumbnails as JPEG files of a bounded size, plain or blurred."""

from __future__ import annotations

import io

from PIL import Image

from twigma_spark.models.decode import MAX_PIXELS, decode_small

# Of the longer side, in pixels.
SIDE = 64
# Bytes of a thumbnail at most, so that a million of them are 2 GB at most.
MOST_BYTES = 2_000
# The first of them whose file is small enough is taken; an image too full of detail for the last one is halved.
QUALITIES = (80, 60, 40, 20)
# Pixels of the longer side that are left of a blurred picture: its colours, and nothing to be recognised.
BLURRED_SIDE = 5


def small_jpeg(content: bytes, blurred: bool, max_pixels: int = MAX_PIXELS) -> bytes:
    """Return a JPEG file of the image: at most SIDE pixels a side and MOST_BYTES bytes.

    Args:
        content: an image file.
        blurred: whether the picture is first reduced to BLURRED_SIDE pixels, from which it cannot be had again.
        max_pixels: of the image.

    Raises:
        ImageError: with one of `decode.REASONS`.
    """
    # Decoded at the least of its scales that is not smaller than the thumbnail: half the time of the next one.
    return shrink(decode_small(content, SIDE, max_pixels), blurred)


def shrink(picture: Image.Image, blurred: bool = False) -> bytes:
    """Return the JPEG file of a picture in RGB or YCbCr, as `small_jpeg` does of an image file."""
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    return encode(_blur(small) if blurred else small)


def encode(small: Image.Image) -> bytes:
    """Return a picture in RGB or YCbCr as JPEG of at most MOST_BYTES bytes."""
    for quality in QUALITIES:
        out = io.BytesIO()
        small.save(out, "JPEG", quality=quality, optimize=True)
        if out.tell() <= MOST_BYTES:
            return out.getvalue()
    return encode(small.resize((max(1, small.width // 2), max(1, small.height // 2)), Image.Resampling.BOX))


def _blur(small: Image.Image) -> Image.Image:
    size = small.size
    few = small.copy()
    few.thumbnail((BLURRED_SIDE, BLURRED_SIDE), Image.Resampling.BOX)
    return few.resize(size, Image.Resampling.BICUBIC)
