"""How well scores tell which of two images of a prompt is liked more, and what they go by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats.resampling import ends, multiplicities, row_means, totals, words

ANALYSIS = "reward"
UNIT = "pairs"
# The trained model, and the same trained on all pairs, matched or not.
REWARD, UNMATCHED = "reward", "reward without matching"
# The same trained and tested on pairs that are not NSFW.
WITHOUT_NSFW = "reward without NSFW"
# No order at all: each pair is a tie.
RANDOM = "random"
# The trained model whose encoder was trained too, on one fold.
FINE_TUNED = "reward, fine-tuned"
# Bootstrap weights that are held at once.
HELD = 4_000_000
FLIPS = 9999
CALIBRATION_BINS = 5
RATIOS = (2.0, 4.0, 10.0)
DAYS = (1.0, 7.0)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """Held-out pairs and what each scorer says of them.

    Attributes:
        margins: of each scorer (n,) the score of the preferred image less that of the other; NaN where it has none.
        prompt: code of the prompt (n,).
        matched: whether the two images were posted alike (n,).
        more_followers: 1 where the preferred image's author has more followers by a band, -1 where the other's, else
            0 (n,).
        ratio: likes of the preferred image over those of the other, which counts 1 at least (n,).
        days: between the two posts (n,); NaN where not known.
        cluster: theme (n,); -1 where not known.
        sharpness: the margin of `REWARD` times this is the log odds that the first image is preferred (n,).
        swapped: how often (n,) `REWARD` has the right order where other images of the theme, by other authors, stand
            for the two; NaN where there are none.
    """

    margins: Mapping[str, Floats]
    prompt: NDArray[np.int64]
    matched: NDArray[np.bool_]
    more_followers: NDArray[np.int8]
    ratio: Floats
    days: Floats
    cluster: NDArray[np.int64]
    sharpness: Floats
    swapped: Floats


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: resamples of whole prompts."""

    replicates: int
    confidence: float
    rng: np.random.Generator
    fewest: int = 30


def hits(margins: Floats) -> Floats:
    """Return 1 where the preferred image has the higher score, a half where the two are equal, else 0; (n,)."""
    return np.where(margins > 0, 1.0, np.where(margins == 0, 0.5, 0.0))


