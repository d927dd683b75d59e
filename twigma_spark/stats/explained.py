"""Which share of the variation of vectors lies between groups, such as prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twigma_spark.results import Result, Value, not_computed
from twigma_spark.stats import intervals, resampling
from twigma_spark.stats.sample import Codes, Floats, Sample, Vectors


@dataclass(frozen=True)
class GroupSums:
    """What the analysis of variance needs of each of g groups; vectors are centred by their common mean.

    Attributes:
        n: rows (g,).
        total: sum of the rows (g, d).
        squares: sum of the squared lengths (g,).
    """

    n: Floats
    total: Floats
    squares: Floats


@dataclass(frozen=True)
class Explained:
    """Shares of the variation between groups, each (replicates,) and between 0 and 1.

    Attributes:
        share: between-group over total sum of squares; without any effect already (g - 1) / (n - 1).
        component: between-group over total variance component, ICC(1); 0 without any effect.
    """

    share: Floats
    component: Floats


def group_sums(vectors: Vectors, codes: Codes) -> GroupSums:
    """Return the sums of the groups of rows (n, d)."""
    groups = int(codes.max()) + 1
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    rows = np.bincount(codes, minlength=groups).astype(np.float64)
    squares = resampling.totals(np.einsum("ij,ij->i", centred, centred), codes, groups)
    return GroupSums(rows, resampling.totals(centred, codes, groups), squares)


def explain_variance(sums: GroupSums, weights: Vectors | Floats) -> Explained:
    """Return how much groups explain, for each bootstrap sample of groups; ones for the sample itself.

    Sums of squares are over all dimensions. Where nothing varies, nothing is explained: 0.

    Args:
        sums: of the groups.
        weights: how often each group is there (replicates, g).

    Source: Searle, Casella & McCulloch 1992, chapter 3 (unbalanced one-way ANOVA estimators);
        Chen & Zou 2023 (TWIGMA), on variation, for the share.
    """
    w = np.asarray(weights, np.float64)
    lengths = np.einsum("ij,ij->i", sums.total, sums.total) / sums.n
    rows, groups = w @ sums.n, w.sum(axis=1)
    mean = (w @ sums.total) / rows[:, None]
    between = np.maximum(w @ lengths - rows * np.einsum("ij,ij->i", mean, mean), 0.0)
    within = np.maximum(w @ (sums.squares - lengths), 0.0)
    balance = (rows - (w @ np.square(sums.n)) / rows) / np.maximum(groups - 1.0, 1.0)
    error = _over(within, rows - groups)
    effect = np.maximum(_over(_over(between, groups - 1.0) - error, balance), 0.0)
    return Explained(_over(between, between + within), _over(effect, effect + error))


def explain_by_groups(sample: Sample, corpus: str, bootstrap: int, confidence: float, seed: int) -> list[Result]:
    """Return `share_explained` and `variance_component` of the groups of a sample, with their intervals.

    Args:
        sample: vectors with their groups.
        corpus: name of the corpus.
        bootstrap: resamples of the groups.
        confidence: of the interval.
        seed: of the resamples.
    """
    codes = sample.codes
    count = int(codes.max()) + 1 if len(codes) else 0
    if count < 2 or len(codes) <= count:
        what = f"{len(codes)} images in {count} {sample.unit}"
        why = f"two {sample.unit} and more images than {sample.unit} are needed, there are {what}"
        absent = not_computed(why, count, sample.unit)
        return [Result.of("variation", metric, absent, corpus=corpus, within=sample.unit) for metric in WORDS]
    sums = group_sums(sample.vectors, codes)
    weights = resampling.multiplicities(count, bootstrap, np.random.default_rng(seed))
    one, drawn = explain_variance(sums, np.ones((1, count))), explain_variance(sums, weights)
    interval = f"{resampling.words(confidence, bootstrap, sample.unit, count)}, less twice its bias"
    return [
        Result.of(
            "variation", metric,
            Value(
                float(value[0]), *_ends(float(value[0]), values, confidence), count, sample.unit,
                f"{WORDS[metric]}, {len(codes)} images; {interval}",
            ),
            corpus=corpus, within=sample.unit,
        )
        for metric, value, values in (
            ("share_explained", one.share, drawn.share),
            ("variance_component", one.component, drawn.component),
        )
    ]  # fmt: skip


def _ends(share: float, replicates: Floats, confidence: float) -> tuple[float, float]:
    """Return the ends of the interval of a share. Resamples hold groups twice, so that their shares are off."""
    _, low, high = intervals.bias_corrected(share, replicates, confidence, 0.0, 1.0)
    return min(low, share), max(high, share)


WORDS = {
    "share_explained": "between-group over total sum of squares, all dimensions",
    "variance_component": "between-group over total variance component (ICC 1), 0 without an effect",
}


def _over(top: Floats, bottom: Floats) -> Floats:
    """Return the quotient, 0 where there is nothing to divide by."""
    return np.asarray(np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), 0.0), np.float64)
