"""Flowers: roses, daisies, tulips and lilies in a meadow, a vase or the dark."""

from __future__ import annotations

import math
from collections.abc import Callable

from twigma_spark.sample.backdrops import grass, hills, sky, table, wall
from twigma_spark.sample.canvas import Canvas, Pen, arc, ring
from twigma_spark.sample.colours import Colour, darken, lighten, shade_of
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.theme import Theme, Traits

_SPOTS = {
    "one": ((0.5, 0.36, 1.25),),
    "two": ((0.33, 0.34, 0.85), (0.67, 0.42, 0.85)),
    "three": ((0.25, 0.42, 0.7), (0.52, 0.27, 0.7), (0.77, 0.44, 0.7)),
}
_LEAF = (62, 138, 66)


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws the flowers on their stems, behind them where they stand."""
    foot = _place(canvas, traits["place"], dice)
    colour = shade_of(traits["colour"], dice)
    vase = traits["place"] == "in a vase"
    for x, y, size in _SPOTS[traits["count"]]:
        bloom_x, bloom_y = x + dice.uniform(-0.04, 0.04), y + dice.uniform(-0.03, 0.03)
        root = 0.5 + (bloom_x - 0.5) * 0.25 if vase else bloom_x + dice.uniform(-0.06, 0.06)
        _stem(canvas, (bloom_x, bloom_y), (root, foot), vase)
        pen = canvas.pen(bloom_x, bloom_y, size * dice.uniform(0.92, 1.05), dice.uniform(-0.25, 0.25))
        BLOOMS[traits["flower"]](pen, colour)
    if vase:
        _vase(canvas, dice)


def _place(canvas: Canvas, place: str, dice: Dice) -> float:
    if place == "in a meadow":
        sky(canvas, "blue", dice, 0.65)
        hills(canvas, (0.5, 0.64), (96, 158, 98), dice, 0.3)
        grass(canvas, 0.64, (96, 170, 70), dice)
        return 1.05
    if place == "in a vase":
        wall(canvas, (206, 186, 160), dice, 5)
        table(canvas, 0.84, "brown", dice)
        return 0.7
    wall(canvas, (22, 26, 44), dice, 14)
    return 1.05


def _stem(canvas: Canvas, bloom: tuple[float, float], root: tuple[float, float], bare: bool) -> None:
    pen = canvas.pen(0, 0)
    wide, high = canvas.width / canvas.unit, canvas.height / canvas.unit
    (x0, y0), (x1, y1) = (bloom[0] * wide, bloom[1] * high), (root[0] * wide, root[1] * high)
    middle = ((x0 + x1) / 2 + 0.03, (y0 + y1) / 2)
    pen.line([(x0, y0), middle, (x1, y1)], 0.024, darken(_LEAF, 0.15))
    pen.line([(x0, y0), middle, (x1, y1)], 0.008, lighten(_LEAF, 0.3))
    if bare:
        return
    for side in (-1, 1):
        leaf = pen.at(middle[0], middle[1] + 0.08, 1, side * 0.9)
        leaf.solid([(0, 0), (0.04, -0.09), (0, -0.2), (-0.04, -0.09)], _LEAF, "slope")


def _vase(canvas: Canvas, dice: Dice) -> None:
    glaze = shade_of(dice.choice(("teal", "white", "blue")), dice)
    pen = canvas.pen(0.5, 0.76)
    pen.oval(0, 0.17, 0.2, 0.03, (60, 40, 32))
    shape = [
        (-0.07, -0.14),
        (0.07, -0.14),
        (0.1, -0.05),
        (0.17, 0.04),
        (0.13, 0.17),
        (-0.13, 0.17),
        (-0.17, 0.04),
    ]
    pen.solid([*shape, (-0.1, -0.05)], glaze, "tube")
    pen.oval(0, -0.14, 0.072, 0.014, darken(glaze, 0.5))


def _petals(pen: Pen, count: int, reach: float, size: tuple[float, float], colour: Colour) -> None:
    for petal in range(count):
        turn = math.tau * petal / count
        x, y = reach * math.cos(turn), reach * math.sin(turn)
        pen.solid(ring(x, y, size[0], size[1], turn), darken(colour, 0.1 * (petal % 2)), "ball", 0.7)


def _daisy(pen: Pen, colour: Colour) -> None:
    _petals(pen, 13, 0.13, (0.085, 0.034), colour)
    _petals(pen.at(0, 0, 1, 0.2), 11, 0.09, (0.06, 0.03), lighten(colour, 0.2))
    pen.ball(0, 0, 0.066, 0.062, (242, 184, 44))
    for seed in range(14):
        angle, radius = seed * 2.4, 0.014 * math.sqrt(seed)
        pen.oval(radius * math.cos(angle), radius * math.sin(angle), 0.006, 0.006, (176, 106, 26))


def _rose(pen: Pen, colour: Colour) -> None:
    _petals(pen, 6, 0.1, (0.1, 0.115), darken(colour, 0.22))
    _petals(pen.at(0, 0, 1, 0.5), 5, 0.065, (0.085, 0.095), darken(colour, 0.04))
    _petals(pen.at(0, 0, 1, 0.2), 4, 0.036, (0.062, 0.07), lighten(colour, 0.1))
    pen.ball(0, 0, 0.046, 0.046, colour)
    for step, reach in enumerate((0.02, 0.045, 0.075, 0.11)):
        turns = (0.1 + 0.37 * step, 0.62 + 0.37 * step)
        pen.line(arc(0, 0, reach, reach, turns), 0.01, darken(colour, 0.5))


def _tulip(pen: Pen, colour: Colour) -> None:
    for side in (-1, 1):
        back = [(side * 0.02, 0.15), (side * 0.15, 0.06), (side * 0.15, -0.17), (side * 0.03, -0.05)]
        pen.solid(back, darken(colour, 0.18), "tube")
    cup = [(-0.11, 0.08), (-0.1, -0.08), (0, -0.2), (0.1, -0.08), (0.11, 0.08), (0.05, 0.16), (-0.05, 0.16)]
    pen.solid(cup, colour, "tube")
    pen.line([(0, -0.17), (0, 0.1)], 0.01, lighten(colour, 0.4))


def _lily(pen: Pen, colour: Colour) -> None:
    for petal in range(6):
        leaf = pen.at(0, 0, 1, math.tau * petal / 6)
        shape = [(0, 0), (0.065, -0.1), (0.03, -0.19), (0, -0.25), (-0.03, -0.19), (-0.065, -0.1)]
        leaf.solid(shape, darken(colour, 0.14 * (petal % 2)), "ball", 0.8)
        leaf.line([(0, -0.02), (0, -0.2)], 0.012, lighten(colour, 0.55))
    for stamen in range(5):
        tip = pen.at(0, 0, 1, math.tau * stamen / 5 + 0.5)
        tip.line([(0, 0), (0, -0.09)], 0.008, (236, 232, 170))
        tip.ball(0, -0.095, 0.017, 0.012, (190, 92, 30))


BLOOMS: dict[str, Callable[[Pen, Colour], None]] = {
    "rose": _rose,
    "daisy": _daisy,
    "tulip": _tulip,
    "lily": _lily,
}
THEME = Theme(
    name="flower",
    noun="{flower}",
    slots={
        "flower": tuple(BLOOMS),
        "count": tuple(_SPOTS),
        "colour": ("red", "orange", "yellow", "pink", "purple", "blue", "white"),
        "place": ("in a meadow", "in a vase", "in the dark"),
    },
    paint=paint,
    adjectives=("count", "colour"),
    details=("{place}",),
)
