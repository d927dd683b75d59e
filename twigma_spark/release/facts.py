"""What a release says of itself: counted from the tables and the runs, and taken from the configuration."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.release import LICENSES, STATEMENTS, Creator, License, Platform
from twigma_spark.config.settings import Config
from twigma_spark.io.release_files import Part
from twigma_spark.release.fields import PROFILES, Field, Profile
from twigma_spark.release.quality import Quality
from twigma_spark.stages import inputs, specs


@dataclass(frozen=True)
class Counts:
    """Numbers of a release.

    Attributes:
        images: rows.
        posts: posts that they are of; 0 where images have none.
        duplicates: images of the same corpora that repeat a kept one, by tier.
        hidden: kept images that the NSFW limit keeps out.
        rejects: files, posts and values that could not be used, by reason.
        first: day of the first dated post or image, and `last` of the last.
        last: see `first`.
        author_groups: groups of authors that share a follower band, a month and a language.
        fewest_authors: authors of the smallest such group.
        groups_below_five: groups of fewer than five authors.
    """

    images: int
    posts: int
    duplicates: Mapping[str, int]
    hidden: int
    rejects: Mapping[str, int]
    first: datetime.date | None
    last: datetime.date | None
    author_groups: int
    fewest_authors: int
    groups_below_five: int


@dataclass(frozen=True)
class Facts:
    """All that the documents of a release are made from.

    Attributes:
        cfg: the configuration.
        platform: whose terms hold.
        fields: the columns.
        counts: numbers.
        day: of the release.
        software: packages and models of the runs that made it.
        tables: Delta version of each table that it was made from.
        files: its parts.
        corpora: names of the corpora that it holds.
        quality: what the statistics of the run say of its columns.
    """

    cfg: Config
    platform: Platform
    fields: tuple[Field, ...]
    counts: Counts
    day: datetime.date
    software: Mapping[str, str]
    tables: Mapping[str, int]
    files: tuple[Part, ...]
    corpora: tuple[str, ...]
    quality: tuple[Quality, ...] = ()

    @property
    def title(self) -> str:
        """The name of the data set."""
        return self.cfg.release.title or self.cfg.report.title

    @property
    def profile(self) -> Profile:
        """What the platform's terms allow."""
        return PROFILES[self.platform]

    @property
    def license(self) -> License | None:
        """The licence, where one was chosen."""
        name = self.cfg.release.license
        return None if name is None else LICENSES[name]

    @property
    def creators(self) -> tuple[Creator, ...]:
        """Who is to be cited."""
        return self.cfg.release.creators

    @property
    def description(self) -> str:
        """What the data set is, in a sentence or two."""
        if self.cfg.release.description:
            return self.cfg.release.description
        counts = self.counts
        of = f" of {counts.posts:,} posts" if counts.posts else ""
        span = f", {counts.first} to {counts.last}" if counts.first else ""
        return f"{counts.images:,} images{of}{span}, with {len(self.fields)} columns."

    @property
    def models(self) -> Mapping[str, str]:
        """The models behind the derived columns, by what they made."""
        cfg, encoder = self.cfg, specs.image_encoder(self.cfg)
        made = {"embeddings": f"{encoder.model_id} ({encoder.preprocess_rev})"}
        if (captioner := specs.captioner(cfg)) is not None:
            made["all_captions"] = captioner.model_id
        if (theme := inputs.theme_clustering(cfg)) is not None:
            k = next(c.k for c in cfg.cluster.clusterings if c.id == theme)
            made["label_10_cluster"] = f"k-means of the embeddings, k = {k}"
        if "nsfw_model" in self.software:
            made["nsfw_score"] = self.software["nsfw_model"]
        made["UMAP_dim_1, UMAP_dim_2"] = f"UMAP of {cfg.project.landmarks:,} landmarks at most"
        return made

    @property
    def missing(self) -> list[str]:
        """What a person must still say or choose before this is more than a draft."""
        release = self.cfg.release
        terms = [name for name, value in (("license", release.license), ("creators", release.creators)) if not value]
        return [*terms, *(name for name in STATEMENTS if not release.statements.get(name, "").strip())]


def count_release(
    rows: DataFrame, corpora: Sequence[str], hidden: int, groups: DataFrame, tables: Mapping[str, DataFrame]
) -> Counts:
    """Return the numbers of a release.

    Args:
        rows: what is released, with `post_id` and `created_at`.
        corpora: names of the corpora whose images they are.
        hidden: kept images that stay out.
        groups: of `rows.author_groups`.
        tables: duplicates, images and rejects.
    """
    total = rows.agg(
        F.count("*").alias("images"), F.countDistinct("post_id").alias("posts"),
        F.to_date(F.min("created_at")).alias("first"), F.to_date(F.max("created_at")).alias("last"),
    ).collect()[0]  # fmt: skip
    of = tables["images"].where(F.col("corpus").isin(list(corpora))).select("image_id")
    repeated = tables["duplicates"].join(of, "image_id", "left_semi").groupBy("tier").count()
    refused = tables["rejects"].where(F.col("corpus").isin(list(corpora))).groupBy("reason").count()
    authors = groups.agg(
        F.count("*").alias("n"), F.min("authors").alias("fewest"),
        F.count(F.when(F.col("authors") < 5, 1)).alias("few"),
    ).collect()[0]  # fmt: skip
    return Counts(
        total["images"], total["posts"], _pairs(repeated, "tier"), hidden, _pairs(refused, "reason"),
        total["first"], total["last"], authors["n"], authors["fewest"] or 0, authors["few"],
    )  # fmt: skip


def _pairs(counted: DataFrame, name: str) -> dict[str, int]:
    return {row[name]: row["count"] for row in sorted(counted.collect(), key=lambda row: str(row[name]))}


@dataclass(frozen=True)
class Made:
    """How the tables came about.

    Attributes:
        software: packages and models by name, as the last good run of each stage recorded them.
        last: day of the last run that wrote something, None without any.
    """

    software: Mapping[str, str]
    last: datetime.date | None


def made_by(runs: DataFrame) -> Made:
    """Return how the tables came about, from the rows of `runs`."""
    good = runs.where("status = 'ok'").orderBy("started_at").select("versions", F.to_date("started_at").alias("day"))
    software: dict[str, str] = {}
    last = None
    for row in good.collect():
        software |= row["versions"] or {}
        last = row["day"]
    return Made(dict(sorted(software.items())), last)
