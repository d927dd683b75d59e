"""Files that break readers, or look as if they would: each kind as bytes, with the reason for its reject."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from twigma_spark.sample.encode import encode, save

_PAGE = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>This media is gone.</body></html>\n"
_ORIENTATION, _TURNED = 0x0112, 6


def _truncate(image: Image.Image) -> bytes:
    data = encode(image, ".jpg")
    return data[: len(data) * 2 // 5]


def _empty(_: Image.Image) -> bytes:
    return b""


def _page(_: Image.Image) -> bytes:
    return _PAGE


def _bomb(_: Image.Image) -> bytes:
    """A PNG of a few hundred bytes whose header announces 400 million pixels."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 20_001 * 4)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body)) for tag, body in chunks
    )


def _cmyk(image: Image.Image) -> bytes:
    return save(image.convert("CMYK"), "JPEG", quality=90)


def _grey(image: Image.Image) -> bytes:
    return save(image.convert("L"), "JPEG", quality=90)


def _palette(image: Image.Image) -> bytes:
    return save(image.quantize(200), "PNG", transparency=0)


def _turn_on_side(image: Image.Image) -> bytes:
    """Stored lying on its side, with the tag that says how to set it upright."""
    exif = Image.Exif()
    exif[_ORIENTATION] = _TURNED
    return save(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=90, exif=exif)


def _frames(image: Image.Image) -> list[Image.Image]:
    return [ImageOps.mirror(image), ImageOps.invert(image)]


def _gif(image: Image.Image) -> bytes:
    return save(image, "GIF", save_all=True, append_images=_frames(image), duration=120)


def _animated_webp(image: Image.Image) -> bytes:
    return save(image, "WEBP", save_all=True, append_images=_frames(image), duration=120, quality=88)


def _deep(image: Image.Image) -> bytes:
    """Grey in 16 bits: a careless conversion to RGB clips it to white."""
    grey = np.asarray(image.convert("L"), dtype=np.uint16) * 257
    return save(Image.fromarray(grey), "PNG")


Make = Callable[[Image.Image], bytes]
FILES: dict[str, tuple[Make, str, str | None]] = {
    "truncated_jpeg": (_truncate, ".jpg", "undecodable"),
    "zero_bytes": (_empty, ".jpg", "empty_file"),
    "page_named_jpg": (_page, ".jpg", "not_an_image"),
    "pixel_bomb": (_bomb, ".png", "too_many_pixels"),
    "cmyk_jpeg": (_cmyk, ".jpg", None),
    "grey_jpeg": (_grey, ".jpg", None),
    "palette_png": (_palette, ".png", None),
    "turned_jpeg": (_turn_on_side, ".jpg", None),
    "animated_gif": (_gif, ".gif", None),
    "animated_webp": (_animated_webp, ".webp", None),
    "deep_png": (_deep, ".png", None),
}
GREY = frozenset({"grey_jpeg", "deep_png"})
