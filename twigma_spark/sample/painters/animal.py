"""Animals: cats, dogs, foxes, owls, rabbits and bears that look at you."""

from __future__ import annotations

from twigma_spark.sample.backdrops import grass, ground, hills, sky, stars, wall
from twigma_spark.sample.canvas import Canvas, Pen, arc, ring
from twigma_spark.sample.colours import Colour, darken, lighten, shade_of
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.theme import Theme, Traits

_NOSE = (52, 34, 40)


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws the animal, head and chest, in its place."""
    _place(canvas, traits["place"], dice)
    coat, eyes = shade_of(traits["coat"], dice), shade_of(traits["eyes"], dice)
    pen = canvas.pen(dice.uniform(0.44, 0.56), dice.uniform(0.46, 0.52), dice.uniform(0.95, 1.1))
    chest = lighten(coat, 0.5)
    pen.solid(ring(0, 0.5, 0.3, 0.34), darken(coat, 0.08))
    pen.solid(ring(0, 0.46, 0.15, 0.2), chest)
    _fur(pen, coat, dice)
    head = pen.at(0, 0, 1, dice.uniform(-0.16, 0.16))
    if traits["animal"] == "owl":
        _owl(head, coat, eyes)
        return
    _ears(head, traits["animal"], coat)
    _head(head, traits["animal"], coat)
    _look(head, traits["animal"], coat, eyes)


def _place(canvas: Canvas, place: str, dice: Dice) -> None:
    if place == "in the snow":
        sky(canvas, "blue", dice, 0.6)
        hills(canvas, (0.36, 0.56), (176, 190, 216), dice)
        ground(canvas, 0.6, (232, 238, 250), dice, 0.05)
        for x, y, size in dice.array(0, 1, 70, 3).tolist():
            canvas.pen(x, y).oval(0, 0, 0.004 + 0.007 * size, 0.004 + 0.007 * size, (252, 253, 255))
    elif place == "in the grass":
        sky(canvas, "golden", dice, 0.62)
        hills(canvas, (0.42, 0.58), (96, 140, 84), dice)
        grass(canvas, 0.58, (98, 160, 66), dice)
    elif place == "at night":
        sky(canvas, "starry", dice, 0.8)
        stars(canvas, dice, 50)
        hills(canvas, (0.62, 0.76), (18, 22, 48), dice)
        ground(canvas, 0.78, (24, 30, 56), dice)
    else:
        wall(canvas, (186, 120, 84), dice)
        canvas.pen(0.5, 0.95).solid(ring(0, 0, 0.95, 0.24), (150, 52, 66), "slope")


def _fur(pen: Pen, coat: Colour, dice: Dice) -> None:
    for x, y, tone in dice.array(0, 1, 40, 3).tolist():
        start = (-0.26 + 0.52 * x, 0.26 + 0.3 * y)
        shade = lighten(coat, 0.3) if tone > 0.5 else darken(coat, 0.3)
        pen.line([start, (start[0] * 1.06, start[1] + 0.045)], 0.007, shade)


def _ears(head: Pen, animal: str, coat: Colour) -> None:
    inner = (238, 160, 160)
    for side in (-1, 1):
        if animal == "rabbit":
            head.solid(ring(side * 0.1, -0.36, 0.062, 0.21, side * 0.16), coat)
            head.solid(ring(side * 0.1, -0.35, 0.032, 0.16, side * 0.16), inner, "slope")
        elif animal == "bear":
            head.ball(side * 0.2, -0.21, 0.085, 0.085, coat)
            head.ball(side * 0.2, -0.2, 0.048, 0.048, darken(coat, 0.4))
        elif animal == "dog":
            drop = [(side * 0.14, -0.22), (side * 0.28, -0.17), (side * 0.33, 0.08), (side * 0.24, 0.14)]
            head.solid(drop, darken(coat, 0.4), "slope")
        else:
            tip = 0.42 if animal == "fox" else 0.38
            head.solid([(side * 0.06, -0.2), (side * 0.24, -tip), (side * 0.265, -0.06)], coat, "slope")
            hollow = inner if animal == "cat" else (40, 28, 32)
            head.solid([(side * 0.12, -0.2), (side * 0.222, -tip + 0.07), (side * 0.235, -0.1)], hollow, "slope")


def _head(head: Pen, animal: str, coat: Colour) -> None:
    pale = lighten(coat, 0.62)
    if animal == "fox":
        cheeks = [
            (-0.34, 0.02),
            (-0.2, -0.22),
            (0, -0.27),
            (0.2, -0.22),
            (0.34, 0.02),
            (0.12, 0.2),
            (0, 0.29),
        ]
        head.solid([*cheeks, (-0.12, 0.2)], coat)
        for side in (-1, 1):
            head.solid([(side * 0.33, 0.03), (side * 0.06, 0.09), (side * 0.01, 0.28), (side * 0.12, 0.2)], pale)
        return
    head.solid(ring(0, -0.02, 0.275, 0.255), coat)
    if animal == "cat":
        for x in (-0.07, 0.0, 0.07):
            head.line([(x * 1.3, -0.26), (x, -0.15)], 0.026, darken(coat, 0.4))
        for side in (-1, 1):
            head.ball(side * 0.055, 0.1, 0.075, 0.06, pale, 0.5)
    else:
        head.ball(0, 0.1, 0.13, 0.105, pale if animal != "dog" else lighten(coat, 0.4), 0.6)


def _look(head: Pen, animal: str, coat: Colour, eyes: Colour) -> None:
    for side in (-1, 1):
        eye = head.at(side * 0.115, -0.04)
        eye.oval(0, 0, 0.062, 0.058, darken(coat, 0.75))
        eye.oval(0, 0, 0.052, 0.048, eyes)
        eye.oval(0, 0, 0.015 if animal in ("cat", "fox") else 0.026, 0.04, (12, 10, 16))
        eye.oval(-0.016, -0.018, 0.013, 0.013, (255, 255, 255))
    nose = 0.22 if animal == "fox" else 0.06
    head.solid([(-0.04, nose - 0.02), (0.04, nose - 0.02), (0, nose + 0.03)], _NOSE)
    if animal != "fox":
        for side in (-1, 1):
            head.line(arc(side * 0.038, nose + 0.05, 0.038, 0.032, (0.0, 0.5)), 0.01, _NOSE)
    if animal in ("cat", "rabbit"):
        for side in (-1, 1):
            for tilt in (-0.03, 0.0, 0.03):
                head.line([(side * 0.09, 0.1), (side * 0.34, 0.09 + tilt * 2)], 0.006, (246, 244, 240))
    if animal == "dog":
        head.solid(ring(0, 0.19, 0.032, 0.05), (232, 96, 110), "slope")


def _owl(head: Pen, coat: Colour, eyes: Colour) -> None:
    for side in (-1, 1):
        head.solid([(side * 0.08, -0.24), (side * 0.26, -0.4), (side * 0.28, -0.1)], darken(coat, 0.2), "slope")
    head.solid(ring(0, -0.02, 0.3, 0.28), coat)
    for row in range(3):
        for column in range(-2, 3):
            mark = head.at(column * 0.085 + 0.04 * (row % 2), 0.36 + row * 0.09)
            mark.line(arc(0, 0, 0.034, 0.03, (0.0, 0.5)), 0.014, darken(coat, 0.45))
    for side in (-1, 1):
        head.solid(ring(side * 0.125, -0.03, 0.14, 0.145), lighten(coat, 0.55), "ball", 0.6)
        head.oval(side * 0.12, -0.03, 0.085, 0.085, eyes)
        head.oval(side * 0.12, -0.03, 0.05, 0.05, (14, 12, 18))
        head.oval(side * 0.12 - 0.025, -0.055, 0.018, 0.018, (255, 255, 255))
    head.solid([(-0.04, 0.03), (0.04, 0.03), (0, 0.13)], (238, 172, 60), "slope")


THEME = Theme(
    name="animal",
    noun="{animal}",
    slots={
        "animal": ("cat", "dog", "fox", "owl", "rabbit", "bear"),
        "coat": ("orange", "brown", "white", "grey", "black", "blue"),
        "eyes": ("green", "yellow", "blue"),
        "place": ("in the snow", "in the grass", "at night", "in a room"),
    },
    paint=paint,
    adjectives=("coat",),
    details=("with {eyes} eyes", "{place}"),
)
