"""Authors and posts: who posts, and the words around the pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from twigma_spark.sample.corpora.likes import BAND_SHARES, BANDS, draw_followers
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.records import ImageTruth

_NAMES = (
    "pixel",
    "dream",
    "latent",
    "neon",
    "paper",
    "moth",
    "comet",
    "velvet",
    "static",
    "fern",
    "ghost",
    "opal",
)
_TOOLS = (
    ((2021, 1), "VQGAN", "vqganclip"),
    ((2022, 4), "Midjourney", "midjourney"),
    ((2022, 5), "DALL-E 2", "dalle2"),
    ((2022, 8), "Stable Diffusion", "stablediffusion"),
)
_TAGS = ("AIart", "aiartcommunity", "generativeart", "digitalart", "AIイラスト")
_LANGS = ("en", "ja", "es", "und")
_LINES = {
    "en": (
        "{what}. Made with {tool} {tags} {link}",
        "New piece: {what} {tags} {link}",
        "{tool} gave me {what} tonight @{friend} {tags} {link}",
        "what do you think? {what} {link} {tags}",
    ),
    "ja": ("{tool}で描きました。 {tags} {link}", "今日の一枚 {tags} {link}"),
    "es": ("Hecho con {tool} {tags} {link}", "Otra noche con {tool}, ¿qué os parece? {tags} {link}"),
    "und": ("{tags} {link}",),
}
_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True)
class Author:
    """Somebody who posts; `band` is a key of likes.BANDS."""

    author_id: str
    username: str
    band: str
    followers: int


@dataclass(frozen=True)
class Media:
    """A picture of a post; the label is None where it cannot be used."""

    key: str
    suffix: str
    size: tuple[int, int]
    label: ImageTruth | None


@dataclass(frozen=True)
class Post:
    """A post with one to four pictures."""

    post_id: str
    author: Author
    when: datetime
    text: str
    lang: str
    hashtags: tuple[str, ...]
    media: tuple[Media, ...]

    @property
    def usable(self) -> list[ImageTruth]:
        """What is true of the pictures that can be used."""
        return [media.label for media in self.media if media.label is not None]

    @property
    def sensitive(self) -> bool:
        """Whether the network marks it as possibly sensitive."""
        return any(label.sensitive for label in self.usable)

    @property
    def style_mix(self) -> float:
        """How close its pictures are to photo and art on average; 0 where none can be used."""
        labels = self.usable
        return math.fsum(label.style_mix for label in labels) / len(labels) if labels else 0.0


def draw_author(serial: int, dice: Dice) -> Author:
    """An author whose followers are log-uniform within the band."""
    band = dice.weighted(list(BANDS), BAND_SHARES)
    followers = draw_followers(band, dice)
    name = f"{dice.choice(_NAMES)}_{dice.choice(_NAMES)}{serial}"
    return Author(str(90_000_000 + serial * 7_919 + dice.integer(0, 7_000)), name, band, followers)


def write_text(what: str, when: datetime, dice: Dice) -> tuple[str, str, tuple[str, ...]]:
    """Text, language and hashtags of a post that shows `what`, with the tools of its month."""
    known = [(tool, tag) for since, tool, tag in _TOOLS if since <= (when.year, when.month)]
    tool, tool_tag = dice.choice(known[-3:])
    tags = tuple(dict.fromkeys([tool_tag, *(dice.choice(_TAGS) for _ in range(dice.integer(1, 3)))]))
    lang = dice.weighted(_LANGS, (14, 3, 2, 1))
    text = dice.choice(_LINES[lang]).format(
        what=what,
        tool=tool,
        friend=f"{dice.choice(_NAMES)}_{dice.choice(_NAMES)}",
        tags=" ".join(f"#{tag}" for tag in tags),
        link="https://t.co/" + "".join(dice.choice(_LETTERS) for _ in range(10)),
    )
    return text, lang, tags
