"""What several stages read in the same way: vectors of the kept images, texts, one clustering."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io import arrow, corpora, plain_texts
from twigma_spark.io.frames import count_rows
from twigma_spark.io.vector_files import VectorFiles
from twigma_spark.models.base import Model
from twigma_spark.stages import specs
from twigma_spark.stages.readers.reader import reader_of
from twigma_spark.stats.sensitivity import SECOND_ENCODER, WITHOUT_REAL
from twigma_spark.transforms import purged
from twigma_spark.transforms.images import NO_BYTES
from twigma_spark.transforms.pair_columns import of_some_prompts
from twigma_spark.transforms.texts import texts
from twigma_spark.transforms.vectors import fault, of_model

# Ids that are sent to every task, 20 MB; more are joined, and the vectors shuffled.
FEW = 500_000


def sample_pairs(cfg: Config, pairs: DataFrame, log: Callable[[str], None]) -> DataFrame:
    """Return the pairs that the driver holds; of more than `reward.most` those of a share of the prompts."""
    n, most = count_rows(pairs), cfg.reward.most
    if n <= most:
        return pairs
    log(f"of {n:,} pairs those of {most / n:.1%} of the prompts are drawn (reward.most)")
    return of_some_prompts(pairs, most / n, cfg.seed)


def check_purged(images: DataFrame, tombstones: DataFrame, what: str) -> None:
    """Check that no image is left that a purge names: one that was cut off has not deleted all of them.

    Args:
        images: the table.
        tombstones: the table.
        what: is to be written, for others or for people to look at.

    Raises:
        ConfigError: how many are left.
    """
    if tombstones.isEmpty():
        return
    of_posts = purged.without_posts(images.select("image_id", "post_id"), purged.digests(tombstones, "post"))
    left = count_rows(images) - count_rows(purged.without(of_posts, "image_id", purged.digests(tombstones, "image")))
    if left:
        images_left = "1 image" if left == 1 else f"{left:,} images"
        raise ConfigError(
            f"a purge must have ended before {what}. Got {images_left} in the store that one names and that it "
            "has not deleted: give the same ids to twigma purge again."
        )


def vector_files(cfg: Config) -> dict[Corpus, VectorFiles]:
    """Return the files of vectors of the corpora whose images come as such.

    Raises:
        CorpusError: they do not fit together.
        ModelError: another model than the configured one made them.
    """
    files: dict[Corpus, VectorFiles] = {}
    for corpus in cfg.corpora:
        if (list_files := reader_of(corpus).vectors) is not None:
            files[corpus] = list_files(corpus)
            specs.check_maker(corpus, specs.image_encoder(cfg), files[corpus].dim)
    return files


def vector_sources(cfg: Config, spark: SparkSession) -> str:
    """Return a fingerprint of the files of the corpora whose images come as vectors."""
    came = tuple(corpus for corpus in cfg.corpora if reader_of(corpus).vectors is not None)
    return corpora.fingerprint(spark, came) if came else ""


def own_vectors(cfg: Config, embeddings: DataFrame, encoder: Model | None = None) -> DataFrame:
    """Return the vectors of an encoder, the configured one where none is given: image_id, corpus, embedding."""
    by = encoder or specs.image_encoder(cfg)
    return of_model(embeddings, by.model_id, by.preprocess_rev)


def kept_images(cfg: Config, images: DataFrame, embeddings: DataFrame, duplicates: DataFrame) -> DataFrame:
    """Return image_id, corpus and sensitive of the kept images: those with a vector that repeat no other."""
    own = own_vectors(cfg, embeddings).select("image_id")
    there = images.select("image_id", "corpus", "sensitive").join(own, "image_id", "left_semi")
    return there.join(duplicates.select("image_id"), "image_id", "left_anti")


def image_vectors(cfg: Config, images: DataFrame, embeddings: DataFrame) -> DataFrame:
    """Return the configured encoder's vectors (image_id, corpus, embedding) of all images, duplicates too.

    Vectors of images that are no longer in the corpora stay in `embeddings` and are left out here.
    """
    own = own_vectors(cfg, embeddings)
    return _without(own, _without_image(own, images))


def kept_vectors(
    cfg: Config, images: DataFrame, embeddings: DataFrame, duplicates: DataFrame, encoder: Model | None = None
) -> DataFrame:
    """Return an encoder's vectors (image_id, corpus, embedding) of the images of `kept_images`.

    The configured one's where none is given. What repeats another image is known from the configured one in any case.
    """
    own = own_vectors(cfg, embeddings, encoder)
    return _without(own, _without_image(own, images).unionByName(duplicates.select("image_id")))


def usable_vectors(vectors: DataFrame, materialize: Callable[[DataFrame], DataFrame]) -> tuple[DataFrame, DataFrame]:
    """Return the vectors that can be used, and image_id, corpus and reason of the others.

    One pass tells them apart. After it, only what selects `embedding` reads the vectors again.

    Args:
        vectors: image_id, corpus, embedding.
        materialize: as of `StageContext`; what it returns is only read for the others.
    """
    reason = fault(F.col("embedding"))
    unusable = materialize(vectors.select("image_id", "corpus", reason.alias("reason")).where("reason IS NOT NULL"))
    few = _few_ids(unusable)
    return vectors.where(reason.isNull()) if few is None else _without_few(vectors, few), unusable


def _without_image(own: DataFrame, images: DataFrame) -> DataFrame:
    """Return image_id of the vectors whose image is no longer in the corpora."""
    return own.select("image_id").join(images.select("image_id"), "image_id", "left_anti")


def _without(own: DataFrame, left_out: DataFrame) -> DataFrame:
    """Return vectors but those of some images, which are looked up first: where they are few, none is shuffled."""
    few = _few_ids(left_out)
    return own.join(left_out, "image_id", "left_anti") if few is None else _without_few(own, few)


def _few_ids(rows: DataFrame) -> pa.Table | None:
    """Return image_id of the rows; None of more than `FEW`."""
    few = arrow.collect(rows.select("image_id").limit(FEW + 1))
    return few if few.num_rows <= FEW else None


def _without_few(own: DataFrame, few: pa.Table) -> DataFrame:
    if few.num_rows == 0:
        return own
    known = arrow.frame_of(own.sparkSession, few.to_batches(), "image_id STRING")
    return own.join(F.broadcast(known), "image_id", "left_anti").select(*own.columns)


def theme_texts(cfg: Config, images: DataFrame, captions: DataFrame) -> DataFrame:
    """Return image_id and caption: the configured captioner's; without one the image's prompt, title or caption.

    These also of images that came as vectors, which cannot be captioned.
    """
    captioner = specs.captioner(cfg)
    came = F.coalesce("prompt", "title", "caption").alias("caption")
    if captioner is None:
        return images.select("image_id", came)
    own = captions.where(F.col("model_id") == captioner.model_id).select("image_id", "caption")
    return own.unionByName(images.where(NO_BYTES).select("image_id", came))


def other_texts(cfg: Config, spark: SparkSession) -> DataFrame | None:
    """Return the lines of the configured files of texts, those that cannot be read too; None without any."""
    return plain_texts.read_texts(spark, cfg.texts) if cfg.texts else None


def all_texts(
    cfg: Config, images: DataFrame, posts: DataFrame, captions: DataFrame, others: DataFrame | None
) -> DataFrame:
    """Return prompts, posts, captions and other texts, as `transforms.texts.texts`."""
    model = specs.captioner(cfg)
    own = captions.where(F.col("model_id") == (model.model_id if model else ""))
    return texts(images, posts, own, others, cfg.embed_text.mentions)


def theme_clustering(cfg: Config) -> str | None:
    """Return the id of the first clustering that tells themes, or None where there is none."""
    return next((c.id for c in cfg.cluster.clusterings if c.themes), None)


def clustering(clusters: DataFrame, name: str | None) -> DataFrame:
    """Return image_id and cluster of one clustering; no rows where there is no name."""
    return clusters.where(F.lit(False) if name is None else F.col("clustering_id") == name).select(
        "image_id", "cluster"
    )


def variants(
    cfg: Config, images: DataFrame, embeddings: DataFrame, duplicates: DataFrame, scores: DataFrame
) -> Iterator[tuple[str, DataFrame]]:
    """Yield the vectors of the kept images in each other way that is configured, after its name (`sensitivity`)."""
    second = specs.second_encoder(cfg)
    if second is not None:
        yield SECOND_ENCODER, kept_vectors(cfg, images, embeddings, duplicates, second)
    if cfg.models.real is not None:
        vectors = kept_vectors(cfg, images, embeddings, duplicates)
        yield WITHOUT_REAL, vectors.join(likely_real(cfg, vectors, scores), "image_id", "left_anti")


def likely_real(cfg: Config, kept: DataFrame, scores: DataFrame) -> DataFrame:
    """Return image_id and corpus of the posts and generated images that `models.real` says are likely not generated."""
    settings = cfg.models.real
    if settings is None:
        return kept.select("image_id", "corpus").limit(0)
    high = (
        scores.where((F.col("kind") == settings.score) & (F.col("score") > settings.above))
        .select("image_id")
        .distinct()
    )
    of = kept.where(F.col("corpus").isin(cfg.of_role("posts", "generated")))
    return of.select("image_id", "corpus").join(high, "image_id", "left_semi")
