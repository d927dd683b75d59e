"""Cities: skylines with lit windows, over a river or a road, in fog, rain or snow."""

from __future__ import annotations

from twigma_spark.sample.backdrops import (
    DARK_SKIES,
    SKIES,
    SKY_WORDS,
    SUN_WORDS,
    ground,
    haze,
    sky,
    sun,
    water,
)
from twigma_spark.sample.canvas import Canvas, box
from twigma_spark.sample.colours import Colour, darken, lighten, mix, shade_of
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.theme import Theme, Traits


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws layers of towers before the sky, then the ground and the weather."""
    sky(canvas, traits["sky"], dice, 0.8)
    sun(canvas, traits["light"], dice.uniform(0.15, 0.85), dice.uniform(0.14, 0.26), dice)
    horizon, lamps = SKIES[traits["sky"]][2], shade_of(traits["lamps"], dice)
    dark = (26, 26, 52) if traits["sky"] in DARK_SKIES else (58, 60, 84)
    for layer in range(3):
        tone = mix(mix(horizon, dark, 0.4 + 0.28 * layer), dark, 0.12 * layer)
        _towers(canvas, (0.3 + 0.1 * layer, 0.76), tone, lamps, dice)
        if traits["weather"] == "fog" or layer == 0:
            haze(canvas, 0.72, lighten(horizon, 0.25), 0.75 if traits["weather"] == "fog" else 0.35, 0.2)
    canvas.pen(0.5, 0.76).glow(0, 0, 0.8, lamps, 0.35)
    if traits["front"] == "river":
        water(canvas, 0.76, darken(mix(horizon, (20, 40, 90), 0.6), 0.2), dice, 0.6)
    else:
        _road(canvas, dark, lamps, dice)
    _weather(canvas, traits["weather"], dice)


def _towers(canvas: Canvas, band: tuple[float, float], tone: Colour, lamps: Colour, dice: Dice) -> None:
    top, foot = band
    x, scale = -0.02, canvas.height / canvas.unit
    while x < 1.0:
        width, height = dice.uniform(0.07, 0.14), dice.uniform(0.15, 1.0) ** 1.4 * (foot - top) + 0.06
        pen = canvas.pen(x + width / 2, foot - height / 2)
        wide = width * canvas.width / canvas.unit
        pen.solid(box(0, 0, wide, height * scale), tone, "tube", 0.35)
        if dice.chance(0.35):
            pen.line([(0, -height * scale / 2), (0, -height * scale / 2 - 0.07)], 0.008, tone)
        rows, columns = max(2, int(height * scale / 0.045)), max(2, int(wide / 0.032))
        lit = dice.array(0, 1, rows, columns)
        for row, column in zip(*(lit > 0.52).nonzero(), strict=True):
            wx = -wide / 2 + wide * (column + 0.5) / columns
            wy = -height * scale / 2 + height * scale * (row + 0.5) / rows
            pen.poly(box(wx, wy, 0.014, 0.02), lamps)
        x += width * dice.uniform(0.85, 1.15)


def _road(canvas: Canvas, dark: Colour, lamps: Colour, dice: Dice) -> None:
    ground(canvas, 0.76, mix(dark, (90, 90, 100), 0.5), dice, 0.06)
    pen = canvas.pen(0.5, 0.76)
    pen.poly([(-0.03, 0), (0.03, 0), (0.55, 0.6), (-0.55, 0.6)], darken(dark, 0.3))
    for dash in range(4):
        y = 0.02 + 0.06 * dash * (1 + 0.3 * dash)
        pen.poly(
            [(-0.006 - y * 0.02, y), (0.006 + y * 0.02, y), (0.01 + y * 0.03, y + 0.03 + y * 0.2)],
            (240, 220, 150),
        )
    for side in (-1, 1):
        for near in (0.03, 0.1, 0.22):
            pen.line(
                [(side * (0.06 + near * 1.2), near), (side * (0.06 + near * 1.2), near * 0.2 - 0.06)],
                0.008,
                dark,
            )
            pen.glow(side * (0.06 + near * 1.2), near * 0.2 - 0.06, 0.07 + near * 0.3, lamps, 0.9)


def _weather(canvas: Canvas, weather: str, dice: Dice) -> None:
    if weather == "rain":
        for x, y in dice.array(0, 1, 110, 2).tolist():
            canvas.pen(x, y).line([(0, 0), (-0.018, 0.07)], 0.004, (196, 208, 226))
    elif weather == "snow":
        for x, y, size in dice.array(0, 1, 130, 3).tolist():
            canvas.pen(x, y).oval(0, 0, 0.005 + 0.007 * size, 0.005 + 0.007 * size, (250, 252, 255))


THEME = Theme(
    name="city",
    noun="city",
    slots={
        "lamps": ("yellow", "pink", "blue", "green"),
        "front": ("river", "road"),
        "weather": ("rain", "snow", "fog"),
        "light": SUN_WORDS,
        "sky": SKY_WORDS,
    },
    paint=paint,
    details=("with {lamps} lights", "by a {front}", "in {weather}", "under a {sky} sky", "with a {light}"),
)
