"""Portraits: a face made of ellipses, with hair, clothes and something worn."""

from __future__ import annotations

from twigma_spark.sample.backdrops import wall
from twigma_spark.sample.canvas import Canvas, Pen, arc, ring
from twigma_spark.sample.colours import NAMED, Colour, darken, lighten, mix, shade_of, vary
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.theme import Theme, Traits

_SKINS: tuple[Colour, ...] = (
    (244, 208, 182),
    (232, 184, 148),
    (206, 150, 110),
    (160, 108, 76),
    (112, 74, 54),
)


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws head and shoulders before a soft wall."""
    wall(canvas, shade_of(traits["back"], dice), dice)
    woman = traits["person"] == "woman"
    skin, hair = vary(dice.choice(_SKINS), dice), shade_of(traits["hair"], dice)
    pen = canvas.pen(dice.uniform(0.45, 0.55), dice.uniform(0.44, 0.5), dice.uniform(0.98, 1.12))
    head = pen.at(0, 0, 1, dice.uniform(-0.14, 0.14))
    if woman:
        _long_hair(head, hair, dice)
    _shoulders(pen, skin, dice)
    _face(head, skin, dice)
    _features(head, skin, woman, dice)
    if traits["person"] == "bearded man":
        _beard(head, hair)
    _fringe(head, hair, woman, dice)
    _worn(head, traits["worn"], dice)


def _long_hair(head: Pen, hair: Colour, dice: Dice) -> None:
    length = dice.uniform(0.3, 0.46)
    head.solid(ring(0, -0.06, 0.285, 0.32), hair)
    head.solid([(-0.28, -0.06), (0.28, -0.06), (0.33, length), (-0.33, length)], darken(hair, 0.15), "slope")
    for strand in range(9):
        x = -0.28 + 0.07 * strand
        head.line([(x * 0.9, -0.1), (x * 1.12, length - 0.02)], 0.012, lighten(hair, 0.14))


def _shoulders(pen: Pen, skin: Colour, dice: Dice) -> None:
    cloth = shade_of(dice.choice(("red", "teal", "blue", "purple", "white", "green", "black")), dice)
    pen.solid([(-0.095, 0.1), (0.095, 0.1), (0.12, 0.48), (-0.12, 0.48)], darken(skin, 0.22), "tube")
    body = [(-0.5, 0.8), (-0.43, 0.46), (-0.15, 0.34), (0, 0.45), (0.15, 0.34), (0.43, 0.46), (0.5, 0.8)]
    pen.solid(body, cloth, "slope")
    pen.line([(-0.15, 0.34), (0, 0.45), (0.15, 0.34)], 0.022, lighten(cloth, 0.3))


def _face(head: Pen, skin: Colour, dice: Dice) -> None:
    for side in (-1, 1):
        head.ball(side * 0.205, 0.0, 0.035, 0.06, darken(skin, 0.1))
    jaw = dice.uniform(0.15, 0.18)
    outline = [(-0.205, -0.12), (-0.2, 0.06), (-jaw, 0.17), (-0.07, 0.265), (0, 0.28)]
    mirrored = [(-x, y) for x, y in reversed(outline[:-1])]
    crown = arc(0, -0.12, 0.205, 0.19, (1.0, 0.5))
    head.solid([*outline, *mirrored, *crown], skin, "ball", 0.75)
    for side in (-1, 1):
        head.glow(side * 0.11, 0.1, 0.08, (120, 30, 20), 0.5)


def _features(head: Pen, skin: Colour, woman: bool, dice: Dice) -> None:
    iris = shade_of(dice.choice(("brown", "blue", "green", "brown")), dice)
    gaze, brow = dice.uniform(-0.012, 0.012), darken(skin, 0.7)
    for side in (-1, 1):
        eye = head.at(side * 0.092, -0.015)
        eye.oval(0, 0, 0.046, 0.024, (250, 248, 244))
        eye.oval(gaze, 0, 0.022, 0.023, iris)
        eye.oval(gaze, 0, 0.011, 0.012, (16, 12, 16))
        eye.oval(gaze - 0.008, -0.008, 0.006, 0.006, (255, 255, 255))
        eye.line(arc(0, 0, 0.048, 0.026, (0.52, 0.98)), 0.014 if woman else 0.009, (40, 24, 24))
        eye.line(arc(0, -0.03, 0.058, 0.03, (0.58, 0.92)), 0.012 if woman else 0.02, brow)
    head.line([(0.012, -0.01), (0.026, 0.085), (-0.012, 0.1)], 0.01, darken(skin, 0.3))
    lips = (190, 54, 66) if woman else mix(skin, (150, 70, 66), 0.5)
    head.oval(0, 0.172, 0.062, 0.022, lips)
    head.line([(-0.06, 0.17), (0, 0.176 + dice.uniform(-0.004, 0.008)), (0.06, 0.17)], 0.007, darken(lips, 0.5))


def _beard(head: Pen, hair: Colour) -> None:
    inner = arc(0, 0.165, 0.085, 0.05, (0.0, 1.0))
    outer = [
        (-0.205, 0.02),
        (-0.185, 0.2),
        (-0.09, 0.33),
        (0, 0.35),
        (0.09, 0.33),
        (0.185, 0.2),
        (0.205, 0.02),
    ]
    head.solid([*outer, (0.15, 0.11), (0.06, 0.125), (0, 0.12), (-0.06, 0.125), (-0.15, 0.11)], hair)
    head.oval(0, 0.178, 0.05, 0.016, (176, 84, 78))
    head.line(inner[2:7], 0.01, darken(hair, 0.3))


def _fringe(head: Pen, hair: Colour, woman: bool, dice: Dice) -> None:
    part = dice.uniform(-0.12, 0.12)
    crown = arc(0, -0.12, 0.225, 0.225, (0.5, 1.0))
    low = 0.02 if woman else -0.06
    edge = [(0.225, low), (0.175, -0.12), (part + 0.03, -0.235), (part - 0.03, -0.225), (-0.175, -0.12)]
    head.solid([*crown, *edge, (-0.225, low)], hair, "slope")
    for strand in range(7):
        x = -0.18 + 0.06 * strand
        head.line([(part * 0.7, -0.33), (x * 1.1, -0.19 + abs(x) * 0.5)], 0.008, lighten(hair, 0.2))


def _worn(head: Pen, worn: str, dice: Dice) -> None:
    colour = shade_of(dice.choice(("red", "teal", "blue", "purple", "black", "green")), dice)
    if worn == "glasses":
        for side in (-1, 1):
            head.line(ring(side * 0.092, -0.01, 0.07, 0.062), 0.014, (24, 22, 30))
        head.line([(-0.024, -0.02), (0.024, -0.02)], 0.014, (24, 22, 30))
    elif worn == "a hat":
        head.solid([(-0.2, -0.22), (-0.17, -0.46), (0.17, -0.46), (0.2, -0.22)], colour, "tube")
        head.solid([(-0.2, -0.27), (0.2, -0.27), (0.2, -0.215), (-0.2, -0.215)], darken(colour, 0.5), "tube")
        head.ball(0, -0.205, 0.38, 0.055, colour)
    elif worn == "a crown":
        points = [(-0.2, -0.22), (-0.22, -0.42), (-0.11, -0.31), (0, -0.46), (0.11, -0.31), (0.22, -0.42)]
        head.solid([*points, (0.2, -0.22)], NAMED["golden"], "tube")
        for x, y in points[1::2]:
            head.ball(x, y, 0.026, 0.026, (220, 40, 60))
    elif worn == "a scarf":
        head.solid(ring(0, 0.36, 0.2, 0.085), colour, "slope")
        head.solid([(0.06, 0.36), (0.17, 0.36), (0.2, 0.66), (0.08, 0.66)], colour, "tube")


THEME = Theme(
    name="portrait",
    noun="{person}",
    slots={
        "person": ("woman", "man", "bearded man"),
        "hair": ("black", "brown", "blonde", "red", "white", "blue", "pink"),
        "worn": ("glasses", "a hat", "a crown", "a scarf"),
        "back": ("red", "teal", "blue", "purple", "green", "golden", "grey"),
    },
    paint=paint,
    details=("with {hair} hair", "wearing {worn}", "on a {back} background"),
)
