"""Candidate images: every file found or named, each with its metadata or the reason against it."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from twigma_spark.transforms import values

# What the metadata of a folder says of an image, and of the post that shows it.
DESCRIBED = ("prompt", "prompt_id", "artist", "genre", "title", "caption", "created_at")
COUNTS = ("author_followers", "like_count", "quote_count", "reply_count")
OF_POST = ("post_id", "author_id", *COUNTS)
COLUMNS = (
    "source_key",
    "post_id",
    "media_key",
    *DESCRIBED,
    "sensitive",
    "path",
    "start",
    "n_bytes",
    "content",
    "digest",
    "reason",
    "detail",
)


def from_folder(files: DataFrame, metadata: DataFrame | None) -> DataFrame:
    """Return the candidates of a folder of images.

    Args:
        files: rows of `corpora.ImageFiles`.
        metadata: row, bad, line, file and `DESCRIBED` as strings, and post_id where images belong to posts
            (`posts_in_folder.with_posts`); a `bad` row describes nothing.

    A file without metadata is used as it is. A row that names no file is ``missing_file``; a second row for
    the same file is ``duplicate_key``.
    """
    if metadata is None:
        return complete(files)
    rows = (
        metadata.where("bad IS NULL AND file IS NOT NULL").drop("bad", "line").withColumnRenamed("file", "source_key")
    )
    nth = F.row_number().over(Window.partitionBy("source_key").orderBy("row"))
    rows = rows.withColumn("nth", nth)
    used = files.join(rows.where("nth = 1"), "source_key", "left")
    again = rows.where("nth > 1").select(
        "*",
        F.lit("duplicate_key").alias("reason"),
        F.concat(F.lit("named again in row "), _place()).alias("detail"),
    )
    gone = rows.where("nth = 1").join(files.select("source_key"), "source_key", "left_anti")
    gone = gone.select(
        "*", F.lit("missing_file").alias("reason"), F.concat(F.lit("named in row "), _place()).alias("detail")
    )
    return complete(used).unionByName(complete(again)).unionByName(complete(gone))


def from_posts(files: DataFrame, media: DataFrame, posts: DataFrame) -> DataFrame:
    """Return the candidates of posts: one a post and picture.

    Args:
        files: rows of `corpora.ImageFiles`; a source_key is a media_key with a suffix.
        media: rows of the table `media`.
        posts: rows of the table `posts`.

    A picture without a file is ``missing_file``, one that is no photo ``not_a_photo``, a file that no post
    shows ``no_post``.
    """
    stem = F.regexp_replace("source_key", r"\.[^.]*$", "")
    first = F.row_number().over(Window.partitionBy("media_key").orderBy("source_key"))
    named = files.withColumn("media_key", stem)
    best = named.withColumn("nth", first).where("nth = 1").drop("nth", "source_key")
    about = posts.select("post_id", "created_at", F.col("possibly_sensitive").alias("sensitive"))
    shown = media.select("post_id", "media_key", "type").dropDuplicates(["post_id", "media_key"])
    joined = shown.join(about, "post_id").join(best, "media_key", "left")
    reason = F.when(F.col("type") != "photo", "not_a_photo").when(F.col("n_bytes").isNull(), "missing_file")
    kind = F.concat(F.lit("media of type "), F.coalesce("type", F.lit("unknown")))
    used = joined.withColumns(
        {
            "source_key": F.concat_ws("/", "post_id", "media_key"),
            "reason": F.coalesce(reason, "reason"),
            "detail": F.coalesce(F.when(reason.isNotNull(), kind), "detail"),
        }
    )
    kept = best.select("media_key").join(shown.select("media_key"), "media_key", "left_semi")
    stray = named.drop("content", "path").join(kept, "media_key", "left_anti")
    stray = stray.select("source_key", "media_key", "n_bytes", F.lit("no_post").alias("reason"))
    return complete(used).unionByName(complete(stray))


def limit_images(candidates: DataFrame, limit: int | None) -> DataFrame:
    """Return the first `limit` candidates in the order of their keys; all where there is no limit."""
    if limit is None:
        return candidates.select(*COLUMNS)
    return candidates.orderBy("source_key").limit(limit).select(*COLUMNS)


def unreadable_metadata(metadata: DataFrame, name: str, key: Column | None = None) -> DataFrame:
    """Return rejects (unit, key, reason, detail) for the rows and values of metadata that cannot be used.

    Args:
        metadata: row, bad, line, file and `DESCRIBED` as strings.
        name: of the file.
        key: what names a row; None for the file's name and the row's number.
    """
    key = (F.concat(F.lit(name + "#"), _place()) if key is None else key).alias("key")
    rows = metadata.where("bad IS NOT NULL").select(
        F.lit("metadata").alias("unit"),
        key,
        F.col("bad").alias("reason"),
        F.coalesce(F.concat(F.lit("of file "), "file"), F.substring("line", 1, 200), F.lit("")).alias("detail"),
    )
    created = F.col("created_at")
    counts = {name: F.col(name) for name in COUNTS if name in metadata.columns}
    flags = {name: F.col(name) for name in ("sensitive",) if name in metadata.columns}
    unusable = values.unusable(
        {
            "created_at": (created, values.timestamp(created)),
            **{name: (text, values.count(text)) for name, text in counts.items()},
            **{name: (text, values.flag(text)) for name, text in flags.items()},
        }
    )
    dropped = metadata.where("bad IS NULL AND file IS NOT NULL").select(
        F.lit("metadata").alias("unit"),
        key,
        F.lit("value_unusable").alias("reason"),
        F.explode(unusable).alias("detail"),
    )
    return rows.unionByName(dropped)


def _place() -> Column:
    """Return a row's number from 0; in a file that was read in parts, the part and the number in it."""
    part, row = F.shiftright("row", 33), F.col("row").bitwiseAND(2**33 - 1)
    return F.concat(F.when(part > 0, F.concat(part, F.lit(":"))).otherwise(""), row)


def complete(frame: DataFrame) -> DataFrame:
    """Return `frame` with all of `COLUMNS`, null where it lacks one."""
    types = {
        "created_at": "timestamp",
        "sensitive": "boolean",
        "path": "binary",
        "start": "bigint",
        "n_bytes": "bigint",
        "content": "binary",
    }
    columns = {
        name: F.col(name) if name in frame.columns else F.lit(None).cast(types.get(name, "string")) for name in COLUMNS
    }
    for name, parsed in (("created_at", values.timestamp), ("sensitive", values.flag)):
        # Of a post they are a time and a flag already.
        if name in frame.columns and isinstance(frame.schema[name].dataType, StringType):
            columns[name] = parsed(F.col(name))
    return frame.select(*[column.alias(name) for name, column in columns.items()])
