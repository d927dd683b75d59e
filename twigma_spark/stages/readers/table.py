"""Reader `table`: pictures in a column of Parquet or Delta, such as the image data sets of Hugging Face."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as t

from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import CorpusError
from twigma_spark.io import corpora, peek
from twigma_spark.io.frames import count_rows
from twigma_spark.io.parquet_tables import is_delta, read_rows, text_of, type_of
from twigma_spark.schemas import POSTS
from twigma_spark.stages.readers.described import metadata_rejects
from twigma_spark.stages.readers.inspection import NAMES, Inspection, columns_to_name, guess_columns, require_layout
from twigma_spark.stages.readers.reader import CorpusFrames, Reader
from twigma_spark.stages.stage import Frames
from twigma_spark.transforms import candidates, posts_in_folder

EXPECTED = "Parquet files or a Delta table with a column of pictures: bytes, or a structure with bytes"

# Columns that may tell the rows of a table apart.
KEYS = ("file", "id", "key", "image_id", "file_name", "filename", "path", "name")


def read(cfg: Config, spark: SparkSession, corpus: Corpus) -> CorpusFrames:
    """Return the pictures of the rows and what the other columns say of them."""
    require_layout(inspect(Path(corpus.path)) is not None or _has_delta(corpus), corpus, "path", EXPECTED)
    rows = read_rows(spark, corpus.name, corpus.path)
    return read_pictures(cfg, corpus, rows, _key(spark, corpus, rows))


def read_pictures(
    cfg: Config, corpus: Corpus, rows: DataFrame, key: Column, reason: Column | None = None
) -> CorpusFrames:
    """Return the pictures of rows as candidates.

    A row without bytes is ``missing_file``, a further one with the same key ``duplicate_key``. No bytes pass
    through a shuffle: the few keys that come twice go to the rows.

    Args:
        cfg: the configuration.
        corpus: names the columns.
        rows: of the table.
        key: source_key of each row.
        reason: says why a row has no bytes, as text.
    """
    wanted = corpora.wanted_columns(corpus)
    names = [name for name in wanted.values() if type_of(rows, name) is not None]
    columns = {field: text_of(rows, name) for field, name in wanted.items() if field != "file" and name in names}
    also = {"content": _bytes(corpus, rows), "why": F.lit(None).cast("string") if reason is None else reason}
    described = corpora.as_metadata(corpus, rows, key, columns, [*names, wanted["file"]], also)
    pictures, posts = described.rows, None
    if not described.fields.isdisjoint(candidates.OF_POST):
        pictures = posts_in_folder.with_posts(pictures, corpus.name)
        posts = posts_in_folder.group_posts(pictures, corpus.name, POSTS.schema)
    judged = _judge(_mark_repeated(pictures), cfg.ingest.max_bytes)
    images = candidates.limit_images(candidates.complete(judged), corpus.limit)
    return CorpusFrames(images, metadata_rejects(corpus, described, Path(corpus.path).name), posts)


def _mark_repeated(rows: DataFrame) -> DataFrame:
    """Return the rows with `first`, the number of the first row of a key that comes twice, else null."""
    twice = rows.groupBy("file").agg(F.min("row").alias("first"), F.count("*").alias("times")).where("times > 1")
    return rows.join(F.broadcast(twice.select("file", "first")), "file", "left")


def _judge(rows: DataFrame, max_bytes: int) -> DataFrame:
    """Return the rows with n_bytes, and the reason and detail where there is no picture to be used."""
    size = F.length("content")
    again = F.col("first").isNotNull() & (F.col("first") != F.col("row"))
    reason = F.when(again, "duplicate_key").when(size.isNull(), "missing_file").when(size > max_bytes, "too_many_bytes")
    detail = (
        F.when(again, F.concat(F.lit("named again in row "), "row"))
        .when(size.isNull(), F.coalesce("why", F.lit("the row holds no bytes")))
        .when(size > max_bytes, f"more than {max_bytes:,} bytes")
    )
    judged = {"reason": reason, "detail": detail, "n_bytes": size.cast("bigint"), "source_key": F.col("file")}
    content = F.when(F.col("reason").isNull(), F.col("content"))
    return rows.withColumns(judged).withColumn("content", content)


def _bytes(corpus: Corpus, rows: DataFrame) -> Column:
    """Return the bytes of the column of pictures."""
    name = corpus.columns.image
    kind = type_of(rows, name)
    if isinstance(kind, t.BinaryType):
        return F.col(name)
    if isinstance(kind, t.StructType) and "bytes" in kind.names and isinstance(kind["bytes"].dataType, t.BinaryType):
        return F.col(f"{name}.bytes")
    there = ", ".join(f"{field.name} {field.dataType.simpleString()[:60]}" for field in rows.schema.fields)
    raise CorpusError(
        f"corpus '{corpus.name}': columns.image must name a column of bytes, or of a structure with bytes, for "
        f"the reader {corpus.reader}. Got {name!r}; there are {there}."
    )


def _key(spark: SparkSession, corpus: Corpus, rows: DataFrame) -> Column:
    """Return the source_key of each row: its `file`, else its place in a Parquet file."""
    named = text_of(rows, corpus.columns.file)
    has_names = type_of(rows, corpus.columns.file) is not None
    if is_delta(spark, corpus.path) or not rows.inputFiles():
        if not has_names:
            raise CorpusError(
                f"corpus '{corpus.name}': columns.file must name a column that tells the rows of a Delta table apart, "
                f"since their places change. Got {corpus.columns.file!r}; there are {', '.join(rows.columns)}."
            )
        return F.coalesce(named, F.concat(F.lit("row "), F.monotonically_increasing_id()))
    place = F.concat_ws("/", _file_name(rows), F.col("_metadata.row_index"))
    return F.coalesce(named, place) if has_names else place


def _file_name(rows: DataFrame) -> Column:
    """Return the name of a row's file, with as many folders before it as tell the files apart."""
    paths = [unquote(path).split("/") for path in rows.inputFiles()]
    parts = 1
    while len({tuple(path[-parts:]) for path in paths}) < len(paths) and parts < max(map(len, paths)):
        parts += 1
    return F.array_join(F.slice(F.split("_metadata.file_path", "/"), -parts, parts), "/")


