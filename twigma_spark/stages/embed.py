"""embed: images become vectors; only what is missing is computed, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.models.base import Model
from twigma_spark.schemas import EMBEDDINGS
from twigma_spark.stages import specs
from twigma_spark.stages.incremental import IMAGE, InferenceInput, Task, by_chunk
from twigma_spark.stages.stage import Account, Frames, Stage, StageContext
from twigma_spark.transforms.vectors import fault, made_by, of_model


def run(
    cfg: Config, context: StageContext, images: DataFrame, embeddings: DataFrame
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield embeddings and rejects of the images that this model, or a second one, has no vector of."""
    yield from _by_encoder(cfg, context, images, embeddings, specs.image_encoder(cfg), "image")
    second = specs.second_encoder(cfg)
    if second is not None:
        # A unit of its own: an image that the second encoder refuses is kept all the same.
        yield from _by_encoder(cfg, context, images, embeddings, second, "second vector")


def _by_encoder(
    cfg: Config, context: StageContext, images: DataFrame, embeddings: DataFrame, encoder: Model, unit: str
) -> Iterator[Mapping[str, DataFrame]]:
    done = made_by(embeddings, encoder.model_id, encoder.preprocess_rev)

    def row(answered: DataFrame) -> DataFrame:
        by = {"model_id": F.lit(encoder.model_id), "preprocess_rev": F.lit(encoder.preprocess_rev)}
        columns = {**by, "embedding": F.col("value"), "dim": F.size("value")}
        return answered.withColumns(columns).select(*EMBEDDINGS.column_names)

    task = Task("embed", "embeddings", encoder, "array<float>", cfg.embed, specs.feed(cfg, cfg.embed), row, fault)
    yield from by_chunk(context, InferenceInput(images.select(*IMAGE), done, unit=unit), task)


def account(cfg: Config, spark: SparkSession, frames: Frames) -> Account:
    """Return what became of the images: a vector, or a reject of this stage."""
    encoder = specs.image_encoder(cfg)
    done = of_model(frames["embeddings"], encoder.model_id, encoder.preprocess_rev)
    kept = done.join(frames["images"].select("image_id"), "image_id", "left_semi").count()
    rejects = frames["rejects"].where("stage = 'embed' AND unit = 'image'").count()
    return Account(images=frames["images"].count(), kept=kept, duplicates=0, rejects=rejects)


def versions(cfg: Config) -> dict[str, str]:
    """Return the model that makes the vectors."""
    encoder = specs.image_encoder(cfg)
    second = specs.second_encoder(cfg)
    also = {} if second is None else {"second_model": second.model_id, "second_preprocess_rev": second.preprocess_rev}
    return {"image_model": encoder.model_id, "preprocess_rev": encoder.preprocess_rev, **also}


STAGE = Stage(
    name="embed",
    summary="image vectors by CLIP or any ONNX encoder, only where they are missing",
    reads=("images", "embeddings"),
    writes=("embeddings", "rejects"),
    config=(*specs.IMAGE_ENCODER, *specs.SECOND_ENCODER),
    tuning=("embed",),
    run=run,
    account=account,
    versions=versions,
)
