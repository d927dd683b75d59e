"""Training in the stage `reward`: the models of the cross-validation, and the one that is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twigma_spark.config.settings import Config
from twigma_spark.errors import ModelError
from twigma_spark.estimators.fine_tuning import FineTuned
from twigma_spark.estimators.reward import HeadTrainer, Training
from twigma_spark.estimators.reward_data import RewardData
from twigma_spark.estimators.reward_folds import HeldOutScores, cross_validate, train_final
from twigma_spark.estimators.training_state import Mirror, open_training, remove_training
from twigma_spark.io.artifacts import ArtifactFolder, folder, manifest
from twigma_spark.io.url_files import settings_of
from twigma_spark.models.clip import ClipImage
from twigma_spark.models.pair_losses import TrainingSpec
from twigma_spark.stages import reward_evaluation, reward_tuning
from twigma_spark.stages.stage import Frames, StageContext
from twigma_spark.stats import reward as stats


class NoModelError(Exception):
    """Says why no model can be trained."""


@dataclass(frozen=True)
class Trained:
    """What came of the training.

    Attributes:
        model: the one that is kept.
        held: what the models of the cross-validation say of pairs that were held out.
        margins: of each scorer (n,) the score of the preferred image less that of the other, of those pairs.
    """

    model: Training | FineTuned
    held: HeldOutScores
    margins: dict[str, NDArray[np.float64]]


def train(cfg: Config, context: StageContext, data: RewardData, encoder: ClipImage, tables: Frames) -> Trained:
    """Return the model, and what those of the cross-validation say; nothing is left of the training's own files.

    Args:
        cfg: the configuration.
        context: of the stage.
        data: the pairs and the vectors.
        encoder: which CLIP.
        tables: `pairs`, `images`, and `text_embeddings` by the encoder's text tower.

    Raises:
        NoModelError: too few pairs or authors.
        ModelError: the fine-tuning failed; its state stays for the next run.
    """
    if reason := data.lack(cfg.reward.fewest, cfg.reward.folds):
        raise NoModelError(reason)
    root = folder(cfg.store.root, cfg.store.artifacts, settings_of(context.spark))
    trainer, place = _trainer(cfg, context, data, encoder, root)
    held = cross_validate(trainer, data.table, cfg.reward.folds, range(cfg.reward.tested or cfg.reward.folds))
    if not len(held.rows):
        remove_training(root)
        raise NoModelError("no fold has pairs to learn from, to stop by and to test whose authors differ")
    margins = reward_evaluation.held_out_margins(data, held)
    model: Training | FineTuned
    if cfg.reward.fine_tune.enabled:
        tuned = reward_tuning.tune(cfg, context, data, trainer, encoder, place, tables, Mirror(root))
        model, margins[stats.FINE_TUNED] = tuned.model, tuned.margins_of(held.rows)
    else:
        model = _train_final(trainer, data, root)
    remove_training(root)
    return Trained(model, held, margins)


def _train_final(trainer: HeadTrainer, data: RewardData, root: ArtifactFolder) -> Training:
    try:
        return train_final(trainer, data.table)
    except ModelError as error:
        remove_training(root)
        raise NoModelError(str(error)) from error


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
    cfg: Config, context: StageContext, data: RewardData, encoder: ClipImage, root: ArtifactFolder
) -> tuple[HeadTrainer, Path]:
    """Return how heads are trained, and the folder of the training, in which an interrupted one is gone on from."""
    facts = {name: context.table_version(name) for name in ("pairs", "images", "embeddings", "text_embeddings")}
    facts |= {"folds": str(cfg.reward.folds), "seed": str(cfg.seed), "processes": str(cfg.reward.fine_tune.processes)}
    place = open_training(root, _digest(facts), context.log)
    spec = _training_spec(cfg)
    # Heads take minutes: of other settings they are trained anew, and not refused.
    heads = place / "heads" / _digest({"encoder": [encoder.model_id, encoder.preprocess_rev], "training": asdict(spec)})
    return HeadTrainer(data.images.matrix, data.texts.matrix, spec, context.progress, heads, saved=Mirror(root)), place


def _digest(facts: Mapping[str, object]) -> str:
    return hashlib.sha256(manifest(facts).encode()).hexdigest()[:16]
