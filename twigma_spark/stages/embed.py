"""embed: images become vectors; only what is missing is computed, chunk by chunk, or taken from where it came with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.io.frames import count_rows
from twigma_spark.io.vector_files import VectorFiles
from twigma_spark.models.base import Model
from twigma_spark.schemas import EMBEDDINGS
from twigma_spark.stages import inputs, specs
from twigma_spark.stages.incremental import InferenceInput, Task, by_chunk, with_bytes
from twigma_spark.stages.stage import Account, Frames, Stage, StageContext
from twigma_spark.transforms import imported
from twigma_spark.transforms.images import NO_BYTES
from twigma_spark.transforms.inference import failures
from twigma_spark.transforms.vectors import IMPORTED, fault, made_by, of_model


def run(
    cfg: Config, context: StageContext, images: DataFrame, embeddings: DataFrame
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield embeddings and rejects of the images that this model, or a second one, has no vector of."""
    encoder = specs.image_encoder(cfg)
    files = inputs.vector_files(cfg)
    yield from _by_encoder(cfg, context, images, embeddings, encoder, "image")
    for corpus, own in files.items():
        yield from _import_vectors(context, images, embeddings, encoder, corpus, own)
    second = specs.second_encoder(cfg)
    if second is not None:
        # A unit of its own: an image that the second encoder refuses is kept all the same.
        yield from _by_encoder(cfg, context, images, embeddings, second, "second vector")


def _by_encoder(
    cfg: Config, context: StageContext, images: DataFrame, embeddings: DataFrame, encoder: Model, unit: str
) -> Iterator[Mapping[str, DataFrame]]:
    done = made_by(embeddings, encoder.model_id, encoder.preprocess_rev)

    def row(answered: DataFrame) -> DataFrame:
        return _rows(answered, encoder, encoder.preprocess_rev)

    task = Task("embed", "embeddings", encoder, "array<float>", cfg.embed, specs.feed(cfg, cfg.embed), row, fault)
    otherwise = "these are taken" if unit == "image" else "they have no second one"
    items = with_bytes(context, "embed", images, otherwise)
    yield from by_chunk(context, InferenceInput(items, done, unit=unit), task)


def _import_vectors(
    context: StageContext, images: DataFrame, embeddings: DataFrame, encoder: Model, corpus: Corpus, files: VectorFiles
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the vectors that came with the images of a corpus, those that are not in `embeddings` yet, and rejects."""
    done = made_by(embeddings, encoder.model_id, IMPORTED).select("image_id")
    own = images.where(NO_BYTES).where(F.col("corpus") == corpus.name)
    answered = context.materialize(imported.image_answers(own.join(done, "image_id", "left_anti"), files))
    rejects = failures(answered).withColumn("stage", F.lit("embed"))
    yield {"embeddings": _rows(answered.where("error IS NULL"), encoder, IMPORTED), "rejects": rejects}


def _rows(answered: DataFrame, encoder: Model, preprocess_rev: str) -> DataFrame:
    """Return answers as rows of `embeddings`."""
    by = {"model_id": F.lit(encoder.model_id), "preprocess_rev": F.lit(preprocess_rev)}
    columns = {**by, "embedding": F.col("value"), "dim": F.size("value")}
    return answered.withColumns(columns).select(*EMBEDDINGS.column_names)


def account(cfg: Config, spark: SparkSession, frames: Frames) -> Account:
    """Return what became of the images: a vector, or a reject of this stage."""
    encoder = specs.image_encoder(cfg)
    done = of_model(frames["embeddings"], encoder.model_id, encoder.preprocess_rev)
    kept = count_rows(done.join(frames["images"].select("image_id"), "image_id", "left_semi"))
    rejects = count_rows(frames["rejects"].where("stage = 'embed' AND unit = 'image'"))
    return Account(images=count_rows(frames["images"]), kept=kept, duplicates=0, rejects=rejects)


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
    config=("corpora", *specs.IMAGE_ENCODER, *specs.SECOND_ENCODER),
    tuning=("embed",),
    run=run,
    sources=inputs.vector_sources,
    account=account,
    versions=versions,
)
