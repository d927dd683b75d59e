"""The sea: sailboats, lighthouses and ships on calm or rough water."""

from __future__ import annotations

import numpy as np

from twigma_spark.sample.backdrops import SKIES, SKY_WORDS, SUN_WORDS, sky, sun, water
from twigma_spark.sample.canvas import Canvas, Pen, box
from twigma_spark.sample.colours import Colour, darken, lighten, mix, shade_of
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.theme import Theme, Traits


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws the thing on the horizon, and the sea that mirrors it."""
    horizon = dice.uniform(0.56, 0.64)
    sky(canvas, traits["sky"], dice, horizon)
    sun(canvas, traits["light"], dice.choice((0.18, 0.82)), dice.uniform(0.16, 0.3), dice)
    colour = shade_of(traits["colour"], dice)
    rough = traits["sea"] == "rough"
    pen = canvas.pen(dice.uniform(0.42, 0.58), horizon, dice.uniform(0.9, 1.1))
    if traits["thing"] == "lighthouse":
        _lighthouse(pen.at(0, 0, 0.82), colour)
    elif traits["thing"] == "ship":
        _ship(pen, colour, dice)
    else:
        _boat(pen.at(0, 0, 1, dice.uniform(-0.06, 0.06) * (3 if rough else 1)), colour)
    tone = mix(SKIES[traits["sky"]][1], (18, 66, 104), 0.6)
    water(canvas, horizon, tone, dice, 1.0 if rough else 0.3)
    if rough:
        _crests(canvas, horizon, lighten(tone, 0.15), dice)


def _boat(pen: Pen, colour: Colour) -> None:
    pen.line([(0, 0.0), (0, -0.5)], 0.014, (84, 60, 44))
    pen.solid([(0.015, -0.49), (0.26, -0.1), (0.015, -0.08)], colour, "slope", 0.6)
    pen.solid([(-0.015, -0.44), (-0.19, -0.1), (-0.015, -0.08)], lighten(colour, 0.35), "slope", 0.6)
    pen.solid([(-0.27, -0.06), (0.3, -0.06), (0.2, 0.04), (-0.19, 0.04)], (110, 66, 44), "slope")
    pen.line([(-0.27, -0.06), (0.3, -0.06)], 0.016, (236, 226, 206))


def _lighthouse(pen: Pen, colour: Colour) -> None:
    pen.solid([(-0.3, 0.02), (-0.18, -0.08), (0.1, -0.11), (0.32, 0.02)], (84, 78, 80), "slope")
    for band in range(5):
        low, high = -0.08 - 0.085 * band, -0.08 - 0.085 * (band + 1)
        wide, slim = 0.085 - 0.008 * band, 0.077 - 0.008 * band
        tone = colour if band % 2 == 0 else (240, 238, 232)
        pen.solid([(-wide, low), (wide, low), (slim, high), (-slim, high)], tone, "tube")
    pen.solid(box(0, -0.515, 0.14, 0.02), (50, 50, 58), "tube")
    pen.solid(box(0, -0.555, 0.075, 0.065), (255, 232, 150), "tube", 0.4)
    pen.solid([(-0.06, -0.585), (0, -0.65), (0.06, -0.585)], darken(colour, 0.2), "tube")
    for side in (-1, 1):
        for step in range(7):
            pen.glow(
                side * 0.11 * step,
                -0.555 - 0.018 * step,
                0.1 + 0.02 * step,
                (255, 226, 150),
                0.55 - 0.06 * step,
            )


def _ship(pen: Pen, colour: Colour, dice: Dice) -> None:
    for puff in range(5):
        drift, reach = 0.03 + 0.06 * puff, 0.05 + 0.016 * puff
        pen.glow(drift + 0.04, -0.42 - 0.035 * puff, reach * 1.6, (150, 150, 156), 0.6)
    pen.solid(box(0.05, -0.28, 0.11, 0.24), darken(colour, 0.1), "tube")
    pen.solid(box(0.05, -0.36, 0.115, 0.045), (36, 34, 40), "tube")
    pen.solid(box(-0.02, -0.19, 0.36, 0.09), (238, 236, 228), "slope")
    pen.solid(box(-0.1, -0.26, 0.16, 0.07), (238, 236, 228), "slope")
    for hatch in range(5):
        pen.oval(-0.15 + 0.065 * hatch, -0.19, 0.016, 0.016, (66, 92, 120))
    pen.line([(-0.3, -0.12), (-0.3, -0.12 - dice.uniform(0.2, 0.26))], 0.012, (70, 60, 56))
    pen.solid([(-0.44, -0.16), (0.36, -0.14), (0.32, 0.05), (-0.34, 0.05)], colour, "slope")
    pen.line([(-0.43, -0.13), (0.355, -0.11)], 0.014, lighten(colour, 0.6))


def _crests(canvas: Canvas, horizon: float, tone: Colour, dice: Dice) -> None:
    """Waves that grow towards the viewer, each with a foaming edge where it is highest."""
    x = np.linspace(0, 1, 60)
    for wave in range(7):
        high = horizon + (1 - horizon) * (0.06 + 0.15 * wave)
        pitch, phase = dice.uniform(4, 7) * (1.7 - 0.13 * wave), dice.uniform(0, 6)
        swell = (1 - np.abs(np.sin(x * pitch + phase))) * (0.02 + 0.012 * wave)
        points = [(float(a) * canvas.width, float(high - b) * canvas.height) for a, b in zip(x, swell, strict=True)]
        fill = mix(lighten(tone, 0.12), darken(tone, 0.45), (wave % 3) / 2)
        canvas.draw.polygon([*points, (canvas.width, canvas.height), (0, canvas.height)], fill=fill)
        foam = [point for point, rise in zip(points, swell, strict=True) if rise > 0.55 * swell.max()]
        for px, py in foam:
            size = canvas.unit * (0.004 + 0.0012 * wave)
            canvas.draw.ellipse((px - size * 1.6, py - size, px + size * 1.6, py + size), fill=(236, 243, 248))


THEME = Theme(
    name="sea",
    noun="{thing}",
    slots={
        "thing": ("sailboat", "lighthouse", "ship"),
        "colour": ("red", "white", "blue", "yellow", "green"),
        "sea": ("calm", "rough"),
        "light": SUN_WORDS,
        "sky": SKY_WORDS,
    },
    paint=paint,
    adjectives=("colour",),
    details=("on a {sea} sea", "under a {sky} sky", "with a {light}"),
)
