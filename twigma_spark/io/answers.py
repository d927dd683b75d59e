"""Annotators' answers: JSON files that the page saves, and sheets in CSV that were filled in."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from twigma_spark.errors import CorpusError
from twigma_spark.io.local_files import URL, mount_path
from twigma_spark.io.url_files import Settings, list_url, read_file

SUFFIXES = (".json", ".csv")
KEYWORDS = ("keyword_1", "keyword_2", "keyword_3")
HEADER = ("number", "item", *KEYWORDS, "group")
Said = tuple[str, str, tuple[str, ...], str]


def fingerprint(folder: str | None, settings: Settings = ()) -> str:
    """Return a hash of the names and contents of the answer files; of none, "none"."""
    digest = hashlib.sha256()
    for path in _files(folder, settings) or ():
        digest.update(PurePosixPath(path).name.encode() + b"\0" + read_file(path, settings))
    return digest.hexdigest()[:16] if folder else "none"


def read_answers(folder: str | None, settings: Settings = ()) -> list[Said]:
    """Return annotator, item, keywords and group of every answer; an annotator is named by the file's own name.

    Args:
        folder: of this machine, or a URL.
        settings: how S3 is reached.

    Raises:
        CorpusError: where the folder is missing or a file is no file of answers.
    """
    if folder is None:
        return []
    rule = f"concordance.answers must be a folder of .json or .csv files. Got {folder!r}"
    try:
        files = _files(folder, settings)
        if files is None:
            raise CorpusError(f"{rule}.")
        return [answer for path in files for answer in _read(path, read_file(path, settings))]
    except OSError as error:
        raise CorpusError(f"{rule}: {error}.") from error


def _files(folder: str | None, settings: Settings) -> list[str] | None:
    """Return the paths of the answer files, in the order of their names; None where there is no folder."""
    place = mount_path(folder or "")
    if URL.match(place):
        below = list_url(place, settings)
        names = [name for name in below if "/" not in name] if below else None
    else:
        names = sorted(path.name for path in Path(place).iterdir()) if folder and Path(place).is_dir() else None
    if names is None:
        return None
    return [f"{place.rstrip('/')}/{name}" for name in names if name.endswith(SUFFIXES)]


def _read(path: str, content: bytes) -> Iterator[Said]:
    name = PurePosixPath(path)
    try:
        text = content.decode("utf-8-sig")
        yield from _json(name.stem, json.loads(text)) if name.suffix == ".json" else _csv(name.stem, text)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(
            f"answers must be a file that the annotation page saved, or its sheet with the columns "
            f"{', '.join(HEADER)}. Got {path!r}: {error!r}."
        ) from error


def _json(stem: str, data: Any) -> Iterator[Said]:
    name = str(data.get("annotator") or stem)
    for answer in data["answers"]:
        yield name, str(answer["item"]), tuple(str(k) for k in answer["keywords"]), str(answer["group"])


def _csv(stem: str, text: str) -> Iterator[Said]:
    for row in csv.DictReader(text.splitlines()):
        yield stem, row["item"], tuple(row[k] or "" for k in KEYWORDS), row["group"] or ""


def blank_sheet(items: list[str]) -> str:
    """Return the sheet in CSV: number, item and empty boxes."""
    lines = [",".join(HEADER)] + [f"{n},{item},,,," for n, item in enumerate(items, start=1)]
    return "\n".join(lines) + "\n"
