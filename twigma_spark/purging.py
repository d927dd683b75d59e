"""Taking posts, authors and images out of a store for good, with all that was derived from them by key."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.estimators.training_state import remove_training
from twigma_spark.io import arrow, artifacts
from twigma_spark.io.export import write_text
from twigma_spark.io.frames import union
from twigma_spark.io.local_files import IMAGE_SUFFIXES, URL, is_elsewhere, mount_path
from twigma_spark.io.session import is_local
from twigma_spark.io.tables import FEW_IDS, Store, is_folder
from twigma_spark.io.url_files import Settings, remove_url, settings_of
from twigma_spark.models.reward_files import FOLDER
from twigma_spark.schemas import TABLES, TOMBSTONES, Kind, Table
from twigma_spark.stages import project
from twigma_spark.stages.readers.reader import reader_of
from twigma_spark.transforms.texts import texts

Log = Callable[[str], None]
# What a fitted file of these stages is made of: vectors of the posts' images.
OF_POSTS = ("project", "reward")
LONGEST_ID = 512
# Tables that are changed side by side.
AT_ONCE = 4
# Tables that say what belongs to whom: the others go before them, so that a purge that was cut off finds all again.
LAST = ("captions", "images", "media", "posts")
# Kind of a tombstone that is there until all of a purge is done; its digest says nothing.
UNDER_WAY = "purge"
NO_STORE = (
    "store.root must be a store that a run has filled. Got {!r}, where there is no table; name the store with --conf "
    "or --set store.root=..."
)


@dataclass(frozen=True)
class Request:
    """What is to be purged, by id."""

    posts: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Purged:
    """What was purged.

    Attributes:
        found: posts, images, pictures and texts that the store had, by kind.
        rows: deleted, by table.
        files: removed or rewritten outside the tables.
        left: what the purge did not touch and a person must look at, in words.
    """

    found: Mapping[str, int]
    rows: Mapping[str, int] = field(default_factory=dict)
    files: int = 0
    left: tuple[str, ...] = ()


def read_ids(file: Path | None) -> tuple[str, ...]:
    """Return the ids in a file, one a line, or the first column of a CSV with a header that begins with id.

    Raises:
        ConfigError: there is no such file, or an id is none.
    """
    if file is None:
        return ()
    try:
        lines = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"a file of ids must be readable text. Got {str(file)!r}: {error}.") from error
    ids = [line[0].strip() for line in lines if line and line[0].strip()]
    ids = ids[1:] if ids and ids[0].lower() in ("id", "post_id", "tweet_id", "author_id", "image_id") else ids
    if wrong := [name for name in ids if len(name) > LONGEST_ID or not name.isprintable()]:
        raise ConfigError(f"ids in {file} must be of {LONGEST_ID} printable characters at most. Got {wrong[0][:80]!r}.")
    return tuple(dict.fromkeys(ids))


def require_folder(root: str) -> None:
    """Check, before anything is written there, that a store that is a folder is there.

    Raises:
        ConfigError: it is not.
    """
    if is_folder(root) and not Path(root).is_dir():
        raise ConfigError(NO_STORE.format(root))


def purge(cfg: Config, store: Store, request: Request, log: Log, files: bool, dry_run: bool) -> Purged:
    """Delete what was asked for from every table that knows it, and return what was found and deleted.

    Posts go with their images, authors with their posts. A picture or a text that another post has too stays. Digests
    of the ids are kept in `tombstones`, so that no later run brings them back. One that was cut off is done again;
    files and older versions that it left the next purge removes, whatever its ids.

    Args:
        cfg: the configuration, for the corpora, the report and what becomes of older versions of the tables.
        store: the tables.
        request: what is to be purged.
        log: shows a line.
        files: whether pictures and pages on this machine are deleted and rewritten too.
        dry_run: whether it is only counted.

    Raises:
        ConfigError: there is no table in the store.
    """
    if not any(map(store.exists, TABLES)):
        raise ConfigError(NO_STORE.format(store.root))
    ids = _resolve(store, request)
    counts: dict[str, int] = {kind: len(each) for kind, each in ids.items()}
    log("purge: " + ", ".join(f"{n:,} {kind}s" for kind, n in counts.items()) + " in the store")
    if dry_run:
        return Purged(counts)
    files_of = _select(store.read("images"), "image_id", ids["image"]).select("corpus", "source_key").collect()
    # First, so that a run that begins meanwhile leaves them out.
    if cut_off := _bury(store, ids):
        log("purge: an earlier one was cut off; what it has left is done now")
    removed, left = _clean_sources(cfg, ids, files_of, files)
    rows = _delete_rows(store, ids)
    for name, n in rows.items():
        log(f"purge: {name}: {n:,} rows")
    if rows or cut_off:
        # What a purge that was cut off has deleted is no longer known.
        corpora = [corpus.name for corpus in cfg.corpora] if cut_off else [row["corpus"] for row in files_of]
        removed += _drop_fitted(cfg, store, corpora, rows, of_images=cut_off or "images" in rows)
        touched = [name for name in TABLES if store.exists(name)] if cut_off else list(rows)
        left = (*left, *rewrite_files(cfg, store, touched), *_name_copies(cfg, store, cut_off or "artifacts" in rows))
        left = (*left, *remove_versions(cfg, store, touched))
    store.delete_all("tombstones", f"kind = '{UNDER_WAY}'")
    return Purged(counts, rows, removed, left)


def _delete_rows(store: Store, ids: Mapping[Kind, Sequence[str]]) -> dict[str, int]:
    """Return how many rows were deleted, of the tables that had some."""
    rows: dict[str, int] = {}
    first = [name for name in TABLES if name not in LAST]
    with ThreadPoolExecutor(AT_ONCE) as pool:  # a commit is mostly waiting
        rows |= zip(first, pool.map(lambda name: _delete(store, TABLES[name], ids), first), strict=True)
    rows |= {name: _delete(store, TABLES[name], ids) for name in LAST}
    return {name: n for name, n in rows.items() if n}


def remove_versions(cfg: Config, store: Store, names: Collection[str]) -> Iterator[str]:
    """Remove versions of tables older than `purge.vacuum_hours`; yield what is left, in words."""
    hours = cfg.purge.vacuum_hours
    if kept := store.vacuum(names, hours):
        yield (
            f"older versions of {', '.join(kept)} are kept for as long as these tables say, since this platform lets "
            f"no session keep less (--vacuum-hours {hours}): for each of them, ALTER TABLE ... SET TBLPROPERTIES "
            f"('delta.deletedFileRetentionDuration' = 'interval {hours} hours'), then twigma maintain"
        )
    elif hours and names:
        yield (
            f"older versions of the tables, with what was deleted from them, are kept for {hours} hours "
            "(--vacuum-hours 0 removes them at once)"
        )


def rewrite_files(cfg: Config, store: Store, names: Iterable[str]) -> Iterator[str]:
    """Write the files of tables anew that hold deleted rows, by `purge.reorg`; yield what is left, in words."""
    if cfg.purge.reorg:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            done = zip(names, pool.map(store.reorganize, names), strict=True)
            if held := [name for name, clean in done if not clean]:
                yield f"files of {', '.join(held)} hold deleted rows (deletion vectors): this Spark has no REORG TABLE"


def _delete(store: Store, table: Table, ids: Mapping[Kind, Sequence[str]]) -> int:
    """Return how many rows of a table were deleted."""
    return store.delete(table.name, {expression: ids[kind] for expression, kind in table.ids.items()})


def _resolve(store: Store, request: Request) -> dict[Kind, list[str]]:
    """Return the ids of all that goes, by kind, each once."""
    known, media, images = store.read("posts"), store.read("media"), store.read("images")
    of_authors = _select(known, "author_id", request.authors).select("post_id")
    posts = _distinct(request.posts, of_authors if request.authors else None)
    shown = _select(images, "post_id", posts).select("image_id")
    gone = _distinct(request.images, shown if posts else None)
    of_posts = _shown_only_by(media, "post_id", posts)
    of_images = _shown_only_by(images, "image_id", gone)
    own = _select(images, "image_id", gone).where("post_id IS NULL").select(F.col("source_key").alias("media_key"))
    keys = of_posts.unionByName(of_images).unionByName(own)
    return {"post": posts, "image": gone, "picture": _distinct((), keys), "text": _texts(store, posts, gone)}


def _distinct(names: Iterable[str], rows: DataFrame | None) -> list[str]:
    """Return names and those of a frame of one column, each once, in order."""
    more = [] if rows is None else arrow.collect(rows.distinct()).column(0).to_pylist()
    return sorted({*names, *more})


def _shown_only_by(rows: DataFrame, column: str, ids: Sequence[str]) -> DataFrame:
    """Return the `media_key` of the rows that go and of none that stays."""
    going = _select(rows, column, ids).where("media_key IS NOT NULL").select("media_key")
    return going.join(_select(rows, column, ids, others=True).select("media_key"), "media_key", "left_anti")


def _texts(store: Store, posts: Sequence[str], images: Sequence[str]) -> list[str]:
    """Return the ids of the embedded texts that only what goes has."""
    if not store.exists("text_embeddings"):
        return []
    tables = (("images", "image_id", images), ("posts", "post_id", posts), ("captions", "image_id", images))
    gone, kept = (
        [_select(store.read(name), key, ids, others) for name, key, ids in tables] for others in (False, True)
    )
    found = [
        texts(gone[0], gone[1], gone[2], mentions=action)
        .select("text_id")
        .join(texts(kept[0], kept[1], kept[2], mentions=action).select("text_id"), "text_id", "left_anti")
        for action in ("keep", "drop")
    ]
    return _distinct((), union(found))


def _select(rows: DataFrame, column: str, ids: Sequence[str], others: bool = False) -> DataFrame:
    """Return the rows in which a column is one of some ids, or all others."""
    if len(ids) <= FEW_IDS:
        # An id that is null is none of them.
        chosen = F.coalesce(F.col(column).isin(*ids), F.lit(False))
        return rows.where(~chosen if others else chosen)
    named = arrow.local_frame(rows.sparkSession, [(each,) for each in ids], "purged_id STRING")
    return rows.join(F.broadcast(named), rows[column] == named["purged_id"], "left_anti" if others else "left_semi")


def _bury(store: Store, ids: Mapping[Kind, Sequence[str]]) -> bool:
    """Write the digests of all ids, those that the store has not seen yet too, and that a purge is under way.

    Returns:
        Whether a purge was under way already, which was cut off. Where nothing is new, nothing is written.
    """
    there, now = store.read("tombstones"), datetime.now(UTC).replace(tzinfo=None)
    named = [(kind, each) for kind, names in ids.items() if kind != "text" for each in names]
    rows = [(kind, sha256(each.encode()).hexdigest(), now) for kind, each in [*named, (UNDER_WAY, "")]]
    frame = arrow.local_frame(store.spark, rows, TOMBSTONES.schema)
    new = {row["kind"] for row in frame.join(there, list(TOMBSTONES.key), "left_anti").select("kind").collect()}
    if new - {UNDER_WAY}:
        store.write("tombstones", frame, stage="purge")
    return UNDER_WAY not in new


def _drop_fitted(cfg: Config, store: Store, corpora: Iterable[str], rows: dict[str, int], of_images: bool) -> int:
    """Return how many files were removed that hold what was purged: fitted models, indexes and the report.

    Args:
        cfg: the configuration, for where the files are.
        store: the tables.
        corpora: those of the images that go.
        rows: deleted, by table; those of `artifacts` and `reports` are added.
        of_images: whether images go.
    """
    references = set(corpora) & set(cfg.of_role("generated", "natural", "art"))
    stages = [*OF_POSTS, *(["neighbours"] if references else [])] if of_images else []
    removed, settings = 0, settings_of(store.spark)
    if stages:
        condition = F.col("stage").isin(stages)
        for row in store.read("artifacts").where(condition).select("path").collect():
            removed += artifacts.remove(row["path"], settings)
        removed += _remove_unnamed(cfg, references if "neighbours" in stages else (), settings)
        names = ", ".join(f"'{stage}'" for stage in stages)
        if n := store.delete_all("artifacts", f"stage IN ({names})"):
            rows["artifacts"] = n
    if n := store.delete_all("reports"):
        rows["reports"] = n
    report = mount_path(cfg.report.path)
    return removed + (remove_url(report, settings) if URL.match(report) else _unlink(Path(report)))


def _remove_unnamed(cfg: Config, references: Collection[str], settings: Settings) -> int:
    """Return how many files were removed that no row names: of runs that were cut off, and copies on this machine."""
    try:
        where = artifacts.folder(cfg.store.root, cfg.store.artifacts, settings)
    except ConfigError:
        return 0  # a store that has no place for artifacts has none
    # The pairs of an interrupted training, with their images, and its checkpoints.
    removed = remove_training(where)
    place = where.place.rstrip("/")
    removed += artifacts.remove(f"{place}/{project.FILE}", settings)
    removed += artifacts.remove_all(f"{place}/{FOLDER}", settings)
    # Many shards of an index are in folders of their own.
    removed += sum(artifacts.remove_all(f"{place}/{reference}", settings) for reference in references)
    shards = [re.compile(rf"{re.escape(reference)}-\d+\..+") for reference in references]
    named = [name for name in artifacts.names(where) if any(shard.fullmatch(name) for shard in shards)]
    removed += sum(artifacts.remove(f"{place}/{name}", settings) for name in named)
    if where.is_remote:
        removed += artifacts.remove_all(str(where.local))
    return removed + sum(artifacts.remove_copies(cache) for cache in {None, cfg.neighbours.search.cache})


def _name_copies(cfg: Config, store: Store, had_files: bool) -> Iterator[str]:
    """Yield, in words, where copies of fitted files may be that this machine cannot reach."""
    kept = cfg.store.artifacts or cfg.store.root
    if had_files and (URL.match(kept) or cfg.neighbours.search.cache) and not is_local(store.spark):
        place = cfg.neighbours.search.cache or "twigma-spark-* among the temporary files"
        yield f"copies of indexes and models on the disks of other nodes ({place}) are as they were, where these run on"


def _clean_sources(
    cfg: Config, ids: Mapping[Kind, Sequence[str]], images: Sequence[Row], files: bool
) -> tuple[int, tuple[str, ...]]:
    """Return how many files of the corpora were removed or rewritten, and which corpora a person must look at.

    Args:
        cfg: the configuration, for the corpora.
        ids: of all that goes.
        images: corpus and source_key of those that go.
        files: whether files are removed and rewritten; else they are only named.
    """
    posts, pictures = set(ids["post"]), set(ids["picture"])
    removed, left = 0, []
    for corpus in cfg.corpora:
        reader = reader_of(corpus)
        # What pages show is found by post and media key instead.
        own = [] if reader.has_pages else [row["source_key"] for row in images if row["corpus"] == corpus.name]
        if not (own or (posts and reader.has_pages)):
            continue
        if not files or is_elsewhere(corpus.path):
            left.append(f"the files of corpus '{corpus.name}' in {corpus.path} are as they were")
            continue
        folder = Path(reader.image_folder(corpus))
        if reader.has_pages:
            removed += sum(_rewrite_page(page, posts, pictures) for page in sorted(Path(corpus.path).glob("*.json*")))
            stems = [path for path in folder.glob("*") if path.stem in pictures]
            removed += sum(_unlink(path) for path in stems)
        else:
            unlinked = sum(_unlink_image(folder, key) for key in own)
            removed += unlinked
            if unlinked < len(own):
                left.append(
                    f"{len(own) - unlinked:,} pictures of corpus '{corpus.name}' are no files of their own: what holds "
                    f"them in {corpus.path} is as it was"
                )
            if corpus.metadata:
                left.append(
                    f"the metadata of corpus '{corpus.name}', {corpus.metadata}, still describes what was purged"
                )
    return removed, tuple(left)


def _unlink_image(folder: Path, key: str) -> int:
    """Return 1 where the file of an image was removed, else 0; of some readers a key lacks the file's ending."""
    return _unlink(folder / key) or sum(_unlink(folder / f"{key}.{ending}") for ending in IMAGE_SUFFIXES)


