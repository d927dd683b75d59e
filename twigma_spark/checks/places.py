"""What is wrong with the places that a run writes to, and with URLs that it reads."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from twigma_spark.checks.problem import Problem
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io import artifacts, export, url_files
from twigma_spark.io.events import STDERR
from twigma_spark.io.local_files import ON_THIS_MACHINE, URL, is_elsewhere, mount_path
from twigma_spark.stages.readers.reader import reader_of

# Stages that keep files beside the tables.
WITH_ARTIFACTS = {"neighbours", "project", "reward"}
WEB = re.compile(r"^https?:/")
BY_SPARK = "must be on a disk or a storage that Spark lists, such as s3a://"
READABLE, DRIVERS = "Arrow (s3://) or fsspec", "install its driver (adlfs for abfss://, gcsfs for gs://)"


def check_urls(cfg: Config, stages: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with places that are URLs, or must not be; the same on a cluster and on one machine."""
    root, kept = cfg.store.root, cfg.store.artifacts
    if URL.match(root) and "://" not in root:
        scheme, _, rest = root.partition(":/")
        yield Problem(
            "store.root", f"must be a folder, a URL or catalog.schema. Got {root!r}; write {scheme}:///{rest}"
        )
    if WITH_ARTIFACTS & set(stages):
        yield from _check_artifacts(root, kept)
    if "report" in stages and (why := export.why_unwritable(cfg.report.path)) is not None:
        yield Problem("report.path", why)
    yield from _check_corpora(cfg)
    yield from _check_read(cfg, stages)
    cache = cfg.neighbours.search.cache
    local = {"run.events": ("file", cfg.run.events), "sample.out": ("folder", cfg.sample.out)}
    for key, (what, path) in {**local, "neighbours.search.cache": ("folder", cache)}.items():
        if path is not None and URL.match(path):
            yield Problem(key, f"must be a {what} {ON_THIS_MACHINE}. Got {path!r}")


def _check_corpora(cfg: Config) -> Iterator[Problem]:
    """Yield what is wrong with corpora at URLs."""
    for corpus in cfg.corpora:
        key, reader = f"corpora.{corpus.name}", reader_of(corpus)
        for name, path in (("path", corpus.path), ("metadata", corpus.metadata)):
            if path is not None and WEB.match(path):
                yield Problem(
                    f"{key}.{name}",
                    f"{BY_SPARK}. Got {path!r}; download it first. Pictures that have addresses are downloaded by "
                    "fetch: true",
                )
        if not URL.match(corpus.path) or WEB.match(corpus.path):
            continue
        if reader.vectors is not None:
            text = f"must be a folder {ON_THIS_MACHINE}, for the reader {corpus.reader}. Got {corpus.path!r}"
            yield Problem(f"{key}.path", text)
        elif reader.finds_metadata and corpus.metadata is None:
            text = f"must be named where path is a URL, for the reader {corpus.reader}. Got null beside {corpus.path!r}"
            yield Problem(f"{key}.metadata", text)


def _check_read(cfg: Config, stages: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with other files at URLs: the driver reads them itself, but for texts."""
    for key, path in read_paths(cfg, stages).items():
        if path is None or key.startswith("corpora.") or not URL.match(mount_path(path)):
            continue
        if WEB.match(path):
            yield Problem(key, f"{BY_SPARK}. Got {path!r}; download it first")
        elif not key.startswith("texts.") and (why := url_files.why_unusable(path)) is not None:
            yield Problem(key, f"must be on a disk, or a URL that {READABLE} can read. Got {path!r}: {why}; {DRIVERS}")


def _check_artifacts(root: str, kept: str | None) -> Iterator[Problem]:
    try:
        where = artifacts.folder(root, kept)
    except ConfigError as error:
        yield Problem("store.artifacts", str(error).removeprefix("store.artifacts "))
        return
    if where.is_remote and (why := url_files.why_unusable(where.place)) is not None:
        yield Problem(
            "store.artifacts",
            f"must be a folder, or a URL that {READABLE} can read and write. Got {where.place!r}: {why}; {DRIVERS}",
        )


def check_folders(cfg: Config, stages: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with folders and files of this machine that are written to."""
    files = {"report.path": cfg.report.path if "report" in stages else None, "run.events": cfg.run.events}
    files = {key: path for key, path in files.items() if path not in (None, STDERR)}
    folders = {"store.root": cfg.store.root, "store.artifacts": cfg.store.artifacts, "sample.out": cfg.sample.out}
    for key, path in files.items():
        if path is not None and Path(path).is_dir():
            yield Problem(key, f"must be a file. Got {path!r}, which is a folder")
    yield from _check_writable({**folders, **{key: str(path).rpartition("/")[0] or "." for key, path in files.items()}})


def _check_writable(places: Mapping[str, str | None]) -> Iterator[Problem]:
    for key, path in places.items():
        if path is None or is_elsewhere(path):
            continue
        there = next(folder for folder in (Path(path).absolute(), *Path(path).absolute().parents) if folder.exists())
        if not there.is_dir():
            yield Problem(key, f"must be a folder, or lie in one. Got {path!r}, and {str(there)!r} is a file")
        elif not os.access(there, os.W_OK | os.X_OK):
            yield Problem(key, f"must be a folder that can be written to. Got {path!r}, and {str(there)!r} cannot")


def read_paths(cfg: Config, stages: Collection[str]) -> dict[str, str | None]:
    """Return the paths that the stages read, by their keys."""
    paths: dict[str, str | None] = {}
    for corpus in cfg.corpora if {"ingest", "fetch"} & set(stages) else ():
        paths[f"corpora.{corpus.name}.metadata"] = corpus.metadata
        paths[f"corpora.{corpus.name}.path"] = None if corpus.fetch and corpus.metadata else corpus.path
    if "deduplicate" in stages:
        paths["deduplicate.known_copies"] = cfg.deduplicate.known_copies
    if "concordance" in stages:
        paths["concordance.answers"] = cfg.concordance.answers
    if "embed_text" in stages:
        paths.update({f"texts.{text.name}.path": text.path for text in cfg.texts})
    if "pairs" in stages:
        paths.update({f"pairs.files.{number}.path": file.path for number, file in enumerate(cfg.pairs.files)})
    return paths
