"""Robots: round ones and armoured giants, with lit eyes."""

from __future__ import annotations

from twigma_spark.sample.backdrops import ground, haze, hills, sky, sun
from twigma_spark.sample.canvas import Canvas, Pen, box
from twigma_spark.sample.colours import Colour, darken, lighten, shade_of
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.theme import Theme, Traits


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws the machine standing in its place."""
    _place(canvas, traits["place"], dice)
    colour, eyes = shade_of(traits["colour"], dice), shade_of(traits["eyes"], dice)
    pen = canvas.pen(dice.uniform(0.44, 0.56), 0.52, dice.uniform(0.92, 1.04))
    pen.oval(0, 0.47, 0.34, 0.05, (20, 18, 30))
    if traits["kind"] == "robot":
        _round_robot(pen, colour, eyes, dice)
    else:
        _mecha(pen, colour, eyes, dice)


def _place(canvas: Canvas, place: str, dice: Dice) -> None:
    if place == "desert":
        sky(canvas, "golden", dice, 0.7)
        sun(canvas, "sun", dice.uniform(0.12, 0.88), 0.2, dice)
        hills(canvas, (0.56, 0.7), (206, 146, 84), dice, 0.3)
        ground(canvas, 0.74, (222, 172, 106), dice)
    elif place == "garden":
        sky(canvas, "blue", dice, 0.7)
        hills(canvas, (0.5, 0.66), (58, 130, 72), dice, 0.3)
        ground(canvas, 0.72, (86, 164, 78), dice)
        for x, y in dice.array(0, 1, 26, 2).tolist():
            petal = (250, 120, 150) if x * 10 % 1 > 0.5 else (255, 226, 110)
            canvas.pen(x, 0.74 + y * 0.25).oval(0, 0, 0.013, 0.013, petal)
    else:
        _streets(canvas, dice)


def _streets(canvas: Canvas, dice: Dice) -> None:
    sky(canvas, "purple", dice, 0.8)
    for layer, tone in ((0.28, (74, 52, 122)), (0.42, (40, 30, 78))):
        for x, height, width in dice.array(0, 1, 12, 3).tolist():
            top = layer + 0.28 * height
            tower = canvas.pen(x, (top + 1) / 2)
            tower.poly(box(0, 0, 0.07 + width * 0.08, (1 - top) * canvas.height / canvas.unit), tone)
            for row in range(3):
                canvas.pen(x, top + 0.05 + row * 0.06).poly(box(0, 0, 0.04, 0.012), (255, 206, 120))
    haze(canvas, 0.78, (170, 110, 190), 0.5)
    ground(canvas, 0.8, (58, 50, 84), dice)


def _lamp_eye(pen: Pen, x: float, y: float, radius: float, eyes: Colour) -> None:
    pen.oval(x, y, radius * 1.4, radius * 1.4, (18, 18, 28))
    pen.oval(x, y, radius, radius, eyes)
    pen.oval(x, y, radius * 0.5, radius * 0.5, lighten(eyes, 0.7))
    pen.glow(x, y, radius * 4.2, eyes, 0.8)


def _round_robot(pen: Pen, colour: Colour, eyes: Colour, dice: Dice) -> None:
    steel = (150, 156, 170)
    lift = dice.uniform(-0.1, 0.16)
    for side in (-1, 1):
        pen.solid(box(side * 0.11, 0.38, 0.1, 0.16), steel, "tube")
        pen.ball(side * 0.12, 0.46, 0.1, 0.05, colour)
        pen.line([(side * 0.22, 0.1), (side * 0.36, 0.16), (side * 0.38, 0.16 - lift)], 0.06, steel)
        pen.ball(side * 0.38, 0.14 - lift, 0.06, 0.06, colour)
    pen.solid([(-0.22, 0.02), (0.22, 0.02), (0.25, 0.2), (0.17, 0.34), (-0.17, 0.34), (-0.25, 0.2)], colour)
    pen.solid(box(0, 0.16, 0.2, 0.14), darken(colour, 0.55), "slope")
    for lit in range(3):
        pen.oval(-0.055 + 0.055 * lit, 0.16, 0.017, 0.017, (255, 220, 120) if lit else eyes)
    pen.solid(box(0, 0.0, 0.12, 0.08), steel, "tube")
    pen.line([(0, -0.36), (0.02, -0.47)], 0.018, steel)
    pen.ball(0.02, -0.47, 0.03, 0.03, eyes)
    head = [(-0.2, -0.36), (0.2, -0.36), (0.27, -0.27), (0.27, -0.1), (0.2, -0.03), (-0.2, -0.03)]
    pen.solid([*head, (-0.27, -0.1), (-0.27, -0.27)], colour)
    pen.solid(box(0, -0.2, 0.42, 0.2), (34, 36, 50), "slope", 0.6)
    for side in (-1, 1):
        _lamp_eye(pen, side * 0.1, -0.2, 0.042, eyes)


def _mecha(pen: Pen, colour: Colour, eyes: Colour, dice: Dice) -> None:
    steel, trim = (92, 96, 112), lighten(colour, 0.45)
    spread = dice.uniform(0.13, 0.19)
    for side in (-1, 1):
        leg = [(side * 0.06, 0.16), (side * 0.2, 0.16), (side * (spread + 0.13), 0.48), (side * spread, 0.48)]
        pen.solid(leg, steel, "tube")
        pen.solid(box(side * (spread + 0.03), 0.4, 0.17, 0.17), colour, "slope")
        pen.solid(box(side * 0.37, 0.14, 0.12, 0.32), steel, "tube")
        pen.solid(box(side * 0.37, 0.24, 0.15, 0.16), colour, "slope")
    pen.solid([(-0.25, -0.14), (0.25, -0.14), (0.15, 0.2), (-0.15, 0.2)], colour, "slope")
    pen.solid([(-0.1, -0.1), (0.1, -0.1), (0, 0.12)], trim, "slope")
    pen.ball(0, -0.03, 0.045, 0.045, eyes)
    pen.glow(0, -0.03, 0.2, eyes, 0.8)
    for side in (-1, 1):
        plate = [(side * 0.22, -0.1), (side * 0.27, -0.27), (side * 0.5, -0.22), (side * 0.46, 0.0)]
        pen.solid(plate, colour, "slope")
        pen.line([(side * 0.27, -0.25), (side * 0.48, -0.2)], 0.018, trim)
    pen.solid([(-0.12, -0.16), (-0.13, -0.3), (0, -0.4), (0.13, -0.3), (0.12, -0.16)], colour, "slope")
    pen.poly([(-0.12, -0.29), (0.12, -0.29), (0.09, -0.21), (-0.09, -0.21)], (20, 20, 30))
    for side in (-1, 1):
        pen.poly([(side * 0.03, -0.38), (side * 0.2, -0.52), (side * 0.06, -0.34)], trim)
        pen.poly([(side * 0.02, -0.25), (side * 0.09, -0.275), (side * 0.08, -0.235)], eyes)
        pen.glow(side * 0.055, -0.255, 0.12, eyes, 0.8)


THEME = Theme(
    name="robot",
    noun="{kind}",
    slots={
        "kind": ("robot", "mecha"),
        "colour": ("red", "orange", "yellow", "green", "teal", "blue", "white", "grey"),
        "eyes": ("red", "blue", "green", "yellow"),
        "place": ("desert", "garden", "city"),
    },
    paint=paint,
    adjectives=("colour",),
    details=("with {eyes} eyes", "in a {place}"),
)
