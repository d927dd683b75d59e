"""Space: planets, rockets and astronauts among stars and nebulae."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from twigma_spark.sample.backdrops import stars
from twigma_spark.sample.canvas import Canvas, Pen, arc, box, ring
from twigma_spark.sample.colours import NAMED, Colour, darken, lighten, mix, shade_of
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.textures import noise, ramp
from twigma_spark.sample.theme import Theme, Traits


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws the thing in front of a nebula, and what is near it."""
    _nebula(canvas, traits["nebula"], dice)
    colour = shade_of(traits["colour"], dice)
    pen = canvas.pen(dice.uniform(0.4, 0.6), dice.uniform(0.45, 0.6), dice.uniform(0.85, 1.1))
    _near(canvas, traits["near"], dice)
    if traits["thing"] == "rocket":
        _rocket(pen.at(0, 0, 1, dice.uniform(0.2, 0.75)), colour, dice)
    elif traits["thing"] == "astronaut":
        _astronaut(pen.at(0, 0, 1, dice.uniform(-0.4, 0.4)), colour)
    else:
        _planet(pen, colour, traits["thing"] == "ringed planet", dice)


def _nebula(canvas: Canvas, word: str, dice: Dice) -> None:
    colour = shade_of(word, dice)
    size = canvas.width // 2, canvas.height // 2
    field, bright = noise(*size, dice, 3, 5), noise(*size, dice, 4, 4)
    canvas.backdrop(ramp([(3, 3, 14), (8, 8, 30), darken(colour, 0.55), colour], field**1.3))
    canvas.light(np.clip((field * bright - 0.32) * 2.4, 0, 0.9), lighten(colour, 0.35))
    stars(canvas, dice, 110)


def _near(canvas: Canvas, near: str, dice: Dice) -> None:
    side = dice.choice((0.16, 0.84))
    if near == "two moons":
        for x, y, size in ((side, 0.17, 0.07), (1 - side, 0.3, 0.045)):
            canvas.pen(x, y + dice.uniform(-0.04, 0.04)).ball(0, 0, size, size, (206, 204, 214))
    elif near == "a comet":
        pen = canvas.pen(side, 0.16, 1, 0.5 if side > 0.5 else math.pi - 0.5)
        for step in range(14):
            pen.glow(-0.035 * step, 0, 0.075 - 0.004 * step, (150, 210, 255), 0.9 - 0.05 * step)
        pen.oval(0, 0, 0.022, 0.022, (255, 255, 255))
    else:
        pen = canvas.pen(side, 0.2)
        pen.glow(0, 0, 0.55, (255, 180, 90), 0.9)
        pen.glow(0, 0, 0.3, (255, 236, 180), 1.0)
        pen.oval(0, 0, 0.09, 0.09, (255, 250, 226))


def _planet(pen: Pen, colour: Colour, ringed: bool, dice: Dice) -> None:
    radius = dice.uniform(0.21, 0.25) if ringed else dice.uniform(0.27, 0.34)
    pen.glow(0, 0, radius * 1.9, lighten(colour, 0.2), 0.6)
    tilt = pen.at(0, 0, radius, dice.uniform(-0.5, 0.1))
    band = lighten(colour, 0.5)
    if ringed:
        _rings(tilt, (0.5, 1.0), band)
    _surface(tilt, colour, dice)
    if ringed:
        _rings(tilt, (0.0, 0.5), band)


