"""A canvas drawn at twice its size and then reduced, and a pen with its own place, size and tilt on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from twigma_spark.sample.colours import Colour, darken, lighten, mix
from twigma_spark.sample.dice import FloatArray
from twigma_spark.sample.textures import lamp, tint

Point = tuple[float, float]
OVERSAMPLING = 2
_NO_LIGHT: Colour = (0, 0, 0)
_ROUND = [(math.cos(turn * math.tau / 36), math.sin(turn * math.tau / 36)) for turn in range(36)]


class Canvas:
    """A picture in the making; whole-picture effects take masks in [0, 1], which are stretched over it.

    Args:
        width: width of the finished picture in pixels.
        height: height of the finished picture in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width * OVERSAMPLING, height * OVERSAMPLING
        self.unit = min(self.width, self.height)
        self.image = Image.new("RGB", (self.width, self.height))
        self.draw = ImageDraw.Draw(self.image)

    def grid(self, coarse: int = 1) -> tuple[FloatArray, FloatArray]:
        """Positions in [0, 1] across and down, shapes (1, width) and (height, 1), every `coarse` pixels."""
        x = np.linspace(0, 1, self.width // coarse, dtype=np.float32)[None, :]
        y = np.linspace(0, 1, self.height // coarse, dtype=np.float32)[:, None]
        return x, y

    def pixels(self) -> FloatArray:
        """The picture so far, shape (height, width, 3), in [0, 255]."""
        return np.asarray(self.image, dtype=np.float32)

    def cover(self, colours: FloatArray, top: int = 0) -> None:
        """Puts pixels over the picture from row `top` down; a shape that broadcasts to the width will do."""
        full = np.broadcast_to(colours, (colours.shape[0], self.width, 3))
        self.image.paste(Image.fromarray(np.clip(full, 0, 255).astype(np.uint8)), (0, top))

    def backdrop(self, colours: FloatArray) -> None:
        """Covers the whole picture with a coarse one, stretched smoothly: enough where nothing is sharp."""
        coarse = Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))
        self.image.paste(coarse.resize(self.image.size, Image.Resampling.BICUBIC))

    def wash(self, mask: FloatArray, colour: Colour) -> None:
        """Lays a colour over the picture as thick as the mask says."""
        self.image.paste(colour, mask=self._mask(mask))

    def light(self, mask: FloatArray, colour: Colour) -> None:
        """Adds light of a colour as strong as the mask says; light never darkens."""
        glow = tint(self._mask(mask), _NO_LIGHT, mix(_NO_LIGHT, colour, 0.5), colour)
        self.image.paste(ImageChops.screen(self.image, glow))

    def pen(self, x: float, y: float, size: float = 1.0, angle: float = 0.0, flip: bool = False) -> Pen:
        """A pen at a place given in shares of width and height; its unit is `size` times the shorter side."""
        return Pen(self, x * self.width, y * self.height, size * self.unit, angle, -1.0 if flip else 1.0)

    def finish(self) -> Image.Image:
        """The finished RGB picture at its own size."""
        return self.image.reduce(OVERSAMPLING)

    def _mask(self, mask: FloatArray) -> Image.Image:
        levels = Image.fromarray((np.clip(mask, 0, 1) * 255).astype(np.uint8))
        return levels.resize(self.image.size, Image.Resampling.BILINEAR)


@dataclass(frozen=True)
class Pen:
    """A frame of its own on a canvas: shapes lie around (0, 0), y down, one unit being `size` pixels."""

    canvas: Canvas
    x: float
    y: float
    size: float
    angle: float = 0.0
    mirror: float = 1.0

    def at(self, x: float, y: float, size: float = 1.0, angle: float = 0.0) -> Pen:
        """A pen at a place of this pen's frame, `size` times as large and turned by `angle` radians more."""
        ((px, py),) = self._place([(x, y)])
        return replace(self, x=px, y=py, size=self.size * size, angle=self.angle + angle * self.mirror)

    def poly(self, points: Sequence[Point], fill: Colour) -> None:
        """Fills a flat polygon."""
        self.canvas.draw.polygon(self._place(points), fill=fill)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        """Fills a flat ellipse."""
        self.poly(ring(x, y, rx, ry), fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """Draws a line with round corners, `width` in units of the pen."""
        pixels = max(1, round(width * self.size))
        self.canvas.draw.line(self._place(points), fill=fill, width=pixels, joint="curve")

    def solid(self, points: Sequence[Point], fill: Colour, lit: str = "ball", depth: float = 1.0) -> None:
        """Fills a polygon as a lit body: `lit` names the lamp, `depth` says how strong its shadows are."""
        placed = self._place(points)
        xs, ys = [x for x, _ in placed], [y for _, y in placed]
        left, top = math.floor(min(xs)), math.floor(min(ys))
        size = (math.ceil(max(xs)) - left + 1, math.ceil(max(ys)) - top + 1)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in placed], fill=255)
        tone = lamp(lit).resize(size, Image.Resampling.BILINEAR)
        shadow, shine = darken(fill, 0.6 * depth), lighten(fill, 0.55 * depth)
        self.canvas.image.paste(tint(tone, shadow, fill, shine), (left, top), mask)

    def ball(self, x: float, y: float, rx: float, ry: float, fill: Colour, depth: float = 1.0) -> None:
        """Fills an ellipse as a lit ball."""
        self.solid(ring(x, y, rx, ry), fill, "ball", depth)

    def glow(self, x: float, y: float, radius: float, fill: Colour, strength: float = 1.0) -> None:
        """Adds a round light that fades out at `radius`."""
        ((px, py),) = self._place([(x, y)])
        reach = max(2, round(radius * self.size))
        left, top = round(px) - reach, round(py) - reach
        box = (left, top, left + 2 * reach, top + 2 * reach)
        halo = lamp("halo").resize((2 * reach, 2 * reach), Image.Resampling.BILINEAR)
        bright = mix(_NO_LIGHT, fill, strength)
        light = tint(halo, _NO_LIGHT, mix(_NO_LIGHT, bright, 0.5), bright)
        self.canvas.image.paste(ImageChops.screen(self.canvas.image.crop(box), light), (left, top))

    def _place(self, points: Sequence[Point]) -> list[Point]:
        cosine, sine = math.cos(self.angle) * self.size, math.sin(self.angle) * self.size
        turned = [(x * self.mirror, y) for x, y in points]
        return [(self.x + x * cosine - y * sine, self.y + x * sine + y * cosine) for x, y in turned]


def ring(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> list[Point]:
    """The corners of an ellipse, turned by `angle` radians."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return [(x + c * rx * cosine - s * ry * sine, y + c * rx * sine + s * ry * cosine) for c, s in _ROUND]


def arc(x: float, y: float, rx: float, ry: float, turns: tuple[float, float]) -> list[Point]:
    """Points along an ellipse between two turns: 0 is right, 0.25 is down, 0.5 is left."""
    steps = [turns[0] + (turns[1] - turns[0]) * step / 16 for step in range(17)]
    return [(x + rx * math.cos(t * math.tau), y + ry * math.sin(t * math.tau)) for t in steps]


def box(x: float, y: float, width: float, height: float) -> list[Point]:
    """The corners of an upright rectangle around (x, y)."""
    w, h = width / 2, height / 2
    return [(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)]
