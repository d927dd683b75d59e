"""What a theme is: its words, and the painter that makes them visible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from twigma_spark.sample.canvas import Canvas
from twigma_spark.sample.dice import Dice

Traits = Mapping[str, str]


@dataclass(frozen=True)
class Theme:
    """One kind of picture.

    A phrase is made of the adjectives, the noun, then the details: each names traits in braces, and a
    picture's traits say which word fills each slot.

    Attributes:
        name: the theme's own name.
        noun: the thing shown; may name a slot, as "{animal}".
        slots: the words that each trait can take, all of them visible in the picture.
        paint: draws the traits on a canvas.
        adjectives: traits that stand before the noun.
        details: phrases after the noun, each with one slot or more.
        plural: whether the noun is a plural, or a mass, that takes no article.
        sensitive: whether such a picture counts as sensitive.
    """

    name: str
    noun: str
    slots: Mapping[str, tuple[str, ...]]
    paint: Callable[[Canvas, Traits, Dice], None]
    adjectives: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    plural: bool = False
    sensitive: bool = False

    def draw_traits(self, dice: Dice) -> dict[str, str]:
        """A word for every slot."""
        return {slot: dice.choice(words) for slot, words in self.slots.items()}
