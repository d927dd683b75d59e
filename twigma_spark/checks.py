"""What is known to be wrong before Spark starts: paths, metadata, models, numbers of images, places to write to."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from twigma_spark.config.data import Corpus
from twigma_spark.config.models import OpenClip
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError, ModelError
from twigma_spark.io import local_files
from twigma_spark.io.local_files import URL, is_elsewhere
from twigma_spark.stages import specs

# Of a metadata file: what tells its separator and encoding, and whether its names are those of files.
HEAD_BYTES = 2**20
HEAD_ROWS = 1000
# Files of a corpus that are counted; where there are more, there are enough.
MOST_FILES = 50_000
SEPARATORS = {",": "a comma", ";": "';'", "\t": "a tab", "|": "'|'"}
BEGINNING = "paths start at the working directory"


@dataclass(frozen=True)
class Problem:
    """What is wrong with one key of the configuration; where it is not `fatal`, a run goes on with a warning."""

    key: str
    text: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


def check(cfg: Config, stages: Collection[str], log: Callable[[str], None]) -> None:
    """Show warnings, and raise all faults at once.

    Args:
        cfg: the configuration.
        stages: names of those that shall run; what none of them needs is not checked.
        log: shows a line.

    Raises:
        ConfigError: a stage would fail.
    """
    problems = find_problems(cfg, stages)
    for problem in problems:
        if not problem.fatal:
            log(f"warning: {problem}")
    if faults := [problem for problem in problems if problem.fatal]:
        raise ConfigError("the run must be able to start. Faults:\n" + "\n".join(f"  {fault}" for fault in faults))


def find_problems(cfg: Config, stages: Collection[str]) -> list[Problem]:
    """Return the faults and warnings of a configuration; a path that is not on this machine is not looked at."""
    if _on_cluster():
        return list(_models(cfg, stages))
    found = list(_places(cfg, stages))
    drawn_later = cfg.sample.out is not None and not Path(cfg.sample.out).exists()
    if "ingest" in stages and not drawn_later:
        found += _corpora(cfg, stages)
    if not drawn_later:
        found += _inputs(cfg, stages)
    found += _models(cfg, stages)
    return found


def _on_cluster() -> bool:
    """Return whether spark-submit or Databricks runs this, where a path without a scheme need not be this machine's."""
    return bool({"PYSPARK_GATEWAY_PORT", "DATABRICKS_RUNTIME_VERSION"} & os.environ.keys())


def _corpora(cfg: Config, stages: Collection[str]) -> Iterator[Problem]:
    if not cfg.corpora:
        yield Problem(
            "corpora", "must name a corpus. Got none; name a file with --conf, such as a copy of conf/folder.yaml"
        )
    images: dict[str, int] = {}
    for corpus in cfg.corpora:
        key = f"corpora.{corpus.name}"
        if URL.match(corpus.path):
            continue
        if not Path(corpus.path).exists():
            yield Problem(f"{key}.path", _missing(corpus.path))
            continue
        listed = local_files.list_files(_image_folder(corpus), cfg.ingest.follow_links)
        files = [file.key for file in islice(listed, MOST_FILES)]
        images[corpus.name] = sum(map(local_files.is_image, files))
        if not images[corpus.name] and len(files) < MOST_FILES:
            place, suffixes = _absolute(_image_folder(corpus)), ", ".join(local_files.IMAGE_SUFFIXES)
            text = f"must hold images ({suffixes}). Got none among {len(files):,} files in {place}"
            yield Problem(f"{key}.path", text)
        if corpus.metadata is not None and not URL.match(corpus.metadata):
            yield from _metadata(corpus, f"{key}.metadata")
    if "cluster" in stages:
        yield from _clusterings(cfg, images)


def _clusterings(cfg: Config, images: Mapping[str, int]) -> Iterator[Problem]:
    for clustering in cfg.cluster.clusterings:
        names = cfg.of_role(*clustering.roles)
        if not names or not all(name in images for name in names):
            continue
        there = sum(min(images[name], _limit(cfg, name)) for name in names)
        if 0 < there < clustering.k:
            yield Problem(
                f"cluster.clusterings.{clustering.id}.k",
                f"must be at most the number of images. Got {clustering.k}, and {there} images in {', '.join(names)}",
            )


