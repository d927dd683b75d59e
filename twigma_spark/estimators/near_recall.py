"""How many of the close pairs the search in buckets found, measured against exact search for a sample."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.near import FEW, Reach, exact_pairs
from twigma_spark.results import Result
from twigma_spark.stats.intervals import wilson_value

SAMPLE = 500


def recall_results(searched: DataFrame, near: DataFrame, reach: Reach, few: int = FEW) -> list[Result]:
    """Return the recall of the search as a result; none where all pairs were compared or there are none.

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
    method = f"pairs of {SAMPLE} images against exact search; {reach.buckets} buckets an image; Wilson, 95%"
    value = wilson_value(hits, n, "pairs", method)
    return [Result.of("duplicates", "recall_of_search", value, similarity=f"{reach.similarity:.3f}")]
