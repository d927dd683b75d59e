"""Styles of generators: saturated, glowing, smooth, with a colour grade of their own."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from twigma_spark.sample.dice import Dice
from twigma_spark.sample.styles.effects import (
    blur,
    edges,
    luma,
    saturate,
    screen,
    to_array,
    to_image,
    vignette,
)

_TEAL = np.array([0.0, 0.05, 0.11], dtype=np.float32)
_ROSE = np.array([0.08, 0.02, 0.03], dtype=np.float32)


def digital(image: Image.Image, dice: Dice) -> Image.Image:
    """The picture with strong colours, teal shadows, rosy lights and a bloom."""
    pixels = saturate(to_array(image), dice.uniform(1.35, 1.6))
    pixels = np.clip(pixels, 0, 1)
    pixels = pixels * pixels * (3 - 2 * pixels) * 0.6 + pixels * 0.4
    light = luma(pixels)[..., None]
    pixels = pixels + (1 - light) * _TEAL + light * _ROSE
    halo = blur(np.clip(pixels - 0.35, 0, 1) * 1.3, min(image.size) / 18)
    return to_image(vignette(screen(pixels, halo * dice.uniform(0.5, 0.75)), 0.3))


def neon(image: Image.Image, dice: Dice) -> Image.Image:
    """The picture in the dark, its outlines drawn as glowing tubes in its own colours."""
    pixels = to_array(image)
    lines = edges(blur(pixels, 0.8))[..., None]
    peak = pixels.max(axis=-1, keepdims=True)
    vivid = np.clip(saturate(pixels / np.maximum(peak, 0.15), 1.9), 0, 1)
    tubes = np.clip(lines * 2.2, 0, 1) * (0.25 + 0.75 * vivid)
    glow = blur(tubes, min(image.size) / 30)
    dark = pixels * pixels * vivid * 0.42 + np.array([0.03, 0.01, 0.09], dtype=np.float32)
    return to_image(screen(screen(dark, glow * dice.uniform(1.4, 1.9)), tubes))


def anime(image: Image.Image, dice: Dice) -> Image.Image:
    """The picture in few flat tones with ink outlines."""
    smooth = image.filter(ImageFilter.MedianFilter(3)).filter(ImageFilter.MedianFilter(3))
    pixels = to_array(smooth)
    levels = dice.uniform(4.2, 5.2)
    light = luma(pixels)[..., None]
    flat = (np.floor(light * levels) + 0.6) / levels
    pixels = saturate(pixels * (flat / np.maximum(light, 0.04)), 1.25) * 0.92 + 0.07
    ink = np.clip(edges(to_array(smooth)) * 3.2 - 0.45, 0, 1)[..., None]
    return to_image(pixels * (1 - 0.88 * ink))


def render(image: Image.Image, dice: Dice) -> Image.Image:
    """The picture as glossy plastic: brightness taken as height and lit from the upper left."""
    pixels = blur(to_array(image), 1.0)
    height = luma(blur(pixels, min(image.size) / 60))
    down, across = np.gradient(height * 9)
    facing = (1 - 0.75 * across - 0.75 * down) / np.sqrt(1 + across**2 + down**2)
    shade = (0.72 + 0.3 * facing)[..., None]
    shine = (np.clip(facing - 0.98, 0, 1) ** 1.2 * dice.uniform(1.0, 1.5))[..., None]
    return to_image(np.clip(saturate(pixels, 1.2) * shade, 0, 1) + shine)
