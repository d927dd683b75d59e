"""Pictures and captions of the sample world, without files."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twigma_spark.sample.artists import ARTISTS
from twigma_spark.sample.canvas import Canvas
from twigma_spark.sample.captions import caption, describe, vocabulary
from twigma_spark.sample.corpora.likes import LIKES, draw_likes
from twigma_spark.sample.corpora.prompts import draw_prompt, wobble_of
from twigma_spark.sample.corpora.timeline import draw_theme, draw_time, trends
from twigma_spark.sample.dice import Dice, stream
from twigma_spark.sample.media import ART, GENERATED, PHOTO, Look
from twigma_spark.sample.scenes import Spec, draw_scene, iter_scenes
from twigma_spark.sample.themes import THEMES

LOOKS = [Look(medium) for medium in (*GENERATED, *PHOTO)] + [Look(artist.medium, artist) for artist in ARTISTS]


def draw(theme, traits, look=LOOKS[0], size=(72, 64), seed=1):
    return draw_scene(Spec(theme, traits, look, size), Dice(stream(seed, "test")))


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@settings(max_examples=3, deadline=None, derandomize=True)
@given(st.integers(64, 256), st.integers(64, 256), st.sampled_from(LOOKS), st.integers(0, 2**32))
def test_every_theme_draws_at_any_size(theme, width, height, look, seed):
    traits = theme.draw_traits(Dice(stream(seed)))
    scene = draw(theme, traits, look, (width, height), seed)
    assert scene.image.size == (width, height)
    assert scene.image.mode == "RGB"
    assert np.asarray(scene.image).std() > 4  # something is there


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.artist.name if look.artist else look.medium)
@pytest.mark.parametrize("size", [(64, 64), (64, 160), (256, 90)])
def test_every_look_renders_at_any_size(look, size):
    theme = THEMES["castle"]
    scene = draw(theme, theme.draw_traits(Dice(stream(3))), look, size)
    assert scene.image.size == size
    assert scene.caption.split(" of ")[0].endswith(look.medium)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_every_word_can_be_seen(theme):
    """With the same dice, another word in any one slot gives another picture."""
    traits = theme.draw_traits(Dice(stream(2)))
    for slot, words in theme.slots.items():
        pictures = set()
        for word in words:
            canvas = Canvas(64, 64)
            theme.paint(canvas, {**traits, slot: word}, Dice(stream(4)))
            pictures.add(canvas.image.tobytes())
        assert len(pictures) == len(words), slot


def test_captions():
    traits = {"wall": "white", "roof": "red", "place": "by a lake", "sky": "starry"}
    castle = THEMES["castle"]
    assert (
        caption(castle, traits, "oil painting")
        == "an oil painting of a white castle with red roofs by a lake under a starry sky"
    )
    assert caption(castle, traits, "ink drawing") == "an ink drawing of a castle by a lake under a starry sky"
    assert describe(castle, traits, {"sky"}) == "a castle under a starry sky"
    flowers = {"flower": "daisy", "count": "three", "colour": "blue", "place": "in a vase"}
    assert describe(THEMES["flower"], flowers, flowers) == "three blue daisies in a vase"
    assert describe(THEMES["flower"], flowers, {"colour"}) == "blue daisies"


def test_scenes_repeat_and_hold_to_their_words_and_styles():
    scenes = list(iter_scenes(60, 9, ("photo", "art")))
    assert [scene.image.tobytes() for scene in scenes[:5]] == [
        s.image.tobytes() for s in iter_scenes(5, 9, ("photo", "art"))
    ]
    assert {scene.style for scene in scenes} == {"photo", "art"}
    assert {word for scene in scenes for word in scene.caption.split()} <= set(vocabulary())
    assert all(scene.sensitive == (scene.theme == "figure") for scene in scenes)
    assert len({scene.theme for scene in scenes}) >= 12


def test_dice_share_by_wobble():
    def spread(wobble: float) -> float:
        dice = [Dice(stream(1, "own", i), stream(1, "shared"), wobble) for i in range(50)]
        return float(np.std([die.uniform(0, 1) for die in dice]))

    assert spread(0.0) < 1e-12 < spread(0.2) < spread(0.6) < spread(1.0)
    picks = Counter(Dice(stream(1, i), stream(1, "s"), 0.1).choice("abcd") for i in range(200))
    assert picks.most_common(1)[0][1] > 160


def test_longer_prompts_say_more_and_leave_less_to_chance():
    theme = THEMES["castle"]
    prompts = []
    for seed in range(150):
        dice = Dice(stream(seed))
        prompts.append(draw_prompt(theme, theme.draw_traits(dice), "3d render", dice))
    words = np.array([len(text.split()) for text, _ in prompts])
    assert words.min() <= 4
    assert 26 <= words.max() <= 30
    assert np.corrcoef(words, [len(named) for _, named in prompts])[0, 1] > 0.6
    assert wobble_of(3) == 1 > wobble_of(10) > wobble_of(30) > 0.1


def test_likes_follow_their_coefficients():
    generator = np.random.default_rng(0)
    bands = [band for band in LIKES.bands for _ in range(40_000)]
    mixes = generator.random(len(bands))
    likes = draw_likes(LIKES, bands, mixes.tolist(), generator)
    low = np.array(bands) == "<500"
    for band, effect in LIKES.bands.items():
        mean = likes[np.array(bands) == band].mean()
        assert np.log(mean / likes[low].mean()) == pytest.approx(effect, abs=0.06)
    high = np.log(likes[mixes > 0.9].mean() / likes[mixes < 0.1].mean())
    assert high / 0.9 == pytest.approx(LIKES.style_mix, abs=0.1)
    cell = likes[low & (mixes < 0.05)].astype(float)
    assert (cell.var() - cell.mean()) / cell.mean() ** 2 == pytest.approx(LIKES.dispersion, abs=0.12)


def test_themes_rise_and_fall_as_planted():
    dice = Dice(stream(8))
    posts = [(when, draw_theme(when, dice)) for when in (draw_time(dice) for _ in range(6_000))]
    months = np.array([(when.year - 2021) * 12 + when.month for when, _ in posts])
    assert (months.min(), months.max()) == (1, 27)
    for theme, trend in trends().items():
        hit = np.array([name == theme for _, name in posts])
        ratio = np.log(hit[months > 21].mean() / hit[months < 7].mean())
        assert {"rising": ratio > 0.5, "falling": ratio < -0.5, "steady": abs(ratio) < 0.5}[trend.direction], theme


def test_every_artist_has_a_medium_of_art():
    assert {artist.medium for artist in ARTISTS} == set(ART)
