"""score: NSFW, aesthetic and other scores, by heads on vectors, classifiers of pixels or saved reward models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.models.base import Model
from twigma_spark.models.heads import HeadSpec
from twigma_spark.models.reward_scorer import RewardScorer
from twigma_spark.schemas import SCORES
from twigma_spark.stages import inputs, specs
from twigma_spark.stages.incremental import InferenceInput, Task, by_chunk, with_bytes
from twigma_spark.stages.score_rewards import reward_input
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.transforms.heads import score_vectors


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    embeddings: DataFrame,
    duplicates: DataFrame,
    scores: DataFrame,
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the scores of the images that have none yet, and rejects.

    Heads score duplicates too, which the report shows and which it would have to hide else. A classifier of pixels and
    a reward model score the kept images only: each further image costs a forward pass.
    """
    models = specs.scorers(cfg)
    if "nsfw" not in models:
        context.log("score: models.scores has no nsfw; the report blurs every image without a score or a flag")
    every = inputs.image_vectors(cfg, images, embeddings)
    for kind, model in models.items():
        scorer = specs.scorer_id(cfg, model)
        done = scores.where((F.col("model_id") == scorer) & (F.col("kind") == kind))

        def row(answered: DataFrame, kind: str = kind, model_id: str = scorer) -> DataFrame:
            by = {"model_id": F.lit(model_id), "kind": F.lit(kind), "score": F.col("value").cast("double")}
            return answered.withColumns(by).select(*SCORES.column_names)

        if isinstance(model, HeadSpec):
            missing = every.join(done.select("image_id"), "image_id", "left_anti")
            yield {"scores": row(score_vectors(missing, model, specs.image_encoder(cfg).model_id))}
            continue
        kept = inputs.kept_images(cfg, images, embeddings, duplicates)
        model_run: Model = model
        if isinstance(model, RewardScorer):
            items, model_run = reward_input(cfg, context, kind, model, images, embeddings, kept, done)
        else:
            items = InferenceInput(with_bytes(context, "score", images, f"they have no {kind}"), done, only=kept)
        task = Task("score", "scores", model_run, "float", cfg.score, specs.feed(cfg, cfg.score), row)
        yield from by_chunk(context, items, task)


def versions(cfg: Config) -> dict[str, str]:
    """Return the models that score."""
    return {f"{kind}_model": specs.scorer_id(cfg, model) for kind, model in specs.scorers(cfg).items()}


STAGE = Stage(
    name="score",
    summary="NSFW, aesthetic and other scores by heads on vectors, classifiers of pixels or saved reward models",
    reads=("images", "embeddings", "duplicates", "scores"),
    writes=("scores", "rejects"),
    config=("models.scores", *specs.IMAGE_ENCODER),
    tuning=("score",),
    run=run,
    versions=versions,
)
