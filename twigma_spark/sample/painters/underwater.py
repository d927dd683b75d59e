"""Underwater: fish, jellyfish, turtles, whales and octopuses in lit water."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twigma_spark.sample.backdrops import ground
from twigma_spark.sample.canvas import Canvas, Pen, arc, ring
from twigma_spark.sample.colours import Colour, darken, lighten, mix, shade_of
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.textures import ramp
from twigma_spark.sample.theme import Theme, Traits

_SPOTS = {
    "one": ((0.5, 0.46, 0.92),),
    "two": ((0.32, 0.33, 0.6), (0.67, 0.6, 0.6)),
    "three": ((0.28, 0.26, 0.48), (0.7, 0.42, 0.48), (0.34, 0.64, 0.48)),
}


def paint(canvas: Canvas, traits: Traits, dice: Dice) -> None:
    """Draws the creatures between the lit surface and the sea floor."""
    sea = shade_of(traits["water"], dice)
    _, y = canvas.grid()
    canvas.cover(ramp([lighten(sea, 0.6), sea, darken(sea, 0.4), darken(sea, 0.72)], y))
    _rays(canvas, sea, dice)
    _floor(canvas, traits["floor"], sea, dice)
    colour = shade_of(traits["colour"], dice)
    flip = dice.chance(0.5)
    for x, high, size in _SPOTS[traits["count"]]:
        pen = canvas.pen(x + dice.uniform(-0.04, 0.04), high + dice.uniform(-0.03, 0.03), size, 0.0, flip)
        CREATURES[traits["creature"]](pen.at(0, 0, 1, dice.uniform(-0.18, 0.18)), colour)
    for x, high, size in dice.array(0, 1, 22, 3).tolist():
        bubble, radius = canvas.pen(x, high), 0.006 + 0.014 * size
        bubble.line(ring(0, 0, radius, radius), 0.004, lighten(sea, 0.7))


def _rays(canvas: Canvas, sea: Colour, dice: Dice) -> None:
    x, y = canvas.grid()
    lean, phase = dice.uniform(-0.5, 0.5), dice.uniform(0, 6)
    across = x + lean * y
    waves = np.sin(across * dice.uniform(14, 20) + phase) * np.sin(across * 7.3 + phase)
    canvas.light(np.clip(waves, 0, 1) * (1 - y) ** 1.5 * 0.7, lighten(sea, 0.75))


def _floor(canvas: Canvas, floor: str, sea: Colour, dice: Dice) -> None:
    if floor == "sand":
        ground(canvas, 0.84, mix((226, 202, 146), sea, 0.25), dice, 0.1)
        canvas.pen(0.2 + dice.uniform(0, 0.6), 0.92).poly(_star(), (236, 120, 70))
        return
    ground(canvas, 0.9, mix((120, 108, 96), sea, 0.45), dice)
    tints: tuple[Colour, ...] = ((46, 150, 80), (30, 116, 66), (92, 176, 74))
    if floor == "coral":
        tints = ((240, 98, 120), (246, 150, 66), (190, 90, 200))
    for index, (x, size) in enumerate(dice.array(0, 1, 9, 2).tolist()):
        pen = canvas.pen((index + x) / 9, 0.97, 0.7 + 0.5 * size)
        (_coral if floor == "coral" else _weed)(pen, tints[index % 3], dice)


def _star() -> list[tuple[float, float]]:
    points = ring(0, 0, 0.05, 0.035)
    return [(x * (1 if step % 2 else 0.4), y * (1 if step % 2 else 0.4)) for step, (x, y) in enumerate(points[::4])]


def _coral(pen: Pen, tint: Colour, dice: Dice) -> None:
    for angle in (-0.7, -0.25, 0.2, 0.65):
        branch = pen.at(0, 0, 1, angle)
        reach = dice.uniform(0.13, 0.22)
        branch.line([(0, 0.03), (0.01, -reach * 0.6), (0, -reach)], 0.03, darken(tint, 0.2))
        branch.line([(0.005, -reach * 0.5), (0.05, -reach * 0.85)], 0.022, tint)
        branch.ball(0, -reach, 0.021, 0.021, lighten(tint, 0.2))
        branch.ball(0.05, -reach * 0.85, 0.017, 0.017, lighten(tint, 0.2))


def _weed(pen: Pen, tint: Colour, dice: Dice) -> None:
    reach, sway = dice.uniform(0.2, 0.4), dice.uniform(0.015, 0.04)
    stem = [(sway * np.sin(step * 1.3), -reach * step / 8) for step in range(9)]
    pen.line(stem, 0.034, tint)
    pen.line(stem, 0.01, lighten(tint, 0.3))


def _eye(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.oval(x, y, radius, radius, (250, 250, 244))
    pen.oval(x - radius * 0.2, y, radius * 0.55, radius * 0.55, (16, 16, 24))


def _fish(pen: Pen, colour: Colour) -> None:
    fin = darken(colour, 0.22)
    pen.solid([(0.2, 0), (0.42, -0.17), (0.36, 0), (0.42, 0.17)], fin)
    pen.solid([(-0.06, -0.16), (0.08, -0.31), (0.17, -0.1)], fin)
    pen.solid([(-0.02, 0.15), (0.09, 0.28), (0.14, 0.1)], fin)
    pen.solid(ring(-0.04, 0, 0.29, 0.185), colour)
    for x, reach in ((-0.1, 0.165), (0.03, 0.17), (0.14, 0.12)):
        pen.line(arc(x - 0.06, 0, 0.06, reach, (0.78, 1.22)), 0.026, lighten(colour, 0.6))
    pen.solid([(0, 0.02), (0.12, 0.11), (0.02, 0.13)], fin)
    _eye(pen, -0.2, -0.05, 0.042)
    pen.line([(-0.325, 0.03), (-0.28, 0.05), (-0.25, 0.04)], 0.012, darken(colour, 0.5))


def _jellyfish(pen: Pen, colour: Colour) -> None:
    pen.glow(0, -0.1, 0.46, colour, 0.7)
    for arm in range(7):
        x = -0.2 + 0.067 * arm
        tail = [(x + 0.03 * np.sin(step * 1.4 + arm), -0.05 + 0.06 * step) for step in range(8 - abs(arm - 3))]
        pen.line(tail, 0.02, mix(colour, lighten(colour, 0.6), (arm % 3) / 2))
    bell = [*arc(0, -0.06, 0.26, 0.26, (0.5, 1.0)), (0.17, -0.01), (0.08, -0.04), (0, 0), (-0.08, -0.04)]
    pen.solid([*bell, (-0.17, -0.01)], lighten(colour, 0.15))
    pen.line(arc(0, -0.08, 0.17, 0.16, (0.55, 0.78)), 0.02, lighten(colour, 0.7))


def _turtle(pen: Pen, colour: Colour) -> None:
    skin = mix(colour, (120, 150, 90), 0.5)
    for x, y, dx, dy in ((-0.15, 0.1, -0.14, 0.24), (0.16, 0.1, 0.12, 0.16), (-0.12, -0.1, 0.06, -0.22)):
        pen.solid([(x - 0.05, y), (x + 0.07, y), (x + dx, y + dy)], skin)
    pen.ball(-0.36, -0.02, 0.105, 0.085, skin)
    pen.solid(ring(0, 0, 0.29, 0.185), colour)
    for x, y in ((-0.13, 0.0), (0.02, -0.07), (0.02, 0.07), (0.16, 0.0)):
        pen.solid(ring(x, y, 0.07, 0.055), lighten(colour, 0.3), "ball", 0.7)
    _eye(pen, -0.4, -0.04, 0.026)


def _whale(pen: Pen, colour: Colour) -> None:
    pen.solid([(0.28, 0.02), (0.46, -0.19), (0.4, -0.02), (0.5, 0.1), (0.3, 0.1)], darken(colour, 0.15))
    body = [
        *arc(-0.06, 0, 0.36, 0.2, (0.45, 0.95)),
        (0.4, 0.0),
        (0.3, 0.1),
        *arc(-0.06, 0, 0.36, 0.2, (0.1, 0.45)),
    ]
    pen.solid(body, colour)
    pen.solid(
        [(-0.4, 0.06), (-0.2, 0.1), (0.1, 0.12), (0, 0.19), (-0.25, 0.19)],
        lighten(colour, 0.65),
        "slope",
        0.6,
    )
    pen.solid([(-0.06, 0.11), (0.1, 0.16), (0.05, 0.31)], darken(colour, 0.2))
    _eye(pen, -0.27, 0.02, 0.024)


def _octopus(pen: Pen, colour: Colour) -> None:
    for arm in range(8):
        side = arm - 3.5
        curl = [(side * 0.02 + side * 0.026 * s, 0.02 + 0.055 * s - 0.012 * max(0, s - 3) ** 2) for s in range(7)]
        pen.line(curl, 0.05, darken(colour, 0.12 + 0.1 * (arm % 2)))
        pen.ball(curl[-1][0], curl[-1][1], 0.025, 0.025, colour)
    pen.solid(ring(0, -0.14, 0.2, 0.22), colour)
    for side in (-1, 1):
        _eye(pen, side * 0.075, -0.05, 0.042)
    pen.line(arc(0, 0.0, 0.05, 0.03, (0.08, 0.42)), 0.012, darken(colour, 0.6))


CREATURES: dict[str, Callable[[Pen, Colour], None]] = {
    "fish": _fish,
    "jellyfish": _jellyfish,
    "turtle": _turtle,
    "whale": _whale,
    "octopus": _octopus,
}
THEME = Theme(
    name="underwater",
    noun="{creature}",
    slots={
        "creature": tuple(CREATURES),
        "count": tuple(_SPOTS),
        "colour": ("red", "orange", "yellow", "pink", "white", "black"),
        "water": ("blue", "teal", "green", "purple"),
        "floor": ("coral", "sand", "seaweed"),
    },
    paint=paint,
    adjectives=("count", "colour"),
    details=("above {floor}", "in {water} water"),
)
