"""Perceptual hashes: what the grey picture looks like, in a vector to search with and in bits to compare.

Both come from the lowest frequencies of a discrete cosine transform (type II) of the shrunk grey picture, as
`imagehash.phash` takes them. The *pixel vector* of the whole picture finds candidates: a crop moves it a little,
where it changes most bits. The *windows* confirm them: bits that say whether each frequency is positive, of the whole
and of 18 windows of it, so that a picture that lost an edge meets a window of the other.

imagehash's bits are against the median; these are against 0, which costs nothing and makes a turned picture's hash a
reordering of the upright one's: mirrored and rotated copies are searched for without decoding an image again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from twigma_spark.models.base import Array, Loaded
from twigma_spark.models.decode import MAX_PIXELS, decode_small
from twigma_spark.models.small_jpegs import shrink

Bytes = NDArray[np.uint8]

# Frequencies a side; 64 bits could not tell images of one prompt apart.
SIZE = 16
BITS = SIZE * SIZE
# Frequencies a side of the pixel vector; more move with every crop, fewer tell too few pictures apart.
LOW = 8
DIM = LOW * LOW - 1
# The picture is shrunk to this many pixels a side first, and each window to a half of it.
SIDE = 128
# Shares of a side that a window keeps, and how much of what it loses is lost at the left or the top.
KEPT, LOST_FIRST = (0.95, 0.92), (0.0, 0.5, 1.0)
WINDOWS = 1 + len(KEPT) * len(LOST_FIRST) ** 2
# Bytes of a pixel vector of 16-bit floats, and of the bits of all windows.
VECTOR_BYTES, WINDOW_BYTES = 2 * DIM, WINDOWS * BITS // 8
# Grey levels, root mean square: what varies less is flat, and its vector would be the noise of a codec.
FLAT = 1.0
# What may be done to a picture before it is compared: these add up.
MIRROR, FLIP, TRANSPOSE, NEGATIVE = 1, 2, 4, 8
TURNS = {"upright": (0,), "mirrored": (0, MIRROR), "all": tuple(range(NEGATIVE))}

_WAVES = np.cos(np.pi * np.arange(SIZE)[:, None] * (np.arange(SIDE // 2) + 0.5) / (SIDE // 2))
# Natural pictures have little in high frequencies; times its frequency, each counts about as much.
_FREQUENCY = np.hypot(*np.indices((LOW, LOW)))
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


class Hash(NamedTuple):
    """The hash of one picture.

    Attributes:
        vector: the pixel vector (63,) float16, of length 1; zeros where the picture is flat.
        windows: (19, 32) uint8, the bits of the whole and then of its windows.
    """

    vector: NDArray[np.float16]
    windows: Bytes


def compute_hash(content: bytes, max_pixels: int = MAX_PIXELS) -> Hash:
    """Return the hash of an image file.

    Raises:
        ImageError: the file cannot be decoded.
    """
    return hash_picture(decode_small(content, 2 * SIDE, max_pixels))


def hash_picture(picture: Image.Image) -> Hash:
    """Return the hash of a picture of `decode_small`."""
    grey = picture.getchannel(0) if picture.mode == "YCbCr" else picture.convert("L")
    small = grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    sides = (SIDE // 2, SIDE // 2)
    windows = np.stack([np.asarray(small.resize(sides, Image.Resampling.LANCZOS, box)) for box in _boxes()])
    low = _WAVES @ windows.astype(np.float64) @ _WAVES.T
    low[:, 0, 0] = 0
    return Hash(_pixel_vector(low[0, :LOW, :LOW]), np.packbits(low.reshape(WINDOWS, BITS) > 0, axis=1))


def distance(one: Bytes, other: Bytes) -> NDArray[np.int64]:
    """Return in how many of 256 bits pairs of images differ (n,), each (n, windows, 32).

    The least over the whole of one against the whole and the windows of the other.
    """
    there = _ONES[one[:, :1] ^ other].sum(axis=2, dtype=np.int64)
    back = _ONES[other[:, :1] ^ one].sum(axis=2, dtype=np.int64)
    return np.asarray(np.minimum(there.min(axis=1), back.min(axis=1)), np.int64)


def unpack_windows(rows: Sequence[bytes]) -> Bytes:
    """Return windows (n, 19, 32) from their bytes, as the table `hashes` holds them."""
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), WINDOWS, BITS // 8)


def turn_vectors(vectors: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """Return the pixel vectors (n, 63) of the pictures as `turn` leaves them: first transposed, then flipped."""
    grid = np.pad(vectors, ((0, 0), (1, 0))).reshape(-1, LOW, LOW)
    grid = grid.transpose(0, 2, 1) if turn & TRANSPOSE else grid
    return np.ascontiguousarray((grid * _signs(turn, LOW)).reshape(-1, LOW * LOW)[:, 1:])


def turn_windows(windows: Bytes, turn: int) -> Bytes:
    """Return the bits (n, 19, 32) of the pictures as `turn` leaves them; the windows come in another order."""
    bits = np.unpackbits(windows, axis=2).reshape(*windows.shape[:2], SIZE, SIZE)
    bits = bits.swapaxes(2, 3) if turn & TRANSPOSE else bits
    changed = _signs(turn, SIZE) < 0
    changed[0, 0] = False
    return np.packbits((bits ^ changed).reshape(*windows.shape[:2], BITS), axis=2)


@dataclass(frozen=True)
class Hasher:
    """The hash as a model of images: its values are the bytes of the pixel vector, the windows and the thumbnail.

    The thumbnail comes with it because the image is decoded here.

    Attributes:
        max_pixels: larger images have no hash.
    """

    max_pixels: int = MAX_PIXELS

    @property
    def model_id(self) -> str:
        """Return which hash."""
        return f"dct{SIZE}/windows{WINDOWS}"

    @property
    def preprocess_rev(self) -> str:
        """Return the version of what is done to the pixels before."""
        return "1"

    def setup(self, device: str = "cpu", threads: int | None = None) -> LoadedHasher:
        """Return the hasher; it needs neither a device nor threads of its own."""
        return LoadedHasher(self.max_pixels)


class LoadedHasher(Loaded):
    """Hashes and shrinks images in the threads that decode them."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels

    def prepare(self, item: bytes) -> bytes:
        """Return the bytes of a hash, then a JPEG file.

        Raises:
            ImageError: The image cannot be used.
        """
        picture = decode_small(item, 2 * SIDE, self._max_pixels)
        vector, windows = hash_picture(picture)
        return vector.tobytes() + windows.tobytes() + shrink(picture)

    def begin(self, prepared: Sequence[bytes]) -> Callable[[], Sequence[bytes]]:
        """Return a call that returns what is prepared: nothing is left to be done."""
        return lambda: prepared

    def forward(self, batch: Array) -> Sequence[bytes]:
        """Return each row as bytes."""
        return [bytes(row) for row in batch]

    def empty(self) -> Sequence[bytes]:
        """Return no hashes."""
        return []


