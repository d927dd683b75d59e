"""The rows of a release: one for each kept image of the posts, from the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.release.fields import AUTHOR, KEY, Field
from twigma_spark.stages import inputs, specs
from twigma_spark.transforms import engagement

TABLES = (
    "images", "embeddings", "duplicates", "posts", "media", "captions", "clusters", "scores", "projection",
)  # fmt: skip
# The table that a column comes from, and the stage that fills it.
NEEDED: Mapping[str, tuple[str, str]] = {
    "all_captions": ("captions", "caption"),
    "label_10_cluster": ("clusters", "cluster"),
    "nsfw_score": ("scores", "score"),
    "UMAP_dim_1": ("projection", "project"),
}
RAW_AUTHOR = "author_id"


@dataclass(frozen=True)
class ReleaseRows:
    """What is released.

    Attributes:
        rows: the columns asked for, in order of the key; `author_id` in the place of `author_hash`.
        left_out: kept images that `release.max_nsfw` keeps out: image_id.
        kept: all kept images of the posts: image_id and corpus.
    """

    rows: DataFrame
    left_out: DataFrame
    kept: DataFrame


def corpora_of(cfg: Config) -> list[str]:
    """Return the names of the corpora whose images are released: those of the posts.

    Raises:
        ConfigError: where there is none.
    """
    if not (names := cfg.of_role("posts")):
        raise ConfigError("corpora must have one of the role posts to be released. Got none.")
    return names


def check_tables(cfg: Config, fields: Sequence[Field], filled: Mapping[str, bool]) -> None:
    """Check that the tables which the columns come from have rows.

    Args:
        cfg: the configuration; a column whose model is switched off is left empty.
        fields: the columns.
        filled: by table, whether it has rows.

    Raises:
        ConfigError: names the stage to run.
    """
    if not filled["images"] or not filled["embeddings"]:
        raise ConfigError(
            "store.root must be a store in which the stages have run. Got one without images: twigma run."
        )
    for field in fields:
        table, stage = NEEDED.get(field.name, ("images", "ingest"))
        if not filled[table] and not _switched_off(cfg, stage):
            raise ConfigError(
                f"{table} must have rows for the column {field.name}. Got none: twigma run --to {stage} first, or "
                "release.fields: ids."
            )


def _switched_off(cfg: Config, stage: str) -> bool:
    """Return whether the configuration leaves a stage without anything to do."""
    return (
        (stage == "caption" and specs.captioner(cfg) is None)
        or (stage == "score" and "nsfw" not in cfg.models.scores)
        or (stage == "cluster" and inputs.theme_clustering(cfg) is None)
    )


def platforms_of(tables: Mapping[str, DataFrame], corpora: Sequence[str]) -> frozenset[str] | None:
    """Return where the posts of the corpora are from; None where no image has the id of one."""
    if tables["images"].where(F.col("corpus").isin(corpora) & F.col("post_id").isNotNull()).isEmpty():
        return None
    known = tables["posts"].where(F.col("corpus").isin(corpora) & F.col("platform").isNotNull())
    return frozenset(row["platform"] for row in known.select("platform").distinct().collect())


def release_rows(cfg: Config, tables: Mapping[str, DataFrame], fields: Sequence[Field]) -> ReleaseRows:
    """Return the kept images of the posts with the columns of a release."""
    of_posts = inputs.kept_images(cfg, tables["images"], tables["embeddings"], tables["duplicates"])
    kept = of_posts.where(F.col("corpus").isin(corpora_of(cfg)))
    scored = engagement.with_scores(
        kept, tables["scores"], inputs.clustering(tables["clusters"], inputs.theme_clustering(cfg)), _nsfw(cfg)
    )
    hidden = _is_hidden(cfg)
    every = _with_posts(cfg, scored, tables)
    names = [RAW_AUTHOR if field == AUTHOR else field.name for field in fields]
    rows = every.where(~hidden).select(*names).orderBy(*KEY)
    return ReleaseRows(rows, scored.where(hidden).select("image_id"), kept.select("image_id", "corpus"))


def _nsfw(cfg: Config) -> list[str]:
    return ["nsfw"] if "nsfw" in cfg.models.scores else []


def _is_hidden(cfg: Config) -> Column:
    """Return whether an image stays out: what is flagged or unscored, or scores too high, where a limit is set."""
    if cfg.release.max_nsfw is None:
        return F.lit(False)
    if not _nsfw(cfg):
        raise ConfigError("models.scores must have nsfw where release.max_nsfw is set. Got none.")
    score, flagged = F.col(engagement.score("nsfw")), F.coalesce(F.col("sensitive"), F.lit(False))
    return flagged | score.isNull() | (score > cfg.release.max_nsfw)


def _with_posts(cfg: Config, scored: DataFrame, tables: Mapping[str, DataFrame]) -> DataFrame:
    """Return all columns of a release, and what is asked about privacy, for each image."""
    images = tables["images"].select("image_id", "source_key", "post_id", "media_key", "created_at")
    posts = tables["posts"].select(
        "post_id", RAW_AUTHOR, F.col("created_at").alias("posted"), "like_count", "quote_count", "reply_count"
    )
    # A picture has one address, whatever post shows it.
    served = tables["media"].groupBy("media_key").agg(F.min("url").alias("url"))
    captioner = specs.captioner(cfg)
    written = F.lit(False) if captioner is None else F.col("model_id") == captioner.model_id
    captions = tables["captions"].where(written).select("image_id", F.col("caption").alias("all_captions"))
    places = tables["projection"].select("image_id", F.col("x").alias("UMAP_dim_1"), F.col("y").alias("UMAP_dim_2"))
    score = F.col(engagement.score("nsfw")) if _nsfw(cfg) else F.lit(None).cast("double")
    at_platform = F.coalesce(F.element_at(F.split(F.split("url", "[?#]")[0], "/"), -1), "media_key")
    return (
        scored.join(images, "image_id")
        .join(posts, "post_id", "left")
        .join(served, "media_key", "left")
        .join(captions, "image_id", "left")
        .join(places, "image_id", "left")
        .withColumns(
            {
                "id": F.coalesce("post_id", "image_id"),
                "image_name": F.coalesce(at_platform, "source_key"),
                "created_at": F.coalesce("posted", "created_at"),
                "label_10_cluster": F.col("cluster").cast("bigint"),
                "possibly_sensitive": F.col("sensitive"),
                "nsfw_score": score,
            }
        )
    )


def author_groups(cfg: Config, kept: DataFrame, tables: Mapping[str, DataFrame]) -> DataFrame:
    """Return how many authors share a follower band, a month and a language: authors, one row a group."""
    ids = kept.join(tables["images"].select("image_id", "post_id"), "image_id").select("post_id").distinct()
    posts = tables["posts"].where(F.col(RAW_AUTHOR).isNotNull()).join(ids, "post_id", "left_semi")
    band, month = engagement.band(F.col("author_followers")), F.trunc("created_at", "month")
    return posts.groupBy(band.alias("band"), month.alias("month"), "lang").agg(
        F.countDistinct(RAW_AUTHOR).alias("authors")
    )
