"""Streets: houses that run to a vanishing point, and something on the road."""

from __future__ import annotations

from itertools import pairwise

from twigma_spark.sample.backdrops import DARK_SKIES, SKIES, ground, haze, sky
from twigma_spark.sample.canvas import Canvas, Pen, arc, box, ring
from twigma_spark.sample.colours import Colour, darken, lighten, mix, shade_of
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.theme import Theme, Traits

_DEPTHS = (0.14, 0.2, 0.29, 0.42, 0.62, 0.95)


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws both rows of houses, the road, and what stands on it."""
    sky(canvas, traits["sky"], dice, 0.7)
    horizon, night = SKIES[traits["sky"]][2], traits["sky"] in DARK_SKIES
    ground(canvas, 0.54, (104, 102, 108) if not night else (52, 50, 76), dice, 0.08)
    pen = canvas.pen(dice.uniform(0.44, 0.56), 0.54)
    pen.poly([(-0.015, 0), (0.015, 0), (0.42, 0.6), (-0.42, 0.6)], (66, 66, 76))
    for dash in (0.04, 0.1, 0.19, 0.33):
        pen.poly(
            [
                (-dash * 0.03, dash),
                (dash * 0.03, dash),
                (dash * 0.045, dash * 1.4),
                (-dash * 0.045, dash * 1.4),
            ],
            (232, 228, 210),
        )
    wall = mix(shade_of(traits["houses"], dice), (30, 30, 70), 0.35 if night else 0.0)
    for side in (-1, 1):
        _row(pen, side, wall, night, dice)
    haze(canvas, 0.53, lighten(horizon, 0.2), 0.4, 0.06)
    _thing(pen, traits["thing"], dice)


def _row(pen: Pen, side: int, wall: Colour, night: bool, dice: Dice) -> None:
    """Houses from far to near; each is a wall in perspective with a roof and windows."""
    for far, near in pairwise(_DEPTHS):
        height = dice.uniform(0.75, 1.1)
        tone = mix(lighten(wall, 0.15), darken(wall, 0.25), dice.unit())
        x0, x1 = side * far * 0.85, side * near * 0.85
        face = [(x0, far * 0.32), (x1, near * 0.32), (x1, -near * height), (x0, -far * height)]
        pen.solid(face, tone, "slope", 0.7)
        roof = [
            (x0, -far * height),
            (x1, -near * height),
            (x1 * 1.15, -near * height * 1.22),
            (x0 * 1.12, -far * height * 1.22),
        ]
        pen.solid(roof, (132, 66, 54), "slope")
        for level in (0.15, 0.55):
            for along in (0.28, 0.7):
                depth = far + (near - far) * along
                middle, high = side * depth * 0.85, depth * (0.1 - level * height)
                wide, tall = (near - far) * 0.11, depth * 0.13
                glass = (255, 216, 130) if night or dice.chance(0.25) else (86, 112, 142)
                pen.poly(box(middle, high, wide * 2, tall * 2), lighten(tone, 0.4))
                pen.poly(box(middle, high, wide * 1.5, tall * 1.6), glass)


def _thing(pen: Pen, thing: str, dice: Dice) -> None:
    side = dice.choice((-1, 1))
    colour = shade_of(dice.choice(("red", "blue", "yellow", "teal")), dice)
    if thing == "a car":
        _car(pen.at(side * 0.12, 0.27), colour)
    elif thing == "a bus":
        _bus(pen.at(side * 0.12, 0.19), colour)
    elif thing == "lamps":
        _lamps(pen)
    else:
        for x in (-0.32, 0.32):
            _tree(pen.at(x, 0.2), dice)


def _car(pen: Pen, colour: Colour) -> None:
    pen.oval(0, 0.13, 0.21, 0.03, (26, 24, 32))
    for x in (-0.13, 0.13):
        pen.solid(box(x, 0.1, 0.06, 0.08), (26, 26, 30), "tube")
    pen.solid([(-0.13, -0.02), (-0.1, -0.13), (0.1, -0.13), (0.13, -0.02)], colour, "slope")
    pen.solid([(-0.11, -0.025), (-0.085, -0.11), (0.085, -0.11), (0.11, -0.025)], (160, 200, 226), "slope")
    pen.solid([(-0.17, 0.0), (-0.15, -0.03), (0.15, -0.03), (0.17, 0.0), (0.17, 0.1), (-0.17, 0.1)], colour, "slope")
    for x in (-0.125, 0.125):
        pen.oval(x, 0.025, 0.03, 0.022, (255, 248, 214))
        pen.glow(x, 0.025, 0.1, (255, 230, 170), 0.7)
    pen.poly(box(0, 0.055, 0.15, 0.03), (36, 36, 44))


def _bus(pen: Pen, colour: Colour) -> None:
    pen.oval(0, 0.22, 0.2, 0.03, (26, 24, 32))
    for x in (-0.11, 0.11):
        pen.solid(box(x, 0.19, 0.05, 0.07), (26, 26, 30), "tube")
    pen.solid(box(0, -0.03, 0.34, 0.42), colour, "slope")
    pen.solid(box(0, -0.08, 0.29, 0.17), (150, 196, 224), "slope")
    pen.line([(0, -0.165), (0, 0.0)], 0.012, darken(colour, 0.3))
    pen.poly(box(0, -0.2, 0.22, 0.045), (30, 30, 36))
    pen.poly(box(0, -0.2, 0.16, 0.018), (255, 206, 90))
    for x in (-0.12, 0.12):
        pen.oval(x, 0.09, 0.026, 0.026, (255, 246, 206))


def _lamps(pen: Pen) -> None:
    for near in (0.25, 0.42, 0.66):
        for side in (-1, 1):
            lamp = pen.at(side * near * 0.68, near * 0.3, near)
            lamp.line([(0, 0.1), (0, -0.9), (-side * 0.12, -0.98)], 0.04, (32, 34, 44))
            lamp.ball(-side * 0.15, -0.96, 0.07, 0.07, (255, 236, 176))
            lamp.glow(-side * 0.15, -0.96, 0.42, (255, 200, 110), 1.0)


def _tree(pen: Pen, dice: Dice) -> None:
    pen.solid(box(0, 0.0, 0.05, 0.34), (92, 64, 46), "tube")
    leaf = shade_of(dice.choice(("green", "orange", "green")), dice)
    for x, y, size in ((-0.09, -0.2, 0.13), (0.09, -0.2, 0.12), (0, -0.3, 0.15), (0.0, -0.17, 0.11)):
        pen.solid(ring(x, y, size, size * 0.9), leaf)
    pen.line(arc(0, -0.3, 0.1, 0.08, (0.55, 0.75)), 0.012, lighten(leaf, 0.4))


THEME = Theme(
    name="street",
    noun="street",
    slots={
        "houses": ("red", "yellow", "blue", "white", "pink", "green"),
        "thing": ("a car", "a bus", "lamps", "trees"),
        "sky": ("blue", "golden", "pink", "purple", "starry", "stormy"),
    },
    paint=paint,
    details=("with {houses} houses", "and {thing}", "under a {sky} sky"),
)
