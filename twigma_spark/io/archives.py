"""Tars of images with texts beside them (WebDataset): what is in them and where, read by the executors."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StringType, StructField, StructType

from twigma_spark.errors import CorpusError
from twigma_spark.io import arrow, peek
from twigma_spark.io.local_files import as_utf8, is_image, is_local
from twigma_spark.io.session import slots

MEMBERS = "source_key STRING, path BINARY, start BIGINT, n_bytes BIGINT, reason STRING, detail STRING, bad STRING"
# Larger texts beside an image are none.
TEXT_BYTES = 2**20
# Members that travel to the JVM at once.
BATCH = 4096


@dataclass
class Member:
    """An image in a tar.

    Attributes:
        source_key: name of the tar, and of the image in it.
        start: where its bytes begin in the tar.
        n_bytes: how many there are.
        texts: what the JSON and the text beside it say, by column.
        reason: why it cannot be used, else None.
        detail: what was seen.
        bad: the beginning of a JSON beside it that cannot be parsed.
    """

    source_key: str
    start: int = 0
    n_bytes: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    reason: str | None = None
    detail: str | None = None
    bad: str | None = None


def list_tars(corpus: str, path: str) -> list[Path]:
    """Return the tars of a folder, which all nodes must see as a disk.

    Raises:
        CorpusError: it is a URL, since a tar there could only be read whole, into memory.
    """
    if not is_local(path):
        raise CorpusError(
            f"corpus '{corpus}': path must be a folder that all nodes see as a disk, such as /Volumes/..., where "
            f"images lie in tars. Got {path!r}."
        )
    return peek.files_with(Path(path), ".tar")


def read_members(spark: SparkSession, tars: Iterable[Path], columns: Mapping[str, str]) -> DataFrame:
    """Return the images in tars: `MEMBERS`, and `columns` as text. Tasks read headers and texts, not the images.

    Args:
        spark: the session.
        tars: files.
        columns: keys of the JSON beside an image by the column that they fill; a text beside it is its caption.
    """
    fixed = spark.createDataFrame([], MEMBERS).schema
    schema = StructType([*fixed.fields, *[StructField(name, StringType()) for name in columns]])
    return _paths(spark, tars).mapInArrow(
        partial(_read_batches, columns=dict(columns), schema=to_arrow_schema(schema)), schema
    )


def count_images(spark: SparkSession, tars: Iterable[Path]) -> DataFrame:
    """Return how many images each tar has (images), listed anew; one that cannot be read counts one more."""

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            numbers = [count_members(Path(os.fsdecode(tar))) for tar in batch.column("tar").to_pylist()]
            yield pa.record_batch([pa.array(numbers, pa.int64())], ["images"])

    return _paths(spark, tars).mapInArrow(count, "images BIGINT")


def _paths(spark: SparkSession, tars: Iterable[Path]) -> DataFrame:
    """Return a row for each tar, in as many partitions as keep all slots busy."""
    rows = [(os.fsencode(tar),) for tar in tars]
    return arrow.local_frame(spark, rows, "tar BINARY").repartition(max(1, min(len(rows), 4 * slots(spark))))


def _read_batches(
    batches: Iterable[pa.RecordBatch], columns: dict[str, str], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    for tar in (path for batch in batches for path in batch.column("tar").to_pylist()):
        held: list[dict[str, object]] = []
        for member in members_of(Path(os.fsdecode(tar)), columns):
            fixed = {n: getattr(member, n) for n in ("source_key", "start", "n_bytes", "reason", "detail", "bad")}
            held.append({**fixed, **member.texts, "path": None if member.reason else tar})
            if len(held) == BATCH:
                yield pa.RecordBatch.from_pylist(held, schema)
                held = []
        yield pa.RecordBatch.from_pylist(held, schema)


def members_of(tar: Path, columns: Mapping[str, str]) -> Iterator[Member]:
    """Yield the images of a tar with the texts beside them; a tar that ends too early is a member with a reason.

    Files belong together where their names are the same up to the first dot after the last slash (WebDataset); those
    of an image lie one after the other. Nothing is unpacked, and no name leads to a file.
    """
    seen: set[str] = set()
    images: list[Member] = []
    texts: dict[str, str] = {}
    stem, bad = None, None

    def finish() -> Iterator[Member]:
        for image in images:
            image.texts, image.bad = texts, bad
            yield image

    try:
        with tarfile.open(tar, "r:") as opened:
            for info in opened:
                if not info.isreg():
                    continue
                if stem_of(info.name) != stem:
                    yield from finish()
                    stem, images, texts, bad = stem_of(info.name), [], {}, None
                if is_image(info.name):
                    images.append(_image(tar, info, seen))
                elif info.name.endswith((".json", ".txt")) and info.size <= TEXT_BYTES:
                    content = opened.extractfile(info)
                    parsed, fault = _parse(info.name, b"" if content is None else content.read(), columns)
                    texts, bad = {**texts, **parsed}, bad or fault
            yield from finish()
    except (tarfile.TarError, OSError, EOFError) as error:
        yield from finish()
        yield Member(as_utf8(tar.name), reason="unreadable_archive", detail=f"{type(error).__name__}: {error}"[:200])


def stem_of(name: str) -> str:
    """Return what the names of an image and of the texts beside it share."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _image(tar: Path, info: tarfile.TarInfo, seen: set[str]) -> Member:
    member = Member(as_utf8(f"{tar.name}/{info.name}"), info.offset_data, info.size)
    if info.name in seen:
        member.reason, member.detail = "duplicate_key", "comes again in the tar"
    elif info.issparse():
        member.reason, member.detail = "unreadable_file", "a sparse file in a tar"
    seen.add(info.name)
    return member


def _parse(name: str, content: bytes, columns: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    """Return the columns that a text beside an image fills, and its beginning where it cannot be parsed."""
    try:
        text = content.decode("utf-8")
        parsed = json.loads(text) if name.endswith(".json") else {}
    except ValueError:
        return {}, content[:200].decode("utf-8", "replace")
    if not name.endswith(".json"):
        return ({"caption": text.strip()} if "caption" in columns and text.strip() else {}), None
    if not isinstance(parsed, dict):
        return {}, text[:200]
    texts = {ours: _as_text(parsed.get(key)) for ours, key in columns.items()}
    return {ours: value for ours, value in texts.items() if value is not None}, None


def _as_text(value: object) -> str | None:
    """Return a value of a JSON as text; of a list the first."""
    if isinstance(value, list):
        return _as_text(value[0]) if value else None
    return value if isinstance(value, str) or value is None else json.dumps(value)


def count_members(tar: Path) -> int:
    """Return how many images the names in a tar say there are, one more where it cannot be read to its end."""
    number = 0
    try:
        with tarfile.open(tar, "r:") as opened:
            for info in opened:
                number += info.isreg() and is_image(info.name)
    except (tarfile.TarError, OSError, EOFError):
        number += 1
    return number
