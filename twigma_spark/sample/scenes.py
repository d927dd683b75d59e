"""Scenes: a specification becomes a picture with its caption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from twigma_spark.sample.canvas import Canvas
from twigma_spark.sample.captions import caption
from twigma_spark.sample.dice import Dice, stream
from twigma_spark.sample.media import STYLES, Look, draw_look, render
from twigma_spark.sample.theme import Theme, Traits
from twigma_spark.sample.themes import THEMES

_SHAPES: dict[str, tuple[tuple[int, int], ...]] = {
    "generated": ((1, 1), (1, 1), (4, 5), (2, 3)),
    "photo": ((3, 2), (4, 3), (3, 4), (1, 1)),
    "art": ((4, 5), (5, 4), (3, 4), (1, 1)),
}
_SHORT, _LONG = (96, 124), 160


@dataclass(frozen=True)
class Spec:
    """What to draw.

    Attributes:
        theme: the kind of picture.
        traits: the word of every slot of the theme.
        look: the medium it is rendered in.
        size: width and height in pixels.
        other: a second look that shows through, or None.
        mix: how much of the second look shows, in [0, 1].
        grey: whether the file will keep no colours, so that the caption must not speak of them.
    """

    theme: Theme
    traits: Traits
    look: Look
    size: tuple[int, int]
    other: Look | None = None
    mix: float = 0.0
    grey: bool = False


@dataclass(frozen=True)
class Scene:
    """A picture and what is true of it.

    Attributes:
        image: the picture, RGB.
        caption: what can be seen, in words of captions.vocabulary().
        theme: a key of THEMES.
        style: "generated", "photo" or "art": the look that shows most.
        sensitive: whether it stands for a picture that not everybody should see.
        medium: the medium in the caption.
        style_mix: how close to photo and art the look is, in [0, 1].
    """

    image: Image.Image
    caption: str
    theme: str
    style: str
    sensitive: bool
    medium: str
    style_mix: float


def draw_scene(spec: Spec, dice: Dice) -> Scene:
    """The picture of a specification; the dice decide all that the words leave open."""
    canvas = Canvas(*spec.size)
    spec.theme.paint(canvas, spec.traits, dice)
    base = canvas.finish()
    image = render(base, spec.look, dice)
    if spec.other is not None:
        image = Image.blend(image, render(base, spec.other, dice), spec.mix)
    shown = spec.other if spec.other is not None and spec.mix > 0.5 else spec.look
    mix = spec.mix if spec.other is not None else float(spec.look.style != "generated")
    words = caption(spec.theme, spec.traits, shown.medium, spec.grey)
    return Scene(image, words, spec.theme.name, shown.style, spec.theme.sensitive, shown.medium, mix)


def draw_size(style: str, dice: Dice) -> tuple[int, int]:
    """Width and height of a picture, in the shapes that are usual for the style."""
    across, down = dice.choice(_SHAPES[style])
    short = dice.integer(*_SHORT)
    scale = min(short / min(across, down), _LONG / max(across, down))
    return round(across * scale), round(down * scale)


def draw_spec(theme: Theme, style: str, dice: Dice, grey: bool = False) -> Spec:
    """A specification of a theme in a style, all else left to the dice."""
    traits = theme.draw_traits(dice)
    return Spec(theme, traits, draw_look(style, dice), draw_size(style, dice), grey=grey)


def draw_mixed(theme: Theme, mix: float, dice: Dice) -> Spec:
    """A specification whose generated look lets a photo or a painting show through by `mix`."""
    other = draw_look(dice.choice(("photo", "art")), dice) if mix >= 0.03 else None
    look = draw_look("generated", dice)
    return Spec(theme, theme.draw_traits(dice), look, draw_size("generated", dice), other, mix)


def iter_scenes(count: int, seed: int, styles: Sequence[str] = STYLES) -> Iterator[Scene]:
    """Scenes of every theme in the given styles, each drawn when asked for; the same for the same seed."""
    names = list(THEMES)
    weights = [0.4 if THEMES[name].sensitive else 1.0 for name in names]
    for index in range(count):
        dice = Dice(stream(seed, "scene", index))
        style, theme = dice.choice(styles), THEMES[dice.choose_weighted(names, weights)]
        if style == "generated" and dice.chance(0.4):
            yield draw_scene(draw_mixed(theme, dice.uniform(0.03, 0.3), dice), dice)
            continue
        yield draw_scene(draw_spec(theme, style, dice), dice)
