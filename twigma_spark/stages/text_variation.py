"""The part of the stage variation that is about texts: how varied prompts, captions, posts and other texts are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from twigma_spark.config.settings import Config
from twigma_spark.io import arrow
from twigma_spark.results import Result
from twigma_spark.stages import inputs, specs
from twigma_spark.stats.sample import Codes, Sample
from twigma_spark.stats.texts import of_texts
from twigma_spark.stats.threads import few_threads
from twigma_spark.stats.variation import VariationSpec
from twigma_spark.transforms.texts import sample_texts
from twigma_spark.transforms.vectors import IMPORTED, made_by
from twigma_spark.vectors import unit_rows


def text_results(
    cfg: Config, spec: VariationSpec, images: DataFrame, posts: DataFrame, captions: DataFrame, embedded: DataFrame
) -> list[Result]:
    """Return the variation of each kind of text at equal lengths; nothing where no texts are embedded.

    Args:
        cfg: names the models.
        spec: how to measure.
        images: rows of `images`.
        posts: rows of `posts`.
        captions: rows of `captions`.
        embedded: rows of `text_embeddings`; those of texts that are gone are left out.
    """
    encoder = specs.text_encoder(cfg)
    if encoder is None:
        return []
    there = inputs.all_texts(cfg, images, posts, captions, inputs.other_texts(cfg, images.sparkSession))
    own = made_by(embedded, encoder.model_id, encoder.preprocess_rev, IMPORTED)
    samples, words = _collect_texts(sample_texts(own, there, cfg.variation.max_images, cfg.seed))
    with few_threads(samples.values()):
        return of_texts(samples, words, spec)


def _collect_texts(frame: DataFrame) -> tuple[dict[str, Sample], dict[str, Codes]]:
    """Return vectors and word counts by kind, in the order of their ids."""
    batches = list(arrow.stream(frame))
    if not batches:
        return {}, {}
    table = pa.Table.from_batches(batches).sort_by("text_id").combine_chunks()
    vectors = unit_rows(arrow.matrix(table.column("embedding").chunk(0)))
    kinds, words = table.column("kind").to_numpy(), table.column("n_words").to_numpy().astype(np.int64)
    names = sorted(set(kinds))
    samples = {name: Sample(vectors[kinds == name], None, "texts") for name in names}
    return samples, {name: words[kinds == name] for name in names}
