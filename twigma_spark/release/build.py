"""A release: what others may have of a store, as files with all that describes them."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from twigma_spark.config.release import Platform
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io import arrow, release_files
from twigma_spark.io.folders import check_new_folder, whole_folder
from twigma_spark.io.frames import count_rows
from twigma_spark.io.release_files import MANIFEST, Part
from twigma_spark.io.tables import Store
from twigma_spark.release import rehydrate
from twigma_spark.release.documents import documents, type_name
from twigma_spark.release.facts import Facts, count_release, made_by
from twigma_spark.release.fields import AUTHOR, KEY, PROFILES, Field, fields_of, platform_of, schema_of
from twigma_spark.release.quality import read_quality
from twigma_spark.release.rows import (
    RAW_AUTHOR,
    TABLES,
    ReleaseRows,
    author_groups,
    check_tables,
    corpora_of,
    platforms_of,
    release_rows,
)
from twigma_spark.stages.inputs import check_purged

KEY_VARIABLE, SHORTEST_KEY = "TWIGMA_RELEASE_KEY", 16
Log = Callable[[str], None]


def build_release(
    cfg: Config, store: Store, out: Path, previous: Path | None, log: Log, replace: bool = False
) -> Facts:
    """Write a release into a new or empty folder and return what it says of itself.

    It is there whole or not at all: it is written beside the folder and then moved. The same tables and
    configuration give the same bytes.

    Args:
        cfg: the configuration; its section `release` says what is released.
        store: the tables.
        out: the folder.
        previous: the folder of the release before, whose differences are counted; None for the first one.
        log: shows a line.
        replace: whether a release that is in the folder gives way to this one.

    Raises:
        ConfigError: where something that the release needs is missing or not allowed.
    """
    check_new_folder(out, "a release", MANIFEST, replace)
    before = None if previous is None else release_files.read_release(store.spark, previous)
    tables = {name: store.read(name) for name in (*TABLES, "rejects", "runs", "results", "tombstones")}
    filled = {name: store.count(name) > 0 for name in TABLES}
    corpora = [corpus for corpus in cfg.corpora if corpus.name in corpora_of(cfg)]
    platform = platform_of(corpora, platforms_of(tables, corpora_of(cfg)), cfg.release)
    fields = fields_of(platform, cfg.release)
    check_tables(cfg, fields, filled)
    check_purged(tables["images"], tables["tombstones"], "a release")
    hashed = _author_hash(cfg)
    rows = release_rows(cfg, tables, fields)
    log(
        f"release: {', '.join(field.name for field in fields)} of {', '.join(corpora_of(cfg))}, "
        f"by the terms of {platform}"
    )
    with whole_folder(out) as part:
        batches = _log_progress(_with_hashes(arrow.stream_in_order(rows.rows), hashed), log)
        files = release_files.write_parts(batches, part, schema_of(fields), PROFILES[platform].rows_a_file)
        if not any(file.rows for file in files):
            limit = "" if cfg.release.max_nsfw is None else f" with release.max_nsfw={cfg.release.max_nsfw:g}"
            raise ConfigError(f"{', '.join(corpora_of(cfg))} must have kept images for a release. Got none{limit}.")
        versions = {name: store.version(name) for name in TABLES if filled[name]}
        facts = _gather_facts(cfg, platform, fields, files, versions, rows, tables)
        _write_documents(facts, part)
        changes = "" if before is None else _changes(before, release_files.read_release(store.spark, part))
        (part / "CHANGES.md").write_text(_format_changes(facts, previous, changes), encoding="utf-8")
        release_files.write_sums(part)
    return facts


def _gather_facts(
    cfg: Config,
    platform: Platform,
    fields: tuple[Field, ...],
    files: Sequence[Part],
    versions: Mapping[str, int],
    rows: ReleaseRows,
    tables: Mapping[str, DataFrame],
) -> Facts:
    """Return what the release says of itself."""
    released = rows.kept.join(rows.left_out, "image_id", "left_anti")
    dated = tables["images"].select("image_id", "post_id", "created_at").join(released, "image_id", "left_semi")
    hidden = 0 if cfg.release.max_nsfw is None else count_rows(rows.left_out)
    groups, made = author_groups(cfg, released, tables), made_by(tables["runs"])
    return Facts(
        cfg=cfg,
        platform=platform,
        fields=fields,
        counts=count_release(dated, corpora_of(cfg), hidden, groups, tables),
        day=cfg.release.date or made.last or datetime.date(1970, 1, 1),
        software=made.software,
        tables=versions,
        files=tuple(files),
        corpora=tuple(corpora_of(cfg)),
        quality=tuple(read_quality(cfg, tables["results"], fields, corpora_of(cfg))),
    )


def _author_hash(cfg: Config) -> Callable[[str], str] | None:
    """Return what makes a hash of an author's id, or None where authors are not released."""
    if not cfg.release.authors:
        return None
    key = os.environ.get(KEY_VARIABLE, "")
    if len(key) < SHORTEST_KEY:
        raise ConfigError(
            f"{KEY_VARIABLE} must hold a secret of {SHORTEST_KEY} characters or more where release.authors is true. "
            f"Got {len(key)} characters; make one with: openssl rand -hex 32."
        )
    return lambda author: hmac.new(key.encode(), author.encode(), hashlib.sha256).hexdigest()


