"""What a path holds and which reader fits: counts, columns, first rows, faults, and YAML to paste; without Spark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import yaml

from twigma_spark.checks.configuration import find_problems
from twigma_spark.config.data import OLDER_NAME, READERS, Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import CorpusError
from twigma_spark.io import local_files, peek
from twigma_spark.stages.readers import folder
from twigma_spark.stages.readers.inspection import Inspection, corpus_name, guess_role
from twigma_spark.stages.readers.reader import reader_named

# Folders of a folder that are looked at, and characters of a value that are shown.
MOST_FOLDERS, SHOWN = 50, 60


@dataclass(frozen=True)
class Found:
    """A corpus that a reader sees."""

    reader: str
    path: Path
    inspection: Inspection

    def corpus(self, name: str) -> dict[str, object]:
        """Return its keys in YAML."""
        reader = {} if self.reader == "folder" else {"reader": self.reader}
        return {"name": name, "role": self.inspection.role, **reader, **self.inspection.keys}


def inspect(path: str) -> str:
    """Return in words what lies at a path and which reader fits, and the YAML to paste.

    Raises:
        CorpusError: no reader knows it; says what was looked for.
    """
    if local_files.is_elsewhere(path) or not Path(path).exists():
        raise CorpusError(
            f"PATH must be an existing file or folder of this machine. Got {path!r}; a URL or a table of the catalog "
            "goes into corpora[].path as it is (docs/corpora.md)."
        )
    listed = find_corpora(Path(path))
    if not listed:
        looked = "; ".join(f"{name}: {reader_named(name).expects}" for name in READERS if name != OLDER_NAME)
        raise CorpusError(
            f"PATH must be what a reader knows. Got {path!r}, {peek.describe(Path(path))}; looked for {looked}."
        )
    names = _names(listed)
    corpora = [each.corpus(name) for each, name in zip(listed, names, strict=True)]
    text = "\n".join(_describe(each, corpus) for each, corpus in zip(listed, corpora, strict=True))
    pasted = yaml.safe_dump({"corpora": corpora}, sort_keys=False, allow_unicode=True)
    return f"{text}\nPaste into a configuration, and correct the role:\n\n{pasted}"


def find_corpora(path: Path) -> list[Found]:
    """Return what the readers see of a path: one corpus, or one for each of its folders."""
    if (whole := _find_specific(path)) is not None:
        return [whole]
    folders = [] if path.is_file() else [place for place in sorted(path.iterdir()) if place.is_dir()]
    own = path.is_dir() and any(local_files.is_image(place.name) for place in islice(path.iterdir(), peek.MOST_FILES))
    parts = (
        []
        if own
        else [corpus for place in folders[:MOST_FOLDERS] if (corpus := _find_specific(place) or _find_folder(place))]
    )
    if len(parts) > 1 or any(corpus.reader != "folder" for corpus in parts):
        return parts
    corpus = _find_folder(path)
    return [] if corpus is None else [corpus]


def _find_specific(path: Path) -> Found | None:
    """Return what the first reader but `folder` sees."""
    for name in READERS:
        look = reader_named(name).inspect
        if name != "folder" and look is not None and (inspection := look(path)) is not None:
            return Found(name, path, inspection)
    return None


def _find_folder(path: Path) -> Found | None:
    inspection = folder.inspect(path, guess_role(path.name))
    return None if inspection is None else Found("folder", path, inspection)


def _names(corpora: Sequence[Found]) -> list[str]:
    """Return a name of its own for each corpus."""
    names: list[str] = []
    for each in corpora:
        name = corpus_name(each.path.with_suffix("") if each.path.is_file() else each.path)
        names.append(name if name not in names else f"{name[:28]}_{len(names)}")
    return names


def _describe(guess: Found, corpus: dict[str, object]) -> str:
    inspection = guess.inspection
    lines = [f"{guess.path}: reader {guess.reader}"]
    lines.append("  " + ", ".join(f"{what}: {_count(n)}" for what, n in inspection.counts.items()))
    if inspection.columns:
        lines.append(f"  columns: {_printable(', '.join(inspection.columns), 400)}")
    for n, row in enumerate(inspection.rows):
        shown = "; ".join(f"{name} = {_printable(value, SHOWN)}" for name, value in row.items() if value)
        lines.append(f"  row {n}: {_printable(shown, 400)}")
    lines += [f"  note: {_printable(fault, 400)}" for fault in (*inspection.faults, *_problems(corpus))]
    return "\n".join(lines)


def _count(number: int) -> str:
    return f"{number:,}" if number < peek.MOST_FILES else f"{number:,} or more"


def _problems(corpus: dict[str, object]) -> Iterator[str]:
    """Yield what a run would find wrong with the corpus before it starts."""
    cfg = Config(corpora=(Corpus.model_validate(corpus),))
    for problem in find_problems(cfg, ["ingest", "fetch"]):
        if problem.key.startswith("corpora"):
            yield problem.text


def _printable(text: str, most: int) -> str:
    """Return a text on one line, without what a terminal would take for a command."""
    plain = "".join(c if c.isprintable() else " " for c in text[: most + 1])
    return plain if len(plain) <= most else plain[: most - 1] + "…"
