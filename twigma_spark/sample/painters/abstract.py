"""Abstract pictures: swirls, waves, circles, squares, triangles and stripes in two colours."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from twigma_spark.sample.canvas import Canvas, box
from twigma_spark.sample.colours import Colour, darken, lighten, mix, shade_of
from twigma_spark.sample.dice import Dice, FloatArray
from twigma_spark.sample.textures import noise, ramp
from twigma_spark.sample.theme import Theme, Traits

Pair = tuple[Colour, Colour]


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Fills the picture with the shape, from the warm colour to the cool one."""
    pair = (shade_of(traits["warm"], dice), shade_of(traits["cool"], dice))
    SHAPES[traits["shape"]](canvas, pair, dice)


def _ramp(pair: Pair, at: FloatArray) -> FloatArray:
    warm, cool = pair
    return ramp([darken(cool, 0.55), cool, lighten(mix(warm, cool, 0.4), 0.35), warm, darken(warm, 0.45)], at)


def _swirls(canvas: Canvas, pair: Pair, dice: Dice) -> None:
    x, y = canvas.grid()
    cx, cy = dice.uniform(0.35, 0.65), dice.uniform(0.35, 0.65)
    dx, dy = (x - cx) * canvas.width / canvas.unit, (y - cy) * canvas.height / canvas.unit
    radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    arms, twist = dice.integer(2, 4), dice.uniform(5, 9) * dice.choice((-1, 1))
    bend = noise(canvas.width, canvas.height, dice, 3, 2)
    wave = 0.5 + 0.5 * np.sin(arms * angle + twist * np.log(radius + 0.06) + 3 * bend)
    canvas.cover(_ramp(pair, wave) * (1.15 - 0.5 * radius[..., None]))
    canvas.pen(cx, cy).glow(0, 0, 0.22, (255, 246, 220), 0.9)


def _waves(canvas: Canvas, pair: Pair, dice: Dice) -> None:
    x, _ = canvas.grid()
    canvas.cover(_ramp(pair, np.full((canvas.height, 1), 0.06, dtype=np.float32)))
    pitch, phase = dice.uniform(5, 9), dice.uniform(0, 6)
    columns = x[0, ::4]
    for band in range(9):
        swing = 0.055 * np.sin(pitch * columns + phase + band * 0.75) + 0.03 * np.sin(2.3 * pitch * columns + band)
        line = 0.08 + band * 0.11 + swing
        points = [(float(px) * canvas.width, float(py) * canvas.height) for px, py in zip(columns, line, strict=True)]
        tone = lighten(pair[band % 2], 0.3 - 0.06 * band) if band < 5 else darken(pair[band % 2], 0.07 * (band - 4))
        canvas.draw.polygon([*points, (canvas.width, canvas.height), (0, canvas.height)], fill=tone)
        canvas.draw.line(points, fill=lighten(tone, 0.5), width=max(1, canvas.unit // 90))


def _circles(canvas: Canvas, pair: Pair, dice: Dice) -> None:
    _wash(canvas, pair, dice)
    for index, (x, y, size) in enumerate(dice.array(0, 1, 13, 3).tolist()):
        pen, radius = canvas.pen(x, y), 0.05 + 0.2 * size**2
        tone = pair[index % 2]
        pen.ball(0, 0, radius, radius, tone)
        if index % 3 == 0:
            pen.oval(0, 0, radius * 0.62, radius * 0.62, lighten(pair[1 - index % 2], 0.25))
            pen.ball(0, 0, radius * 0.34, radius * 0.34, tone)


def _squares(canvas: Canvas, pair: Pair, dice: Dice) -> None:
    side = dice.integer(4, 6)
    cell = 1.0 / side
    for row in range(math.ceil(side * canvas.height / canvas.unit)):
        for column in range(math.ceil(side * canvas.width / canvas.unit)):
            pen = canvas.pen(0, 0).at((column + 0.5) * cell, (row + 0.5) * cell)
            outer, middle, inner = (mix(*pair, share) for share in dice.array(0, 1, 3).round().tolist())
            pen.poly(box(0, 0, cell, cell), darken(outer, 0.35))
            pen.solid(box(0, 0, cell * 0.76, cell * 0.76), lighten(middle, 0.1), "slope", 0.6)
            pen.solid(box(0, 0, cell * 0.42, cell * 0.42), inner, "slope", 0.6)


def _triangles(canvas: Canvas, pair: Pair, dice: Dice) -> None:
    side = dice.integer(4, 6)
    wide, high = canvas.width / side, canvas.height / side
    for row in range(side):
        for column in range(-1, side):
            left = (column + 0.5 * (row % 2)) * wide
            low, top = (row + 1) * high, row * high
            tone = mix(*pair, row / (side - 1) * 0.5 + 0.5 * dice.unit())
            canvas.draw.polygon([(left, low), (left + wide / 2, top), (left + wide, low)], fill=lighten(tone, 0.18))
            tone = mix(*pair, row / (side - 1) * 0.5 + 0.5 * dice.unit())
            corners = [(left + wide / 2, top), (left + wide * 1.5, top), (left + wide, low)]
            canvas.draw.polygon(corners, fill=darken(tone, 0.25))


def _stripes(canvas: Canvas, pair: Pair, dice: Dice) -> None:
    x, y = canvas.grid()
    lean, count = dice.uniform(-0.8, 0.8), dice.uniform(5, 9)
    across = (x + lean * y) * count
    width = dice.uniform(0.4, 0.6)
    warm = (np.mod(across, 1.0) < width)[..., None]
    first, second = (np.array(tone, dtype=np.float32) for tone in pair)
    shade = 0.8 + 0.35 * np.mod(across, 1.0)[..., None]
    canvas.cover(np.where(warm, first, second) * shade)


def _wash(canvas: Canvas, pair: Pair, dice: Dice) -> None:
    field = noise(canvas.width // 2, canvas.height // 2, dice, 2, 3)
    canvas.backdrop(ramp([darken(pair[1], 0.7), darken(pair[1], 0.2), mix(*pair, 0.5), lighten(pair[0], 0.3)], field))


SHAPES: dict[str, Callable[[Canvas, Pair, Dice], None]] = {
    "swirls": _swirls,
    "waves": _waves,
    "circles": _circles,
    "squares": _squares,
    "triangles": _triangles,
    "stripes": _stripes,
}
THEME = Theme(
    name="abstract",
    noun="{shape}",
    slots={
        "shape": tuple(SHAPES),
        "warm": ("red", "orange", "yellow", "pink", "golden"),
        "cool": ("blue", "teal", "green", "purple", "black"),
    },
    paint=paint,
    details=("in {warm} and {cool}",),
    plural=True,
)
