"""Bytes to pixels: what an image is, its RGB picture, its thumbnail, and the reasons why it has none.

Alpha is dropped, as `convert("RGB")` in the models' own transforms drops it: a transparent pixel keeps the
colour that is stored under it, and nothing is composited. Colour profiles are ignored, as there.
"""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from twigma_spark.errors import TwigmaError

# A written-out list: Pillow would otherwise also try EPS, which starts Ghostscript on a stranger's file.
# JPEG includes MPO, the several pictures in one file of phones and stereo cameras.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
MAX_PIXELS = 150_000_000
# Rows of a picture that are converted at once.
BAND = 256
# A progressive JPEG is decoded once a scan. Encoders make some 10; a file that repeats one takes a second a picture for
# each 25 of them.
MAX_SCANS = 64
START_OF_SCAN = 0xDAFF  # two bytes, the lower one first
REASONS = ("empty_file", "not_an_image", "too_many_pixels", "too_many_scans", "undecodable")

# `max_pixels` is the limit here; Pillow's own warning, at half of its limit, would only repeat it.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageError(TwigmaError):
    """An image that cannot be used; `reason` is one of REASONS, `detail` says more."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class Probe(NamedTuple):
    """What a header says: Pillow's name of the format, and the size in pixels as displayed."""

    format: str
    width: int
    height: int


def probe(content: bytes, max_pixels: int = MAX_PIXELS) -> Probe:
    """Return format and displayed size of an image from its header; no pixel is decoded.

    Raises:
        ImageError: "empty_file", "not_an_image", "too_many_pixels" or "too_many_scans".
    """
    image = open_image(content, max_pixels)
    width, height = image.size
    if orientation(image) >= 5:
        width, height = height, width
    return Probe(image.format or "", width, height)


def thumbnail(content: bytes, side: int, max_pixels: int = MAX_PIXELS) -> bytes:
    """Return a WebP file of the image whose longer side is at most `side` pixels.

    Raises:
        ImageError: With one of REASONS.
    """
    image = open_image(content, max_pixels)
    image.draft(None, (2 * side, 2 * side))
    small = to_rgb(image)
    small.thumbnail((side, side), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=80, method=2)
    return out.getvalue()


def open_image(content: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return a Pillow image of which only the header has been read.

    Raises:
        ImageError: "empty_file", "not_an_image", "too_many_pixels" or "too_many_scans".
    """
    if not content:
        raise ImageError("empty_file", "0 bytes")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError("not_an_image", f"{len(content)} bytes start with {content[:8].hex()}") from error
    except Image.DecompressionBombError as error:
        raise ImageError("too_many_pixels", str(error)) from error
    except Exception as error:  # a parser given a stranger's bytes: any error of its is an error of theirs
        raise ImageError("undecodable", describe(error)) from error
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise ImageError("too_many_pixels", f"{image.width}x{image.height}, the limit is {max_pixels}")
    # In the data of a scan no byte but 0 and restarts follow 0xff, so every pair found is a marker.
    if image.format in ("JPEG", "MPO") and (scans := _count_scans(content)) > MAX_SCANS:
        raise ImageError("too_many_scans", f"{scans}, the limit is {MAX_SCANS}")
    return image


def _count_scans(content: bytes) -> int:
    """Return how often START_OF_SCAN occurs; seven times as fast as `bytes.count`, and other threads go on."""
    pairs = (np.frombuffer(content, "<u2", (len(content) - at) // 2, at) for at in (0, 1))
    return sum(int(np.count_nonzero(each == START_OF_SCAN)) for each in pairs)


def to_rgb(image: Image.Image, keep: tuple[str, ...] = ()) -> Image.Image:
    """Return an opened image as RGB, decoded and turned as its EXIF orientation says.

    Args:
        image: of `open_image`.
        keep: Pillow's modes in which an image stays as it is.

    Raises:
        ImageError: "undecodable".
    """
    try:
        image.load()
        if orientation(image) > 1:
            image = ImageOps.exif_transpose(image)
        return image if image.mode in keep else _as_rgb(image)
    except Exception as error:  # see open_image
        raise ImageError("undecodable", describe(error)) from error


def decode_small(content: bytes, side: int, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return an upright picture of an image file: YCbCr of most JPEG files, else RGB.

    A JPEG file is decoded at the least of its scales at which no side is below `side` pixels. In YCbCr its first
    channel is the picture that the file decodes to in grey, and a JPEG file is made of it without a conversion.

    Raises:
        ImageError: With one of REASONS.
    """
    image = open_image(content, max_pixels)
    is_ycbcr = "jfif" in image.info or image.info.get("adobe_transform") == 1
    image.draft("YCbCr" if is_ycbcr else None, (side, side))
    return to_rgb(image, keep=("YCbCr",))


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none that can be read from the header."""
    if image.format == "TIFF":
        return 1  # Pillow turns these itself
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # asking further would decode the whole file to look behind the pixels
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF is common and harms nothing else
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def describe(error: Exception) -> str:
    """Return an error as one short line that is the same for the same file on each run."""
    text = str(error).split("\n")[0].split("<_io")[0].strip()
    return f"{type(error).__name__}: {text}"[:200]


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_16_bit(image)
    if image.mode in ("P", "PA") and "transparency" in image.info:
        image = image.convert("RGBA")  # the same colours, without Pillow's warning
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Return 16-bit grey scaled to 8 bits; `convert` would clip everything above 255 to white."""
    grey = np.empty((image.height, image.width), dtype=np.uint8)
    for top in range(0, image.height, BAND):  # 64-bit numbers of the whole picture would be 16 times its size
        bottom = min(top + BAND, image.height)
        values = np.clip(np.asarray(image.crop((0, top, image.width, bottom))).astype(np.int64), 0, 65535)
        grey[top:bottom] = (values + 128) // 257
    return Image.fromarray(grey).convert("RGB")
