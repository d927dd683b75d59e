"""A folder of collected posts: pages as files, and beside them how far each query has come."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from twigma_spark.config.collect import Collect, Prices
from twigma_spark.errors import CollectionError, ConfigError
from twigma_spark.io.export import write_text
from twigma_spark.io.local_files import ON_THIS_MACHINE, URL
from twigma_spark.io.sources.source import TIME, Page, Record, dig

# The name of the file begins so that Spark does not take it for a page.
STATE = "_collect.json"
# Ids of collected posts that were deleted, as `twigma purge --posts` reads them.
DELETED = "deleted.csv"


def require_folder(settings: Collect, keys: Iterable[str]) -> Path:
    """Return the folder into which posts are collected; its lease and state need a disk.

    Args:
        settings: the configuration.
        keys: of it, that must be given.

    Raises:
        ConfigError: one is not, or the folder is a URL.
    """
    for key in keys:
        if not getattr(settings, key):
            raise ConfigError(f"collect.{key} must be given. Got none; see docs/corpora.md.")
    if URL.match(out := str(settings.out)):
        raise ConfigError(
            f"collect.out must be a folder {ON_THIS_MACHINE}. Got {out!r}; collect into a folder, and copy it there."
        )
    return Path(out)


@dataclass(frozen=True)
class Window:
    """A stretch of time that a query asks for, and how far it has come.

    Attributes:
        query: in the source's language.
        start: of the window, YYYY-MM-DDTHH:MM:SSZ.
        end: of the window, likewise.
        cursor: of the next page, None for the first.
        pages: written so far.
        done: whether the last page was written.
        oldest: time of the oldest post so far.
    """

    query: str
    start: str
    end: str
    cursor: str | None = None
    pages: int = 0
    done: bool = False
    oldest: str | None = None

    @property
    def name(self) -> str:
        """What its pages are called, without their number."""
        digest = hashlib.sha256(self.query.encode()).hexdigest()[:8]
        return f"page-{self.start[:10]}-{self.start[11:19].replace(':', '')}-{digest}"

    @property
    def month(self) -> str:
        """The month that it begins in; only there, another query may have found the same posts."""
        return self.start[:7]

    def file(self, number: int) -> str:
        """Return the name of the file of a page."""
        return f"{self.name}-{number:06d}.json"


@dataclass(frozen=True)
class Live:
    """How far a live stream has come.

    Attributes:
        cursor: time of the last event that was read, microseconds since 1970; None before the first.
        pages: written so far.
        unreadable: events of which nothing could be made.
        missed: start and end of the times of which the stream gave nothing, as YYYY-MM-DDTHH:MM:SSZ.
    """

    cursor: int | None = None
    pages: int = 0
    unreadable: int = 0
    missed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class State:
    """What has been collected so far.

    Attributes:
        windows: all that were planned, in order.
        posts: that the source gave, those that came twice among them: X bills each.
        users: that came with them.
        kept: posts in the pages.
        source: name of the source.
        live: how far its live stream has come.
    """

    windows: tuple[Window, ...] = ()
    posts: int = 0
    users: int = 0
    kept: int = 0
    source: str = "x"
    live: Live = Live()

    def dollars(self, prices: Prices) -> float:
        """Return what it cost at X, at most: X bills the same post or user once a day."""
        return self.posts * prices.post + self.users * prices.user

    def with_windows(self, windows: Iterable[Window]) -> State:
        """Return the state with some windows as they are now."""
        held = {(w.query, w.start): w for w in (*self.windows, *windows)}
        return replace(self, windows=tuple(sorted(held.values(), key=lambda w: (w.start, w.query))))


def read_state(folder: Path, source: str = "x") -> State:
    """Return what has been collected into a folder so far.

    Raises:
        CollectionError: the file that says so is damaged, or another source's.
    """
    file = folder / STATE
    if not file.exists():
        return State(source=source)
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        windows = tuple(Window(**each) for each in held["windows"])
        # Folders of earlier versions are X's, and say nothing of what was kept.
        live = held.get("live", {})
        live = Live(**{**live, "missed": tuple((start, end) for start, end in live.get("missed", ()))})
        state = State(
            windows, held["posts"], held["users"], held.get("kept", held["posts"]), held.get("source", "x"), live
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise CollectionError(f"{file} must be what twigma collect wrote. Got {error}.") from error
    if state.source != source:
        raise CollectionError(
            f"collect.out must be a folder of its own for each source. Got {str(folder)!r} with posts of "
            f"{state.source}, for {source}."
        )
    return state


def write_state(folder: Path, state: State) -> None:
    """Write how far it has come; it is there whole or not at all."""
    write_text(str(folder / STATE), json.dumps(asdict(state), indent=1))


def pending(state: State, queries: Iterable[str], start: str, end: str, monthly: bool) -> list[Window]:
    """Return the windows that are not done, by time and then as the queries: those planned, and what none covers.

    Args:
        state: what has been collected.
        queries: what is asked for.
        start: of the whole time, YYYY-MM-DDTHH:MM:SSZ.
        end: of it, likewise.
        monthly: whether a new window ends with its month.
    """
    windows: list[Window] = []
    for query in queries:
        known = sorted((w for w in state.windows if w.query == query), key=lambda w: w.start)
        windows += [w for w in known if not w.done and w.start < end]
        free = start
        for low, high in [*((w.start, w.end) for w in known), (end, end)]:
            until = min(low, end)
            parts = months(free, until) if monthly else [(free, until)] if free < until else []
            windows += [Window(query, *part) for part in parts]
            free = max(free, high)
    return sorted(windows, key=lambda w: w.start)


def months(start: str, end: str) -> Iterator[tuple[str, str]]:
    """Yield a stretch of time in parts that end with a month; nothing where it is empty."""
    bounds = [start]
    while bounds[-1] < end:
        first = datetime.datetime.strptime(bounds[-1], TIME).replace(day=1, hour=0, minute=0, second=0)
        bounds.append(min((first + datetime.timedelta(days=32)).replace(day=1).strftime(TIME), end))
    yield from pairwise(bounds)


def read_seen(folder: Path, state: State, month: str) -> dict[str, str]:
    """Return the file of each post that the pages of a month have, by its id; pages that are not counted are not read.

    Raises:
        CollectionError: a page is damaged.
    """
    windows = [window for window in state.windows if window.month == month]
    seen: dict[str, str] = {}
    for file in (folder / window.file(n) for window in windows for n in range(window.pages)):
        if file.exists():
            for name in _ids_of(file):
                seen.setdefault(name, file.name)
    return seen


def _ids_of(file: Path) -> list[str]:
    """Return the ids of the posts of a page.

    Raises:
        CollectionError: the page is damaged.
    """
    try:
        return [str(post["id"]) for post in json.loads(file.read_text(encoding="utf-8"))["data"] if dig(post, "id")]
    except (ValueError, KeyError, TypeError) as error:
        raise CollectionError(f"{file} must be a page that twigma collect wrote. Got {error}.") from error


def read_ids(folder: Path) -> Iterator[list[str]]:
    """Yield the ids of the posts of each page, in order; pages that cannot be read are left out."""
    for file in sorted(folder.glob("page-*.json")):
        with suppress(ValueError, KeyError, TypeError):
            yield [str(dig(post, "id")) for post in json.loads(file.read_text("utf-8"))["data"] if dig(post, "id")]


def keep_page(
    folder: Path, state: State, window: Window, page: Page, seen: dict[str, str] | None, now: str
) -> tuple[State, Window]:
    """Write a page without the posts that other pages have (`seen`), then how far it has come.

    A page that is written twice, after a run that was killed in between, is the same file.
    """
    file = window.file(window.pages)
    posts = list(page.posts)
    if seen is not None:
        posts = [post for post in posts if not dig(post, "id") or seen.setdefault(str(post["id"]), file) == file]
    if posts:
        content = {
            "platform": state.source,
            "data": posts,
            "includes": _included(page, posts),
            "collected_at": now,
        }
        write_text(str(folder / file), json.dumps(content, ensure_ascii=False))
    window = replace(
        window,
        cursor=page.cursor,
        pages=window.pages + bool(posts),
        done=page.cursor is None,
        oldest=min(filter(None, [page.oldest, window.oldest]), default=None),
    )
    state = replace(
        state.with_windows([window]),
        posts=state.posts + page.given,
        users=state.users + len(page.users),
        kept=state.kept + len(posts),
    )
    write_state(folder, state)
    return state, window


def begin_live(folder: Path, state: State) -> tuple[State, set[str], dict[str, None]]:
    """Return the state, the ids of all posts of the pages, and those that were deleted, in order.

    A page that was written by a run that was killed before it wrote the state is counted now: what the stream gives
    again adds nothing then.

    Raises:
        CollectionError: a page is damaged.
    """
    held: set[str] = set()
    numbers = [state.live.pages]
    kept = state.kept
    for file in sorted(folder.glob("page-*.json")):
        ids = _ids_of(file)
        held.update(ids)
        if file.name.startswith("page-live-") and (number := int(file.stem[-6:])) >= state.live.pages:
            numbers.append(number + 1)
            kept += len(ids)
    deleted = folder / DELETED
    lines = deleted.read_text(encoding="utf-8").split("\n") if deleted.exists() else []
    state = replace(state, kept=kept, live=replace(state.live, pages=max(numbers)))
    return state, held, dict.fromkeys(line for line in lines[1:] if line)


def keep_live(folder: Path, state: State, posts: Iterable[Record], media: Iterable[Record], now: str) -> State:
    """Return the state after a page of the live stream was written, where there are posts."""
    posts = list(posts)
    if not posts:
        return state
    users = [{"id": each} for each in dict.fromkeys(dig(post, "author_id") for post in posts)]
    pictures = {each["media_key"]: each for each in media}
    content = {
        "platform": state.source,
        "data": posts,
        "includes": {"users": users, "media": list(pictures.values())},
        "collected_at": now,
    }
    # Its name comes after those of the search, whose pages tell the counts: of two that have a post, `ingest` takes the
    # first.
    file = f"page-live-{now[:10]}-{now[11:19].replace(':', '')}-{state.live.pages:06d}.json"
    write_text(str(folder / file), json.dumps(content, ensure_ascii=False))
    live = replace(state.live, pages=state.live.pages + 1)
    return replace(state, posts=state.posts + len(posts), kept=state.kept + len(posts), live=live)


def write_deleted(folder: Path, ids: Iterable[str]) -> None:
    """Write the ids of the posts that were deleted."""
    write_text(str(folder / DELETED), "id\n" + "".join(f"{name}\n" for name in ids))


def _included(page: Page, posts: list[Record]) -> dict[str, Any]:
    """Return the authors and pictures of the posts that are kept, so that a purge of these leaves nothing behind."""
    if len(posts) == len(page.posts):
        return {"users": page.users, "media": page.media}
    authors = {dig(post, "author_id") for post in posts}
    keys = {key for post in posts for key in dig(post, "attachments", "media_keys") or []}
    return {
        "users": [user for user in page.users if dig(user, "id") in authors],
        "media": [each for each in page.media if dig(each, "media_key") in keys],
    }
