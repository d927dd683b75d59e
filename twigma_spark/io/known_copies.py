"""Copies that people know of: a CSV with a row for each, against which the search for duplicates is measured."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from twigma_spark.errors import CorpusError
from twigma_spark.io.url_files import Settings, read_file

TIERS = ("media", "bytes", "near")


class KnownCopy(NamedTuple):
    """An image that repeats another of its corpus.

    Attributes:
        corpus: the corpus of both.
        source_key: the copy.
        copy_of: the image that it repeats.
        tier: what they share: media (the platform's id), bytes, or near (the picture alone).
    """

    corpus: str
    source_key: str
    copy_of: str
    tier: str


def fingerprint(path: str | None, settings: Settings = ()) -> str:
    """Return a hash of the file's contents; of none, "none"; of one that is missing, "missing"."""
    if path is None:
        return "none"
    try:
        return hashlib.sha256(read_file(path, settings)).hexdigest()[:16]
    except (FileNotFoundError, IsADirectoryError):
        return "missing"


def read_known_copies(path: str, settings: Settings = ()) -> list[KnownCopy]:
    """Return the rows of the file.

    Args:
        path: of this machine, or a URL.
        settings: how S3 is reached.

    Raises:
        CorpusError: where the file is missing, has other columns, or a row has a tier that does not exist.
    """
    try:
        text = read_file(path, settings).decode("utf-8-sig")
        return list(_read(path, csv.DictReader(io.StringIO(text, newline=""))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"deduplicate.known_copies must be a readable CSV file. Got {path!r}: {error}.") from error


def _read(path: str, rows: csv.DictReader[str]) -> Iterator[KnownCopy]:
    if not set(KnownCopy._fields) <= set(rows.fieldnames or ()):
        columns = ", ".join(KnownCopy._fields)
        raise CorpusError(f"{path}: its columns must be {columns}. Got {', '.join(rows.fieldnames or ())!r}.")
    for row in rows:
        copy = KnownCopy(*(row[name] or "" for name in KnownCopy._fields))
        if copy.tier not in TIERS:
            raise CorpusError(f"{path}, line {rows.line_num}: tier must be {', '.join(TIERS)}. Got {copy.tier!r}.")
        yield copy


def format_known_copies(copies: Iterable[KnownCopy]) -> str:
    """Return the text of such a file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([KnownCopy._fields, *copies])
    return out.getvalue()