def _surface(pen: Pen, colour: Colour, dice: Dice) -> None:
    """Bands and storms are painted over the lit ball only, so the shadow side stays dark."""
    side = max(8, round(pen.size * 2))
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    swirl = noise(side, side, dice, 3, 3)
    bands = 0.5 + 0.5 * np.sin(y * dice.uniform(14, 24) + swirl * 5)
    skin = ramp([darken(colour, 0.35), colour, lighten(colour, 0.45)], bands)
    lit = np.clip(1.25 - 1.35 * np.hypot(x - 0.33, y - 0.3), 0.05, 1.1)
    patch = Image.fromarray(np.clip(skin * lit[..., None], 0, 255).astype(np.uint8))
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse((0, 0, side - 1, side - 1), fill=255)
    turn = -math.degrees(pen.angle)
    place = (round(pen.x - side / 2), round(pen.y - side / 2))
    pen.canvas.image.paste(patch.rotate(turn, Image.Resampling.BILINEAR), place, mask)


def _rings(pen: Pen, turns: tuple[float, float], colour: Colour) -> None:
    for reach, tone, width in ((1.5, 0.1, 0.1), (1.7, 0.35, 0.13), (1.92, 0.6, 0.07)):
        pen.line(arc(0, 0.05, reach, reach * 0.3, turns), width, darken(colour, tone))


def _rocket(pen: Pen, colour: Colour, dice: Dice) -> None:
    pen.glow(0, 0.48, 0.3, (255, 130, 40), 1.0)
    reach = dice.uniform(0.56, 0.68)
    pen.poly([(-0.075, 0.27), (0, reach), (0.075, 0.27)], (255, 150, 50))
    pen.poly([(-0.04, 0.27), (0, reach - 0.13), (0.04, 0.27)], (255, 236, 150))
    for side in (-1, 1):
        pen.solid([(side * 0.08, 0.06), (side * 0.24, 0.3), (side * 0.07, 0.25)], colour, "slope")
    hull = [(-0.09, 0.27), (-0.13, 0.0), (-0.09, -0.22), (0, -0.4), (0.09, -0.22), (0.13, 0.0), (0.09, 0.27)]
    pen.solid(hull, (226, 228, 236), "tube")
    pen.solid([(-0.09, -0.22), (0, -0.4), (0.09, -0.22)], colour, "tube")
    pen.solid(box(0, 0.2, 0.22, 0.05), colour, "tube")
    pen.ball(0, -0.06, 0.06, 0.06, (60, 70, 90))
    pen.ball(0, -0.06, 0.043, 0.043, (120, 200, 250))


def _astronaut(pen: Pen, colour: Colour) -> None:
    suit = (228, 230, 236)
    pen.solid(box(0, 0.08, 0.4, 0.36), (150, 154, 166), "tube")
    for side in (-1, 1):
        limb = [(side * 0.12, 0.02), (side * 0.28, 0.1), (side * 0.36, -0.06)]
        pen.line(limb, 0.12, darken(suit, 0.14))
        pen.ball(side * 0.37, -0.09, 0.06, 0.06, colour)
        pen.line([(side * 0.08, 0.24), (side * 0.1, 0.42)], 0.13, darken(suit, 0.1))
        pen.ball(side * 0.11, 0.45, 0.085, 0.055, colour)
    pen.solid(ring(0, 0.12, 0.18, 0.2), suit)
    pen.solid(box(0, 0.12, 0.14, 0.09), mix(colour, NAMED["grey"], 0.2), "slope")
    pen.ball(0, -0.2, 0.19, 0.18, suit)
    pen.ball(0, -0.19, 0.14, 0.115, (34, 44, 84), 0.8)
    pen.line(arc(0, -0.19, 0.1, 0.08, (0.52, 0.72)), 0.022, (190, 220, 255))
    pen.oval(0.06, -0.14, 0.018, 0.018, colour)


THEME = Theme(
    name="space",
    noun="{thing}",
    slots={
        "thing": ("planet", "ringed planet", "rocket", "astronaut"),
        "colour": ("red", "orange", "green", "blue", "pink", "golden"),
        "near": ("two moons", "a comet", "a sun"),
        "nebula": ("red", "teal", "blue", "purple", "green"),
    },
    paint=paint,
    adjectives=("colour",),
    details=("near {near}", "in a {nebula} nebula"),
)
