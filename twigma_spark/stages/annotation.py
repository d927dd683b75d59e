"""The annotators' sheet and page; no stage of the pipeline, since people come between it and the next one."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io.answers import blank_sheet
from twigma_spark.io.export import write_text
from twigma_spark.io.session import picture_batches
from twigma_spark.report.annotation import SheetItem, annotation_page
from twigma_spark.stages import inputs
from twigma_spark.stages.stage import Frames
from twigma_spark.transforms import annotation, gallery
from twigma_spark.transforms.columns import is_one_of
from twigma_spark.transforms.images import NO_BYTES


def annotate(cfg: Config, spark: SparkSession, tables: Frames, out: str) -> str:
    """Write the blind sheet (sheet.csv) and the page (sheet.html) and return what was written, in words.

    Args:
        cfg: settings.
        spark: the session.
        tables: images, clusters and scores.
        out: folder.

    Raises:
        ConfigError: where there is no image to show.
    """
    settings = cfg.concordance
    clusters = inputs.clustering(tables["clusters"], settings.clustering)
    drawn = tables["images"].where(f"NOT ({NO_BYTES})")
    chosen = annotation.sheet(
        clusters, drawn, tables["scores"], settings.per_cluster, settings.nsfw_threshold, cfg.seed
    )
    rows = [row.asDict() for row in chosen.collect()]
    if not rows:
        raise ConfigError(
            f"concordance.clustering must be a clustering with images that may be shown. Got {settings.clustering!r}; "
            "run the stage cluster first, or raise concordance.nsfw_threshold."
        )
    pictures = _pictures(cfg, spark, tables, [row["image_id"] for row in rows])
    shown = [SheetItem(r["item"], picture, r["unsure"]) for r in rows if (picture := pictures.get(r["image_id"]))]
    page = write_text(f"{out.rstrip('/')}/sheet.html", annotation_page(cfg.report.title, shown))
    sheet = write_text(f"{out.rstrip('/')}/sheet.csv", blank_sheet([s.item for s in shown]))
    return f"{len(shown)} images of {len({row['cluster'] for row in rows})} clusters, blind: {page} and {sheet}"


def _pictures(cfg: Config, spark: SparkSession, tables: Frames, ids: list[str]) -> dict[str, bytes | None]:
    """Return the pictures by image id, small enough for a page."""
    wanted = tables["images"].where(is_one_of("image_id", ids))
    blind = wanted.select("image_id", "content", F.lit(cfg.concordance.thumbnail).alias("side"))
    with picture_batches(spark, cfg.embed.arrow_batch):
        rows = gallery.thumbnails(blind, cfg.ingest.max_pixels).collect()
    return {row["image_id"]: bytes(row["thumbnail"]) if row["thumbnail"] is not None else None for row in rows}
