"""An atlas: the map of a store as Parquet files for Embedding Atlas, with neighbours and pictures."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io import arrow, atlas_files
from twigma_spark.io.atlas_files import Written
from twigma_spark.io.folders import check_new_folder, whole_folder
from twigma_spark.io.session import picture_batches
from twigma_spark.io.staging import Staging
from twigma_spark.io.tables import Store
from twigma_spark.stages import inputs
from twigma_spark.transforms import atlas as transforms
from twigma_spark.transforms.images import NO_BYTES

ATLAS, THEMES = "atlas.parquet", "themes.parquet"
TABLES = (
    "projection", "images", "thumbnails", "captions", "clusters", "themes", "posts", "scores", "duplicates", "copies",
    "neighbours", "reward_scores", "tombstones",
)  # fmt: skip
NEIGHBOURS = 10
# Rows that the driver is sent at a time: 40 MB of the largest.
PART_ROWS = 16_384
# It needs other versions of pandas and pyarrow, so it is run in an environment of its own and never imported.
VIEWER = "embedding-atlas==0.26.*"
# Bytes of an atlas above which Embedding Atlas keeps the table and the browser asks for what it shows: else the browser
# holds the whole, and DuckDB has 4 GB there.
SERVED = 500e6
Log = Callable[[str], None]


@dataclass(frozen=True)
class Atlas:
    """What was written.

    Attributes:
        folder: where it is.
        rows: of atlas.parquet.
        themes: of themes.parquet, which is there only where there are any.
    """

    folder: Path
    rows: Written
    themes: int

    @property
    def command(self) -> str:
        """The line for a shell that opens it in a browser."""
        return open_command(self.folder, pictures=self.rows.drawn > 0)

    @property
    def summary(self) -> str:
        """What was written and how it is opened, in lines."""
        page = shlex.quote(str(self.folder / "page"))
        return (
            f"atlas of {self.rows.rows:,} images, {self.rows.n_bytes / 1e6:,.1f} MB: {self.folder}\n"
            f"open it with:\n{self.command}\n"
            f"or write it as a page for any web server: the same line with --export-application {page}"
        )


def open_command(folder: Path, pictures: bool = True) -> str:
    """Return the line for a shell that opens the atlas in a folder in a browser.

    Args:
        folder: with an atlas.
        pictures: whether it has any.
    """
    image = " --image image" if pictures else ""
    labels = f" --labels {shlex.quote(str(folder / THEMES))}" if (folder / THEMES).is_file() else ""
    served = " --duckdb server" if (folder / ATLAS).stat().st_size > SERVED else ""
    return (
        f"uvx --from '{VIEWER}' embedding-atlas {shlex.quote(str(folder / ATLAS))} --x x --y y "
        f"--neighbors neighbors --pagerank importance{image} --text caption{labels}{served}"
    )


def build_atlas(
    cfg: Config, store: Store, out: Path, log: Log, show_hidden: bool = False, replace: bool = False
) -> Atlas:
    """Write an atlas into a new or empty folder and return what it is; it is there whole or not at all.

    Args:
        cfg: the configuration.
        store: the tables.
        out: the folder.
        log: shows a line.
        show_hidden: whether pictures that the report hides (NSFW, flagged, unknown) are written as they are.
        replace: whether an atlas that is in the folder gives way to this one.

    Raises:
        ConfigError: where the folder is not free, the store has no map, a purge was cut off, or there are files and
            none can be drawn.
    """
    check_new_folder(out, "an atlas", ATLAS, replace)
    tables = {name: store.read(name) for name in TABLES}
    on_map = store.count("projection")
    if not on_map:
        raise ConfigError(
            "table 'projection' must have rows for an atlas. Got none: run the stage project first (twigma run)."
        )
    inputs.check_purged(tables["images"], tables["tombstones"], "an atlas")
    staging = Staging(store, "atlas", uuid.uuid4().hex[:12])
    staging.drop_abandoned()
    try:
        files = _files_without_thumbnail(tables)
        with picture_batches(store.spark, cfg.embed.arrow_batch) if files is not None else nullcontext():
            # Put in order below, which reads its rows twice: the pictures must be made once.
            rows = staging.keep(atlas_rows(cfg, tables, files, show_hidden))
        with whole_folder(out) as part:
            parts, schema = -(-on_map // PART_ROWS), to_arrow_schema(rows.schema)
            ordered = rows.repartitionByRange(parts, "row").sortWithinPartitions("row")
            written = atlas_files.write_rows(arrow.stream_in_order(ordered), part / ATLAS, schema)
            _check_written(written, tables["images"])
            named = arrow.collect(transforms.theme_places(rows).orderBy("text"))
            if named.num_rows:
                pq.write_table(named, part / THEMES)
    finally:
        staging.drop()
    for line in _remarks(written, on_map, show_hidden):
        log(f"atlas: {line}")
    return Atlas(out, written, named.num_rows)


def atlas_rows(cfg: Config, tables: Mapping[str, DataFrame], files: DataFrame | None, show_hidden: bool) -> DataFrame:
    """Return the rows of an atlas, in any order: `row` is their place.

    The columns are row, x, y, image, caption, corpus, theme, cluster, date, likes, nsfw, hidden, reward,
    importance, near_copies, copy_candidate_of, neighbors, image_id and file.
    """
    images, clustering = tables["images"], inputs.theme_clustering(cfg)
    numbered = transforms.number_rows(tables["projection"], images)
    clusters = inputs.clustering(tables["clusters"], clustering)
    posts = tables["posts"].select("post_id", F.col("created_at").alias("posted"), F.col("like_count").alias("likes"))
    scores = tables["scores"].where("kind = 'nsfw'").groupBy("image_id").agg(F.max("score").alias("nsfw"))
    repeated = tables["duplicates"].groupBy(F.col("canonical_id").alias("image_id")).agg(F.count("*").alias("repeats"))
    nearest = F.max_by("reference", "similarity").alias("copy_candidate_of")
    known = (
        numbered.join(transforms.nearest_rows(tables["neighbours"], numbered, NEIGHBOURS), "row", "left")
        .join(transforms.texts(images, tables["captions"]), "image_id", "left")
        .join(clusters, "image_id", "left")
        .join(F.broadcast(transforms.theme_names(tables["themes"], clustering)), "cluster", "left")
        .join(scores, "image_id", "left")
        .join(repeated, "image_id", "left")
        .join(tables["reward_scores"].select("image_id", F.col("score").alias("reward")), "image_id", "left")
        .join(tables["copies"].groupBy("image_id").agg(nearest), "image_id", "left")
    )
    own = images.select(
        "image_id",
        "post_id",
        F.col("created_at").alias("made"),
        "sensitive",
        F.col("source_key").alias("file"),
    )
    rows = known.join(own, "image_id").join(posts, "post_id", "left")
    hidden = transforms.is_hidden("nsfw", "sensitive", cfg.report.nsfw_threshold)
    none = F.struct(F.array().cast("array<int>").alias("ids"), F.array().cast("array<float>").alias("distances"))
    drawn = transforms.with_pictures(
        rows.withColumn("hidden", hidden),
        tables["thumbnails"],
        files,
        show_hidden,
        cfg.ingest.max_pixels,
    )
    return drawn.select(
        "row",
        *[F.col(axis).cast("float").alias(axis) for axis in ("x", "y")],
        "image",
        "caption",
        "corpus",
        "theme",
        "cluster",
        F.coalesce("posted", "made").alias("date"),
        "likes",
        F.col("nsfw").cast("float").alias("nsfw"),
        "hidden",
        F.col("reward").cast("float").alias("reward"),
        # Given, since Embedding Atlas else makes one of the neighbours, of which each row would need as many.
        F.when(F.col("hidden"), F.lit(0))
        .otherwise(F.coalesce("likes", F.lit(0)) + 1)
        .cast("float")
        .alias("importance"),
        F.coalesce("repeats", F.lit(0)).cast("int").alias("near_copies"),
        "copy_candidate_of",
        F.coalesce("neighbors", none).alias("neighbors"),
        "image_id",
        "file",
    )


def _files_without_thumbnail(tables: Mapping[str, DataFrame]) -> DataFrame | None:
    """Return image_id and content of the images on the map that have a file and no thumbnail; None where none has."""
    images = tables["images"].where(f"NOT ({NO_BYTES})")
    on_map = images.select("image_id").join(tables["projection"].select("image_id"), "image_id", "left_semi")
    without = on_map.join(tables["thumbnails"].select("image_id"), "image_id", "left_anti")
    # Asked first, since else the files of all images are read to find that none is needed.
    return None if without.isEmpty() else images.select("image_id", "content").join(without, "image_id", "left_semi")


def _check_written(written: Written, images: DataFrame) -> None:
    if not written.rows:
        raise ConfigError(
            "the images on the map must be in the store. Got none of them: run the stage project again (twigma run)."
        )
    # Images that came as vectors have no bytes: an atlas of them alone has captions and neighbours.
    if not written.drawn and not images.where("n_bytes IS NOT NULL").isEmpty():
        raise ConfigError(
            f"the images on the map must have pictures for an atlas. Got {written.rows:,} of which none can be drawn: "
            "run the stage ingest again, with the files in their place."
        )


def _remarks(written: Written, on_map: int, show_hidden: bool) -> list[str]:
    """Return what the reader of an atlas must know of it."""
    remarks = []
    if gone := on_map - written.rows:
        remarks.append(f"{gone:,} images of the map are no longer in the store and are left out")
    if not written.drawn:
        remarks.append("the images came as vectors: it has no pictures")
    elif undrawn := written.rows - written.drawn:
        remarks.append(f"{undrawn:,} images cannot be drawn and have no picture")
    if written.hidden:
        hidden = "shown as they are" if show_hidden else "blurred; --show-nsfw shows them"
        remarks.append(f"{written.hidden:,} pictures that are NSFW, flagged or not scored are {hidden}")
    return remarks