def _pixel_vector(low: NDArray[np.float64]) -> NDArray[np.float16]:
    """Return the pixel vector of the lowest frequencies, the first of which is 0."""
    contrast = np.linalg.norm(low) / (SIDE // 2) ** 2 * 2
    weighted = (low * _FREQUENCY).ravel()[1:]
    length = np.linalg.norm(weighted)
    return (weighted / length if contrast >= FLAT else np.zeros(DIM)).astype(np.float16)


def _signs(turn: int, size: int) -> NDArray[np.float32]:
    """Return which frequencies change their sign: mirrored, those with an odd number of half waves across."""
    odd = np.where(np.arange(size) % 2, np.float32(-1), np.float32(1))
    across = odd if turn & MIRROR else np.ones(size, np.float32)
    down = odd if turn & FLIP else np.ones(size, np.float32)
    return np.outer(down, across) * np.float32(-1 if turn & NEGATIVE else 1)


def _boxes() -> list[tuple[float, float, float, float]]:
    """Return the whole and the windows, in pixels of the shrunk picture."""
    boxes = [(0.0, 0.0, float(SIDE), float(SIDE))]
    for kept, x, y in product(KEPT, LOST_FIRST, LOST_FIRST):
        left, top = (1 - kept) * x * SIDE, (1 - kept) * y * SIDE
        boxes.append((left, top, left + kept * SIDE, top + kept * SIDE))
    return boxes
