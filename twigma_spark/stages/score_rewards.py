"""Saved reward models in the stage `score`: which images they are asked of, with which prompt, and what they read."""

from __future__ import annotations

from pyspark.sql import DataFrame

from twigma_spark.config.settings import Config
from twigma_spark.errors import ModelError
from twigma_spark.io.frames import count_rows
from twigma_spark.models.base import Model
from twigma_spark.models.reward_scorer import RewardScorer, VectorRewardScorer
from twigma_spark.stages import inputs, specs
from twigma_spark.stages.incremental import InferenceInput, with_bytes
from twigma_spark.stages.stage import StageContext
from twigma_spark.transforms.rewards import own_prompts


def reward_input(
    cfg: Config,
    context: StageContext,
    kind: str,
    model: RewardScorer,
    images: DataFrame,
    embeddings: DataFrame,
    kept: DataFrame,
    done: DataFrame,
) -> tuple[InferenceInput, Model]:
    """Return what a saved reward model is applied to, and how it is run.

    It reads stored vectors, or the images again where its encoder was trained too. Prompts are encoded here: the
    stage does not wait for captions, as `embed_text` does. How many images have no prompt is shown.

    Args:
        cfg: the configuration.
        context: of the stage.
        kind: name of the score.
        model: the saved model.
        images: rows of the table `images`.
        embeddings: rows of the table `embeddings`.
        kept: image_id of the images that are scored.
        done: rows of the table `scores` that are there already.

    Raises:
        ModelError: the model is not whole, or the vectors are of another encoder than it was trained on.
    """
    model.check(specs.image_encoder(cfg).model_id)
    items = own_prompts(images.join(kept.select("image_id"), "image_id", "left_semi"), model.prompt)
    if not model.prompt and (n := count_rows(items.where("prompt IS NULL"))):
        context.log(f"score: {n:,} images have no prompt and get no {kind}; models.scores.{kind}.prompt gives them one")
    items = items.where("prompt IS NOT NULL")
    if model.tuned:
        files = with_bytes(context, "score", images, f"they have no {kind}")
        return InferenceInput(files, done, only=items, also=("prompt",)), model
    texts = specs.text_encoder(cfg)
    if texts is None:
        raise ModelError(
            f"models.image must have a text tower (kind: open_clip) for a reward model. Got {cfg.models.image.kind!r}."
        )
    named = images.select("image_id", "source_key")
    vectors = inputs.image_vectors(cfg, images, embeddings).join(named, "image_id")
    return InferenceInput(vectors, done, item="embedding", only=items, also=("prompt",)), VectorRewardScorer(
        model, texts
    )
