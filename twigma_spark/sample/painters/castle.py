"""Castles: towers with roofs and lit windows, on a hill, by a lake or in the snow."""

from __future__ import annotations

from twigma_spark.sample.backdrops import (
    DARK_SKIES,
    SKIES,
    SKY_WORDS,
    grass,
    ground,
    haze,
    hills,
    sky,
    water,
)
from twigma_spark.sample.canvas import Canvas, Pen, box
from twigma_spark.sample.colours import Colour, darken, lighten, mix, shade_of
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.theme import Theme, Traits


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws the castle between far hills and its own ground."""
    sky(canvas, traits["sky"], dice, 0.85)
    horizon = SKIES[traits["sky"]][2]
    night = traits["sky"] in DARK_SKIES
    hills(canvas, (0.46, 0.66), mix(horizon, (54, 60, 96), 0.55), dice, 0.5)
    haze(canvas, 0.66, lighten(horizon, 0.2), 0.5)
    wall, roof = shade_of(traits["wall"], dice), shade_of(traits["roof"], dice)
    if night:
        wall, roof = mix(wall, (50, 50, 110), 0.3), mix(roof, (40, 36, 96), 0.25)
    foot = {"on a hill": 0.72, "by a lake": 0.66, "in the snow": 0.76}[traits["place"]]
    pen = canvas.pen(dice.uniform(0.42, 0.58), foot, dice.uniform(0.82, 0.98))
    if traits["place"] == "on a hill":
        hills(canvas, (0.66, 0.9), (62, 112, 62), dice, 0.25)
    _keep(pen, wall, roof, dice)
    _front(canvas, traits["place"], foot, horizon, dice)


def _front(canvas: Canvas, place: str, foot: float, horizon: Colour, dice: Dice) -> None:
    if place == "by a lake":
        water(canvas, foot, mix(horizon, (30, 70, 120), 0.6), dice)
    elif place == "in the snow":
        ground(canvas, foot, (226, 232, 246), dice, 0.05)
        for x, y, size in dice.array(0, 1, 60, 3).tolist():
            canvas.pen(x, y).oval(0, 0, 0.004 + 0.006 * size, 0.004 + 0.006 * size, (250, 252, 255))
    else:
        pen = canvas.pen(0.5, foot)
        grass(canvas, foot + 0.06, (80, 142, 64), dice, 110)
        pen.solid([(-0.05, 0.0), (0.05, 0.0), (0.2, 0.5), (-0.16, 0.5)], (196, 170, 128), "slope", 0.6)


def _keep(pen: Pen, wall: Colour, roof: Colour, dice: Dice) -> None:
    _tower(pen.at(0, 0), (0.17, dice.uniform(0.44, 0.54)), wall, roof)
    for side in (-1, 1):
        _tower(pen.at(side * 0.17, 0), (0.12, dice.uniform(0.3, 0.42)), darken(wall, 0.08), roof)
    pen.solid(box(0, -0.09, 0.7, 0.2), darken(wall, 0.05), "slope")
    for tooth in range(10):
        pen.solid(box(-0.33 + tooth * 0.0733, -0.2, 0.042, 0.045), wall, "slope")
    for side in (-1, 1):
        _tower(pen.at(side * 0.35, 0), (0.14, dice.uniform(0.25, 0.34)), wall, roof)
    pen.solid(box(0, -0.05, 0.12, 0.12), (52, 36, 40), "slope")
    pen.oval(0, -0.11, 0.06, 0.06, (52, 36, 40))


def _tower(pen: Pen, size: tuple[float, float], wall: Colour, roof: Colour) -> None:
    width, height = size
    pen.solid(box(0, -height / 2, width, height), wall, "tube")
    pen.solid(box(0, -height, width * 1.22, 0.035), lighten(wall, 0.1), "tube")
    peak = -height - width * 1.45
    pen.solid([(-width * 0.66, -height - 0.01), (0, peak), (width * 0.66, -height - 0.01)], roof, "tube")
    pen.line([(0, peak), (0, peak - 0.07)], 0.008, (60, 50, 50))
    pen.poly([(0, peak - 0.07), (0.055, peak - 0.053), (0, peak - 0.035)], roof)
    for level in (0.72, 0.42):
        pen.solid(box(0, -height * level, width * 0.2, 0.055), (255, 214, 120), "slope", 0.4)
        pen.glow(0, -height * level, 0.07, (255, 180, 80), 0.5)


THEME = Theme(
    name="castle",
    noun="castle",
    slots={
        "wall": ("white", "grey", "brown", "pink"),
        "roof": ("red", "blue", "green", "purple", "golden"),
        "place": ("on a hill", "by a lake", "in the snow"),
        "sky": SKY_WORDS,
    },
    paint=paint,
    adjectives=("wall",),
    details=("with {roof} roofs", "{place}", "under a {sky} sky"),
)
