"""Prompts from four words to thirty; the more they say, the less is left to chance."""

from __future__ import annotations

import math

from twigma_spark.sample.captions import describe, with_article
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.theme import Theme, Traits

_PRAISE = (
    "highly detailed",
    "soft light",
    "trending on artstation",
    "sharp focus",
    "8k",
    "volumetric fog",
    "in the style of studio concept art",
    "golden ratio composition",
    "dramatic shadows",
    "award winning",
    "wide angle",
    "smooth gradients",
    "intricate patterns",
    "cinematic mood",
    "masterpiece",
    "rim lighting",
)
_SHORTEST, _LONGEST = 3, 30


def draw_prompt(theme: Theme, traits: Traits, medium: str, dice: Dice) -> tuple[str, frozenset[str]]:
    """A prompt and the traits it names; "medium" is among them where it names the medium.

    Args:
        theme: what is asked for.
        traits: the word of every slot; as many are named as the drawn length has room for.
        medium: how it should be made.
        dice: decide length and order.
    """
    target = math.exp(dice.uniform(math.log(_SHORTEST + 1), math.log(_LONGEST)))
    slots, named = (
        sorted(traits, key=lambda _: dice.unit()),
        {slot for slot in traits if f"{{{slot}}}" == theme.noun},
    )
    for slot in slots:
        if len(describe(theme, traits, named | {slot}).split()) <= target:
            named.add(slot)
    prompt = describe(theme, traits, named)
    if len(prompt.split()) + 4 <= target:
        prompt, named = f"{with_article(medium)} of {prompt}", named | {"medium"}
    for praise in sorted(_PRAISE, key=lambda _: dice.unit()):
        if len(prompt.split()) + len(praise.split()) <= target:
            prompt = f"{prompt}, {praise}"
    return prompt, frozenset(named)


def wobble_of(words: int) -> float:
    """How far images of a prompt may differ in what no word fixes: from 1 (shortest) to 0.25 (longest)."""
    share = (words - _SHORTEST) / (_LONGEST - _SHORTEST)
    return round(1 - 0.75 * min(1.0, max(0.0, share)), 4)
