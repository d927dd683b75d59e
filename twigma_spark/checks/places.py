"""What is wrong with the places that a run writes to."""

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
from twigma_spark.io.local_files import URL, is_elsewhere

# Stages that keep files beside the tables.
WITH_ARTIFACTS = {"neighbours", "project", "reward"}
ON_THIS_MACHINE = "on this machine, or mounted there like /Volumes"


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
    for corpus in cfg.corpora:
        for key, path in (("path", corpus.path), ("metadata", corpus.metadata)):
            if path is not None and re.match(r"https?:/", path):
                yield Problem(
                    f"corpora.{corpus.name}.{key}",
                    f"must be on a disk or a storage that Spark lists, such as s3a://. Got {path!r}; download it "
                    "first. Pictures that have addresses are downloaded by fetch: true",
                )
    for key, what, path in (("run.events", "file", cfg.run.events), ("sample.out", "folder", cfg.sample.out)):
        if path is not None and URL.match(path):
            yield Problem(key, f"must be a {what} {ON_THIS_MACHINE}. Got {path!r}")


def _check_artifacts(root: str, kept: str | None) -> Iterator[Problem]:
    try:
        where = artifacts.folder(root, kept)
    except ConfigError as error:
        yield Problem("store.artifacts", str(error).removeprefix("store.artifacts "))
        return
    if where.is_remote and (why := url_files.why_unusable(where.place)) is not None:
        yield Problem(
            "store.artifacts",
            f"must be a folder, or a URL that Arrow (s3://) or fsspec can read and write. Got {where.place!r}: {why}; "
            "install its driver (adlfs for abfss://, gcsfs for gs://)",
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
