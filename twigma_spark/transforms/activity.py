"""What was posted when: images by post, month and cluster, with the strata of their posts, and NSFW counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from twigma_spark.transforms.samples import group
from twigma_spark.transforms.texts import clean_text
from twigma_spark.transforms.themes import is_stop_word, split_words

# Strata travel as bits of one BIGINT.
Stratum = tuple[str, str]
MOST_STRATA = 62


def theme_images(kept: DataFrame, images: DataFrame, clusters: DataFrame) -> DataFrame:
    """Return image_id, corpus, unit, post_id, month and cluster of the images that are in a cluster.

    `unit` is what images come in (the prompt, else the post, else the artist, else the image itself), `month`
    counts from January of the year 0 and is null where there is no date.

    Args:
        kept: image_id of the images that are kept.
        images: rows of the table `images`.
        clusters: image_id and cluster of one clustering.
    """
    about = images.select("image_id", "corpus", group().alias("unit"), "post_id", _month().alias("month"))
    return (
        kept.select("image_id")
        .join(about, "image_id")
        .join(clusters.select("image_id", "cluster"), "image_id")
        .select("image_id", "corpus", "unit", "post_id", "month", "cluster")
    )


def _month() -> Column:
    """Return the month of `created_at`, counted from January of the year 0."""
    return F.year("created_at") * 12 + F.month("created_at") - 1


def by_unit(rows: DataFrame, posts: DataFrame, strata: Mapping[Stratum, Column]) -> DataFrame:
    """Return one row a unit, month and cluster, for the driver: unit, month, cluster, images, strata, group.

    `group` is the author where known, else the unit: authors keep to their themes. `strata` has the bit i where the
    post is in the i-th stratum.

    Args:
        rows: of `theme_images`.
        posts: rows of the table `posts`.
        strata: conditions on the columns of `posts`, by (kind, name).

    Raises:
        ValueError: more strata than fit.
    """
    if len(strata) > MOST_STRATA:
        raise ValueError(f"strata must be {MOST_STRATA} or fewer. Got {len(strata)}; lower trends.hashtags.")
    bits: Column = F.lit(0).cast("bigint")
    for place, inside in enumerate(strata.values()):
        bits = bits + F.when(F.coalesce(inside, F.lit(False)), F.lit(1 << place)).otherwise(F.lit(0)).cast("bigint")
    about = posts.select("post_id", "author_id", bits.alias("strata"))
    return (
        rows.where("month IS NOT NULL")
        .groupBy("unit", "month", "cluster", "post_id")
        .agg(F.count("*").alias("images"))
        .join(about, "post_id", "left")
        .select(
            F.xxhash64("unit").alias("unit"),
            F.col("month").cast("int"),
            F.col("cluster").cast("int"),
            F.col("images").cast("int"),
            F.coalesce("strata", F.lit(0)).cast("bigint").alias("strata"),
            F.xxhash64(F.coalesce("author_id", "unit")).alias("group"),
        )
    )


def groups_of(posts: DataFrame) -> str:
    """Return what the groups of `by_unit` are, in words."""
    known, n = posts.agg(F.count("author_id"), F.count("*")).collect()[0]
    if not n:
        return "prompts, artists or images"
    return "posts" if not known else "authors" if known == n else "authors, or posts without one"


def top(posts: DataFrame, hashtags: int, sources: int) -> DataFrame:
    """Return the most frequent hashtags and sources of the posts: kind, name, posts; equals by name."""
    tags = posts.select(F.explode(F.array_distinct("hashtags")).alias("name"))
    clients = posts.where("source IS NOT NULL AND source <> ''").select(F.col("source").alias("name"))
    return _most(tags, "hashtag", hashtags).unionByName(_most(clients, "source", sources))


def _most(names: DataFrame, kind: str, many: int) -> DataFrame:
    counted = names.groupBy("name").agg(F.count("*").alias("posts")).orderBy(F.desc("posts"), "name").limit(many)
    return counted.select(F.lit(kind).alias("kind"), "name", "posts")


def conditions(
    hashtags: Sequence[str], sources: Sequence[str], models: Mapping[str, Sequence[str]]
) -> dict[Stratum, Column]:
    """Return the strata by (kind, name): hashtag, source, and model where a post has one of the model's tags."""
    tagged = {("hashtag", tag): F.array_contains("hashtags", tag) for tag in hashtags}
    columns = {
        ("model", name): F.arrays_overlap("hashtags", F.array(*[F.lit(t.lower()) for t in tags]))
        for name, tags in models.items()
        if tags
    }
    return {**columns, **tagged, **{("source", name): F.col("source") == name for name in sources}}


def months_of_posts(posts: DataFrame, corpora: Sequence[str]) -> DataFrame:
    """Return month (counted from January of the year 0) and posts of the corpora; months without are left out."""
    month = _month().cast("int").alias("month")
    dated = posts.where(F.col("corpus").isin(list(corpora)) & F.col("created_at").isNotNull())
    return dated.groupBy(month).agg(F.count("*").alias("posts")).select("month", "posts")


def words_of_posts(posts: DataFrame, corpora: Sequence[str], most: int) -> DataFrame:
    """Return word, posts (that have it) and of (posts with a text) of the most frequent words, `most` of them.

    Links, hashtags and mentions are no words, and stop words are left out. Posts that are flagged as sensitive do not
    count. Equal numbers are in order of the word.
    """
    shown = posts.where(F.col("corpus").isin(list(corpora)) & ~F.coalesce("possibly_sensitive", F.lit(False)))
    texts = shown.where(F.trim("text") != "").select(split_words(clean_text(F.col("text"), "drop")).alias("words"))
    many = texts.agg(F.count("*").alias("of"))
    words = texts.select(F.explode(F.array_distinct("words")).alias("word"))
    counted = words.where(~is_stop_word("word")).groupBy("word").agg(F.count("*").alias("posts"))
    return counted.orderBy(F.desc("posts"), "word").limit(most).crossJoin(F.broadcast(many))


def nsfw_counts(
    kept: DataFrame,
    images: DataFrame,
    posts: DataFrame,
    scores: DataFrame,
    clusters: DataFrame,
    thresholds: Sequence[float],
) -> DataFrame:
    """Return scored images by corpus, unit and cluster, and how many score above each threshold.

    A unit is the author where one is known, else the prompt, post or artist. The columns are corpus, unit (a hash),
    cluster (-1 without one), scored, above_0, above_1 and so on.

    Args:
        kept: image_id of the images that are kept.
        images: rows of the table `images`.
        posts: rows of the table `posts`.
        scores: rows of the table `scores`; the highest of several NSFW scorers counts.
        clusters: image_id and cluster of one clustering.
        thresholds: scores.
    """
    nsfw = scores.where("kind = 'nsfw'").groupBy("image_id").agg(F.max("score").alias("score"))
    authors = posts.select("post_id", "author_id")
    about = images.select("image_id", "corpus", "post_id", group().alias("unit")).join(authors, "post_id", "left")
    unit = F.xxhash64(F.coalesce("author_id", "unit"))
    above = [F.count_if(F.col("score") > limit).cast("int").alias(f"above_{i}") for i, limit in enumerate(thresholds)]
    return (
        kept.select("image_id")
        .join(about.select("image_id", "corpus", unit.alias("unit")), "image_id")
        .join(nsfw, "image_id")
        .join(clusters.select("image_id", "cluster"), "image_id", "left")
        .groupBy("corpus", "unit", F.coalesce("cluster", F.lit(-1)).cast("int").alias("cluster"))
        .agg(F.count("*").cast("int").alias("scored"), *above)
    )