def _limit(cfg: Config, name: str) -> float:
    return next((c.limit for c in cfg.corpora if c.name == name and c.limit is not None), float("inf"))


def _image_folder(corpus: Corpus) -> str:
    return corpus.path.rstrip("/") + "/media" if corpus.reader == "x_api" else corpus.path


def _metadata(corpus: Corpus, key: str) -> Iterator[Problem]:
    path = Path(str(corpus.metadata))
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        hint = "; save the sheet as CSV" if suffix in (".xlsx", ".xls", ".ods") else ""
        yield Problem(key, f"must be a .csv, .tsv, .jsonl or .ndjson file. Got {path.name!r}{hint}")
    elif not path.is_file():
        yield Problem(key, _missing(str(path)))
    else:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            yield Problem(key, "must be UTF-8. Got UTF-16; save it as UTF-8")
        elif not head.strip():
            yield Problem(key, f"must describe images. Got an empty file, {_absolute(str(path))}")
        else:
            yield from _head(corpus, key, head, suffix)


def _head(corpus: Corpus, key: str, head: bytes, suffix: str) -> Iterator[Problem]:
    """Yield what the beginning of a metadata file shows."""
    cut = head if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1]
    try:
        text = cut.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = cut[: error.start].count(b"\n") + 1
        yield Problem(
            key,
            f"must be UTF-8, or its lines become rejects. Got byte 0x{cut[error.start]:02x} in line {line} (latin-1?)",
            False,
        )
        text = cut.decode("utf-8-sig", "replace")
    wanted = corpus.columns.file
    if suffix in (".jsonl", ".ndjson"):
        rows, columns = _json_rows(text)
    else:
        rows, columns = _csv_rows(corpus, text, "\t" if suffix == ".tsv" else ",")
    if not columns:
        yield Problem(key, f"must have a line of JSON for each image. Got {text.strip()[:60]!r}")
    elif wanted not in columns:
        yield Problem(key, _no_column(corpus, text, columns, suffix))
    elif doubled := sorted({name for name in columns if columns.count(name) > 1}):
        yield Problem(key, f"must have columns of different names. Got twice: {', '.join(doubled)}")
    elif rows and not any(_is_file(corpus, row.get(wanted) or "") for row in rows):
        said = f"its column {wanted!r} must name files below {_absolute(corpus.path)}"
        yield Problem(key, f"{said}. Got no file in {len(rows):,} rows, such as {rows[0].get(wanted)!r}", False)


def _no_column(corpus: Corpus, text: str, columns: list[str], suffix: str) -> str:
    wanted, first = corpus.columns.file, text.splitlines()[0]
    said = f"must have a column {wanted!r} with the names of the files"
    for separator, name in SEPARATORS.items():
        if wanted in [part.strip('" ') for part in first.split(separator)] and len(columns) == 1:
            other = "name it .tsv" if separator == "\t" else "save it with commas"
            return f"{said}. The separator seems to be {name}; {other}"
    there = ", ".join(columns)
    return f"{said}. Got {there}; set corpora.{corpus.name}.columns.file to the column's name" + (
        ""
        if suffix in (".jsonl", ".ndjson") or corpus.header
        else ", or header to the names of a file without a first line of them"
    )


def metadata_columns(path: Path) -> list[str]:
    """Return the names of the columns of a metadata file, as its beginning shows them."""
    with path.open("rb") as file:
        text = file.read(HEAD_BYTES).decode("utf-8-sig", "replace")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _json_rows(text)[1]
    return next(csv.reader(text.splitlines(), delimiter="\t" if path.suffix.lower() == ".tsv" else ","), [])


def _csv_rows(corpus: Corpus, text: str, separator: str) -> tuple[list[dict[str, str]], list[str]]:
    lines = csv.reader(text.splitlines(), delimiter=separator)
    columns = list(corpus.header) if corpus.header else next(lines, [])
    return [dict(zip(columns, row, strict=False)) for row in islice(lines, HEAD_ROWS)], columns


