"""Mountains above a lake, a forest or a desert."""

from __future__ import annotations

import numpy as np

from twigma_spark.sample.backdrops import SKIES, SKY_WORDS, SUN_WORDS, ground, haze, hills, sky, sun, water
from twigma_spark.sample.canvas import Canvas, Pen
from twigma_spark.sample.colours import Colour, darken, lighten, mix, shade_of
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.textures import ridge
from twigma_spark.sample.theme import Theme, Traits


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws a range of peaks behind its foreground."""
    sky(canvas, traits["sky"], dice, 0.7)
    sun(canvas, traits["light"], dice.uniform(0.15, 0.85), dice.uniform(0.16, 0.3), dice)
    horizon = SKIES[traits["sky"]][2]
    rock = mix(shade_of(traits["rock"], dice), (60, 60, 96), 0.25)
    hills(canvas, (0.34, 0.6), mix(horizon, rock, 0.45), dice, 0.5)
    haze(canvas, 0.62, lighten(horizon, 0.15), 0.55)
    _peaks(canvas, (dice.uniform(0.2, 0.3), 0.7), rock, dice)
    haze(canvas, 0.72, lighten(horizon, 0.15), 0.4, 0.1)
    if traits["front"] == "lake":
        water(canvas, 0.7, mix(horizon, (24, 60, 110), 0.55), dice)
    elif traits["front"] == "forest":
        _pines(canvas, dice)
    else:
        ground(canvas, 0.7, mix((216, 160, 96), horizon, 0.15), dice, 0.1)
        _cacti(canvas, dice)


def _peaks(canvas: Canvas, line: tuple[float, float], rock: Colour, dice: Dice) -> None:
    """Peaks lit from the left, with snow that lies as far down as noise lets it."""
    top, foot = line
    middle = np.linspace(-1, 1, canvas.width) - dice.uniform(-0.35, 0.35)
    range_line = np.asarray(ridge(canvas.width, dice, 0.55, 3)) * (1 - 0.6 * np.clip(np.abs(middle), 0, 1))
    heights = foot + (top - foot) * range_line / range_line.max()
    slope = np.gradient(np.convolve(np.pad(heights, 6, "edge"), np.ones(13) / 13, "valid"))
    rows = np.linspace(0, 1, canvas.height)[:, None]
    depth = rows - heights[None, :]
    fold = np.asarray(ridge(canvas.width, dice, 0.8, 12))[None, :]
    lit = np.clip(0.5 - slope * canvas.width * 0.8, 0, 1)[None, :] * 0.5 + 0.5 * fold
    shade = np.array(darken(rock, 0.5)) + (np.array(lighten(rock, 0.25)) - darken(rock, 0.5)) * lit[..., None]
    snow = (depth < 0.1 + 0.12 * fold - 0.42 * (heights[None, :] - top))[..., None]
    white = np.array((176, 190, 226)) + (np.array((255, 255, 255)) - (176, 190, 226)) * lit[..., None]
    colours = np.where(snow, white, np.broadcast_to(shade, (canvas.height, canvas.width, 3)))
    inside = (depth > 0)[..., None]
    canvas.cover(np.where(inside, colours, canvas.pixels()))


def _pines(canvas: Canvas, dice: Dice) -> None:
    ground(canvas, 0.74, (40, 84, 56), dice)
    for row in range(3):
        for x in dice.array(0, 1, 9 + row).tolist():
            size = 0.14 + 0.07 * row + 0.05 * dice.unit()
            tone = mix((34, 96, 72), (14, 42, 38), row / 2)
            pine(canvas.pen(x, 0.78 + 0.1 * row, size), tone)


def pine(pen: Pen, tone: Colour, snow: bool = False) -> None:
    """Draws a pine one unit high whose foot is at the pen."""
    pen.poly([(-0.03, 0), (0.03, 0), (0.03, -0.2), (-0.03, -0.2)], (66, 46, 36))
    for tier in range(4):
        wide, low, top = 0.3 - 0.06 * tier, -0.14 - 0.19 * tier, -0.48 - 0.19 * tier
        light = lighten(tone, 0.08 * tier)
        pen.poly([(-wide, low), (0, top), (0, low + 0.03)], lighten(light, 0.12))
        pen.poly([(wide, low), (0, top), (0, low + 0.03)], darken(light, 0.3))
        if snow:
            drape = [(-wide * 0.55, low - 0.15), (0, top), (wide * 0.55, low - 0.15), (0.04, low - 0.2)]
            pen.poly([*drape, (-0.05, low - 0.09)], (246, 249, 255))


def _cacti(canvas: Canvas, dice: Dice) -> None:
    for x, y in dice.array(0, 1, 5, 2).tolist():
        pen = canvas.pen(x, 0.76 + 0.2 * y, 0.5 + 0.6 * y)
        tone = (60, 122, 72)
        pen.line([(0, 0), (0, -0.2)], 0.045, tone)
        pen.line([(0, -0.08), (-0.07, -0.08), (-0.07, -0.15)], 0.03, tone)
        pen.line([(0, -0.06), (0.06, -0.06), (0.06, -0.13)], 0.03, darken(tone, 0.2))


THEME = Theme(
    name="mountains",
    noun="mountains",
    slots={
        "rock": ("blue", "purple", "brown", "grey", "red"),
        "front": ("lake", "forest", "desert"),
        "light": SUN_WORDS,
        "sky": SKY_WORDS,
    },
    paint=paint,
    adjectives=("rock",),
    details=("above a {front}", "under a {sky} sky", "with a {light}"),
    plural=True,
)
