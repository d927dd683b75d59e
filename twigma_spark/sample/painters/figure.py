"""The stand-in for sensitive pictures: a faceless mannequin of ovals behind a bar. Nothing else is drawn."""

from __future__ import annotations

from twigma_spark.sample.backdrops import wall
from twigma_spark.sample.canvas import Canvas, Pen, box, ring
from twigma_spark.sample.colours import Colour, darken, mix, shade_of, vary
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.theme import Theme, Traits

_TONES: tuple[Colour, ...] = ((240, 196, 168), (222, 168, 132), (178, 122, 90))


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws a mannequin and a wide bar across it."""
    wall(canvas, shade_of(traits["back"], dice), dice, 4)
    _mannequin(
        canvas.pen(dice.uniform(0.45, 0.55), 0.48, dice.uniform(0.92, 1.08)),
        vary(dice.choice(_TONES), dice),
        dice,
    )
    bar = canvas.pen(0.5, dice.uniform(0.56, 0.64), 1, dice.uniform(-0.16, 0.16))
    if traits["bar"] == "black":
        bar.poly(box(0, 0, 3, 0.36), (10, 10, 12))
        return
    for column in range(-12, 12):
        for row in range(4):
            shade = mix((228, 190, 168), (110, 84, 84), dice.unit())
            bar.poly(box(column * 0.1, (row - 1.5) * 0.1, 0.1, 0.1), shade)


def _mannequin(pen: Pen, tone: Colour, dice: Dice) -> None:
    lift = dice.uniform(0.1, 0.5)
    pen.ball(0, -0.32, 0.1, 0.13, tone)
    pen.solid(box(0, -0.19, 0.07, 0.1), darken(tone, 0.2), "tube")
    for side in (-1, 1):
        shoulder = pen.at(side * 0.19, -0.1, 1, -side * lift)
        shoulder.solid(ring(0, 0.14, 0.055, 0.17), darken(tone, 0.1), "tube")
        shoulder.solid(ring(0, 0.38, 0.045, 0.14), darken(tone, 0.05), "tube")
        pen.solid(ring(side * 0.08, 0.52, 0.075, 0.2), darken(tone, 0.12), "tube")
        pen.ball(side * 0.19, -0.1, 0.065, 0.065, tone)
    pen.solid(ring(0, 0.02, 0.18, 0.19), tone, "tube")
    pen.solid(ring(0, 0.27, 0.15, 0.15), darken(tone, 0.06), "tube")


THEME = Theme(
    name="figure",
    noun="censored figure",
    slots={"bar": ("black", "blurred"), "back": ("red", "blue", "grey", "purple")},
    paint=paint,
    details=("behind a {bar} bar", "on a {back} background"),
    sensitive=True,
)