def _json_rows(text: str) -> tuple[list[dict[str, str]], list[str]]:
    rows = []
    for line in islice((line for line in text.splitlines() if line.strip()), HEAD_ROWS):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append({name: value if isinstance(value, str) else "" for name, value in row.items()})
    return rows, list(dict.fromkeys(name for row in rows for name in row))


def _is_file(corpus: Corpus, name: str) -> bool:
    folders = (Path(corpus.path), Path(str(corpus.metadata)).parent)
    return bool(name) and any((folder / name).is_file() for folder in folders)


def _inputs(cfg: Config, stages: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with other files that stages read."""
    files = {
        "deduplicate.known_copies": cfg.deduplicate.known_copies if "deduplicate" in stages else None,
        "concordance.answers": cfg.concordance.answers if "concordance" in stages else None,
        **{f"texts.{text.name}.path": text.path for text in cfg.texts if "embed_text" in stages},
    }
    for key, path in files.items():
        if path is not None and not URL.match(path) and not Path(path).exists():
            yield Problem(key, _missing(path))


def _models(cfg: Config, stages: Collection[str]) -> Iterator[Problem]:
    made: dict[str, Callable[[], object]] = {}
    if "embed" in stages:
        made["models.image"] = lambda: _try_image(cfg)
    if "score" in stages:
        made |= {f"models.scores.{name}": _trying_score(cfg, name) for name in cfg.models.scores}
    for key, make in made.items():
        try:
            make()
        except ModelError as error:
            yield Problem(key, str(error))
    if "report" in stages and "nsfw" not in cfg.models.scores:
        yield Problem(
            "models.scores", "has no nsfw: the report hides every picture that its post did not flag as harmless", False
        )


def _try_image(cfg: Config) -> None:
    model = specs.image_encoder(cfg)
    if not isinstance(cfg.models.image, OpenClip):
        model.setup()  # the network's inputs and outputs; of open_clip, importing torch alone takes seconds
        return
    _ = model.model_id
    name, known = cfg.models.image.name, _architectures()
    if name is None or not known or specs.is_path(name) or name.startswith("hf-hub:"):
        return
    if name.replace("/", "-") not in known:
        raise ModelError(f"name must be an architecture of open_clip, such as ViT-L-14. Got {name!r}.")


def _trying_score(cfg: Config, name: str) -> Callable[[], object]:
    return lambda: specs.scorers(cfg.model_copy(update={"models": _only_score(cfg, name)}))[name].setup()


def _only_score(cfg: Config, name: str) -> object:
    return cfg.models.model_copy(update={"scores": {name: cfg.models.scores[name]}})


def _architectures() -> set[str]:
    """Return the names that open_clip knows, from its files: importing it takes seconds."""
    spec = importlib.util.find_spec("open_clip")
    folder = Path(spec.origin).parent / "model_configs" if spec and spec.origin else None
    return {path.stem for path in folder.glob("*.json")} if folder and folder.is_dir() else set()


def _places(cfg: Config, stages: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with the places that are written to."""
    places = {"store.root": cfg.store.root, "store.artifacts": cfg.store.artifacts}
    if "report" in stages:
        places["report.path"] = cfg.report.path.rpartition("/")[0] or "."
    for key, path in places.items():
        if path is None or is_elsewhere(path):
            continue
        there = next(folder for folder in (Path(path).absolute(), *Path(path).absolute().parents) if folder.exists())
        if not there.is_dir():
            yield Problem(key, f"must be a folder, or lie in one. Got {path!r}, and {str(there)!r} is a file")
        elif not os.access(there, os.W_OK | os.X_OK):
            yield Problem(key, f"must be a folder that can be written to. Got {path!r}, and {str(there)!r} cannot")


def _missing(path: str) -> str:
    return f"must be an existing file or folder. Got {path!r}, which is {_absolute(path)}; {BEGINNING}"


def _absolute(path: str) -> str:
    return str(Path(path).absolute())
