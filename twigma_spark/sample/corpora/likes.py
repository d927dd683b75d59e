"""How many likes a post gets: a negative binomial with known coefficients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from twigma_spark.sample.dice import Dice
from twigma_spark.sample.records import LikesModel

BANDS: dict[str, tuple[int, int]] = {"<500": (12, 499), "500-5000": (500, 5_000), ">5000": (5_001, 240_000)}
BAND_SHARES = (0.45, 0.35, 0.2)
LIKES = LikesModel(intercept=1.9, bands={"<500": 0.0, "500-5000": 1.1, ">5000": 2.4}, style_mix=-1.4, dispersion=0.7)


def draw_followers(band: str, dice: Dice) -> int:
    """Followers of an author of the band, log-uniform within it."""
    low, high = BANDS[band]
    return min(high, max(low, round(math.exp(dice.uniform(math.log(low), math.log(high))))))


def mean_likes(model: LikesModel, band: str, style_mix: float) -> float:
    """The expected likes of a post of that band whose images are that close to photo and art."""
    return math.exp(model.intercept + model.bands[band] + model.style_mix * style_mix)


def draw_likes(
    model: LikesModel, bands: Sequence[str], mixes: Sequence[float], generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Likes of posts, shape (n,): a Poisson whose rate is gamma distributed around the mean."""
    means = np.array([mean_likes(model, band, mix) for band, mix in zip(bands, mixes, strict=True)])
    rates = generator.gamma(1 / model.dispersion, means * model.dispersion)
    return generator.poisson(rates)
