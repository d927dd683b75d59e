"""Every medium a picture can be in: its style, its words and the function that renders it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from twigma_spark.sample.artists import ARTISTS, Artist
from twigma_spark.sample.dice import Dice
from twigma_spark.sample.styles import art, generated, photo

STYLES = ("generated", "photo", "art")
Render = Callable[[Image.Image, Dice], Image.Image]
Paint = Callable[[Image.Image, Artist, Dice], Image.Image]

GENERATED: dict[str, Render] = {
    "digital painting": generated.digital,
    "neon drawing": generated.neon,
    "anime drawing": generated.anime,
    "3d render": generated.render,
}
PHOTO: dict[str, Render] = {
    "photo": photo.colour,
    "black and white photo": photo.monochrome,
    "vintage photo": photo.vintage,
}
ART: dict[str, Paint] = {
    "oil painting": art.oil,
    "watercolour": art.watercolour,
    "pointillist painting": art.points,
    "pastel drawing": art.pastel,
    "ink drawing": art.ink,
}
MEDIA: dict[str, tuple[str, ...]] = {"generated": tuple(GENERATED), "photo": tuple(PHOTO), "art": tuple(ART)}
COLOURLESS = frozenset({"black and white photo", "vintage photo", "ink drawing"})


@dataclass(frozen=True)
class Look:
    """How a picture is rendered.

    Attributes:
        medium: a key of GENERATED, PHOTO or ART.
        artist: who painted it; None unless the medium is one of ART.
    """

    medium: str
    artist: Artist | None = None

    @property
    def style(self) -> str:
        """One of STYLES."""
        return next(style for style, media in MEDIA.items() if self.medium in media)


def draw_look(style: str, dice: Dice) -> Look:
    """A look of the style; an artist is chosen first, so each is as likely."""
    if style == "art":
        artist = dice.choice(ARTISTS)
        return Look(artist.medium, artist)
    if style == "photo":
        return Look(dice.choose_weighted(MEDIA["photo"], (6, 1, 1)))
    return Look(dice.choose_weighted(MEDIA["generated"], (5, 2, 2, 2)))


def render(image: Image.Image, look: Look, dice: Dice) -> Image.Image:
    """The drawn picture in the look's medium, RGB, of the same size."""
    if look.artist is not None:
        return ART[look.medium](image, look.artist, dice)
    return (GENERATED | PHOTO)[look.medium](image, dice)
