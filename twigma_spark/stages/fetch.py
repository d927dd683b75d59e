"""fetch: pictures that a corpus knows by address are downloaded into its folder; every attempt is a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from twigma_spark.config.data import Corpus
from twigma_spark.config.engine import Ingest
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError, CorpusError
from twigma_spark.io import arrow, corpora
from twigma_spark.io.downloads import Attempt, Rules, Wanted, download_all, find, is_inside, no_file, save
from twigma_spark.io.export import try_to_write
from twigma_spark.io.frames import count_rows
from twigma_spark.io.local_files import is_elsewhere
from twigma_spark.io.session import slots
from twigma_spark.io.url_files import Settings, settings_of
from twigma_spark.schemas import DOWNLOADS
from twigma_spark.stages.readers.reader import reader_of
from twigma_spark.stages.stage import Stage, StageContext
from twigma_spark.transforms import downloads as attempts
from twigma_spark.transforms.purged import digests, without

# Attempts that travel back at once.
BATCH = 500
MapBatches = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def run(
    cfg: Config, context: StageContext, downloads: DataFrame, tombstones: DataFrame
) -> Iterator[Mapping[str, DataFrame]]:
    """Yield the attempts at the pictures that are not in their folder yet, a part of them after another.

    Asked again is only for what may be there now: not for what is gone or refused, nor more often than
    `fetch.attempts` in all, nor for what was purged.
    """
    for corpus in _fetched(cfg):
        yield from _fetch(cfg, context, corpus, downloads, digests(tombstones, "picture"))


def _fetched(cfg: Config) -> list[Corpus]:
    return [corpus for corpus in cfg.corpora if corpus.fetch]


def _fetch(
    cfg: Config, context: StageContext, corpus: Corpus, downloads: DataFrame, purged: DataFrame
) -> Iterator[Mapping[str, DataFrame]]:
    settings = settings_of(context.spark)
    folder = _folder(corpus, settings)
    todo = without(_missing(cfg, context.spark, corpus, downloads), "source_key", purged)
    n, done = count_rows(todo), dict.fromkeys(("ok", "retry", "final"), 0)
    context.log(f"fetch: {n:,} pictures of '{corpus.name}' to be downloaded")
    parts = -(-n // cfg.fetch.commit_every)
    for part in range(parts):
        chosen = todo.where(F.pmod(F.xxhash64("source_key"), F.lit(parts)) == part)
        by_host = chosen.repartition(slots(context.spark), "host")
        made = by_host.mapInArrow(_download(corpus.name, folder, _rules(cfg), settings), DOWNLOADS.schema)
        kept = context.materialize(made)
        for row in attempts.last_attempts(kept).groupBy("outcome").count().collect():
            done[row["outcome"]] += row["count"]
        context.log(
            f"fetch: {sum(done.values()):,} of {n:,}: {done['ok']:,} downloaded, {done['retry']:,} to be tried again, "
            f"{done['final']:,} not to be had"
        )
        yield {"downloads": kept}


def _folder(corpus: Corpus, settings: Settings) -> str:
    """Return the folder of the pictures, which is there now, or its URL, to which can be written."""
    path = reader_of(corpus).image_folder(corpus)
    if is_elsewhere(path):
        try:
            try_to_write(path, settings)
        except ConfigError as error:
            raise ConfigError(f"the folder of corpus '{corpus.name}', where fetch is true, {error}") from error
    else:
        Path(path).mkdir(parents=True, exist_ok=True)
    return path


def _missing(cfg: Config, spark: SparkSession, corpus: Corpus, downloads: DataFrame) -> DataFrame:
    """Return source_key, url, host and attempts of the pictures that are to be asked for."""
    addresses = reader_of(corpus).addresses
    if addresses is None:
        raise CorpusError(f"corpus '{corpus.name}': fetch must be false for the reader {corpus.reader}. Got true.")
    there = _list_there(spark, corpus, cfg.ingest)
    known = downloads.where(F.col("corpus") == corpus.name)
    return attempts.to_be_asked(addresses(spark, corpus), there, known, cfg.fetch.attempts)


def _list_there(spark: SparkSession, corpus: Corpus, ingest: Ingest) -> DataFrame:
    """Return the source_key of each picture that is there; an object store has no folder before its first picture."""
    path = reader_of(corpus).image_folder(corpus)
    try:
        return corpora.list_images(spark, corpus, path, ingest)
    except CorpusError:
        if not is_elsewhere(path):
            raise
        return arrow.local_frame(spark, [], "source_key STRING")


def _rules(cfg: Config) -> Rules:
    settings = cfg.fetch.model_dump(exclude={"attempts", "commit_every", "private_hosts"})
    return Rules(**settings, private_hosts=frozenset(host.lower() for host in cfg.fetch.private_hosts), seed=cfg.seed)


def _download(corpus: str, folder: str, rules: Rules, settings: Settings) -> MapBatches:
    """Return what a task does: it asks for its pictures, writes them, and yields every attempt."""
    schema = to_arrow_schema(DOWNLOADS.schema)
    # Below a URL, looking costs as much as asking.
    look = no_file if is_elsewhere(folder) else partial(find, folder=Path(folder))

    def run_task(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = [row for batch in batches for row in batch.to_pylist()]
        wanted = [
            Wanted(row["source_key"], row["url"], row["attempts"]) for row in rows if is_inside(row["source_key"])
        ]
        held = [
            _row(
                corpus,
                Attempt(Wanted(row["source_key"], row["url"]), "final", "bad_name", row["attempts"] + 1, time.time()),
            )
            for row in rows
            if not is_inside(row["source_key"])
        ]
        for attempt in download_all(wanted, rules, look):
            if attempt.outcome == "ok" and attempt.status is not None:
                save(attempt, folder, settings)
            held.append(_row(corpus, attempt))
            if len(held) >= BATCH:
                yield pa.RecordBatch.from_pylist(held, schema)
                held = []
        if held:
            yield pa.RecordBatch.from_pylist(held, schema)

    return run_task


def _row(corpus: str, attempt: Attempt) -> dict[str, object]:
    """Return an attempt as a row of `downloads`."""
    return {
        "corpus": corpus,
        "source_key": attempt.wanted.key,
        "attempt": attempt.number,
        "url": attempt.wanted.url,
        "host": attempt.wanted.host,
        "at": datetime.fromtimestamp(attempt.at, UTC),
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "status": attempt.status,
        "n_bytes": None if attempt.content is None else len(attempt.content),
        "sha256": attempt.sha256,
        "seconds": attempt.seconds,
        "detail": attempt.detail or None,
    }


def sources(cfg: Config, spark: SparkSession) -> str:
    """Return what is never the same where pictures are downloaded: hosts change without a word."""
    return str(time.time_ns()) if _fetched(cfg) else ""


STAGE = Stage(
    name="fetch",
    summary="pictures that a corpus knows by address are downloaded into its folder",
    reads=("downloads", "tombstones"),
    writes=("downloads",),
    config=("corpora", "fetch", "ingest", "seed"),
    run=run,
    sources=sources,
)
