"""Pictures as bytes, and the small changes that people make to them when they post them again."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from twigma_spark.sample.dice import Dice

Changed = tuple[Image.Image, str, int]
_FORMATS: dict[str, tuple[str, dict[str, int]]] = {
    ".jpg": ("JPEG", {"quality": 90}),
    ".png": ("PNG", {"compress_level": 3}),
    ".webp": ("WEBP", {"quality": 88, "method": 1}),
}


def encode(image: Image.Image, suffix: str, quality: int | None = None) -> bytes:
    """The picture as the bytes of a file with that suffix (".jpg", ".png" or ".webp")."""
    name, options = _FORMATS[suffix]
    if quality is not None and "quality" in options:
        options = options | {"quality": quality}
    return save(image, name, **options)


def save(image: Image.Image, name: str, **options: object) -> bytes:
    """The picture as bytes in Pillow's format of that name."""
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def load(path: Path) -> Image.Image:
    """The picture of a file, RGB, wholly read."""
    with Image.open(path) as image:
        return image.convert("RGB")


@dataclass(frozen=True)
class Copy:
    """A changed copy of a picture: its bytes, the suffix of its format, its width and height."""

    data: bytes
    suffix: str
    size: tuple[int, int]


def change(kind: str, path: Path, dice: Dice) -> Copy:
    """A changed copy of a picture file; `kind` is a key of CHANGES."""
    image, suffix, quality = CHANGES[kind](load(path), path.suffix, dice)
    return Copy(encode(image, suffix, quality), suffix, image.size)


def _recompress(image: Image.Image, suffix: str, dice: Dice) -> Changed:
    return image, ".jpg" if suffix == ".png" else suffix, dice.integer(58, 78)


def _convert(image: Image.Image, suffix: str, dice: Dice) -> Changed:
    return image, dice.choice([other for other in _FORMATS if other != suffix]), 84


def _resize(image: Image.Image, suffix: str, dice: Dice) -> Changed:
    scale = dice.uniform(0.7, 0.85)
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS), suffix, 86


def _crop(image: Image.Image, suffix: str, dice: Dice) -> Changed:
    """5 to 8 per cent of width and height go, more from one edge than from the other."""
    lost_x, lost_y = image.width * dice.uniform(0.05, 0.08), image.height * dice.uniform(0.05, 0.08)
    left, top = round(lost_x * dice.unit()), round(lost_y * dice.unit())
    right, bottom = image.width - round(lost_x) + left, image.height - round(lost_y) + top
    return image.crop((left, top, right, bottom)), suffix, 88


CHANGES: dict[str, Callable[[Image.Image, str, Dice], Changed]] = {
    "recompressed": _recompress,
    "converted": _convert,
    "resized": _resize,
    "cropped": _crop,
}
