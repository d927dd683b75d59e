"""The colour words of the sample world, and arithmetic on colours."""

from __future__ import annotations

import colorsys

from twigma_spark.sample.dice import Dice

Colour = tuple[int, int, int]

NAMED: dict[str, Colour] = {
    "red": (206, 46, 44),
    "orange": (236, 126, 36),
    "yellow": (246, 206, 58),
    "golden": (224, 172, 62),
    "green": (66, 158, 76),
    "teal": (30, 150, 156),
    "blue": (46, 104, 206),
    "purple": (128, 66, 190),
    "pink": (240, 126, 176),
    "brown": (128, 82, 50),
    "white": (240, 238, 232),
    "grey": (138, 140, 146),
    "black": (40, 38, 46),
    "blonde": (232, 200, 118),
}
VIVID = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour that lies `share` of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def lighten(colour: Colour, share: float) -> Colour:
    """The colour moved towards white."""
    return mix(colour, (255, 252, 244), share)


def darken(colour: Colour, share: float) -> Colour:
    """The colour moved towards a deep blue-black: shadows that are not grey."""
    return mix(colour, (14, 10, 30), share)


def vary(colour: Colour, dice: Dice, amount: float = 0.06) -> Colour:
    """The colour with hue, saturation and brightness moved a little: no two red things are the same red."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    hue = (hue + dice.uniform(-amount, amount) * 0.35) % 1.0
    saturation = min(1.0, max(0.0, saturation * dice.uniform(1 - amount * 2, 1 + amount * 2)))
    value = min(1.0, max(0.0, value * dice.uniform(1 - amount, 1 + amount)))
    red, green, blue = (round(channel * 255) for channel in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def shade_of(word: str, dice: Dice) -> Colour:
    """A shade of the named colour."""
    return vary(NAMED[word], dice)
