"""Fields of numbers that pictures are made of: noise, ridges, lamps and colour ramps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image

from twigma_spark.sample.colours import Colour
from twigma_spark.sample.dice import Dice, FloatArray

_LEVELS = np.linspace(-1, 1, 256, dtype=np.float32)
_WEIGHTS = np.stack([np.clip(-_LEVELS, 0, 1), 1 - np.abs(_LEVELS), np.clip(_LEVELS, 0, 1)], axis=1)


def resize(field: FloatArray, width: int, height: int) -> FloatArray:
    """The field stretched smoothly to (height, width), float32."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def noise(width: int, height: int, dice: Dice, cells: int = 4, octaves: int = 3) -> FloatArray:
    """Cloudy noise in [0, 1], shape (height, width): coarse random grids, each finer one half as strong."""
    half_width, half_height = max(2, width // 2), max(2, height // 2)
    total = np.zeros((half_height, half_width), dtype=np.float32)
    for octave in range(octaves):
        side = cells * 2**octave
        rows = max(2, round(side * height / max(width, 1)))
        total += resize(dice.array(0, 1, rows, side), half_width, half_height) / 2**octave
    field = resize(total, width, height)
    low, high = float(field.min()), float(field.max())
    return np.asarray((field - low) / max(high - low, 1e-6), dtype=np.float32)


def ridge(points: int, dice: Dice, roughness: float = 0.5, peaks: int = 3) -> FloatArray:
    """A mountain line in [0, 1], shape (points,): random corners, finer ones `roughness` times as high."""
    at = np.linspace(0, 1, points)
    line = np.zeros(points)
    for octave in range(5):
        knots = peaks * 2**octave + 1
        line += np.interp(at, np.linspace(0, 1, knots), dice.array(0, 1, knots)) * roughness**octave
    return np.asarray((line - line.min()) / max(line.max() - line.min(), 1e-6), dtype=np.float32)


def ramp(stops: Sequence[Colour], at: FloatArray) -> FloatArray:
    """Colours along evenly spaced stops, shape `at.shape + (3,)`, for positions in [0, 1] (511 shades)."""
    places, fine = np.linspace(0, 1, len(stops)), np.linspace(0, 1, 511)
    channels = [np.interp(fine, places, [stop[channel] for stop in stops]) for channel in range(3)]
    shades = np.stack(channels, axis=-1).astype(np.float32)
    return np.asarray(shades[(np.clip(at, 0, 1) * 510).astype(np.int16)])


def tint(tone: Image.Image, dark: Colour, middle: Colour, light: Colour) -> Image.Image:
    """The greyscale patch in colour: black becomes `dark`, mid-grey `middle`, white `light`."""
    table = _WEIGHTS @ np.array([dark, middle, light], dtype=np.float32)
    patch = tone.copy()
    patch.putpalette(table.astype(np.uint8).tobytes())
    return patch.convert("RGB")


@cache
def lamp(kind: str) -> Image.Image:
    """A 96x96 greyscale patch that says how light falls on a thing: "ball", "tube", "slope" or "halo"."""
    y, x = np.mgrid[0:96, 0:96].astype(np.float32) / 95
    fields = {
        "ball": 1.12 - 1.15 * np.hypot(x - 0.36, y - 0.28),
        "tube": 1.0 - 1.6 * np.abs(x - 0.34),
        "slope": 0.82 - 0.62 * y,
        "halo": np.clip(1 - 2 * np.hypot(x - 0.5, y - 0.5), 0, 1) ** 2,
    }
    return Image.fromarray((np.clip(fields[kind], 0, 1) * 255).astype(np.uint8))
