"""Styles of painters: strokes, dots, washes and hatching on canvas or paper."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from twigma_spark.sample.artists import Artist
from twigma_spark.sample.dice import Dice, FloatArray
from twigma_spark.sample.styles.effects import blur, edges, grain, luma, saturate, to_array, to_image
from twigma_spark.sample.textures import noise, ramp


def oil(image: Image.Image, artist: Artist, dice: Dice) -> Image.Image:
    """The picture in thick strokes that follow its forms, on canvas."""
    toned = _lean(to_array(image), artist, 0.3)
    base = to_image(toned)
    painted = to_array(_strokes(base, artist, dice))
    down, across = np.gradient(luma(painted))
    relief = np.clip(1 + 0.9 * (across + down), 0.7, 1.3)[..., None]
    return to_image(painted * relief * _canvas(image.size)[..., None])


def pastel(image: Image.Image, artist: Artist, dice: Dice) -> Image.Image:
    """The picture in dry slanted strokes on rough tinted paper."""
    toned = _lean(to_array(image), artist, 0.25) * 0.8 + 0.18
    drawn = to_array(_strokes(to_image(toned), artist, dice))
    paper = np.array([0.86, 0.8, 0.74], dtype=np.float32)
    tooth = np.clip(grain(drawn.shape[:2], 1.0, dice) * 1.4 - 0.65, 0, 0.75)[..., None]
    return to_image(drawn * (1 - tooth) + paper * tooth)


def points(image: Image.Image, artist: Artist, dice: Dice) -> Image.Image:
    """The picture in dots of pure colour."""
    pixels = saturate(_lean(to_array(image), artist, 0.2), 1.35)
    base = to_image(pixels * 0.9 + 0.06)
    out = base.filter(ImageFilter.GaussianBlur(4))
    draw, source = ImageDraw.Draw(out), np.asarray(base, dtype=np.float32)
    step = max(2.0, artist.stroke[1] * min(image.size))
    for x, y, red, green, blue in _sites(source, step, dice):
        reach = step * 0.56
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(red, green, blue))
    return out


def watercolour(image: Image.Image, artist: Artist, dice: Dice) -> Image.Image:
    """The picture in pale washes with dark rims and pigment, on paper that shows at the border."""
    smooth = to_array(image.filter(ImageFilter.MedianFilter(3)).filter(ImageFilter.MedianFilter(3)))
    wash = _lean(blur(smooth, 1.2), artist, 0.25)
    width, height = image.size
    pigment = noise(width, height, dice, 6, 4)[..., None]
    rims = 0.3 * edges(blur(smooth, 1.0))[..., None]
    wash = np.asarray(1 - (1 - wash) * (0.5 + 0.4 * pigment) - rims, dtype=np.float32)
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    inside = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) + 0.06 * (pigment[..., 0] - 0.5)
    shown = np.clip((inside - 0.035) * 40, 0, 1)[..., None]
    paper = np.array([0.98, 0.965, 0.93], dtype=np.float32) + grain((height, width, 1), 0.015, dice)
    return to_image(wash * shown + paper * (1 - shown))


def ink(image: Image.Image, artist: Artist, dice: Dice) -> Image.Image:
    """The picture in pen outlines and crossed hatching on cream paper."""
    pixels = to_array(image)
    dark = 1 - luma(pixels)
    y, x = np.mgrid[0 : image.size[1], 0 : image.size[0]].astype(np.float32)
    wobble = 2 * noise(image.size[0], image.size[1], dice, 4, 2)
    lines = np.zeros_like(dark)
    for level, (dx, dy) in enumerate(((1.0, 1.0), (1.0, -1.0), (0.1, 1.4))):
        hatch = 0.5 + 0.5 * np.sin((x * dx + y * dy) * 1.5 + wobble * 2)
        lines = np.maximum(lines, np.clip((dark - 0.36 - 0.2 * level) * 5, 0, 1) * (hatch > 0.55) * 0.8)
    lines = np.maximum(lines, np.clip(edges(blur(pixels, 0.7)) * 2.6 - 0.3, 0, 1))
    black, cream = (np.array(artist.palette[end], dtype=np.float32) / 255 for end in (0, -1))
    paper = cream - 0.05 * noise(image.size[0], image.size[1], dice)[..., None]
    return to_image(paper + (black - paper) * lines[..., None])


def _lean(pixels: FloatArray, artist: Artist, share: float) -> FloatArray:
    """Muted colours that lean towards the artist's palette of the same brightness."""
    muted = saturate(pixels, 0.85)
    return np.asarray(muted * (1 - share) + ramp(artist.palette, luma(pixels)) / 255 * share, dtype=np.float32)


