"""The community of the diffusion corpus: who posted each image, when, and how much it was liked, by a planted taste."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from PIL import Image

from twigma_spark.sample.corpora.likes import BANDS, draw_followers
from twigma_spark.sample.corpora.tables import Row
from twigma_spark.sample.dice import Dice, stream
from twigma_spark.sample.records import CommunityModel

MODEL = CommunityModel(
    intercept=2.0,
    brightness=6.0,
    bands={"<500": 0.0, "500-5000": 1.1, ">5000": 4.5},
    evening=0.3,
    warmth_of_bands=6.0,
    dispersion=0.1,
)
_BAND_SHARES = (0.8, 0.05, 0.15)
# One standard deviation of a trait over the generated pictures of the sample.
_BRIGHTNESS, _WARMTH = 0.12, 0.21
_DAY, _EVENING = range(12, 18), range(18, 24)
# Members for each image: most post once, so that a split by author keeps most pairs.
_MEMBERS_PER_IMAGE = 2


@dataclass(frozen=True)
class Traits:
    """What of a picture matters here: brightness is liked, warmth only goes with the author.

    Both are differences from the mean of the pictures of the same prompt, in standard deviations of all pictures.
    """

    brightness: float
    warmth: float


def measure_traits(images: Sequence[Image.Image]) -> list[Traits]:
    """The traits of the pictures of one prompt, from the mean of the channels, and of red less blue."""
    means = np.array([np.asarray(image.convert("RGB"), np.float64).mean(axis=(0, 1)) / 255 for image in images])
    values = np.stack([means.mean(axis=1) / _BRIGHTNESS, (means[:, 0] - means[:, 2]) / _WARMTH], axis=1)
    return [Traits(float(brightness), float(warmth)) for brightness, warmth in values - values.mean(axis=0)]


def post_row(traits: Traits, asked_at: datetime, members: int, generator: np.random.Generator) -> Row:
    """The metadata of a post: author_id, author_followers, created_at and like_count.

    Authors with many followers tend to post warm pictures and get more likes, as do posts of the evening; of two
    pictures by alike authors at alike hours, the brighter one is liked.

    Args:
        traits: of the picture.
        asked_at: when its prompt was made.
        members: of the community.
        generator: what is drawn from.
    """
    dice, names = Dice(generator), list(BANDS)
    weights = [s * math.exp(MODEL.warmth_of_bands * i * traits.warmth) for i, s in enumerate(_BAND_SHARES)]
    band = dice.choose_weighted(names, weights)
    member = names.index(band) * members + dice.integer(0, members - 1)
    followers = draw_followers(band, Dice(stream(member, "followers")))
    evening = dice.chance(0.5)
    hour = dice.choice(_EVENING) if evening else dice.choice(_DAY)
    when = asked_at.replace(hour=hour, minute=dice.integer(0, 59)) + timedelta(days=dice.integer(0, 6))
    log_mean = (
        MODEL.intercept
        + MODEL.bands[band]
        + MODEL.evening * evening
        + MODEL.brightness * min(1.0, max(-1.0, traits.brightness))
    )
    rate = generator.gamma(1 / MODEL.dispersion, MODEL.dispersion * math.exp(log_mean))
    return {
        "author_id": f"u{member:06d}",
        "author_followers": followers,
        "like_count": int(generator.poisson(rate)),
        "created_at": when.isoformat().replace("+00:00", "Z"),
    }


def count_members(images: int) -> int:
    """How many members of each follower band a community that posts so many images has."""
    return max(8, _MEMBERS_PER_IMAGE * images)
