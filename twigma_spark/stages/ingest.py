"""ingest: corpora of files become `images`, `raw_posts`, `posts` and `media`; what cannot be used becomes `rejects`."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import CorpusError
from twigma_spark.io import arrow, corpora
from twigma_spark.io.frames import count_rows, union
from twigma_spark.io.local_files import is_local
from twigma_spark.io.remote_files import with_contents
from twigma_spark.io.session import picture_batches, slots, task_heap
from twigma_spark.schemas import IMAGES, TABLES
from twigma_spark.stages.readers.reader import CorpusFrames, SplitPages, reader_of
from twigma_spark.stages.stage import Account, Frames, Stage, StageContext
from twigma_spark.transforms import images as image_rows
from twigma_spark.transforms.downloads import with_last_attempt
from twigma_spark.transforms.purged import digests, mark_purged, without_posts

# Corpora that are looked at side by side: listing is mostly waiting.
AT_ONCE = 4
# Bytes of a task's heap that a byte of a file takes at most on its way through a sort to the table: two files of 41 MB
# passed in two tasks of 0.5 GB each, two of 60 MB did not. Files up to HELD_BYTES are tried whatever the heap.
HEAP_PER_BYTE, HELD_BYTES = 12, 16 * 10**6
# Pictures that are decoded from Parquet or travel to Python at once, where only their headers are read.
ARROW_BATCH = 128
# Tables of posts, as `CorpusFrames` calls them too.
POST_TABLES = ("raw_posts", "posts", "media")
# Of images that one task reads.
READ_BYTES = 256 * 2**20
# Of images in a file of the table: some thousands of pictures, a small part of a chunk of inference.
FILE_BYTES = 256 * 2**20


def run(
    cfg: Config,
    context: StageContext,
    images: DataFrame,
    downloads: DataFrame | None = None,
    tombstones: DataFrame | None = None,
) -> Mapping[str, DataFrame]:
    """Return images, raw_posts, posts, media and rejects of all corpora.

    `images` are those of the run before; `downloads` say why a picture is missing, and
    `tombstones` what was purged and must not come back.
    """
    if not cfg.corpora:
        raise CorpusError("corpora must name at least one corpus. Got none; see conf/folder.yaml.")
    cfg = _within_memory(cfg, context.spark)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        parts = list(pool.map(partial(_read_corpus, cfg, context.spark), cfg.corpora))
    purged = None if tombstones is None or tombstones.isEmpty() else tombstones
    gone = None if purged is None else digests(purged, "post")
    frames_of = _parse_pages(context, dict(zip(cfg.corpora, parts, strict=True)), gone)
    probed = [_probe(cfg, corpus, part) for corpus, part in frames_of.items()]
    # Both tables come from this frame, and its files are read once.
    with picture_batches(context.spark, ARROW_BATCH):
        candidates = _union(context.spark, probed, "images")
        every = context.materialize(candidates if purged is None else mark_purged(candidates, purged))
    kept = image_rows.usable(every, IMAGES.column_names)
    _log_changes(context, images, kept)
    refused = image_rows.image_rejects(every)
    if downloads is not None and any(corpus.fetch for corpus in cfg.corpora):
        refused = with_last_attempt(refused, downloads)
    rejects = [
        refused,
        *[part.rejects for part in frames_of.values() if part.rejects is not None],
    ]
    return {
        "images": _in_order(kept),
        **{
            name: _union(
                context.spark, [rows for part in frames_of.values() if (rows := getattr(part, name)) is not None], name
            )
            for name in POST_TABLES
        },
        "rejects": union(rejects).withColumn("stage", F.lit("ingest")),
    }


def _without(part: CorpusFrames, gone: DataFrame) -> CorpusFrames:
    """Return what a corpus holds without the posts whose ids have one of some digests."""
    posts, media = (None if rows is None else without_posts(rows, gone) for rows in (part.posts, part.media))
    return replace(part, posts=posts, media=media)


def _parse_pages(
    context: StageContext, parts: Mapping[Corpus, CorpusFrames | SplitPages], gone: DataFrame | None
) -> dict[Corpus, CorpusFrames]:
    """Return what the corpora hold without the posts whose ids have one of the digests `gone`.

    All that is made of pages is made of rows that are computed once.
    """
    parsed = {corpus: part for corpus, part in parts.items() if isinstance(part, CorpusFrames)}
    if gone is not None:
        parsed = {corpus: _without(part, gone) for corpus, part in parsed.items()}
    pages = {corpus: part for corpus, part in parts.items() if isinstance(part, SplitPages)}
    if pages:
        rows = union([part.rows for part in pages.values()])
        once = context.materialize(rows if gone is None else without_posts(rows, gone))
        parsed |= {corpus: part.parse(once.where(F.col("corpus") == corpus.name)) for corpus, part in pages.items()}
    return parsed


def _within_memory(cfg: Config, spark: SparkSession) -> Config:
    """Return the configuration with the largest file that the memory of a task holds, where that is less."""
    heap = task_heap(spark)
    most = max(HELD_BYTES, heap // HEAP_PER_BYTE) if heap else cfg.ingest.max_bytes
    ingest = cfg.ingest.model_copy(update={"max_bytes": min(most, cfg.ingest.max_bytes)})
    return cfg.model_copy(update={"ingest": ingest})


def account(cfg: Config, spark: SparkSession, frames: Frames) -> Account:
    """Return what became of the images; those that came in are counted at the source, without the pipeline."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        refused = pool.submit(frames["rejects"].where("stage = 'ingest' AND unit = 'image'").count)
        came = list(pool.map(partial(_count_source_images, cfg, spark, frames), cfg.corpora))
    return Account(images=sum(came), kept=count_rows(frames["images"]), duplicates=0, rejects=refused.result())


