"""baselines: published reward models score the images of held-out pairs, for the reward model to be compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.engine import Inference
from twigma_spark.config.settings import Config
from twigma_spark.schemas import BASELINE_SCORES
from twigma_spark.stages import inputs, specs
from twigma_spark.stages.incremental import IMAGE, InferenceInput, Task, by_chunk
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.transforms.pair_columns import prompted_images


def run(
    cfg: Config,
    context: StageContext,
    pairs: DataFrame,
    images: DataFrame,
    text_embeddings: DataFrame,
    baseline_scores: DataFrame,
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the scores of the images in matched pairs that are held out and have none yet, and rejects."""
    models = specs.baselines(cfg)
    if not models:
        return
    prompts = text_embeddings.where("source = 'prompt'").select("text_id", F.col("text").alias("prompt")).distinct()
    drawn = inputs.sample_pairs(cfg, pairs, context.log)
    wanted = prompted_images(drawn, cfg.reward.folds, cfg.seed, cfg.reward.tested).join(prompts, "text_id")
    for kind, model in models.items():
        model_id = model.model_id
        done = baseline_scores.where((F.col("model_id") == model_id) & (F.col("kind") == kind))

        def row(answered: DataFrame, kind: str = kind, model_id: str = model_id) -> DataFrame:
            by = {"model_id": F.lit(model_id), "kind": F.lit(kind), "score": F.col("value").cast("double")}
            return answered.withColumns(by).select(*BASELINE_SCORES.column_names)

        feed = specs.feed(cfg, cfg.baselines)
        task = Task("baselines", "baseline_scores", model, "float", cfg.baselines, feed, row)
        asked = InferenceInput(images.select(*IMAGE), done, only=wanted, named=("text_id",), also=("prompt",))
        yield from by_chunk(context, asked, task)


def versions(cfg: Config) -> dict[str, str]:
    """Return the models that score."""
    return {f"{kind}_model": model.model_id for kind, model in specs.baselines(cfg).items()}


STAGE = Stage(
    name="baselines",
    summary="published reward models, such as PickScore, score the images of held-out pairs where that is asked for",
    reads=("pairs", "images", "text_embeddings", "baseline_scores"),
    writes=("baseline_scores", "rejects"),
    config=("reward.folds", "reward.most", "reward.tested", "seed", *specs.BASELINES),
    tuning=tuple(f"baselines.{key}" for key in Inference.model_fields),
    run=run,
    versions=versions,
)
