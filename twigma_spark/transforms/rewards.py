"""Scores of all images by a reward model: for which text, and from the vectors that are stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.io.arrow import matrix
from twigma_spark.models.reward_head import Head
from twigma_spark.transforms.texts import WORD, id_of

SCORED = ("image_id", "corpus", "text_id", "source", "score")


def own_texts(images: DataFrame, captions: DataFrame) -> DataFrame:
    """Return image_id, corpus, text_id and source of the text that an image is scored for.

    Its prompt where it has one; else the caption that came with it; else the one that a model wrote. Images without any
    are left out.

    Args:
        images: image_id, corpus, prompt and caption.
        captions: image_id, caption; of one model.
    """
    written = captions.select("image_id", F.col("caption").alias("written"))
    known = images.select("image_id", "corpus", "prompt", "caption").join(written, "image_id", "left")
    columns = {"prompt": F.trim("prompt"), "human caption": F.trim("caption"), "caption": F.trim("written")}
    texts = [F.when(t.rlike(WORD), F.struct(F.lit(s).alias("source"), t.alias("text"))) for s, t in columns.items()]
    own = known.withColumn("own", F.coalesce(*texts)).where("own IS NOT NULL").select("image_id", "corpus", "own.*")
    return own.select("image_id", "corpus", id_of("source", "corpus", "text").alias("text_id"), "source")


def own_prompts(images: DataFrame, otherwise: str) -> DataFrame:
    """Return image_id and prompt: the image's own where it has a word, else `otherwise`; null where that is empty.

    Args:
        images: image_id, prompt.
        otherwise: the prompt of images that have none.
    """
    own = F.trim("prompt")
    prompt = F.coalesce(F.when(own.rlike(WORD), own), F.lit(otherwise or None))
    return images.select("image_id", prompt.alias("prompt"))


def score_vectors(rows: DataFrame, images: DataFrame, texts: DataFrame, head: Head) -> DataFrame:
    """Return `SCORED`: what a head gives the stored vectors of images and of their texts.

    Args:
        rows: from `own_texts`.
        images: image_id, embedding.
        texts: text_id, embedding; of the same encoder.
        head: the trained weights.
    """
    joined = (
        rows.join(images.select("image_id", F.col("embedding").alias("image")), "image_id")
        .join(texts.select("text_id", F.col("embedding").alias("words")), "text_id")
        .select(*SCORED[:4], "image", "words")
    )

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                scores = head.scores(*(matrix(batch.column(name)) for name in ("image", "words")))
                kept = [batch.column(name) for name in SCORED[:4]]
                yield pa.record_batch([*kept, pa.array(scores).cast(pa.float64())], list(SCORED))

    kinds = ", ".join(f"{name} STRING" for name in SCORED[:4])
    return joined.mapInArrow(run, f"{kinds}, score DOUBLE").select(*SCORED)
