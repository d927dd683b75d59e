"""What is left to be downloaded, and how the downloads ended."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ENDING = r"\.[^./]*$"


def last_attempts(downloads: DataFrame) -> DataFrame:
    """Return the last attempt at each picture: corpus, source_key, attempt, outcome, reason, status and detail."""
    values = F.struct("attempt", "outcome", "reason", "status", "detail")
    last = downloads.groupBy("corpus", "source_key").agg(F.max_by(values, "attempt").alias("last"))
    return last.select("corpus", "source_key", "last.*")


def count_ends(downloads: DataFrame) -> DataFrame:
    """Return how the downloads ended: corpus, outcome, reason, pictures and attempts."""
    tried = F.sum("attempt").alias("attempts")
    ends = last_attempts(downloads).groupBy("corpus", "outcome", "reason").agg(F.count("*").alias("pictures"), tried)
    return ends.select("corpus", "outcome", "reason", "pictures", "attempts")


def to_be_asked(addresses: DataFrame, there: DataFrame, downloads: DataFrame, at_most: int) -> DataFrame:
    """Return the pictures that are to be asked for: source_key, url, host and attempts (those made before).

    Args:
        addresses: source_key and url.
        there: source_key of the files in the folder; one without its ending is the picture of that name, too.
        downloads: earlier attempts of the corpus.
        at_most: attempts at a picture in all.
    """
    names = there.select("source_key").unionByName(
        there.select(F.regexp_replace("source_key", ENDING, "").alias("source_key"))
    )
    last = last_attempts(downloads).select("source_key", "attempt", "outcome")
    left = addresses.join(names, "source_key", "left_anti").join(last, "source_key", "left")
    again = F.col("outcome").isNull() | ((F.col("outcome") == "retry") & (F.col("attempt") < at_most))
    host = F.coalesce(F.regexp_extract(F.lower("url"), r"^https?://(?:[^/@]*@)?([^/:?#]+)", 1), F.lit(""))
    return left.where(again).select(
        "source_key", "url", host.alias("host"), F.coalesce("attempt", F.lit(0)).alias("attempts")
    )


def with_last_attempt(rejects: DataFrame, downloads: DataFrame) -> DataFrame:
    """Return rejects of images where a missing file says how its last download ended.

    Args:
        rejects: corpus, key, reason and detail; the last part of the key of a post's picture is its media_key.
        downloads: rows of the table `downloads`.
    """
    ended = F.concat_ws(" ", F.lit("last download:"), "reason", "status")
    last = last_attempts(downloads).where("outcome <> 'ok'").select("corpus", "source_key", ended.alias("ended"))
    part = F.element_at(F.split("key", "/"), -1)
    # Two joins by equal keys, since one by either key would compare all with all.
    of_path = last.toDF("corpus", "key", "by_path")
    of_media = last.toDF("corpus", "part", "by_media")
    joined = rejects.withColumn("part", part).join(of_path, ["corpus", "key"], "left")
    ended = F.coalesce("by_path", "by_media")
    missing = (F.col("reason") == "missing_file") & ended.isNotNull()
    detail = F.when(missing, F.concat_ws("; ", "detail", ended)).otherwise(F.col("detail"))
    return joined.join(of_media, ["corpus", "part"], "left").withColumn("detail", detail).select(*rejects.columns)
