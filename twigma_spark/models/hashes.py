"""Perceptual hashes of a picture and of windows of it, so that a crop is still distinguished from a look-alike.

The hash is that of `imagehash.phash` to the bit, of all windows at once, which takes half the time: signs of
the lowest frequencies of a grey picture against their median. A picture that lost an edge moves all of them; the
hash of the whole of one picture is therefore also compared with hashes of windows of the other, at most one edge
of which is where the crop was.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from twigma_spark.models.decode import MAX_PIXELS, open_image, to_rgb

Hashes = NDArray[np.uint8]

# Frequencies a side; 64 bits could not tell images of one prompt apart.
SIZE = 16
BITS = SIZE * SIZE
# The picture is shrunk to this many pixels a side first: hashes look at 64 of them.
SIDE = 128
# Shares of a side that a window keeps, and how much of what it loses is lost at the left or the top.
KEPT, LOST_FIRST = (0.95, 0.92), (0.0, 0.5, 1.0)
# The lowest frequencies of a discrete cosine transform (type II) as a matrix.
_WAVES = np.cos(np.pi * np.arange(SIZE)[:, None] * (2 * np.arange(4 * SIZE) + 1) / (8 * SIZE))
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def hashes(content: bytes, max_pixels: int = MAX_PIXELS) -> Hashes:
    """Return the hashes (19, 32) uint8 of an image file: of the whole, then of its windows.

    Raises:
        ImageError: the file cannot be decoded.
    """
    image = open_image(content, max_pixels)
    image.draft("L", (2 * SIDE, 2 * SIDE))
    small = to_rgb(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    sides = (4 * SIZE, 4 * SIZE)
    windows = np.stack([np.asarray(small.resize(sides, Image.Resampling.LANCZOS, box)) for box in _boxes()])
    low = (_WAVES @ windows.astype(np.float64) @ _WAVES.T).reshape(len(windows), BITS)
    return np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)


def distance(one: Hashes, other: Hashes) -> NDArray[np.int64]:
    """Return in how many of 256 bits pairs of images differ (n,), each (n, windows, 32).

    The least over the whole of one against the whole and the windows of the other.
    """
    there = _ONES[one[:, :1] ^ other].sum(axis=2, dtype=np.int64)
    back = _ONES[other[:, :1] ^ one].sum(axis=2, dtype=np.int64)
    return np.asarray(np.minimum(there.min(axis=1), back.min(axis=1)), np.int64)


def _boxes() -> list[tuple[float, float, float, float]]:
    """Return the whole and the windows, in pixels of the shrunk picture."""
    boxes = [(0.0, 0.0, float(SIDE), float(SIDE))]
    for kept, x, y in product(KEPT, LOST_FIRST, LOST_FIRST):
        left, top = (1 - kept) * x * SIDE, (1 - kept) * y * SIDE
        boxes.append((left, top, left + kept * SIDE, top + kept * SIDE))
    return boxes