def _probe(cfg: Config, corpus: Corpus, part: CorpusFrames) -> DataFrame:
    candidates = part.images
    if part.n_bytes is not None and not is_local(folder := reader_of(corpus).image_folder(corpus)):
        candidates = with_contents(candidates, corpus.name, folder, cfg.ingest.max_bytes)
    elif part.n_bytes is not None:
        # The candidates are a few bytes each, in as few partitions as Spark likes; reading them takes all cores.
        candidates = candidates.repartition(max(slots(candidates.sparkSession), -(-part.n_bytes // READ_BYTES)))
    return image_rows.probe_images(candidates, corpus.name, cfg.ingest.max_pixels, cfg.ingest.max_bytes)


def _log_changes(context: StageContext, before: DataFrame, after: DataFrame) -> None:
    """Show how many images are new, gone and changed since the run before, where there was one."""
    if context.table_version("images") == "none":
        return
    changes = zip(image_rows.count_changes(before, after), ("new", "gone", "changed"), strict=True)
    changed = ", ".join(f"{number:,} {kind}" for number, kind in changes if number)
    context.log(f"ingest: {changed} since the last run" if changed else "ingest: the same images as in the last run")


def _in_order(images: DataFrame) -> DataFrame:
    """Return the images in files of about FILE_BYTES, parted by their ids."""
    total = images.agg(F.sum("n_bytes")).collect()[0][0] or 0
    return image_rows.in_order(images, max(slots(images.sparkSession), -(-total // FILE_BYTES)))


def _read_corpus(cfg: Config, spark: SparkSession, corpus: Corpus) -> CorpusFrames | SplitPages:
    return reader_of(corpus).read(cfg, spark, corpus)


def _count_source_images(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many images a corpus brought, at most its limit."""
    came = reader_of(corpus).count_images(cfg, spark, frames, corpus)
    return min(came, corpus.limit or came)


def _union(spark: SparkSession, frames: list[DataFrame], table: str) -> DataFrame:
    if not frames:
        return arrow.local_frame(spark, [], TABLES[table].schema)
    return union(frames)


STAGE = Stage(
    name="ingest",
    summary="image folders with CSV/JSONL metadata and posts in the X API's JSON become tables",
    reads=("images", "downloads", "tombstones"),
    writes=("images", "raw_posts", "posts", "media", "rejects"),
    config=("corpora", "ingest"),
    run=run,
    sources=lambda cfg, spark: corpora.fingerprint(spark, cfg.corpora, cfg.ingest.follow_links),
    account=account,
)