def _with_hashes(batches: Iterable[pa.RecordBatch], hashed: Callable[[str], str] | None) -> Iterator[pa.RecordBatch]:
    """Yield the batches with the authors' hashes in the place of their ids; the key never leaves the driver."""
    for batch in batches:
        if hashed is None:
            yield batch
            continue
        place = batch.schema.get_field_index(RAW_AUTHOR)
        values = [None if author is None else hashed(author) for author in batch.column(place).to_pylist()]
        columns = [*batch.columns[:place], pa.array(values, pa.string()), *batch.columns[place + 1 :]]
        names = [AUTHOR.name if name == RAW_AUTHOR else name for name in batch.schema.names]
        yield pa.RecordBatch.from_arrays(columns, names)


def _log_progress(batches: Iterable[pa.RecordBatch], log: Log) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in batches:
        yield batch
        before, rows = rows, rows + batch.num_rows
        if rows // 100_000 > before // 100_000:
            log(f"release: {rows:,} rows written")


def _write_documents(facts: Facts, folder: Path) -> None:
    for name, text in documents(facts).items():
        (folder / name).write_text(text, encoding="utf-8")
    if facts.platform == "x":
        shutil.copyfile(str(rehydrate.__file__), folder / "rehydrate.py")
    release = facts.cfg.release
    manifest = {
        "title": facts.title,
        "version": release.version,
        "date": facts.day.isoformat(),
        "draft": bool(facts.missing),
        "missing": facts.missing,
        "platform": facts.platform,
        "reason": release.reason,
        "fields": [{"name": field.name, "type": type_name(field)} for field in facts.fields],
        "files": [asdict(part) for part in facts.files],
        "counts": {name: value for name, value in asdict(facts.counts).items() if name not in ("first", "last")},
        "tables": dict(facts.tables),
        "software": dict(facts.software),
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def _changes(before: DataFrame, after: DataFrame) -> str:
    """Return how many images were added, are gone and have other values than in the release before, in words."""
    shared = [name for name in before.columns if name in after.columns and name not in KEY]
    one, two = (
        rows.select(*KEY, F.xxhash64(*[F.col(c) for c in shared], F.lit(0)).alias(name))
        for rows, name in ((before, "one"), (after, "two"))
    )
    row = one.join(two, list(KEY), "outer").agg(
        F.count(F.when(F.col("one").isNull(), 1)).alias("added"),
        F.count(F.when(F.col("two").isNull(), 1)).alias("gone"),
        F.count(F.when(F.col("one") != F.col("two"), 1)).alias("changed"),
    ).collect()[0]  # fmt: skip
    columns = [
        f"{word} columns: {', '.join(names)}."
        for word, names in (
            ("New", [name for name in after.columns if name not in before.columns]),
            ("Removed", [name for name in before.columns if name not in after.columns]),
        )
        if names
    ]
    numbers = f"{row['added']:,} images added, {row['gone']:,} gone, {row['changed']:,} with other values."
    return " ".join([numbers, *columns])


def _format_changes(facts: Facts, previous: Path | None, changes: str) -> str:
    head = f"# Changes\n\n## {facts.cfg.release.version}, {facts.day}\n\n"
    if previous is None:
        return head + "The first release.\n"
    older = (previous / "CHANGES.md").read_text(encoding="utf-8") if (previous / "CHANGES.md").exists() else ""
    return head + changes + "\n" + older.removeprefix("# Changes\n")
