"""phash: images become perceptual hashes, which `deduplicate` compares, and thumbnails; what is missing is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.models.hashes import VECTOR_BYTES, WINDOW_BYTES
from twigma_spark.schemas import HASHES, THUMBNAILS
from twigma_spark.stages import inputs, specs
from twigma_spark.stages.incremental import InferenceInput, Task, by_chunk, with_bytes
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.transforms.vectors import made_by


def run(
    cfg: Config, context: StageContext, images: DataFrame, embeddings: DataFrame, hashes: DataFrame
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the hashes and thumbnails of the images that have a vector and no hash yet, and rejects."""
    if cfg.deduplicate.near is None:
        context.log("phash: deduplicate.near is null; images are not hashed")
        return
    hasher = specs.hasher(cfg)
    done = made_by(hashes, hasher.model_id, hasher.preprocess_rev)

    def row(answered: DataFrame) -> DataFrame:
        columns = {
            "model_id": F.lit(hasher.model_id),
            "preprocess_rev": F.lit(hasher.preprocess_rev),
            "vector": F.substring("value", 1, VECTOR_BYTES),
            "windows": F.substring("value", VECTOR_BYTES + 1, WINDOW_BYTES),
            "thumbnail": F.expr(f"substring(value, {VECTOR_BYTES + WINDOW_BYTES + 1})"),
        }
        return answered.withColumns(columns).select(*HASHES.column_names, "thumbnail")

    task = Task("phash", "hashes", hasher, "binary", cfg.phash, specs.feed(cfg, cfg.phash), row)
    own = inputs.own_vectors(cfg, embeddings)
    items = with_bytes(context, "phash", images, "their copies are found by identical vectors alone")
    for frames in by_chunk(context, InferenceInput(items, done, only=own), task):
        answered = frames["hashes"]
        # The thumbnails first: what has a hash is not asked for again.
        thumbnails = answered.select(*THUMBNAILS.column_names)
        yield {"thumbnails": thumbnails, **frames, "hashes": answered.drop("thumbnail")}


STAGE = Stage(
    name="phash",
    summary="perceptual hashes and thumbnails of the images that have a vector, only where they are missing",
    reads=("images", "embeddings", "hashes"),
    writes=("thumbnails", "hashes", "rejects"),
    config=("deduplicate.near", *specs.IMAGE_ENCODER),
    tuning=("phash",),
    run=run,
)
