"""How many of the close pairs the search in buckets found, measured against exact search for a sample."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.near import FEW, Reach, exact_pairs
from twigma_spark.stats.intervals import wilson

Row = tuple[object, ...]
SAMPLE = 500


def rows(searched: DataFrame, near: DataFrame, reach: Reach, few: int = FEW) -> list[Row]:
    """Return the recall of the search as a row of `results`; none where all pairs were compared or there are none.

    Args:
        searched: image_id, corpus, embedding that were searched.
        near: a, b of the pairs that were found.
        reach: which pairs are close.
        few: vectors that are compared all with all.
    """
    if searched.count() <= few:
        return []
    order = F.xxhash64("image_id", F.lit(reach.seed))
    drawn = searched.select("image_id").orderBy(order, "image_id").limit(SAMPLE)
    true = exact_pairs(searched.join(F.broadcast(drawn), "image_id", "left_semi"), searched, reach)
    found = true.join(near.select("a", "b", F.lit(1).alias("found")), ["a", "b"], "left")
    n, hits = found.agg(F.count("*"), F.count("found")).collect()[0]
    if not n:
        return []
    share, low, high = (float(x) for x in wilson(hits, n))
    method = f"pairs of {SAMPLE} images against exact search; {reach.buckets} buckets an image; Wilson, 95%"
    group = f"similarity={reach.similarity:.3f}"
    return [("deduplicate", "duplicates", "recall_of_search", group, share, low, high, n, "pairs", method)]
