"""report: small tables are counted, a few pictures are shrunk, and one HTML document comes out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.errors import SchemaError
from twigma_spark.io import arrow
from twigma_spark.io.export import write_text
from twigma_spark.io.local_files import is_elsewhere
from twigma_spark.io.session import narrow_reads, picture_batches
from twigma_spark.io.url_files import settings_of
from twigma_spark.models import small_jpegs
from twigma_spark.report import build
from twigma_spark.report.data import CorpusSummary, Picture, ReportData
from twigma_spark.report.render import render
from twigma_spark.schemas import REPORTS
from twigma_spark.stages import image_map, inputs, records, specs
from twigma_spark.stages.hashtags import candidates, tagged_posts
from twigma_spark.stages.readers.reader import reader_of
from twigma_spark.stages.stage import Frames, Stage, StageContext
from twigma_spark.transforms import downloads, gallery, summaries
from twigma_spark.transforms.columns import is_one_of
from twigma_spark.transforms.hashtags import example_images

Rows = list[dict[str, Any]]
REPORT_ID = "report"
BIN = 0.02
REJECT_EXAMPLES = 3
REPEATS = 5  # shown of a group of duplicates
# Of a picture on the map, and of a neighbour that is only there, in pixels. There are most of these: their thumbnails
# save reading their files.
MAP_SIDE, NEIGHBOUR_SIDE = 96, small_jpegs.SIDE


def run(cfg: Config, context: StageContext, **tables: DataFrame) -> Mapping[str, DataFrame]:
    """Return the report, as the one row of `reports`.

    Raises:
        ConfigError: a purge that was cut off has left images in the store.
    """
    inputs.check_purged(tables["images"], tables["tombstones"], "a report")
    now = datetime.now(UTC).replace(tzinfo=None)
    html = render(collect(cfg, context.spark, tables, now))
    context.log(f"report: one document of {len(html) / 1e6:.1f} MB")
    return {"reports": arrow.local_frame(context.spark, [(REPORT_ID, now, html)], REPORTS.schema)}


def collect(cfg: Config, spark: SparkSession, tables: Frames, now: datetime) -> ReportData:
    """Return all that the page shows; what comes to the driver does not grow with the corpora."""
    with narrow_reads(spark):
        counted, chosen = _count(cfg, spark, tables, now)
    return _with_pictures(cfg, spark, tables, counted, chosen)


def _count(cfg: Config, spark: SparkSession, tables: Frames, now: datetime) -> tuple[ReportData, _Chosen]:
    """Return what the page shows without pictures, and what it shows with them."""
    rejects, neighbours = tables["rejects"], tables["neighbours"]
    roles = {corpus.name: corpus.role for corpus in cfg.corpora}
    of_vectors = [corpus.name for corpus in cfg.corpora if reader_of(corpus).vectors is not None]
    outcomes = _rows(summaries.image_outcomes(tables["images"], tables["duplicates"], rejects))
    corpora = build.corpora(outcomes, roles, of_vectors)
    order = [corpus.name for corpus in corpora]
    plain = [c.id for c in cfg.cluster.clusterings if not c.themes]
    chosen = _choose(cfg, spark, tables, corpora)
    counted = ReportData(
        title=cfg.report.title,
        created_at=now,
        corpora=corpora,
        downloads=build.downloads(_rows(downloads.count_ends(tables["downloads"]))),
        results=build.results(records.read_results(tables["results"])),
        origins=build.origins(_rows(summaries.origin_counts(tables["clusters"], plain))),
        matches=build.matches(
            _rows(summaries.best_matches(neighbours)),
            _rows(summaries.similarity_bins(neighbours, BIN)),
            order,
            BIN,
        ),
        events=tuple(sorted(cfg.report.events.items(), key=lambda event: (event[1], event[0]))),
        current_hashtags=tuple(sorted(name.lower() for name in cfg.collect.hashtags)),
        prompts=build.prompts(_rows(summaries.prompt_distances(tables["group_distances"]))),
        cells=chosen.on_map.cells,
        safety=build.safety(_rows(_safety(cfg, tables)), order),
        nsfw_threshold=cfg.report.nsfw_threshold,
        popularity=cfg.pairs.popularity,
        rejects=build.rejects(_rows(summaries.reject_rows(rejects, REJECT_EXAMPLES))),
        runs=build.runs(_rows(summaries.last_runs(tables["runs"]))),
    )
    return counted, chosen


def publish(cfg: Config, frames: Frames) -> str:
    """Return the path that the document was written to.

    Raises:
        SchemaError: where the table holds no report.
    """
    settings = settings_of(frames["reports"].sparkSession)
    return write_text(cfg.report.path, read_document(frames), settings)


def read_document(frames: Frames) -> str:
    """Return the document in the table `reports`.

    Raises:
        SchemaError: where the table holds no report.
    """
    rows = frames["reports"].where(f"report_id = '{REPORT_ID}'").select("html").collect()
    if not rows:
        raise SchemaError(f"table 'reports' must hold a row '{REPORT_ID}'. Got none. Run the stage report again.")
    return str(rows[0]["html"])


def _safety(cfg: Config, tables: Frames) -> DataFrame:
    kept = inputs.kept_images(cfg, tables["images"], tables["embeddings"], tables["duplicates"])
    return summaries.safety(kept, tables["scores"], cfg.report.nsfw_threshold)


@dataclass(frozen=True)
class _HashtagRows:
    """Candidates for further hashtags, and which images are shown of them."""

    rows: Rows = field(default_factory=list)
    examples: Rows = field(default_factory=list)


@dataclass(frozen=True)
class _Chosen:
    """Which images are shown, as rows, and the map."""

    on_map: image_map.CountedMap
    themes: build.ThemeRows
    pairs: Rows
    copies: Rows
    duplicate_groups: Rows
    shared: Rows
    hashtags: _HashtagRows
    liked: Rows

    def sides(self, largest: int) -> dict[str, int]:
        """Return by image the pixels of its longer side; those that are on the map alone are smaller."""
        rows = (
            self.themes.examples,
            self.pairs,
            self.copies,
            self.duplicate_groups,
            self.shared,
            self.hashtags.examples,
        )
        shown = {row["image_id"] for part in rows for row in part}
        shown |= {row["neighbour_id"] for row in (*self.pairs, *self.copies)}
        shown |= {row["canonical_id"] for row in self.duplicate_groups} | {row["other_id"] for row in self.shared}
        shown |= {row[f"{side}_image_id"] for row in self.liked for side in ("preferred", "other")}
        sides = dict.fromkeys(self.on_map.all_pictures, min(NEIGHBOUR_SIDE, largest))
        return sides | dict.fromkeys(self.on_map.pictures, min(MAP_SIDE, largest)) | dict.fromkeys(shown, largest)


def _choose(cfg: Config, spark: SparkSession, tables: Frames, corpora: Sequence[CorpusSummary]) -> _Chosen:
    return _Chosen(
        image_map.count_map(cfg, spark, tables, corpora),
        _theme_rows(cfg, tables),
        _rows(gallery.closest_pairs(tables["neighbours"], tables["copies"], cfg.report.pairs)),
        _rows(gallery.uncertain_copies(tables["copies"], cfg.report.copies)),
        _rows(gallery.duplicate_groups(tables["duplicates"], cfg.report.duplicate_groups, REPEATS)),
        _rows(gallery.shared_pairs(tables["shared_images"], cfg.report.shared_pairs)),
        _hashtags(cfg, tables),
        _rows(gallery.surest_pairs(tables["held_out_pairs"], tables["pairs"], cfg.report.reward_pairs)),
    )


def _with_pictures(
    cfg: Config, spark: SparkSession, tables: Frames, counted: ReportData, chosen: _Chosen
) -> ReportData:
    """Return what the page shows, each picture shrunk once."""
    pictures = _pictures(cfg, spark, tables, chosen.sides(cfg.report.thumbnail))
    themes = build.themes(chosen.themes, pictures)
    main = inputs.theme_clustering(cfg)
    return replace(
        counted,
        themes=themes,
        pairs=build.pairs(chosen.pairs, pictures),
        copies=build.pairs(chosen.copies, pictures),
        duplicate_groups=build.duplicate_groups(chosen.duplicate_groups, pictures),
        shared_pairs=build.shared_pairs(chosen.shared, pictures),
        hashtags=build.hashtags(chosen.hashtags.rows, chosen.hashtags.examples, pictures),
        reward_pairs=build.reward_pairs(chosen.liked, pictures),
        image_map=image_map.show_map(chosen.on_map, pictures, [each for each in themes if each.clustering == main]),
    )


def _hashtags(cfg: Config, tables: Frames) -> _HashtagRows:
    """Return the first candidates; none where no hashtag was collected, or all or none of the posts have one."""
    if not cfg.collect.hashtags or not cfg.report.hashtags:
        return _HashtagRows()
    tagged = tagged_posts(cfg, tables, cfg.collect.hashtags)
    if not tagged.tells:
        return _HashtagRows()
    first = candidates(tagged, cfg.report.hashtag_posts).head(cfg.report.hashtags)
    kept = inputs.kept_images(cfg, tables["images"], tables["embeddings"], tables["duplicates"]).select("image_id")
    of_posts = tables["images"].select("image_id", "post_id").join(kept, "image_id", "left_semi")
    names = first["hashtag"].tolist()
    examples = example_images(tagged.posts, of_posts, names, cfg.report.hashtag_examples)
    rows = [dict(zip(first.columns, values, strict=True)) for values in first.itertuples(index=False)]
    return _HashtagRows(rows, _rows(examples))


def _theme_rows(cfg: Config, tables: Frames) -> build.ThemeRows:
    """Return the rows of the clusterings that tell themes."""
    names = [c.id for c in cfg.cluster.clusterings if c.themes]
    centroids, words, clusters = tables["centroids"], tables["themes"], tables["clusters"]
    return build.ThemeRows(
        centroids=_rows(centroids.drop("centroid").where(centroids["clustering_id"].isin(names))),
        words=_rows(words.where(words["clustering_id"].isin(names))),
        months=_rows(summaries.theme_months(clusters, tables["images"], names)),
        examples=_rows(gallery.theme_examples(clusters, names, cfg.report.examples)),
    )


def _pictures(cfg: Config, spark: SparkSession, tables: Frames, sides: Mapping[str, int]) -> dict[str, Picture]:
    """Return the few pictures that are shown, by id; `sides` are the pixels of the longer side at most."""
    chosen = arrow.local_frame(spark, sorted(sides.items()), "image_id string, side int")
    images = _with_content(spark, tables, sides)
    shown = gallery.pictures(images, tables["scores"], tables["captions"], chosen)
    with picture_batches(spark, cfg.embed.arrow_batch):
        rows = _rows(gallery.thumbnails(shown, cfg.ingest.max_pixels))
    folders = {corpus.name: reader_of(corpus).image_folder(corpus) for corpus in cfg.corpora}
    return build.pictures(rows, partial(_link, cfg.report.path, folders))


def _with_content(spark: SparkSession, tables: Frames, sides: Mapping[str, int]) -> DataFrame:
    """Return the images with their files, or their thumbnails as `content` where no larger picture is shown."""
    small = [image_id for image_id, side in sides.items() if side <= small_jpegs.SIDE]
    thumbnails = _rows(tables["thumbnails"].where(is_one_of("image_id", small))) if small else []
    images, drawn = tables["images"], {row["image_id"]: bytes(row["thumbnail"]) for row in thumbnails}
    of_files = images.where(is_one_of("image_id", sides.keys() - drawn.keys()))
    if not drawn:
        return of_files
    content = arrow.local_frame(spark, sorted(drawn.items()), "image_id string, content binary")
    others = images.drop("content").where(is_one_of("image_id", drawn))
    return of_files.unionByName(others.join(F.broadcast(content), "image_id"))


def _link(page: str, folders: Mapping[str, str], corpus: str, file: str) -> str:
    """Return the link from the page to an image's file; "" unless both lie on this machine."""
    folder = folders.get(corpus)
    if folder is None or is_elsewhere(page) or is_elsewhere(folder):
        return ""
    path = Path(folder).resolve() / file
    here = Path(page).resolve().parent
    return quote(os.fsencode(os.path.relpath(path, here))) if path.is_file() else ""


def _rows(frame: DataFrame) -> Rows:
    return [row.asDict(recursive=True) for row in frame.collect()]


STAGE = Stage(
    name="report",
    summary="one HTML file that opens offline: findings, figures, contact sheets, rejects, versions",
    reads=(
        "images", "embeddings", "thumbnails", "duplicates", "shared_images", "scores", "captions", "centroids",
        "clusters", "themes", "neighbours", "copies", "projection", "pairs", "held_out_pairs", "results",
        "group_distances", "rejects", "downloads", "runs", "posts", "tombstones",
    ),
    writes=("reports",),
    config=("report", "corpora", "cluster.clusterings", "collect.hashtags",
        "pairs.popularity", "models.real", *specs.IMAGE_ENCODER),
    tuning=("embed.arrow_batch",),
    run=run,
    publish=publish,
)  # fmt: skip