def _strokes(base: Image.Image, artist: Artist, dice: Dice) -> Image.Image:
    """Broad strokes that cover the picture, then fine ones where there are forms to keep."""
    length, width = artist.stroke[0] * min(base.size), max(2.0, artist.stroke[1] * min(base.size))
    out = base.filter(ImageFilter.GaussianBlur(width / 2))
    source = np.asarray(out, dtype=np.float32)
    angles = _directions(source) if artist.angle is None else np.full(source.shape[:2], artist.angle)
    count = int(1.6 * base.size[0] * base.size[1] / (length * width))
    _stroke(out, (source, angles), dice.array(0, 1, count, 4), (length, width))
    sites = dice.array(0, 1, count * 3, 4)
    busy = edges(blur(source / 255, 1.0))
    at = (sites[:, :2] * (base.size[1], base.size[0])).astype(int)
    kept = sites[busy[at[:, 0], at[:, 1]] > 0.1 + 0.3 * sites[:, 2]]
    _stroke(out, (np.asarray(base, dtype=np.float32), angles), kept, (length * 0.4, max(1.6, width * 0.5)))
    return out


def _stroke(
    out: Image.Image, source: tuple[FloatArray, FloatArray], sites: FloatArray, size: tuple[float, float]
) -> None:
    """Draws one stroke at every site (row, column, lean, tone in [0, 1]) in the colour found there."""
    colours, angles = source
    length, width = size
    ys, xs = (sites[:, :2] * (out.size[1], out.size[0])).astype(int).T
    turns = angles[ys, xs] + (sites[:, 2] - 0.5) * 0.7
    tones = np.clip(colours[ys, xs] * (0.9 + 0.2 * sites[:, 3:]), 0, 255).astype(int)
    dx, dy = np.cos(turns) * length / 2, np.sin(turns) * length / 2
    ends = np.stack([xs - dx, ys - dy, xs + dx, ys + dy], axis=1)
    draw = ImageDraw.Draw(out)
    for (red, green, blue), line in zip(tones.tolist(), ends.tolist(), strict=True):
        draw.line(line, fill=(red, green, blue), width=round(width))


def _directions(source: FloatArray) -> FloatArray:
    """The angle along the forms at every pixel, shape (height, width): across the brightness gradient."""
    grey = Image.fromarray(luma(source).astype(np.uint8)).filter(ImageFilter.GaussianBlur(3))
    down, across = np.gradient(np.asarray(grey, dtype=np.float32))
    return np.asarray(np.arctan2(down, across) + math.pi / 2, dtype=np.float32)


def _sites(source: FloatArray, step: float, dice: Dice) -> list[tuple[float, float, int, int, int]]:
    """Places and colours of dots on a shaken grid, in random order of colour."""
    height, width = source.shape[:2]
    ys, xs = np.mgrid[0 : height : step * 0.8, 0 : width : step * 0.8]
    shake = dice.array(-0.4, 0.4, 2, *xs.shape) * step
    px, py = np.clip(xs + shake[0], 0, width - 1).ravel(), np.clip(ys + shake[1], 0, height - 1).ravel()
    tones = source[py.astype(int), px.astype(int)] + dice.array(-34, 34, px.size, 3)
    rgb = np.clip(tones, 0, 255).astype(int)
    return [(x, y, r, g, b) for x, y, (r, g, b) in zip(px.tolist(), py.tolist(), rgb.tolist(), strict=True)]


def _canvas(size: tuple[int, int]) -> FloatArray:
    """The weave of a canvas as a factor around 1, shape (height, width)."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    return np.asarray(1 + 0.035 * np.sin(x * 2.1) * np.sin(y * 2.1), dtype=np.float32)
