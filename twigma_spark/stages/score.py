"""score: how likely an image is not safe for work, by a head on its vector or a classifier of its pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config import Config
from twigma_spark.models.heads import HeadSpec
from twigma_spark.schemas import SCORES
from twigma_spark.stages import specs
from twigma_spark.stages.incremental import Task, by_chunk
from twigma_spark.stages.stage import Stage, Work
from twigma_spark.transforms.heads import scored


def run(
    cfg: Config,
    work: Work,
    images: DataFrame,
    embeddings: DataFrame,
    duplicates: DataFrame,
    scores: DataFrame,
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the scores of the kept images that have none yet, and rejects."""
    model = specs.nsfw_scorer(cfg)
    if model is None:
        work.say("score: models.nsfw names no model; the report blurs every image without a score or a flag")
        return
    vectors = specs.kept_vectors(cfg, images, embeddings, duplicates)
    done = scores.where(F.col("model_id") == model.model_id).select("image_id")
    missing = vectors.join(done, "image_id", "left_anti")

    def row(answered: DataFrame) -> DataFrame:
        made_by = {
            "model_id": F.lit(model.model_id),
            "kind": F.lit("nsfw"),
            "score": F.col("value").cast("double"),
        }
        return answered.withColumns(made_by).select(*SCORES.column_names)

    if isinstance(model, HeadSpec):
        yield {"scores": row(scored(missing, model, specs.image_encoder(cfg).model_id))}
    else:
        task = Task("score", "scores", model, "float", cfg.score, specs.feed(cfg, cfg.score), row)
        yield from by_chunk(work, images.join(missing.select("image_id"), "image_id", "left_semi"), task)


def versions(cfg: Config) -> dict[str, str]:
    """Return the model that scores."""
    model = specs.nsfw_scorer(cfg)
    return {"nsfw_model": model.model_id} if model else {}


STAGE = Stage(
    name="score",
    summary="NSFW scores by a head on the vectors or a classifier of the pixels",
    reads=("images", "embeddings", "duplicates", "scores"),
    writes=("scores", "rejects"),
    config=("models.nsfw", "models.image", "models.device", "ingest.max_pixels"),
    run=run,
    versions=versions,
)
