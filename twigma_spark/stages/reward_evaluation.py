"""Evaluation in the stage `reward`: the scorers that are compared, and results of what they say of held-out pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import or_

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.estimators import reward_data
from twigma_spark.estimators.fine_tuning import FineTuned
from twigma_spark.estimators.reward import Training
from twigma_spark.estimators.reward_data import RewardData
from twigma_spark.estimators.reward_folds import ALL, ENCODER, ENGAGEMENT, MATCHED, WITHOUT_NSFW, HeldOutScores
from twigma_spark.results import Result, Value
from twigma_spark.stages import specs
from twigma_spark.stats import reward as stats
from twigma_spark.stats.reward import HeldOut, Resampling
from twigma_spark.transforms.pair_columns import prompted_scores

Floats = NDArray[np.float64]
CLIP = "CLIP score"
SCORERS = {
    MATCHED: stats.REWARD,
    ALL: stats.UNMATCHED,
    WITHOUT_NSFW: stats.WITHOUT_NSFW,
    ENCODER: CLIP,
    ENGAGEMENT: "followers and hour",
}


def held_out_margins(data: RewardData, held: HeldOutScores) -> dict[str, Floats]:
    """Return, of each scorer of the cross-validation, the score of the preferred image less that of the other (n,)."""
    margins = {SCORERS[name]: values for name, values in held.margins.items()}
    if not (data.table.nsfw & data.table.matched).any():
        del margins[stats.WITHOUT_NSFW]  # it is the reward model itself
    # Chance, of which every pair is a tie: what the model is right more often than that has an interval too.
    return {**margins, stats.RANDOM: np.zeros(len(held.rows))}


def published_scores(
    cfg: Config, pairs: DataFrame, baseline_scores: DataFrame, data: RewardData, held: HeldOutScores
) -> dict[str, Floats]:
    """Return the scores (n, 2) of each published model that is configured, of the images of the held-out pairs."""
    models = specs.baselines(cfg)
    if not models:
        return {}
    known = [(F.col("kind") == kind) & (F.col("model_id") == model.model_id) for kind, model in models.items()]
    own = baseline_scores.where(reduce(or_, known))
    return reward_data.baseline_scores(prompted_scores(pairs, own), list(models), *_ids(data, held))


def image_scores(cfg: Config, scores: DataFrame, data: RewardData, held: HeldOutScores) -> dict[str, Floats]:
    """Return the scores (n, 2), of the images of the held-out pairs, by each of `models.scores` that may be a taste.

    NSFW is none of them, nor is a saved reward model: it may have been trained on these very pairs.
    """
    kinds = [kind for kind, model in cfg.models.scores.items() if kind != "nsfw" and model.kind != "reward"]
    return reward_data.image_scores(scores, kinds, *_ids(data, held)) if kinds else {}


def _ids(data: RewardData, held: HeldOutScores) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    preferred, other = (data.columns[f"{side}_id"][held.rows] for side in ("preferred", "other"))
    return preferred, other


def evaluate(
    cfg: Config,
    data: RewardData,
    held: HeldOutScores,
    margins: Mapping[str, Floats],
    others: Mapping[str, Floats],
) -> Iterator[Result]:
    """Yield what tells how good the model is, beside the other scorers, and what it goes by.

    Args:
        cfg: the configuration.
        data: the pairs.
        held: what the models of the cross-validation say of the held-out ones.
        margins: of all scorers (n,).
        others: scores (n, 2) of the scorers that are compared with the model, the encoder's own aside.
    """
    rows = held.rows
    column = {name: values[rows] for name, values in data.columns.items()}
    known = (column["preferred_band"] >= 0) & (column["other_band"] >= 0)
    side = np.where(known, np.sign(column["preferred_band"] - column["other_band"]), 0)
    likes = column["preferred_likes"].astype(np.float64)
    ratio = np.where(likes >= 0, likes / np.maximum(column["other_likes"], 1), np.nan)
    pairs = HeldOut(
        margins,
        data.table.prompt[rows],
        data.table.matched[rows],
        side.astype(np.int8),
        ratio,
        column["days"].astype(np.float64),
        data.table.cluster[rows],
        held.sharpness,
        held.swapped,
    )
    resampling = Resampling(
        cfg.reward.bootstrap, cfg.reward.confidence, np.random.default_rng(cfg.seed), cfg.reward.fewest
    )
    yield from stats.reward_results(pairs, resampling)
    # An image is in several pairs: it counts once.
    liked = likes >= 0
    ids = np.concatenate([column[f"{side}_id"][liked] for side in ("preferred", "other")])
    _, first = np.unique(ids, return_index=True)
    named = {**{SCORERS[name]: held.scores[name] for name in (MATCHED, ENCODER)}, **others}
    both = {name: values[liked].T.ravel()[first] for name, values in named.items()}
    counts = np.concatenate([column[f"{side}_likes"][liked] for side in ("preferred", "other")])[first]
    prompt = np.tile(data.table.prompt[rows][liked], 2)[first]
    yield from stats.rank_results(both, counts, prompt, resampling)


def training_results(data: RewardData, held: HeldOutScores, training: Training | FineTuned) -> Iterator[Result]:
    """Yield what the models were trained on, and how the losses of the final one went."""
    matched, every, safe = (int(np.mean([counts[i] for counts in held.trained])) for i in range(3))
    of = "mean over folds; pairs with an author or a prompt of a held-out pair are left out"
    sizes = {stats.REWARD: matched, stats.UNMATCHED: every}
    if safe < matched:
        sizes[stats.WITHOUT_NSFW] = safe
    for name, n in sizes.items():
        yield Result.of(stats.ANALYSIS, "trained_on", Value(float(n), None, None, n, "pairs", of), scorer=name)
    missing = Value(float(data.missing), None, None, len(data.table) + data.missing, "pairs", "complete count")
    yield Result.of(stats.ANALYSIS, "without_vectors", missing)
    n = int(data.table.matched.sum())
    for epoch in training.epochs:
        kept = "; these weights were kept" if epoch.number == training.best else ""
        for part, loss in (("training", epoch.train), ("held out", epoch.validation)):
            if not np.isfinite(loss):
                continue
            value = Value(loss, None, None, n, "pairs", f"mean loss of the final model's {part} pairs{kept}")
            yield Result.of(stats.ANALYSIS, "loss", value, epoch=epoch.number, part=part)


def summary(results: list[Result]) -> str:
    """Return for example "reward: accuracy 0.71 [0.66, 0.76] of 316 held-out pairs; CLIP score 0.52"."""
    accuracies = {r.labels["scorer"]: r for r in results if r.metric == "accuracy" and r.estimate is not None}
    accuracies.pop(stats.RANDOM, None)
    if stats.REWARD not in accuracies:
        return "reward: trained; too few held-out pairs for an accuracy"
    own = accuracies.pop(stats.REWARD)
    interval = f" [{own.low:.2f}, {own.high:.2f}]" if own.low is not None and own.high is not None else ""
    others = "".join(f"; {name} {r.estimate:.2f}" for name, r in accuracies.items())
    return f"reward: accuracy {own.estimate:.2f}{interval} of {own.n:,} held-out pairs{others}"
