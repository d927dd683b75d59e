"""reward: a model of what is liked, trained on the pairs and compared with other scorers on held-out authors."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.engine import Inference
from twigma_spark.config.settings import Config
from twigma_spark.estimators import reward_data
from twigma_spark.estimators.fine_tuning import FineTuned
from twigma_spark.estimators.reward import Training
from twigma_spark.estimators.reward_data import RewardData
from twigma_spark.estimators.reward_folds import HeldOutScores
from twigma_spark.io import arrow
from twigma_spark.io.artifacts import Artifact, ArtifactFolder, folder, manifest
from twigma_spark.io.url_files import settings_of
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.reward import encoder_settings
from twigma_spark.models.reward_files import CARD, CONFIG, ENCODER, FOLDER, WEIGHTS, save_head
from twigma_spark.results import Result, not_computed
from twigma_spark.schemas import HELD_OUT_PAIRS
from twigma_spark.stages import inputs, records, reward_evaluation, reward_scores, specs
from twigma_spark.stages.reward_card import describe_data, model_card
from twigma_spark.stages.reward_evaluation import CLIP
from twigma_spark.stages.reward_scores import SavedModel
from twigma_spark.stages.reward_training import NoModelError, train
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.stats import reward as stats
from twigma_spark.transforms.pair_columns import pair_numbers
from twigma_spark.transforms.vectors import IMPORTED, made_by

KIND = "reward_model"


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
    pairs = inputs.sample_pairs(cfg, pairs, context.log)
    texts = made_by(text_embeddings, text_encoder.model_id, text_encoder.preprocess_rev, IMPORTED)
    with tempfile.TemporaryDirectory(prefix="twigma-reward-") as scratch:
        data = _collect(cfg, context, pairs, embeddings, texts, Path(scratch))
        try:
            trained = train(cfg, context, data, encoder, {"pairs": pairs, "images": images, "text_embeddings": texts})
        except NoModelError as error:
            return _explain_no_model(context, str(error))
        others = {
            **reward_evaluation.image_scores(cfg, scores, data, trained.held),
            **reward_evaluation.published_scores(cfg, pairs, baseline_scores, data, trained.held),
        }
    margins = {**trained.margins, **{name: both[:, 0] - both[:, 1] for name, both in others.items()}}
    results = [
        *reward_evaluation.evaluate(cfg, data, trained.held, margins, others),
        *reward_evaluation.training_results(data, trained.held, trained.model),
    ]
    context.log(reward_evaluation.summary(results))
    where = folder(cfg.store.root, cfg.store.artifacts, settings_of(context.spark))
    artifact = _save(cfg, context, where, encoder, trained.model, _card(cfg, context, encoder, pairs, data, results))
    head = None if isinstance(trained.model, FineTuned) else trained.model.head
    kept = inputs.kept_vectors(cfg, images, embeddings, duplicates)
    scored = reward_scores.score_images(cfg, context, head, SavedModel(artifact, where), images, kept, texts, captions)
    return {
        "artifacts": records.artifact_rows(context.spark, "reward", [artifact]),
        "results": records.result_rows(context.spark, "reward", [*results, *scored.results]),
        "held_out_pairs": _held_out_pairs(pairs, context, data, trained.held, margins),
        "reward_scores": scored.scores,
        **({} if scored.rejects is None else {"rejects": scored.rejects}),
    }


def _collect(
    cfg: Config, context: StageContext, pairs: DataFrame, embeddings: DataFrame, texts: DataFrame, scratch: Path
) -> RewardData:
    """Return the pairs with the vectors that they need; those without one are shown."""
    numbers = pair_numbers(pairs, cfg.reward.folds, cfg.seed)
    data = reward_data.collect(pairs, numbers, inputs.own_vectors(cfg, embeddings), texts, scratch)
    if data.missing:
        context.log(f"reward: {data.missing:,} pairs are left out: an image or the prompt has no vector")
    return data


def _explain_no_model(context: StageContext, reason: str) -> Mapping[str, DataFrame]:
    """Return a result that says why there is no model."""
    context.log(f"reward: no model: {reason}; one of an earlier run stays where it is")
    result = Result.of(stats.ANALYSIS, "accuracy", not_computed(reason, 0, stats.UNIT), scorer=stats.REWARD)
    return {"results": records.result_rows(context.spark, "reward", [result])}


def _card(
    cfg: Config, context: StageContext, encoder: ClipImage, pairs: DataFrame, data: RewardData, results: list[Result]
) -> str:
    corpora = sorted(row["corpus"] for row in pairs.select("corpus").distinct().collect())
    about = describe_data(cfg.pairs, data.table, corpora, context.table_version("pairs"))
    return model_card(cfg.reward, encoder.model_id, about, results)


def _save(
    cfg: Config,
    context: StageContext,
    where: ArtifactFolder,
    encoder: ClipImage,
    model: Training | FineTuned,
    card: str,
) -> Artifact:
    place = where.local / FOLDER
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
    # The description has the checksums of the weights: without it there is no model.
    files = [place / name for name in (CARD, ENCODER, WEIGHTS, CONFIG) if (place / name).exists()]
    artifact = where.publish("reward/model", KIND, place / WEIGHTS, manifest(facts), files)
    context.log(f"reward: model written to {where.url(place)}")
    return artifact


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
        "clip_margin": margins[CLIP],
    }
    batch = pa.RecordBatch.from_pydict({name: values[matched] for name, values in columns.items()})
    schema = "preferred BIGINT, other BIGINT, fold INT, margin DOUBLE, clip_margin DOUBLE"
    frame = arrow.frame_of(context.spark, [batch], schema)
    ids = pairs.where("matched").select(
        "preferred_image_id",
        "other_image_id",
        F.xxhash64("preferred_image_id").alias("preferred"),
        F.xxhash64("other_image_id").alias("other"),
    )
    return ids.join(frame, ["preferred", "other"]).select(*HELD_OUT_PAIRS.column_names)


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
    config=(
        "reward",
        "pairs",
        "seed",
        "store",
        "models.scores",
        *specs.BASELINES,
        *specs.IMAGE_ENCODER,
        *specs.CAPTIONER,
    ),
    tuning=tuple(f"baselines.{key}" for key in Inference.model_fields),
    run=run,
)
