"""Food on a plate: pizza, soup, cake, burgers and doughnuts, with something beside it."""

from __future__ import annotations

import math
from collections.abc import Callable

from twigma_spark.sample.backdrops import table, wall
from twigma_spark.sample.canvas import Canvas, Pen, arc, box, ring
from twigma_spark.sample.colours import Colour, darken, lighten, shade_of
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.theme import Theme, Traits


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws the dish on its plate, seen from the front and a little above."""
    wall(canvas, (208, 190, 168), dice, 6)
    table(canvas, 0.44, traits["table"], dice)
    side = dice.choice((-1, 1))
    _beside(canvas.pen(0.5 + side * 0.37, 0.47, 0.9), traits["side"])
    pen = canvas.pen(0.5 - side * 0.05, 0.64, dice.uniform(0.92, 1.05))
    plate = shade_of(traits["plate"], dice)
    pen.oval(0.02, 0.06, 0.44, 0.2, darken(plate, 0.75))
    pen.solid(ring(0, 0.02, 0.43, 0.21), plate, "ball", 0.6)
    pen.solid(ring(0, 0.01, 0.32, 0.14), darken(plate, 0.1), "ball", 0.4)
    DISHES[traits["dish"]](pen, dice)


def _beside(pen: Pen, side: str) -> None:
    if side == "a cup":
        pen.solid([(-0.1, -0.12), (0.1, -0.12), (0.075, 0.08), (-0.075, 0.08)], (238, 236, 230), "tube")
        pen.line(arc(0.11, -0.03, 0.05, 0.055, (-0.25, 0.25)), 0.022, (226, 222, 214))
        pen.oval(0, -0.12, 0.1, 0.026, (84, 52, 34))
    elif side == "a glass":
        pen.solid([(-0.08, -0.26), (0.08, -0.26), (0.06, 0.07), (-0.06, 0.07)], (206, 222, 232), "tube")
        pen.solid([(-0.075, -0.16), (0.075, -0.16), (0.056, 0.06), (-0.056, 0.06)], (240, 150, 50), "tube")
        pen.line([(0.02, -0.12), (0.07, -0.36)], 0.016, (220, 60, 70))
    else:
        for x, y in ((-0.05, 0.0), (0.07, 0.03)):
            pen.ball(x, y, 0.085, 0.08, (212, 48, 40))
            pen.solid(ring(x, y - 0.07, 0.035, 0.014), (70, 140, 60), "slope")


def _pizza(pen: Pen, dice: Dice) -> None:
    pen.solid(ring(0, -0.02, 0.33, 0.17), (206, 146, 76))
    pen.solid(ring(0, -0.03, 0.285, 0.135), (244, 200, 92), "ball", 0.5)
    for index in range(11):
        turn, reach = index * 2.4 + dice.uniform(-0.3, 0.3), 0.08 * math.sqrt(index + 0.3)
        x, y = reach * math.cos(turn), -0.03 + 0.47 * reach * math.sin(turn)
        tone = ((196, 44, 36), (64, 132, 56), (232, 226, 210))[index % 3]
        pen.solid(ring(x, y, 0.042, 0.024), tone, "ball", 0.7)


def _soup(pen: Pen, dice: Dice) -> None:
    broth = shade_of(dice.choice(("orange", "red", "green")), dice)
    pen.solid([*arc(0, -0.1, 0.3, 0.09, (0.5, 0.0)), *arc(0, -0.1, 0.3, 0.24, (0.0, 0.5))], (236, 232, 224), "tube")
    pen.oval(0, -0.1, 0.3, 0.095, (250, 248, 242))
    pen.solid(ring(0, -0.095, 0.265, 0.075), broth, "slope", 0.5)
    pen.line(arc(0, -0.095, 0.13, 0.035, (0.1, 0.8)), 0.018, lighten(broth, 0.6))
    for x, y in dice.array(-1, 1, 6, 2).tolist():
        pen.oval(x * 0.16, -0.095 + y * 0.035, 0.017, 0.009, (74, 142, 62))
    for x in (-0.1, 0.02, 0.13):
        for puff in range(6):
            pen.glow(x + 0.02 * math.sin(puff * 1.3), -0.2 - 0.05 * puff, 0.06, (200, 200, 206), 0.3)


def _cake(pen: Pen, dice: Dice) -> None:
    icing = shade_of(dice.choice(("pink", "white", "brown")), dice)
    for layer, tone in enumerate(((206, 152, 96), lighten(icing, 0.4), (222, 170, 112), icing)):
        pen.solid(box(0, 0.02 - 0.075 * layer, 0.46, 0.085), tone, "tube")
    pen.solid(ring(0, -0.25, 0.23, 0.06), icing, "ball", 0.5)
    for drop in range(8):
        pen.solid(ring(-0.2 + drop * 0.057, -0.19, 0.025, 0.03 + 0.014 * (drop % 3)), icing, "tube", 0.5)
    for candle in (-0.1, 0.0, 0.1):
        pen.solid(box(candle, -0.33, 0.024, 0.12), (120, 180, 236), "tube")
        pen.glow(candle, -0.42, 0.1, (255, 190, 80), 1.0)
        pen.oval(candle, -0.42, 0.014, 0.028, (255, 232, 150))


def _burger(pen: Pen, dice: Dice) -> None:
    bun: Colour = (222, 152, 74)
    pen.solid(ring(0, 0.02, 0.25, 0.09), bun)
    pen.solid(ring(0, -0.04, 0.27, 0.075), (98, 54, 36))
    pen.solid(
        [(-0.28, -0.08), (0.28, -0.08), (0.12, -0.01), (0, 0.02), (-0.14, -0.02)],
        (252, 196, 62),
        "slope",
        0.5,
    )
    for leaf in range(8):
        pen.ball(-0.24 + leaf * 0.068, -0.1, 0.048, 0.03, (104, 182, 70))
    pen.solid(box(0, -0.135, 0.46, 0.04), (214, 60, 44), "tube")
    pen.solid([*arc(0, -0.15, 0.26, 0.22, (0.5, 1.0)), (0.2, -0.13), (-0.2, -0.13)], bun)
    for x, y in dice.array(0, 1, 14, 2).tolist():
        pen.oval(-0.15 + 0.3 * x, -0.31 + 0.1 * y, 0.013, 0.008, (252, 236, 200))


def _doughnut(pen: Pen, dice: Dice) -> None:
    icing = shade_of(dice.choice(("pink", "brown", "white")), dice)
    pen.solid(ring(0, -0.02, 0.3, 0.19), (214, 156, 92))
    pen.solid(ring(0, -0.05, 0.285, 0.165), icing)
    pen.solid(ring(0, -0.06, 0.1, 0.055), (150, 96, 58), "slope")
    for turn, reach, tone in dice.array(0, 1, 26, 3).tolist():
        x, y = math.cos(turn * math.tau), math.sin(turn * math.tau)
        tint = shade_of(("red", "yellow", "blue", "green")[int(tone * 4)], dice)
        at = 0.14 + 0.11 * reach
        pen.line([(x * at, y * at * 0.58 - 0.055), (x * at + 0.02, y * at * 0.58 - 0.045)], 0.013, tint)


DISHES: dict[str, Callable[[Pen, Dice], None]] = {
    "pizza": _pizza,
    "soup": _soup,
    "cake": _cake,
    "burger": _burger,
    "doughnut": _doughnut,
}
THEME = Theme(
    name="food",
    noun="{dish}",
    slots={
        "dish": tuple(DISHES),
        "plate": ("white", "blue", "green", "black"),
        "side": ("a cup", "a glass", "tomatoes"),
        "table": ("brown", "white", "red", "teal"),
    },
    paint=paint,
    details=("on a {plate} plate", "with {side}", "on a {table} table"),
)
