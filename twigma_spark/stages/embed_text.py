"""embed_text: prompts, captions, posts and other texts become vectors in the space of the images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.engine import Inference
from twigma_spark.config.settings import Config
from twigma_spark.io import plain_texts
from twigma_spark.io.vector_files import TEXTS, VectorFiles
from twigma_spark.models.base import Model
from twigma_spark.schemas import TEXT_EMBEDDINGS
from twigma_spark.stages import inputs, specs
from twigma_spark.stages.incremental import InferenceInput, Task, by_chunk
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.transforms import imported
from twigma_spark.transforms.images import NO_BYTES
from twigma_spark.transforms.inference import failures
from twigma_spark.transforms.texts import HUMAN, text_rejects
from twigma_spark.transforms.vectors import IMPORTED, fault, made_by


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    posts: DataFrame,
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
    texts = inputs.all_texts(cfg, images, posts, captions, others)
    for corpus, files in inputs.vector_files(cfg).items():
        if TEXTS in files.folders:
            came = (F.col("source") == HUMAN) & (F.col("corpus") == corpus.name)
            yield _import_texts(context, images, texts.where(came), text_embeddings, encoder, files)
            texts = texts.where(~came)
    items = texts.withColumns({"source_key": F.col("text_id"), "item": F.col("text")})
    done = made_by(text_embeddings, encoder.model_id, encoder.preprocess_rev)

    def row(answered: DataFrame) -> DataFrame:
        return _rows(answered, encoder, encoder.preprocess_rev)

    feed = specs.feed(cfg, cfg.embed_text)
    task = Task("embed_text", "text_embeddings", encoder, "array<float>", cfg.embed_text, feed, row, fault)
    yield from by_chunk(context, InferenceInput(items, done, key="text_id", item="item", unit="text"), task)


def _import_texts(
    context: StageContext,
    images: DataFrame,
    texts: DataFrame,
    text_embeddings: DataFrame,
    encoder: Model,
    files: VectorFiles,
) -> Mapping[str, DataFrame]:
    """Return the vectors that came with the captions of a corpus, those that are not there yet, and rejects.

    Of a caption that several images have the first one's vector is taken.
    """
    done = made_by(text_embeddings, encoder.model_id, IMPORTED).select("text_id")
    first = F.min("source_key").alias("source_key")
    places = images.where(NO_BYTES).groupBy("corpus", F.trim("caption").alias("text")).agg(first)
    missing = texts.join(done, "text_id", "left_anti").join(places, ["corpus", "text"])
    answered = context.materialize(imported.text_answers(missing, files))
    rejects = failures(answered, "text").withColumn("stage", F.lit("embed_text"))
    return {"text_embeddings": _rows(answered.where("error IS NULL"), encoder, IMPORTED), "rejects": rejects}


def _rows(answered: DataFrame, encoder: Model, preprocess_rev: str) -> DataFrame:
    """Return answers as rows of `text_embeddings`."""
    by = {"model_id": F.lit(encoder.model_id), "preprocess_rev": F.lit(preprocess_rev)}
    columns = {**by, "embedding": F.col("value"), "dim": F.size("value")}
    return answered.withColumns(columns).select(*TEXT_EMBEDDINGS.column_names)


def _sources(cfg: Config, spark: SparkSession) -> str:
    return "; ".join(filter(None, (plain_texts.fingerprint(spark, cfg.texts), inputs.vector_sources(cfg, spark))))


def versions(cfg: Config) -> dict[str, str]:
    """Return the model that makes the vectors."""
    encoder = specs.text_encoder(cfg)
    return {"text_model": encoder.model_id, "preprocess_rev": encoder.preprocess_rev} if encoder else {}


STAGE = Stage(
    name="embed_text",
    summary="vectors of prompts, captions, posts and other texts by the encoder's text tower, where they are missing",
    reads=("images", "posts", "captions", "text_embeddings"),
    writes=("text_embeddings", "rejects"),
    config=("corpora", "texts", "embed_text.mentions", *specs.IMAGE_ENCODER, *specs.CAPTIONER),
    tuning=tuple(f"embed_text.{key}" for key in Inference.model_fields),
    run=run,
    versions=versions,
    sources=_sources,
)
