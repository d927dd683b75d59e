"""Effects that several styles share; pictures are float arrays (height, width, 3) in [0, 1] unless said."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from twigma_spark.sample.dice import Dice, FloatArray

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def to_array(image: Image.Image) -> FloatArray:
    """The RGB picture as floats in [0, 1]."""
    return np.asarray(image, dtype=np.float32) / 255


def to_image(pixels: FloatArray) -> Image.Image:
    """Floats in [0, 1] as an RGB picture; what lies outside is clipped."""
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def blur(pixels: FloatArray, radius: float) -> FloatArray:
    """The picture blurred by a Gaussian of `radius` pixels; a wide blur is made at half size to save time."""
    image = to_image(pixels)
    if radius < 3:
        return to_array(image.filter(ImageFilter.GaussianBlur(radius)))
    soft = image.reduce(2).filter(ImageFilter.GaussianBlur(radius / 2))
    return to_array(soft.resize(image.size, Image.Resampling.BILINEAR))


def luma(pixels: FloatArray) -> FloatArray:
    """Brightness, shape (height, width)."""
    return np.asarray(pixels @ _LUMA, dtype=np.float32)


def saturate(pixels: FloatArray, factor: float) -> FloatArray:
    """The picture with its colours that much stronger (above 1) or paler (below 1)."""
    grey = luma(pixels)[..., None]
    return np.asarray(grey + (pixels - grey) * factor, dtype=np.float32)


def screen(pixels: FloatArray, light: FloatArray) -> FloatArray:
    """The picture with light added the way two projectors add."""
    return np.asarray(1 - (1 - np.clip(pixels, 0, 1)) * (1 - np.clip(light, 0, 1)), dtype=np.float32)


def edges(pixels: FloatArray) -> FloatArray:
    """Strength of the outlines, shape (height, width), about [0, 1]."""
    grey = luma(pixels)
    down, across = np.gradient(grey)
    return np.asarray(np.clip(np.hypot(down, across) * 4, 0, 1), dtype=np.float32)


def vignette(pixels: FloatArray, strength: float) -> FloatArray:
    """The picture with dark corners."""
    height, width = pixels.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return np.asarray(pixels * (1 - strength * np.clip((x * x + y * y) / 2, 0, 1))[..., None], dtype=np.float32)


def grain(shape: tuple[int, ...], amount: float, dice: Dice) -> FloatArray:
    """Centred film grain of the given shape and spread."""
    return dice.array(-amount, amount, *shape)