def count_images(cfg: Config, spark: SparkSession, frames: Frames, corpus: Corpus) -> int:
    """Return how many rows there are, with or without a picture."""
    return count_rows(read_rows(spark, corpus.name, corpus.path))


def _has_delta(corpus: Corpus) -> bool:
    return (Path(corpus.path) / "_delta_log").is_dir()


def check(corpus: Corpus) -> int | None:
    """Return how many rows there are; of a Delta table it is not known without Spark, and none are said."""
    if _has_delta(corpus):
        return peek.MOST_FILES
    require_layout(inspect(Path(corpus.path)) is not None, corpus, "path", EXPECTED)
    head = peek.parquet_head(peek.parquet_files(Path(corpus.path)))
    name = corpus.columns.image.partition(".")[0]
    if name not in head.columns:
        raise CorpusError(
            f"corpus '{corpus.name}': columns.image must name the column of pictures. Got {corpus.columns.image!r}; "
            f"there are {', '.join(head.columns)}."
        )
    return head.n_rows


def inspect(path: Path) -> Inspection | None:
    """Return what the reader sees of Parquet files with a column of pictures."""
    files = peek.parquet_files(path) if path.exists() else []
    head = peek.readable_head(files)
    pictures = () if head is None else head.of_type(partial(peek.holds_bytes, field="bytes"))
    if head is None or not pictures:
        return None
    delta = (path / "_delta_log").is_dir()
    image = "image" if "image" in pictures else pictures[0]
    others = tuple(name for name in head.columns if name not in pictures)
    names = {ours: known for ours, known in NAMES.items() if ours != "file"}
    key = guess_columns(others, {"file": KEYS}) if delta else {}
    columns = columns_to_name({"image": image, **guess_columns(others, names), **key})
    keys = {"path": str(path), **({"columns": columns} if columns else {})}
    more: tuple[str, ...] = ("columns.file must name a column that tells rows apart",) if delta and not key else ()
    more += (f"there are {len(pictures)} columns of bytes: {', '.join(pictures)}",) if len(pictures) > 1 else ()
    # Files that were deleted from a Delta table are still there.
    counts = {"files": len(files)} if delta else {"rows": head.n_rows or 0, "files": len(files)}
    return Inspection(keys, "posts", counts, head.columns, head.rows, more)


READER = Reader(read, count_images, expects=EXPECTED, inspect=inspect, check=check)
