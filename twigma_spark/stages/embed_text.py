"""embed_text: prompts, captions, posts and other texts become vectors in the space of the images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.engine import Inference
from twigma_spark.config.settings import Config
from twigma_spark.io import plain_texts
from twigma_spark.schemas import TEXT_EMBEDDINGS
from twigma_spark.stages import inputs, specs
from twigma_spark.stages.incremental import InferenceInput, Task, by_chunk
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.transforms.texts import text_rejects
from twigma_spark.transforms.vectors import fault, made_by


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    tweets: DataFrame,
    captions: DataFrame,
    text_embeddings: DataFrame,
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield embeddings and rejects of the texts that this model has no vector of."""
    encoder = specs.text_encoder(cfg)
    if encoder is None:
        context.log("embed_text: models.image has no text tower; texts are not embedded")
        return
    others = inputs.other_texts(cfg, context.spark)
    if others is not None:
        yield {"rejects": text_rejects(others).withColumn("stage", F.lit("embed_text"))}
    # The runner takes the item away; the table keeps the text.
    found = inputs.all_texts(cfg, images, tweets, captions, others)
    asked = found.withColumns({"source_key": F.col("text_id"), "item": F.col("text")})
    done = made_by(text_embeddings, encoder.model_id, encoder.preprocess_rev)

    def row(answered: DataFrame) -> DataFrame:
        by = {"model_id": F.lit(encoder.model_id), "preprocess_rev": F.lit(encoder.preprocess_rev)}
        columns = {**by, "embedding": F.col("value"), "dim": F.size("value")}
        return answered.withColumns(columns).select(*TEXT_EMBEDDINGS.column_names)

    feed = specs.feed(cfg, cfg.embed_text)
    task = Task("embed_text", "text_embeddings", encoder, "array<float>", cfg.embed_text, feed, row, fault)
    yield from by_chunk(context, InferenceInput(asked, done, key="text_id", item="item", unit="text"), task)


def versions(cfg: Config) -> dict[str, str]:
    """Return the model that makes the vectors."""
    encoder = specs.text_encoder(cfg)
    return {"text_model": encoder.model_id, "preprocess_rev": encoder.preprocess_rev} if encoder else {}


STAGE = Stage(
    name="embed_text",
    summary="vectors of prompts, captions, posts and other texts by the encoder's text tower, where they are missing",
    reads=("images", "tweets", "captions", "text_embeddings"),
    writes=("text_embeddings", "rejects"),
    config=("texts", "embed_text.mentions", *specs.IMAGE_ENCODER, *specs.CAPTIONER),
    tuning=tuple(f"embed_text.{key}" for key in Inference.model_fields),
    run=run,
    versions=versions,
    sources=lambda cfg, spark: plain_texts.fingerprint(spark, cfg.texts),
)
