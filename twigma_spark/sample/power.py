"""How likely a correct pipeline is to see what was planted: the power of a sample world, before any result is known.

Powers are those of two-sided Wald tests, P(|Z| > z) ≈ Φ(|effect| / standard error − z), as Self & Mauritsen (1988,
Biometrics 44, 79-86) derive them for generalised linear models from the planted coefficients and the design.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np

from twigma_spark.sample.corpora.likes import mean_likes
from twigma_spark.sample.corpora.timeline import month_weights
from twigma_spark.sample.records import LikesModel, PostTruth, TrendTruth

NORMAL = NormalDist()
# Where a correct pipeline sees the effect in nine worlds of ten, a run that does not see it has failed.
ENOUGH = 0.9


def wald_power(effect: float, error: float, level: float = 0.05) -> float:
    """Return the power of a two-sided test of `level` where the estimate has that standard error."""
    return NORMAL.cdf(abs(effect) / error - NORMAL.inv_cdf(1 - level / 2))


def band_power(model: LikesModel, posts: Sequence[PostTruth], band: str, reference: str) -> float:
    """Return the power to tell the likes of two follower bands apart.

    The log of a mean of n negative binomial counts, of mean m and dispersion d, has variance (1/m + d) / n.
    """
    variance = 0.0
    for name in (band, reference):
        own = [post for post in posts if post.band == name]
        if not own:
            return 0.0
        mean = sum(mean_likes(model, name, post.style_mix) for post in own) / len(own)
        variance += (1 / mean + model.dispersion) / len(own)
    return wald_power(model.bands[band] - model.bands[reference], math.sqrt(variance))


def trend_powers(trends: Mapping[str, TrendTruth], posts: int) -> dict[str, float]:
    """Return the power to see each theme's share move over the months, at 5% over all themes (Bonferroni).

    The share of a theme in a month follows from the slopes of all; its slope is that of a logistic regression on
    the month, whose information is Σ n_t p_t (1 − p_t) (t − mean t)².
    """
    weights = np.asarray(month_weights())
    counts = posts * weights / weights.sum()
    months = np.arange(len(weights)) - (len(weights) - 1) / 2
    odds = np.exp(np.outer([trend.slope_per_month for trend in trends.values()], months))
    shares = odds / odds.sum(axis=0)
    powers = {}
    for name, share in zip(trends, shares, strict=True):
        information = counts * share * (1 - share)
        centred = months - np.average(months, weights=information)
        total = float((information * centred**2).sum())
        slope = float((information * centred * np.log(share / (1 - share))).sum()) / total
        powers[name] = wald_power(slope, 1 / math.sqrt(total), 0.05 / len(trends))
    return powers