def mean_value(values: Floats, prompt: NDArray[np.int64], resampling: Resampling, what: str, unit: str = UNIT) -> Value:
    """Return the mean of `values` (n,) with the interval of a bootstrap over prompts.

    Args:
        values: of each pair or prompt.
        prompt: its prompt (n,).
        resampling: of the interval.
        what: what the mean is, for the method.
        unit: what n counts.
    """
    if len(values) < resampling.fewest:
        return not_computed(f"{resampling.fewest} {unit} at least are needed", len(values), unit)
    _, codes = np.unique(prompt, return_inverse=True)
    groups = int(codes.max()) + 1
    block = max(1, HELD // groups)
    means = [
        row_means(values, codes, multiplicities(groups, min(block, resampling.replicates - start), resampling.rng))
        for start in range(0, resampling.replicates, block)
    ]
    low, high = ends(np.concatenate(means), groups, resampling.confidence)
    method = f"{what}; {words(resampling.confidence, resampling.replicates, 'prompts', groups)}"
    return Value(float(values.mean()), low, high, len(values), unit, method)


def sign_flip_test(margins: Floats, prompt: NDArray[np.int64], rng: np.random.Generator) -> Value:
    """Return the probability of an accuracy as far from a half if which image is preferred were chance.

    All pairs of a prompt are turned round together, since they share images.

    Source: Winkler et al. 2015, "Multi-level block permutation" (sign-flipping whole blocks).
    """
    _, codes = np.unique(prompt, return_inverse=True)
    by_prompt = totals(hits(margins) - 0.5, codes, int(codes.max()) + 1)
    seen, as_far = abs(by_prompt.sum()), 0
    block = max(1, HELD // len(by_prompt))
    for start in range(0, FLIPS, block):
        signs = rng.integers(0, 2, (min(block, FLIPS - start), len(by_prompt)), np.int8) * 2 - 1
        as_far += int((np.abs(signs @ by_prompt) >= seen - 1e-9).sum())
    method = f"two-sided, {FLIPS} random flips of whole prompts"
    return Value((as_far + 1) / (FLIPS + 1), None, None, len(margins), UNIT, method)


def reward_results(held: HeldOut, resampling: Resampling) -> Iterator[Result]:
    """Yield accuracy, its differences, what it depends on, calibration and what the models go by.

    Args:
        held: the held-out pairs; those that are matched are what accuracy is of.
        resampling: of the intervals.
    """
    margins = {name: values[held.matched] for name, values in held.margins.items()}
    prompt = held.prompt[held.matched]
    for name, values in margins.items():
        known = np.isfinite(values)
        yield Result.of(
            ANALYSIS, "accuracy", mean_value(hits(values[known]), prompt[known], resampling, _OF_PAIRS), scorer=name
        )
    own = margins[REWARD]
    for name, values in margins.items():
        if name != REWARD:
            both = np.isfinite(values) & np.isfinite(own)
            value = mean_value(
                hits(own[both]) - hits(values[both]), prompt[both], resampling, f"difference of {_OF_PAIRS}"
            )
            yield Result.of(ANALYSIS, "gain", value, scorer=name)
    if len(own) >= resampling.fewest:
        yield Result.of(ANALYSIS, "p_value", sign_flip_test(own, prompt, resampling.rng))
    swapped = held.swapped[held.matched]
    there = np.isfinite(swapped)
    value = mean_value(
        swapped[there], prompt[there], resampling, f"{_OF_PAIRS}, both images replaced; mean of several draws"
    )
    yield Result.of(ANALYSIS, "swapped", value)
    yield from _by_strata(held, own, prompt, resampling)
    yield from _calibration(own * held.sharpness[held.matched], prompt, resampling)
    yield from _followers(held, resampling)


_OF_PAIRS = "share of held-out matched pairs in the right order, equal scores a half"


def _by_strata(held: HeldOut, own: Floats, prompt: NDArray[np.int64], resampling: Resampling) -> Iterator[Result]:
    ratio, days, cluster = held.ratio[held.matched], held.days[held.matched], held.cluster[held.matched]
    strata: list[tuple[str, str, NDArray[np.bool_]]] = []
    strata += [("likes ratio", name, inside) for name, inside in _bins(ratio, RATIOS, "times")]
    strata += [("time apart", name, inside) for name, inside in _bins(days, DAYS, "days")]
    strata += [("cluster", str(c), cluster == c) for c in np.unique(cluster[cluster >= 0])]
    for by, level, inside in strata:
        if inside.any():
            value = mean_value(hits(own[inside]), prompt[inside], resampling, _OF_PAIRS)
            yield Result.of(ANALYSIS, "accuracy_within", value, by=by, level=level)


def _bins(values: Floats, edges: Sequence[float], unit: str) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    ends_of = [-np.inf, *edges, np.inf]
    for low, high in pairwise(ends_of):
        inside = (values >= low) & (values < high)
        if low == -np.inf:
            yield f"below {high:g} {unit}", inside
        elif high == np.inf:
            yield f"{low:g} {unit} and more", inside
        else:
            yield f"{low:g} to {high:g} {unit}", inside


def _calibration(log_odds: Floats, prompt: NDArray[np.int64], resampling: Resampling) -> Iterator[Result]:
    """Yield, by fifths of how sure the model is, the accuracy that it states and the one that is seen."""
    if len(log_odds) < CALIBRATION_BINS * resampling.fewest:
        return
    sure = np.abs(log_odds)
    stated = 1 / (1 + np.exp(-sure))
    order = np.argsort(sure, kind="stable")
    for number, rows in enumerate(np.array_split(order, CALIBRATION_BINS), start=1):
        n = len(rows)
        value = Value(float(stated[rows].mean()), None, None, n, UNIT, "mean of the model's own probabilities")
        yield Result.of(ANALYSIS, "stated_accuracy", value, bin=number)
        value = mean_value(hits(log_odds[rows]), prompt[rows], resampling, _OF_PAIRS)
        yield Result.of(ANALYSIS, "seen_accuracy", value, bin=number)


def _followers(held: HeldOut, resampling: Resampling) -> Iterator[Result]:
    """Yield how often each model prefers the image whose author has more followers, where the bands differ."""
    across = held.more_followers != 0
    side, prompt = held.more_followers[across].astype(np.float64), held.prompt[across]
    what = "share of held-out pairs of two bands of followers, equal scores a half"
    for name in (REWARD, UNMATCHED):
        value = mean_value(hits(held.margins[name][across] * side), prompt, resampling, what)
        yield Result.of(ANALYSIS, "prefers_followers", value, scorer=name)
    own, naive = (hits(held.margins[name][across] * side) for name in (REWARD, UNMATCHED))
    value = mean_value(naive - own, prompt, resampling, f"difference of the {what}")
    yield Result.of(ANALYSIS, "prefers_followers_gain", value)


def rank_results(
    scores: Mapping[str, Floats], likes: NDArray[np.int64], prompt: NDArray[np.int64], resampling: Resampling
) -> Iterator[Result]:
    """Yield Kendall's τ-b of scores with likes within a prompt, the mean over prompts.

    Args:
        scores: of each scorer (n,), of images of held-out prompts.
        likes: of the images (n,).
        prompt: of the images (n,).
        resampling: of the intervals.

    Source: Kendall 1945 (τ-b).
    """
    order = np.argsort(prompt, kind="stable")
    bounds = np.flatnonzero(np.diff(prompt[order])) + 1
    groups = np.split(order, bounds)
    for name, values in scores.items():
        taus = np.array([_tau(values[rows], likes[rows]) for rows in groups])
        known = np.isfinite(taus)
        what = "mean of Kendall's tau-b over held-out prompts with two images or more"
        value = mean_value(taus[known], np.flatnonzero(known), resampling, what, "prompts")
        yield Result.of(ANALYSIS, "tau", value, scorer=name)


def _tau(scores: Floats, likes: NDArray[np.int64]) -> float:
    if len(scores) < 2 or not np.isfinite(scores).all():
        return float("nan")
    return float(kendalltau(scores, likes).statistic)
