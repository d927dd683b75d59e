"""How many of the near pairs the searches in buckets found, measured against exact search for a sample."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.estimators.near import Reach, compares_all, exact_pairs
from twigma_spark.results import Result
from twigma_spark.stats.intervals import wilson_value

SAMPLE = 500


def draw_queries(upright: DataFrame, reach: Reach) -> DataFrame:
    """Return image_id of the images whose pairs are searched for exactly; no vector is read."""
    order = F.xxhash64("image_id", F.lit(reach.seed))
    return upright.select("image_id").orderBy(order, "image_id").limit(SAMPLE)


def recall_results(
    candidates: str,
    searched: DataFrame,
    rows: int,
    pairs: DataFrame,
    reach: Reach,
    near: Callable[[DataFrame], DataFrame],
    sample: DataFrame | None = None,
) -> list[Result]:
    """Return the recall of one search as a result; none where all pairs were compared or there are none.

    Args:
        candidates: what was searched: "pixels" or "embeddings".
        searched: image_id, corpus, embedding, turn that were searched.
        rows: how many of them are upright.
        pairs: a, b, turn of the pairs that it found.
        reach: which pairs it was to find.
        near: keeps the near ones of such pairs: the others are found for nothing.
        sample: some of what was searched, the ones of `draw_queries` among them, where they are at hand.
    """
    if compares_all(rows):
        return []
    upright = searched.where("turn = 0")
    some = upright if sample is None else sample
    queries = some.join(F.broadcast(draw_queries(some, reach)), "image_id", "left_semi")
    true = near(exact_pairs(queries, upright, reach))
    hits = true.join(pairs.select("a", "b", "turn", F.lit(1).alias("found")), ["a", "b", "turn"], "left")
    n, known = hits.agg(F.count("*"), F.count("found")).collect()[0]
    if not n:
        return []
    method = f"near pairs of {SAMPLE} images against exact search; {reach.buckets} buckets an image; Wilson, 95%"
    value = wilson_value(known, n, "pairs", method)
    return [Result.of("duplicates", "recall_of_search", value, candidates=candidates)]
