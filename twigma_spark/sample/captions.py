"""Captions: what can be seen in a picture, in words from a small vocabulary."""

from __future__ import annotations

import re
from collections.abc import Collection

from twigma_spark.sample.colours import NAMED
from twigma_spark.sample.media import COLOURLESS, MEDIA
from twigma_spark.sample.theme import Theme, Traits
from twigma_spark.sample.themes import THEMES

_SLOT = re.compile(r"{(\w+)}")
_PLURALS = {
    "fish": "fish",
    "jellyfish": "jellyfish",
    "octopus": "octopuses",
    "daisy": "daisies",
    "lily": "lilies",
}


def caption(theme: Theme, traits: Traits, medium: str, grey: bool = False) -> str:
    """The picture's caption, as "an oil painting of a white castle under a red sky".

    Args:
        theme: what is shown.
        traits: the word of every slot.
        medium: how it is made; where it has no colours the colour words stay out.
        grey: whether the colours are lost for another reason.
    """
    hidden = {slot for slot, word in traits.items() if word in NAMED} if grey or medium in COLOURLESS else set()
    return f"{with_article(medium)} of {describe(theme, traits, set(traits) - hidden)}"


def describe(theme: Theme, traits: Traits, named: Collection[str]) -> str:
    """The phrase for what is shown, which speaks of the named traits only; the noun is always there."""
    noun = theme.noun.format_map(traits)
    adjectives = [traits[slot] for slot in theme.adjectives if slot in named and slot != "count"]
    details = [detail.format_map(traits) for detail in theme.details if set(_SLOT.findall(detail)) <= set(named)]
    count = traits.get("count", "one") if "count" in theme.adjectives else "one"
    many = theme.plural or ("count" in theme.adjectives and (count != "one" or "count" not in named))
    head = " ".join([*adjectives, noun if theme.plural or not many else plural(noun)])
    if not many:
        head = with_article(head)
    elif not theme.plural and "count" in named:
        head = f"{count} {head}"
    return " ".join([head, *details])


def with_article(phrase: str) -> str:
    """The phrase with "a" or "an" before it."""
    return f"{'an' if phrase[0] in 'aeio' else 'a'} {phrase}"


def plural(noun: str) -> str:
    """The plural of a noun of this world."""
    return _PLURALS.get(noun, noun + "s")


def vocabulary() -> tuple[str, ...]:
    """Every word that a caption can hold, sorted; a single thing takes an article, so "one" is not there."""
    words: set[str] = {"a", "an", "of"}
    for media in MEDIA.values():
        words.update(word for medium in media for word in medium.split())
    for theme in THEMES.values():
        texts = [theme.noun, *theme.details, *(word for slot in theme.slots.values() for word in slot)]
        words.update(word for text in texts for word in _SLOT.sub(" ", text).split())
        if "count" in theme.adjectives:
            noun = _SLOT.findall(theme.noun)[0]
            words.update(plural(word) for word in theme.slots[noun])
    return tuple(sorted(words - {"one"}))
