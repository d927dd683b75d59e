"""Questions to a finished run, each answered by a table: statistics, rejects, copies, images like one, hashtags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import functions as F

from twigma_spark import metrics
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io import arrow
from twigma_spark.io.tables import Store
from twigma_spark.models.decode import ImageError
from twigma_spark.models.hashes import compute_hash, distance, unpack_windows
from twigma_spark.results import tidy
from twigma_spark.stages import hashtags as hashtag_candidates
from twigma_spark.stages import inputs, specs
from twigma_spark.stages.records import read_results
from twigma_spark.transforms.vectors import made_by
from twigma_spark.vectors import unit_rows


def results_frame(store: Store, analyses: Sequence[str]) -> pd.DataFrame:
    """Return the rows of `results` of some analyses (none: of all), a column for each label, title and scale."""
    table = store.read("results")
    results = read_results(table.where(F.col("analysis").isin(list(analyses))) if analyses else table)
    names, values = tidy(results)
    rows = pd.DataFrame(values, columns=names)
    entries = [metrics.find(r.analysis, r.metric) for r in results]
    rows.insert(2, "title", [entry.title if entry else "" for entry in entries])
    rows.insert(3, "scale", [entry.scale if entry else "" for entry in entries])
    return rows


def rejects_frame(store: Store) -> pd.DataFrame:
    """Return what could not be used: stage, unit, corpus, key, reason and detail."""
    return store.read("rejects").orderBy("stage", "corpus", "reason", "key").toPandas()


def duplicates_frame(store: Store) -> pd.DataFrame:
    """Return the images that repeat another of their corpus: corpus, source_key, copy_of and tier."""
    keys = store.read("images").select("image_id", "corpus", "source_key")
    kept = keys.select(F.col("image_id").alias("canonical_id"), F.col("source_key").alias("copy_of"))
    rows = store.read("duplicates").select("image_id", "canonical_id", "tier").join(keys, "image_id")
    rows = rows.join(kept, "canonical_id").select("corpus", "source_key", "copy_of", "tier")
    return rows.orderBy("corpus", "copy_of", "source_key").toPandas()


def shared_images_frame(store: Store) -> pd.DataFrame:
    """Return the images that two corpora share: corpus, source_key, other_corpus, other_key, tier and bits."""
    keys = store.read("images").select("image_id", "source_key")
    other = keys.toDF("other_id", "other_key")
    rows = store.read("shared_images").join(keys, "image_id").join(other, "other_id")
    columns = ("corpus", "source_key", "other_corpus", "other_key", "tier", "bits")
    return rows.select(*columns).orderBy(*columns[:4]).toPandas()


def similar_images_frame(cfg: Config, store: Store, image: Path, count: int) -> pd.DataFrame:
    """Return the images nearest to a file that need not be in the store: corpus, source_key, similarity and bits.

    `similarity` is the cosine of the configured encoder's vectors; `bits`, of 256, in how many the perceptual hashes
    differ (null where an image has none): up to some 40 it is the same picture.

    Args:
        cfg: names the encoder.
        store: holds its vectors.
        image: the file.
        count: images at most, the nearest first.

    Raises:
        ConfigError: the file cannot be used, or the store has no vectors of the encoder.
    """
    content = _read_image(image)
    try:
        hashed = compute_hash(content, cfg.ingest.max_pixels).windows
        vector = np.asarray(specs.image_encoder(cfg).setup(cfg.models.device)([content]), np.float32)
    except ImageError as error:
        raise ConfigError(f"IMAGE must be an image that can be decoded. Got {str(image)!r}: {error}.") from error
    images = store.read("images")
    # Vectors of images that are gone are left out; duplicates are not: they are images too.
    none = store.read("duplicates").where("false")
    vectors = inputs.kept_vectors(cfg, images, store.read("embeddings"), none)
    search = partial(_nearest, query=unit_rows(vector)[0], count=count)
    nearest = vectors.select("image_id", "embedding").mapInArrow(search, "image_id STRING, similarity DOUBLE")
    neighbours = nearest.orderBy(F.desc("similarity"), "image_id").limit(count).toPandas()
    if neighbours.empty:
        encoder = specs.image_encoder(cfg)
        by = f"{encoder.model_id}, {encoder.preprocess_rev}"
        raise ConfigError(
            f"the store must hold vectors of {by}. Got none. Run twigma run with this configuration first."
        )
    ids = neighbours["image_id"].tolist()
    keys = images.where(F.col("image_id").isin(ids)).select("image_id", "corpus", "source_key").toPandas()
    rows = neighbours.merge(keys, "left", "image_id").merge(_bits(cfg, store, ids, hashed), "left", "image_id")
    return rows[["corpus", "source_key", "similarity", "bits"]]


def hashtag_candidates_frame(cfg: Config, store: Store, hashtags: Sequence[str], fewest: int) -> pd.DataFrame:
    """Return the hashtags that come with the current ones, those first whose lift is at least the highest.

    A row each: hashtag, posts (that have it), together (that have a current one too), authors (of these), lift with the
    interval of 95% (`stats.lift`), and, where `models.real` names a score, judged (posts whose images all have it),
    accepted (of which none scores above) and their share with Wilson's interval. The order is by the low end of the
    lift, then by name. Posts of one author are counted as independent, hence the column authors.

    Args:
        cfg: names the score.
        store: holds posts, images and scores.
        hashtags: the current ones.
        fewest: posts that a candidate needs together with a current one.

    Raises:
        ConfigError: no hashtag is given, or none or all of the posts have one.
    """
    tables = {name: store.read(name) for name in ("posts", "images", "scores")}
    tagged = hashtag_candidates.tagged_posts(cfg, tables, hashtags)
    if not tagged.tells:
        raise ConfigError(
            "--hashtag must be in some posts and not in all, or a lift says nothing. Got "
            f"{', '.join(tagged.current) or 'none'}, in {tagged.with_current:,} of {tagged.total:,} posts; "
            "name some of those collected."
        )
    return hashtag_candidates.candidates(tagged, fewest)


def _read_image(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        raise ConfigError(f"IMAGE must be a readable file. Got {str(image)!r}: {error.strerror}.") from error


def _nearest(batches: Iterable[pa.RecordBatch], query: NDArray[np.float32], count: int) -> Iterator[pa.RecordBatch]:
    """Yield of each batch the rows that are nearest to the query, and their cosines."""
    for batch in batches:
        if batch.num_rows:
            cosine = (unit_rows(arrow.matrix(batch.column(1))) @ query).astype(np.float64)
            best = np.argsort(-cosine, kind="stable")[:count]
            yield pa.record_batch(
                [batch.column(0).take(pa.array(best)), pa.array(cosine[best])], ["image_id", "similarity"]
            )


def _bits(cfg: Config, store: Store, ids: Sequence[str], hashed: NDArray[np.uint8]) -> pd.DataFrame:
    """Return image_id and bits of the images that have a hash."""
    hasher = specs.hasher(cfg)
    rows = made_by(store.read("hashes"), hasher.model_id, hasher.preprocess_rev)
    known = rows.where(F.col("image_id").isin(list(ids))).select("image_id", "windows").toPandas()
    windows = unpack_windows(known["windows"].tolist())
    bits = distance(np.broadcast_to(hashed, windows.shape), windows)
    return pd.DataFrame({"image_id": known["image_id"], "bits": pd.array(bits, dtype="Int64")})
