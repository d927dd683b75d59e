"""caption: a sentence for every kept image, by BLIP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.schemas import CAPTIONS
from twigma_spark.stages import inputs, specs
from twigma_spark.stages.incremental import InferenceInput, Task, by_chunk, with_bytes
from twigma_spark.stages.stage import Stage, StageContext


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    embeddings: DataFrame,
    duplicates: DataFrame,
    captions: DataFrame,
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the captions of the kept images that have none yet, and rejects."""
    model = specs.captioner(cfg)
    if model is None:
        context.log("caption: models.caption names no model; themes have the words of prompts or titles")
        return
    done = captions.where(F.col("model_id") == model.model_id)
    kept = inputs.kept_vectors(cfg, images, embeddings, duplicates)

    def row(answered: DataFrame) -> DataFrame:
        made_by = {"model_id": F.lit(model.model_id), "caption": F.col("value")}
        return answered.withColumns(made_by).select(*CAPTIONS.column_names)

    task = Task("caption", "captions", model, "string", cfg.caption, specs.feed(cfg, cfg.caption), row)
    items = with_bytes(context, "caption", images, "themes have the words of the captions that came with them")
    yield from by_chunk(context, InferenceInput(items, done, only=kept), task)


def versions(cfg: Config) -> dict[str, str]:
    """Return the model that captions."""
    model = specs.captioner(cfg)
    return {"caption_model": model.model_id} if model else {}


STAGE = Stage(
    name="caption",
    summary="captions by BLIP, only where they are missing",
    reads=("images", "embeddings", "duplicates", "captions"),
    writes=("captions", "rejects"),
    config=(*specs.IMAGE_ENCODER, *specs.CAPTIONER),
    tuning=("caption",),
    run=run,
    versions=versions,
)
