"""Forests in four seasons, with a river, a path, a deer, a cabin or mushrooms."""

from __future__ import annotations

import numpy as np

from twigma_spark.sample.backdrops import ground, haze
from twigma_spark.sample.canvas import Canvas, Pen, arc, box, ring
from twigma_spark.sample.colours import Colour, darken, lighten, mix
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.painters.mountains import pine
from twigma_spark.sample.textures import ramp
from twigma_spark.sample.theme import Theme, Traits

_SEASONS: dict[str, tuple[Colour, Colour, Colour]] = {
    "green": ((214, 236, 190), (58, 128, 62), (82, 134, 58)),
    "autumn": ((255, 224, 150), (232, 104, 20), (176, 92, 34)),
    "snowy": ((226, 234, 248), (190, 206, 226), (234, 240, 250)),
    "dark": ((62, 84, 128), (22, 44, 62), (22, 32, 48)),
}


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws rows of trees from far to near, with a clearing for the thing."""
    glow, leaf, floor = _SEASONS[traits["season"]]
    _, y = canvas.grid()
    canvas.cover(ramp([mix(glow, leaf, 0.35), glow, lighten(glow, 0.3)], y * 1.3))
    for row in range(3):
        depth = row / 2
        tone = mix(mix(glow, leaf, 0.45), darken(leaf, 0.25), depth)
        for x in dice.array(0, 1, 9 - 2 * row).tolist():
            _tree(canvas.pen(x, 0.6 + 0.06 * row, 0.42 + 0.22 * depth), traits["season"], tone, dice)
        haze(canvas, 0.6, lighten(glow, 0.2), 0.35, 0.12)
    ground(canvas, 0.68, floor, dice, 0.14)
    _thing(canvas, traits["thing"], glow, dice)
    for x in (dice.uniform(0.0, 0.12), dice.uniform(0.88, 1.0)):
        _tree(canvas.pen(x, 0.95, 1.05), traits["season"], darken(leaf, 0.2), dice)
    if traits["light"] == "light":
        _beams(canvas, dice)
    else:
        haze(canvas, 0.55, (222, 226, 232), 0.55, 0.26)


def _tree(pen: Pen, season: str, tone: Colour, dice: Dice) -> None:
    if season == "snowy":
        pine(pen, mix(tone, (54, 92, 96), 0.5), snow=True)
    elif season == "dark":
        pine(pen, mix(tone, (54, 92, 96), 0.1))
    else:
        _broadleaf(pen, season == "autumn", tone, dice)


def _broadleaf(pen: Pen, birch: bool, tone: Colour, dice: Dice) -> None:
    trunk = (236, 232, 224) if birch else (92, 70, 52)
    pen.solid(box(0, -0.36, 0.055, 0.76), mix(trunk, tone, 0.25), "tube")
    for mark in range(5 if birch else 0):
        pen.line([(-0.02, -0.1 - 0.12 * mark), (0.008, -0.1 - 0.12 * mark)], 0.014, (60, 52, 50))
    for x, y, size in dice.array(0, 1, 5, 3).tolist():
        reach = 0.12 + 0.08 * size
        crown = ring(-0.19 + 0.38 * x, -0.98 + 0.36 * y, reach, reach * 0.85)
        pen.solid(crown, mix(tone, lighten(tone, 0.3), size))


def _thing(canvas: Canvas, thing: str, glow: Colour, dice: Dice) -> None:
    pen = canvas.pen(dice.uniform(0.42, 0.58), 0.78)
    if thing == "a river":
        _winding(pen, mix((70, 140, 200), glow, 0.25), dice)
    elif thing == "a path":
        _winding(pen, (196, 164, 120), dice)
    elif thing == "a deer":
        _deer(pen)
    elif thing == "a cabin":
        _cabin(pen)
    else:
        for x, size in ((-0.16, 0.75), (0.02, 1.15), (0.19, 0.85)):
            _mushroom(pen.at(x, 0.1, size))


def _winding(pen: Pen, tone: Colour, dice: Dice) -> None:
    """A band that widens towards the viewer while it swings from side to side."""
    swing = dice.choice((-1, 1)) * dice.uniform(0.06, 0.1)
    steps = np.linspace(0, 1, 14)
    middle, half = swing * np.sin(steps * 6.5), 0.012 + 0.22 * steps**1.5
    high = -0.1 + 0.6 * steps**1.3
    left = [(float(m - h), float(y)) for m, h, y in zip(middle, half, high, strict=True)]
    right = [(float(m + h), float(y)) for m, h, y in zip(middle, half, high, strict=True)]
    pen.solid([*left, *reversed(right)], tone, "slope", 0.5)


def _deer(pen: Pen) -> None:
    coat = (158, 102, 62)
    for x in (-0.13, -0.07, 0.09, 0.14):
        pen.line([(x, 0.0), (x + 0.005, 0.17)], 0.024, darken(coat, 0.3))
    pen.solid(ring(0, -0.02, 0.19, 0.09), coat)
    pen.solid([(0.09, -0.02), (0.17, -0.22), (0.25, -0.21), (0.19, 0.02)], coat, "slope")
    pen.solid(ring(0.23, -0.23, 0.075, 0.042, 0.35), coat)
    pen.oval(0.215, -0.245, 0.011, 0.011, (20, 14, 14))
    pen.ball(-0.19, -0.05, 0.03, 0.03, (240, 230, 214))
    for lean in (-0.07, 0.05):
        pen.line([(0.19, -0.26), (0.19 + lean, -0.36), (0.18 + lean * 1.6, -0.43)], 0.016, (96, 68, 46))
        pen.line([(0.19 + lean, -0.36), (0.24 + lean, -0.41)], 0.013, (96, 68, 46))


def _cabin(pen: Pen) -> None:
    pen.solid(box(0, -0.01, 0.36, 0.26), (126, 82, 52), "slope")
    for log in range(5):
        pen.line([(-0.18, -0.1 + 0.05 * log), (0.18, -0.1 + 0.05 * log)], 0.007, (80, 50, 34))
    pen.solid([(-0.24, -0.12), (0, -0.33), (0.24, -0.12)], (112, 48, 44), "slope")
    pen.solid(box(0.14, -0.3, 0.05, 0.12), (110, 106, 108), "tube")
    pen.solid(box(-0.07, 0.05, 0.09, 0.15), (64, 42, 34), "slope")
    pen.poly(box(0.09, 0.0, 0.08, 0.08), (255, 214, 120))
    pen.glow(0.09, 0.0, 0.16, (255, 180, 80), 0.7)


def _mushroom(pen: Pen) -> None:
    pen.solid([(-0.035, 0.1), (-0.03, -0.06), (0.03, -0.06), (0.035, 0.1)], (240, 232, 214), "tube")
    pen.solid([*arc(0, -0.05, 0.12, 0.13, (0.5, 1.0)), (0.06, -0.03), (-0.06, -0.03)], (204, 44, 40))
    for x, y, size in (
        (-0.05, -0.09, 0.018),
        (0.03, -0.13, 0.02),
        (0.07, -0.07, 0.014),
        (-0.01, -0.07, 0.012),
    ):
        pen.oval(x, y, size, size * 0.8, (252, 248, 240))


def _beams(canvas: Canvas, dice: Dice) -> None:
    x, y = canvas.grid()
    across = x - 0.55 * y + dice.uniform(-0.2, 0.4)
    bands = np.clip(np.sin(across * 17) * np.sin(across * 7 + 1), 0, 1)
    canvas.light(bands * np.clip(0.95 - y, 0, 1) * 0.75, (255, 236, 180))


THEME = Theme(
    name="forest",
    noun="forest",
    slots={
        "season": tuple(_SEASONS),
        "thing": ("a river", "a path", "a deer", "a cabin", "mushrooms"),
        "light": ("light", "fog"),
    },
    paint=paint,
    adjectives=("season",),
    details=("with {thing}", "in {light}"),
)
