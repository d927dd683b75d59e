"""reward: a model of what is liked, trained on the pairs and compared with other scorers on held-out authors."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
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
from twigma_spark.estimators.reward import HeadTrainer, Training
from twigma_spark.estimators.reward_data import RewardData
from twigma_spark.estimators.reward_folds import HeldOutScores, cross_validate, train_final
from twigma_spark.io import arrow
from twigma_spark.io.artifacts import Artifact, checksum, folder, manifest
from twigma_spark.io.pair_snapshot import open_training, remove_training
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.pair_losses import TrainingSpec
from twigma_spark.models.reward import encoder_settings
from twigma_spark.models.reward_files import FOLDER, WEIGHTS, save_head
from twigma_spark.results import Result, not_computed
from twigma_spark.schemas import HELD_OUT_PAIRS
from twigma_spark.stages import inputs, records, reward_evaluation, reward_scores, reward_tuning, specs
from twigma_spark.stages.reward_card import describe_data, model_card
from twigma_spark.stages.reward_evaluation import CLIP
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
    vectors_of_images = inputs.own_vectors(cfg, embeddings)
    pairs = inputs.drawn_pairs(cfg, pairs, context.log)
    texts = made_by(text_embeddings, text_encoder.model_id, text_encoder.preprocess_rev, IMPORTED)
    with tempfile.TemporaryDirectory(prefix="twigma-reward-") as scratch:
        numbers = pair_numbers(pairs, cfg.reward.folds, cfg.seed)
        data = reward_data.collect(pairs, numbers, vectors_of_images, texts, Path(scratch))
        if data.missing:
            context.log(f"reward: {data.missing:,} pairs are left out: an image or the prompt has no vector")
        if reason := data.lack(cfg.reward.fewest, cfg.reward.folds):
            return _explain_no_model(context, reason)
        root = folder(cfg.store.root, cfg.store.artifacts)
        trainer, place = _trainer(cfg, context, data, encoder, root)
        held = cross_validate(trainer, data.table, cfg.reward.folds, range(cfg.reward.tested or cfg.reward.folds))
        if not len(held.rows):
            reason = "no fold has pairs to learn from, to stop by and to test whose authors differ"
            return _explain_no_model(context, reason, root)
        margins = reward_evaluation.held_out_margins(data, held)
        model: Training | FineTuned
        if cfg.reward.fine_tune.enabled:
            tables = {"pairs": pairs, "images": images, "text_embeddings": texts}
            tuned = reward_tuning.tune(cfg, context, data, trainer, encoder, place, tables)
            model, margins[stats.FINE_TUNED] = tuned.model, tuned.margins_of(held.rows)
        else:
            try:
                model = train_final(trainer, data.table)
            except ModelError as error:
                return _explain_no_model(context, str(error), root)
        remove_training(root)
        margins |= reward_evaluation.score_margins(cfg, scores, data, held)
        published = reward_evaluation.published_scores(cfg, pairs, baseline_scores, data, held)
        margins |= {name: both[:, 0] - both[:, 1] for name, both in published.items()}
    results = [
        *reward_evaluation.evaluate(cfg, data, held, margins, published),
        *reward_evaluation.training_results(data, held, model),
    ]
    context.log(reward_evaluation.summary(results))
    corpora = sorted(row["corpus"] for row in pairs.select("corpus").distinct().collect())
    about = describe_data(cfg.pairs, data.table, corpora, context.table_version("pairs"))
    artifact = _save(cfg, context, encoder, model, model_card(cfg.reward, encoder.model_id, about, results))
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


def _explain_no_model(context: StageContext, reason: str, root: Path | None = None) -> Mapping[str, DataFrame]:
    """Return a result that says why there is no model; nothing is left of a training below `root`."""
    if root is not None:
        remove_training(root)
    context.log(f"reward: no model: {reason}; one of an earlier run stays where it is")
    result = Result.of(stats.ANALYSIS, "accuracy", not_computed(reason, 0, stats.UNIT), scorer=stats.REWARD)
    return {"results": records.result_rows(context.spark, "reward", [result])}


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


def _trainer(
    cfg: Config, context: StageContext, data: RewardData, encoder: ClipImage, root: Path
) -> tuple[HeadTrainer, Path]:
    """Return how heads are trained, and the folder of the training, in which an interrupted one is gone on from."""
    facts = {name: context.table_version(name) for name in ("pairs", "images", "embeddings", "text_embeddings")}
    facts |= {"folds": str(cfg.reward.folds), "seed": str(cfg.seed), "processes": str(cfg.reward.fine_tune.processes)}
    place = open_training(root, _digest(facts))
    spec = _training_spec(cfg)
    # Heads take minutes: of other settings they are trained anew, and not refused.
    heads = place / "heads" / _digest({"encoder": [encoder.model_id, encoder.preprocess_rev], "training": asdict(spec)})
    return HeadTrainer(data.images.matrix, data.texts.matrix, spec, context.progress, heads), place


def _digest(facts: Mapping[str, object]) -> str:
    return hashlib.sha256(manifest(facts).encode()).hexdigest()[:16]


def _save(cfg: Config, context: StageContext, encoder: ClipImage, model: Training | FineTuned, card: str) -> Artifact:
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
        "clip_margin": margins[CLIP],
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
