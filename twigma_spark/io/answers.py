"""Annotators' answers: JSON files that the page saves, and sheets in CSV that were filled in."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twigma_spark.errors import CorpusError

KEYWORDS = ("keyword_1", "keyword_2", "keyword_3")
HEADER = ("number", "item", *KEYWORDS, "group")
Said = tuple[str, str, tuple[str, ...], str]


def fingerprint(folder: str | None) -> str:
    """Return a hash of the names and contents of the answer files; of none, "none"."""
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16] if folder else "none"


def read_answers(folder: str | None) -> list[Said]:
    """Return annotator, item, keywords and group of every answer; an annotator is named by the file's own name.

    Raises:
        CorpusError: where the folder is missing or a file is no file of answers.
    """
    if folder is None:
        return []
    if not Path(folder).is_dir():
        raise CorpusError(f"concordance.answers must be a folder of .json or .csv files. Got {folder!r}.")
    return [answer for path in _files(folder) for answer in _read(path)]


def _files(folder: str | None) -> list[Path]:
    root = Path(folder) if folder else None
    if root is None or not root.is_dir():
        return []
    return sorted(p for p in root.iterdir() if p.suffix in (".json", ".csv"))


def _read(path: Path) -> Iterator[Said]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        yield from _json(path, json.loads(text)) if path.suffix == ".json" else _csv(path, text)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(
            f"answers must be a file that the annotation page saved, or its sheet with the columns "
            f"{', '.join(HEADER)}. Got {str(path)!r}: {error!r}."
        ) from error


def _json(path: Path, data: Any) -> Iterator[Said]:
    name = str(data.get("annotator") or path.stem)
    for answer in data["answers"]:
        yield name, str(answer["item"]), tuple(str(k) for k in answer["keywords"]), str(answer["group"])


def _csv(path: Path, text: str) -> Iterator[Said]:
    for row in csv.DictReader(text.splitlines()):
        yield path.stem, row["item"], tuple(row[k] or "" for k in KEYWORDS), row["group"] or ""


def blank_sheet(items: list[str]) -> str:
    """Return the sheet in CSV: number, item and empty boxes."""
    lines = [",".join(HEADER)] + [f"{n},{item},,,," for n, item in enumerate(items, start=1)]
    return "\n".join(lines) + "\n"
