"""Still lifes: a vessel and fruit on a table."""

from __future__ import annotations

from collections.abc import Callable

from twigma_spark.sample.backdrops import table, wall
from twigma_spark.sample.canvas import Canvas, Pen, arc, box, ring
from twigma_spark.sample.colours import Colour, darken, lighten, shade_of
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.theme import Theme, Traits

_COUNTS = {"two": 2, "three": 3, "five": 5}


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws the vessel to one side and the fruit in front of it."""
    wall(canvas, shade_of(traits["back"], dice), dice, 0)
    table(canvas, 0.66, "brown", dice)
    side = dice.choice((-1, 1))
    colour = shade_of(traits["colour"], dice)
    VESSELS[traits["vessel"]](canvas.pen(0.5 - side * 0.17, 0.7, dice.uniform(0.95, 1.1)), colour)
    count = _COUNTS[traits["count"]]
    for index in range(count):
        along = (index + 0.5) / count - 0.5
        x = 0.5 + side * 0.16 + along * (0.42 if count < 4 else 0.6)
        pen = canvas.pen(x + dice.uniform(-0.02, 0.02), 0.79 + 0.06 * (index % 2), dice.uniform(0.9, 1.1))
        pen.oval(0.03, 0.075, 0.1, 0.025, (44, 26, 22))
        FRUITS[traits["fruit"]](pen.at(0, 0, 1, dice.uniform(-0.25, 0.25)))


def _vase(pen: Pen, colour: Colour) -> None:
    pen.oval(0.06, 0.02, 0.2, 0.04, (44, 26, 22))
    left = [(-0.06, -0.46), (-0.05, -0.36), (-0.16, -0.2), (-0.14, -0.07), (-0.09, 0.02)]
    pen.solid([*left, *((-x, y) for x, y in reversed(left))], colour, "tube")
    pen.solid(ring(0, -0.46, 0.065, 0.018), darken(colour, 0.45), "slope")
    pen.line([(-0.155, -0.19), (0.155, -0.19)], 0.022, lighten(colour, 0.6))


def _jug(pen: Pen, colour: Colour) -> None:
    pen.oval(0.06, 0.02, 0.2, 0.04, (44, 26, 22))
    pen.line(arc(0.13, -0.2, 0.1, 0.12, (-0.3, 0.28)), 0.035, darken(colour, 0.25))
    left = [(-0.1, -0.4), (-0.09, -0.3), (-0.16, -0.14), (-0.12, 0.02)]
    pen.solid([(-0.15, -0.43), *left[1:], *((-x, y) for x, y in reversed(left))], colour, "tube")
    pen.oval(0, -0.4, 0.1, 0.022, darken(colour, 0.55))


def _bottle(pen: Pen, colour: Colour) -> None:
    pen.oval(0.05, 0.02, 0.16, 0.035, (44, 26, 22))
    left = [(-0.035, -0.56), (-0.035, -0.38), (-0.1, -0.26), (-0.1, 0.02)]
    pen.solid([*left, *((-x, y) for x, y in reversed(left))], colour, "tube")
    pen.solid(box(0, -0.57, 0.06, 0.06), (150, 110, 72), "tube")
    pen.solid(box(0, -0.12, 0.2, 0.13), (238, 228, 200), "tube")


def _bowl(pen: Pen, colour: Colour) -> None:
    pen.oval(0.05, 0.02, 0.18, 0.035, (44, 26, 22))
    for x in (-0.11, 0.0, 0.11):
        pen.ball(x, -0.24, 0.075, 0.075, (120, 170, 60))
    pen.solid([*arc(0, -0.2, 0.26, 0.23, (0.0, 0.5))], colour, "tube")
    pen.solid(box(0, 0.02, 0.16, 0.03), darken(colour, 0.2), "tube")
    pen.line([(-0.26, -0.2), (0.26, -0.2)], 0.024, lighten(colour, 0.4))


def _apple(pen: Pen) -> None:
    pen.solid(ring(0, 0, 0.09, 0.085), (202, 40, 36))
    pen.line([(0, -0.06), (0.015, -0.12)], 0.012, (70, 44, 30))
    pen.solid([(0.015, -0.1), (0.07, -0.14), (0.05, -0.09)], (86, 150, 60), "slope")


def _pear(pen: Pen) -> None:
    left = [(-0.025, -0.15), (-0.045, -0.07), (-0.085, 0.01), (-0.07, 0.07), (-0.02, 0.09)]
    pen.solid([*left, *((-x, y) for x, y in reversed(left))], (168, 186, 62))
    pen.line([(0, -0.14), (0.02, -0.19)], 0.012, (70, 50, 30))


def _lemon(pen: Pen) -> None:
    body = [
        *arc(0, 0.01, 0.085, 0.066, (0.54, 0.96)),
        (0.115, 0.01),
        *arc(0, 0.01, 0.085, 0.066, (0.04, 0.46)),
    ]
    pen.solid([*body, (-0.115, 0.01)], (250, 212, 50))


def _grapes(pen: Pen) -> None:
    for row, count in enumerate((4, 3, 2, 1)):
        for index in range(count):
            pen.ball((index - (count - 1) / 2) * 0.05, -0.06 + 0.042 * row, 0.03, 0.03, (104, 46, 126))
    pen.line([(0, -0.08), (0.01, -0.14)], 0.012, (84, 66, 40))


VESSELS: dict[str, Callable[[Pen, Colour], None]] = {
    "vase": _vase,
    "jug": _jug,
    "bottle": _bottle,
    "bowl": _bowl,
}
FRUITS: dict[str, Callable[[Pen], None]] = {
    "apples": _apple,
    "pears": _pear,
    "lemons": _lemon,
    "grapes": _grapes,
}
THEME = Theme(
    name="still life",
    noun="{vessel}",
    slots={
        "vessel": tuple(VESSELS),
        "colour": ("blue", "green", "white", "brown", "teal", "pink"),
        "count": tuple(_COUNTS),
        "fruit": tuple(FRUITS),
        "back": ("brown", "grey", "green", "golden", "teal"),
    },
    paint=paint,
    adjectives=("colour",),
    details=("and {count} {fruit}", "on a {back} background"),
)