def _unlink(path: Path) -> int:
    if not path.is_file():
        return 0
    path.unlink()
    return 1


def _rewrite_page(file: Path, posts: set[str], pictures: set[str]) -> int:
    """Return 1 where a file of pages held purged posts or pictures and now does not, else 0."""
    text = file.read_text(encoding="utf-8", errors="surrogateescape")
    lines = text.splitlines() if file.suffix == ".jsonl" else [text]
    changed, kept = False, []
    for line in lines:
        try:
            held = json.loads(line)
        except ValueError:
            kept.append(line)
            continue
        pages = held if isinstance(held, list) else [held]
        touched = [_strip_page(page, posts, pictures) for page in pages if isinstance(page, dict)]
        changed |= any(touched)
        kept.append(json.dumps(held, ensure_ascii=False) if any(touched) else line)
    if changed:
        write_text(str(file), "\n".join(kept) + ("\n" if file.suffix == ".jsonl" else ""))
    return int(changed)


def _strip_page(page: dict[str, Any], posts: set[str], pictures: set[str]) -> bool:
    """Take purged posts, their pictures, and authors that no other post of the page has, out of a page."""
    data = page.get("data") or []
    kept = [post for post in data if not (isinstance(post, dict) and str(post.get("id")) in posts)]
    includes = page.get("includes") or {}
    media = [
        m for m in includes.get("media") or [] if not (isinstance(m, dict) and str(m.get("media_key")) in pictures)
    ]
    if len(kept) == len(data) and len(media) == len(includes.get("media") or []):
        return False
    authors = {str(post.get("author_id")) for post in kept if isinstance(post, dict)}
    page["data"] = kept
    if includes:
        users = [u for u in includes.get("users") or [] if isinstance(u, dict) and str(u.get("id")) in authors]
        page["includes"] = {**includes, "media": media, "users": users}
    if "asked" in page:
        page["asked"] = [name for name in page["asked"] if str(name) not in posts]
    return True
