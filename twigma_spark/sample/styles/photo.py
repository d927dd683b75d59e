"""Styles of cameras: soft natural colours, a plane of focus, grain and dark corners."""

from __future__ import annotations

import numpy as np
from PIL import Image

from twigma_spark.sample.dice import Dice, FloatArray
from twigma_spark.sample.styles.effects import blur, grain, luma, saturate, to_array, to_image, vignette

_SEPIA = np.array([1.06, 0.88, 0.66], dtype=np.float32)


def colour(image: Image.Image, dice: Dice) -> Image.Image:
    """The picture as a photo: muted, a little warm or cold, out of focus away from its middle."""
    pixels = saturate(_focus(to_array(image), dice), dice.uniform(0.58, 0.72))
    warmth = dice.uniform(-0.05, 0.05)
    balance = np.array([1 + warmth, 1.0, 1 - warmth], dtype=np.float32)
    pixels = (0.09 + 0.86 * np.clip(pixels, 0, 1) ** 0.85) * balance
    return to_image(vignette(pixels, 0.3) + grain(pixels.shape, 0.045, dice))


def monochrome(image: Image.Image, dice: Dice) -> Image.Image:
    """The picture as a black and white photo with strong contrast and coarse grain."""
    grey = luma(_focus(to_array(image), dice))
    grey = np.clip(grey, 0, 1) ** 0.85
    grey = grey * 0.5 + grey * grey * (3 - 2 * grey) * 0.5 + grain(grey.shape, 0.075, dice)
    return to_image(vignette(np.repeat(grey[..., None], 3, axis=-1), 0.45))


def vintage(image: Image.Image, dice: Dice) -> Image.Image:
    """The picture as an old print: sepia, faded, with worn pale borders."""
    pixels = _focus(to_array(image), dice)
    grey = luma(pixels)[..., None]
    faded = 0.2 + 0.74 * (grey**0.8 * 0.85 + pixels * 0.15) * _SEPIA
    faded = vignette(faded, 0.5) + grain(grey.shape, 0.05, dice)
    frame = max(2, min(image.size) // 26)
    paper = np.array([0.93, 0.89, 0.79], dtype=np.float32)
    faded[:frame], faded[-frame:], faded[:, :frame], faded[:, -frame:] = paper, paper, paper, paper
    return to_image(faded)


def _focus(pixels: FloatArray, dice: Dice) -> FloatArray:
    """A band in focus, the rest blurred the more the farther it lies from it."""
    height = pixels.shape[0]
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    away = np.clip(np.abs(y - dice.uniform(0.45, 0.65)) * 2.6 - 0.45, 0, 1)
    return np.asarray(pixels * (1 - away) + blur(pixels, height / 42) * away, dtype=np.float32)
