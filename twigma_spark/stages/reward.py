"""reward: a model of what is liked, trained on the pairs and compared with other scorers on held-out authors."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import or_
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.engine import Inference
from twigma_spark.config.settings import Config
from twigma_spark.errors import ModelError
from twigma_spark.estimators import reward_data
from twigma_spark.estimators.fine_tuning import FineTuned
from twigma_spark.estimators.reward import Training
from twigma_spark.estimators.reward_data import RewardData
from twigma_spark.estimators.reward_folds import (
    ALL,
    ENCODER,
    ENGAGEMENT,
    MATCHED,
    WITHOUT_NSFW,
    HeldOutScores,
    cross_validate,
    train_final,
)
from twigma_spark.io import arrow
from twigma_spark.io.artifacts import Artifact, checksum, folder, manifest
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.pair_losses import TrainingSpec
from twigma_spark.models.reward import encoder_settings
from twigma_spark.models.reward_files import FOLDER, WEIGHTS, save_head
from twigma_spark.results import Result, Value, not_computed
from twigma_spark.schemas import HELD_OUT_PAIRS
from twigma_spark.stages import inputs, records, reward_scores, reward_tuning, specs
from twigma_spark.stages.reward_card import model_card
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.stats import reward as stats
from twigma_spark.stats.reward import HeldOut, Resampling
from twigma_spark.transforms.preferences import pair_numbers, prompted_scores
from twigma_spark.transforms.vectors import IMPORTED, made_by

KIND = "reward_model"
SCORERS = {
    MATCHED: stats.REWARD,
    ALL: stats.UNMATCHED,
    WITHOUT_NSFW: stats.WITHOUT_NSFW,
    ENCODER: "CLIP score",
    ENGAGEMENT: "followers and hour",
}


def run(
    cfg: Config,
    context: StageContext,
    pairs: DataFrame,
    embeddings: DataFrame,
    text_embeddings: DataFrame,
    scores: DataFrame,
    images: DataFrame,
    duplicates: DataFrame,
    captions: DataFrame,
    baseline_scores: DataFrame,
) -> Mapping[str, DataFrame]:
    """Return the model as an artifact, its evaluation as results, and what it says of the held-out pairs."""
    encoder, text_encoder = specs.image_encoder(cfg), specs.text_encoder(cfg)
    if not isinstance(encoder, ClipImage) or text_encoder is None:
        return _explain_no_model(context, "models.image has no text tower, so prompts have no vectors")
    vectors_of_images = inputs.own_vectors(cfg, embeddings)
    texts = made_by(text_embeddings, text_encoder.model_id, text_encoder.preprocess_rev, IMPORTED)
    with tempfile.TemporaryDirectory(prefix="twigma-reward-") as scratch:
        numbers = pair_numbers(pairs, cfg.reward.folds, cfg.seed)
        data = reward_data.collect(pairs, numbers, vectors_of_images, texts, Path(scratch))
        if data.missing:
            context.log(f"reward: {data.missing:,} pairs are left out: an image or the prompt has no vector")
        if reason := _too_few(cfg, data):
            return _explain_no_model(context, reason)
        spec = _training_spec(cfg)
        tested = range(cfg.reward.tested or cfg.reward.folds)
        vectors = (data.images.matrix, data.texts.matrix)
        held = cross_validate(*vectors, data.table, spec, cfg.reward.folds, tested, context.progress)
        if not len(held.rows):
            return _explain_no_model(
                context, "no fold has pairs to learn from, to stop by and to test whose authors differ"
            )
        margins = {SCORERS[name]: values for name, values in held.margins.items()}
        if not (data.table.nsfw & data.table.matched).any():
            del margins[stats.WITHOUT_NSFW]  # it is the reward model itself
        model: Training | FineTuned
        if cfg.reward.fine_tune.enabled:
            tuned = reward_tuning.tune(cfg, context, data, spec, encoder, pairs, images, texts)
            model, margins[stats.FINE_TUNED] = tuned.model, tuned.margins_of(held.rows)
        else:
            try:
                model = train_final(*vectors, data.table, spec, context.progress)
            except ModelError as error:
                return _explain_no_model(context, str(error))
        kinds = [kind for kind in cfg.models.scores if kind != "nsfw"]
        preferred, other = (data.columns[f"{side}_id"][held.rows] for side in ("preferred", "other"))
        if kinds:
            margins |= reward_data.score_margins(scores, kinds, preferred, other)
        published = _published_scores(cfg, pairs, baseline_scores, preferred, other)
        margins |= {name: both[:, 0] - both[:, 1] for name, both in published.items()}
    results = [*_evaluate(cfg, data, held, margins, published), *_training_results(data, held, model)]
    context.log(_summary(results))
    artifact = _save(cfg, context, encoder, model, results)
    head = None if isinstance(model, FineTuned) else model.head
    kept = inputs.kept_vectors(cfg, images, embeddings, duplicates)
    scored = reward_scores.score_images(cfg, context, head, Path(artifact.path).parent, images, kept, texts, captions)
    return {
        "artifacts": records.artifact_rows(context.spark, "reward", [artifact]),
        "results": records.result_rows(context.spark, "reward", [*results, *scored.results]),
        "held_out_pairs": _held_out_pairs(pairs, context, data, held, margins),
        "reward_scores": scored.scores,
        **({} if scored.rejects is None else {"rejects": scored.rejects}),
    }


def _explain_no_model(context: StageContext, reason: str) -> Mapping[str, DataFrame]:
    """Return a result that says why there is no model."""
    context.log(f"reward: no model: {reason}; one of an earlier run stays where it is")
    result = Result.of(stats.ANALYSIS, "accuracy", not_computed(reason, 0, stats.UNIT), scorer=stats.REWARD)
    return {"results": records.result_rows(context.spark, "reward", [result])}


def _too_few(cfg: Config, data: RewardData) -> str | None:
    """Return why no model can be trained, with the way out, or None where it can."""
    matched = int(data.table.matched.sum())
    if matched < cfg.reward.fewest:
        return (
            f"{cfg.reward.fewest} matched pairs at least are needed (reward.fewest). Got {matched:,} of "
            f"{len(data.table):,} pairs; they need likes, prompts, followers and dates, or a wider pairs.match"
        )
    if len(np.unique(data.table.authors)) < cfg.reward.folds:
        return f"authors must be as many as reward.folds at least. Got {len(np.unique(data.table.authors))}"
    return None


def _training_spec(cfg: Config) -> TrainingSpec:
    own = cfg.reward
    return TrainingSpec(
        loss=own.loss,
        margin=own.margin,
        epochs=own.epochs,
        patience=own.patience,
        batch_size=own.batch_size,
        learning_rate=own.learning_rate,
        weight_decay=own.weight_decay,
        warmup=own.warmup,
        seed=cfg.seed,
    )


def _published_scores(
    cfg: Config,
    pairs: DataFrame,
    baseline_scores: DataFrame,
    preferred: NDArray[np.int64],
    other: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]]:
    """Return the scores (n, 2) of each published model that is configured, of the images of the held-out pairs."""
    models = specs.baselines(cfg)
    if not models:
        return {}
    known = [(F.col("kind") == kind) & (F.col("model_id") == model.model_id) for kind, model in models.items()]
    own = baseline_scores.where(reduce(or_, known))
    return reward_data.baseline_scores(prompted_scores(pairs, own), list(models), preferred, other)


def _evaluate(
    cfg: Config,
    data: RewardData,
    held: HeldOutScores,
    margins: Mapping[str, NDArray[np.float64]],
    published: Mapping[str, NDArray[np.float64]],
) -> Iterator[Result]:
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
    how = Resampling(cfg.reward.bootstrap, cfg.reward.confidence, np.random.default_rng(cfg.seed), cfg.reward.fewest)
    yield from stats.reward_results(pairs, how)
    # An image is in several pairs: it counts once.
    liked = likes >= 0
    ids = np.concatenate([column[f"{side}_id"][liked] for side in ("preferred", "other")])
    _, first = np.unique(ids, return_index=True)
    named = {**{SCORERS[name]: held.scores[name] for name in (MATCHED, ENCODER)}, **published}
    both = {name: values[liked].T.ravel()[first] for name, values in named.items()}
    counts = np.concatenate([column[f"{side}_likes"][liked] for side in ("preferred", "other")])[first]
    prompt = np.tile(data.table.prompt[rows][liked], 2)[first]
    yield from stats.rank_results(both, counts, prompt, how)


def _training_results(data: RewardData, held: HeldOutScores, training: Training | FineTuned) -> Iterator[Result]:
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


def _summary(results: list[Result]) -> str:
    """Return for example "reward: accuracy 0.71 [0.66, 0.76] of 316 held-out pairs; CLIP score 0.52"."""
    found = {r.labels["scorer"]: r for r in results if r.metric == "accuracy" and r.estimate is not None}
    if stats.REWARD not in found:
        return "reward: trained; too few held-out pairs for an accuracy"
    own = found.pop(stats.REWARD)
    interval = f" [{own.low:.2f}, {own.high:.2f}]" if own.low is not None and own.high is not None else ""
    others = "".join(f"; {name} {r.estimate:.2f}" for name, r in found.items())
    return f"reward: accuracy {own.estimate:.2f}{interval} of {own.n:,} held-out pairs{others}"


def _save(
    cfg: Config, context: StageContext, encoder: ClipImage, model: Training | FineTuned, results: list[Result]
) -> Artifact:
    card = model_card(cfg.reward, encoder.model_id, results)
    place = folder(cfg.store.root, cfg.store.artifacts) / FOLDER
    trained = model.encoder if isinstance(model, FineTuned) else None
    save_head(place, model.head, encoder.model_id, encoder.preprocess_rev, encoder_settings(encoder), card, trained)
    facts = {
        "model_id": encoder.model_id,
        "preprocess_rev": encoder.preprocess_rev,
        "pairs": context.table_version("pairs"),
        "training": cfg.reward.model_dump(mode="json"),
        "seed": cfg.seed,
        "epoch": model.best,
    }
    path = place / WEIGHTS
    context.log(f"reward: model written to {place}")
    return Artifact("reward/model", KIND, str(path), checksum(path), manifest(facts))


def _held_out_pairs(
    pairs: DataFrame,
    context: StageContext,
    data: RewardData,
    held: HeldOutScores,
    margins: Mapping[str, NDArray[np.float64]],
) -> DataFrame:
    """Return rows of `held_out_pairs`: the matched ones, joined by the hashes of their ids."""
    rows = held.rows
    matched = data.table.matched[rows]
    columns = {
        "preferred": data.columns["preferred_id"][rows],
        "other": data.columns["other_id"][rows],
        "fold": data.table.fold[rows].astype(np.int32),
        "margin": margins[stats.REWARD],
        "clip_margin": margins[SCORERS[ENCODER]],
    }
    batch = pa.RecordBatch.from_pydict({name: values[matched] for name, values in columns.items()})
    schema = "preferred BIGINT, other BIGINT, fold INT, margin DOUBLE, clip_margin DOUBLE"
    found = arrow.frame_of(context.spark, [batch], schema)
    ids = pairs.where("matched").select(
        "preferred_image_id",
        "other_image_id",
        F.xxhash64("preferred_image_id").alias("preferred"),
        F.xxhash64("other_image_id").alias("other"),
    )
    return ids.join(found, ["preferred", "other"]).select(*HELD_OUT_PAIRS.column_names)


STAGE = Stage(
    name="reward",
    summary="a model of what is liked, trained on the pairs and compared with other scorers on held-out authors",
    reads=(
        "pairs",
        "embeddings",
        "text_embeddings",
        "scores",
        "images",
        "duplicates",
        "captions",
        "baseline_scores",
    ),
    writes=("held_out_pairs", "reward_scores", "artifacts", "results", "rejects"),
    config=("reward", "seed", "store", "models.scores", *specs.BASELINES, *specs.IMAGE_ENCODER, *specs.CAPTIONER),
    tuning=tuple(f"baselines.{key}" for key in Inference.model_fields),
    run=run,
)
