"""neighbours: the nearest images of each reference corpus to each kept image of the posts, by FAISS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config import Config
from twigma_spark.estimators import faiss_index
from twigma_spark.schemas import NEIGHBOURS
from twigma_spark.stages import specs
from twigma_spark.stages.stage import Stage, Work


def run(
    cfg: Config, work: Work, images: DataFrame, embeddings: DataFrame, duplicates: DataFrame
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the neighbours in one reference after another."""
    vectors = specs.kept_vectors(cfg, images, embeddings, duplicates)
    queries = vectors.where(F.col("corpus").isin(cfg.of_role("posts")))
    for reference in cfg.of_role("generated", "natural", "art"):
        index = faiss_index.build(vectors.where(F.col("corpus") == reference))
        work.say(f"neighbours: {index.size:,} vectors of '{reference}' indexed")
        found = faiss_index.search(index, queries, cfg.neighbours.k, cfg.neighbours.batch_rows)
        yield {"neighbours": found.withColumn("reference", F.lit(reference)).select(*NEIGHBOURS.column_names)}


STAGE = Stage(
    name="neighbours",
    summary="the five nearest images of each reference, by FAISS on the driver",
    reads=("images", "embeddings", "duplicates"),
    writes=("neighbours",),
    config=("neighbours", "corpora", "models.image", "models.device"),
    run=run,
)
