"""concordance: what annotators said of a sample of each cluster, against the captions and the clusters."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.io.answers import fingerprint, read_answers
from twigma_spark.io.url_files import settings_of
from twigma_spark.stages import inputs, records
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.stats.concordance import Answer, Draws, Item, concordance_results, keyword_results
from twigma_spark.transforms import annotation
from twigma_spark.transforms.themes import STOP_WORDS


def run(cfg: Config, context: StageContext, clusters: DataFrame, captions: DataFrame) -> Mapping[str, DataFrame]:
    """Return the agreement of annotators, captions and clusters, as results; none where nobody was asked."""
    settings = cfg.concordance
    answers = [Answer(*each) for each in read_answers(settings.answers, settings_of(context.spark))]
    context.log(
        f"concordance: {len(answers):,} answers"
        if settings.answers
        else "concordance: nobody was asked (twigma annotate)"
    )
    if settings.answers is None:
        return {}
    named = {a.item for a in answers}
    rows = annotation.join_captions(inputs.clustering(clusters, settings.clustering), captions, cfg.seed)
    chosen = rows.where(F.col("item").isin(sorted(named))) if named else rows.limit(0)
    items = [Item(r["item"], r["cluster"], r["caption"]) for r in chosen.collect()]
    draws = Draws(settings.permutations, settings.resamples, cfg.seed)
    shown, stop = sorted(items, key=lambda i: i.item), frozenset(STOP_WORDS)
    results = [*concordance_results(shown, answers, stop, draws)]
    results += keyword_results(shown, answers, stop, settings.clustering)
    return {"results": records.result_rows(context.spark, "concordance", results)}


def _sources(cfg: Config, spark: SparkSession) -> str:
    return fingerprint(cfg.concordance.answers, settings_of(spark))


STAGE = Stage(
    name="concordance",
    summary="where annotators were asked: their keywords and groups against captions and clusters",
    reads=("clusters", "captions"),
    writes=("results",),
    config=("concordance", "seed"),
    run=run,
    sources=_sources,
)
