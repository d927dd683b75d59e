"""Collecting posts from X into a folder that the reader `x_api` reads: within a budget, and resumable."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from twigma_spark.config.collect import Collect, Prices
from twigma_spark.errors import CollectionError, ConfigError
from twigma_spark.io.export import write_text
from twigma_spark.io.x_search import FEWEST, GAP, MOST, ExpiredCursor, XSearch, split_query

# The name of the file begins so that Spark does not take it for a page.
TOKEN, STATE = "X_BEARER_TOKEN", "_collect.json"
# X gives nothing of the last seconds.
NEWEST = datetime.timedelta(seconds=60)
TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Window:
    """A stretch of time that a query asks for, and how far it has come.

    Attributes:
        query: in X's language.
        start: of the window.
        end: of the window; what was collected already is cut off where a cursor has expired.
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


@dataclass(frozen=True)
class State:
    """What has been collected so far.

    Attributes:
        windows: all that were begun, in order.
        posts: that X gave, those that came twice among them: X bills each.
        users: that came with them.
    """

    windows: tuple[Window, ...] = ()
    posts: int = 0
    users: int = 0

    def dollars(self, prices: Prices) -> float:
        """Return what it cost, at most: X bills the same post or user once a day."""
        return self.posts * prices.post + self.users * prices.user

    def with_window(self, window: Window) -> State:
        """Return the state with a window as it is now."""
        others = tuple(w for w in self.windows if (w.query, w.start) != (window.query, window.start))
        return replace(self, windows=tuple(sorted((*others, window), key=lambda w: (w.start, w.query))))


def read_state(folder: Path) -> State:
    """Return what has been collected into a folder so far.

    Raises:
        CollectionError: the file that says so is damaged.
    """
    file = folder / STATE
    if not file.exists():
        return State()
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        return State(tuple(Window(**each) for each in held["windows"]), held["posts"], held["users"])
    except (ValueError, KeyError, TypeError) as error:
        raise CollectionError(f"{file} must be what twigma collect wrote. Got {error}.") from error


@dataclass(frozen=True)
class Job:
    """A collection: what is asked for, by whom, and where it goes."""

    how: Collect
    search: XSearch
    folder: Path
    log: Callable[[str], None] = field(repr=False)
    now: Callable[[], datetime.datetime]


def start_job(how: Collect, log: Callable[[str], None]) -> Job:
    """Return the collection that a configuration describes.

    Raises:
        ConfigError: something that it needs is missing.
    """
    for name, value in (("out", how.out), ("hashtags", how.hashtags), ("start", how.start)):
        if not value:
            raise ConfigError(f"collect.{name} must be given. Got none; see docs/corpora.md.")
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise ConfigError(f"{TOKEN} must hold a bearer token of the X API, as an environment variable. Got none.")
    search = XSearch(how.api, token, log)
    return Job(how, search, Path(str(how.out)), log, lambda: datetime.datetime.now(datetime.UTC))


def estimate(job: Job) -> str:
    """Return how many posts there are, and what they cost in dollars and hours, in words."""
    state, posts, requests = read_state(job.folder), 0, 0
    for window in _pending(job, state):
        found, asked = job.search.count(window.query, (window.start, window.end))
        posts, requests = posts + found, requests + asked
    prices = job.how.prices
    least, most = posts * prices.post, posts * (prices.post + prices.user)
    hours = posts / MOST * GAP / 3600
    return (
        f"{posts:,} posts: ${least:,.2f} for the posts, up to ${most:,.2f} with their authors, {hours:,.1f} hours or "
        f"more; ${requests * prices.counts:,.2f} for counting"
    )


def collect(job: Job) -> State:
    """Collect what is missing and return all that is there; stopped anywhere, it goes on from there.

    Raises:
        ConfigError: no budget is given.
        CollectionError: X refuses, or does not answer.
    """
    how = job.how
    if how.max_posts is None and how.max_dollars is None:
        raise ConfigError(
            "collect.max_posts or collect.max_dollars must set a budget, since X bills each post. Got none; "
            "twigma collect --dry-run says what all of it costs."
        )
    job.folder.mkdir(parents=True, exist_ok=True)
    state = read_state(job.folder)
    for window in list(_pending(job, state)):
        state = _collect_window(job, state.with_window(window), window)
    return state


def _pending(job: Job, state: State) -> Iterator[Window]:
    """Yield the windows that are not done: those begun before, and for each query what came since."""
    end = min(_midnight(job.how.end) if job.how.end else job.now() - NEWEST, job.now() - NEWEST)
    for query in split_query(job.how.hashtags, job.how.also):
        known = [window for window in state.windows if window.query == query]
        yield from (window for window in known if not window.done)
        since = max((window.end for window in known), default=_midnight(job.how.start).strftime(TIME))
        if since < end.strftime(TIME):
            yield Window(query, since, end.strftime(TIME))


def _midnight(day: datetime.date | None) -> datetime.datetime:
    return datetime.datetime.combine(day or datetime.date(2006, 3, 26), datetime.time(), datetime.UTC)


def _collect_window(job: Job, state: State, window: Window) -> State:
    # Without a cursor, what is there already was collected before one expired.
    asked_until = window.end if window.cursor else _second_after(window.oldest) or window.end
    while not window.done:
        most = _affordable(job.how, state)
        if most < FEWEST:
            job.log(f"collect: the budget is used up at {state.posts:,} posts, ${state.dollars(job.how.prices):,.2f}")
            break
        try:
            page = job.search.page(window.query, (window.start, asked_until), window.cursor, most)
        except ExpiredCursor:
            # From the oldest post on: some may come twice, none is missed.
            asked_until = _second_after(window.oldest) or asked_until
            window = replace(window, cursor=None)
            continue
        state, window = _keep(job, state, window, page)
        spent = state.dollars(job.how.prices)
        job.log(f"collect: {state.posts:,} posts, ${spent:,.2f}, back to {window.oldest or window.start}")
    return state


def _affordable(how: Collect, state: State) -> int:
    """Return how many posts the budget lets the next page have."""
    left = [MOST]
    if how.max_posts is not None:
        left.append(how.max_posts - state.posts)
    if how.max_dollars is not None:
        each = how.prices.post + how.prices.user
        left.append(int((how.max_dollars - state.dollars(how.prices)) / each) if each else MOST)
    return min(left)


def _keep(job: Job, state: State, window: Window, page: Mapping[str, Any]) -> tuple[State, Window]:
    """Write a page, then how far it has come: a page that is written twice is the same file."""
    posts, includes = page.get("data") or [], page.get("includes") or {}
    content = {"data": posts, "includes": includes, "collected_at": job.now().strftime(TIME)}
    if posts:
        write_text(str(job.folder / f"{window.name}-{window.pages:06d}.json"), json.dumps(content, ensure_ascii=False))
    times = [str(post["created_at"]) for post in posts if post.get("created_at")]
    cursor = (page.get("meta") or {}).get("next_token")
    window = replace(
        window,
        cursor=cursor,
        pages=window.pages + bool(posts),
        done=not cursor,
        oldest=min([*times, *([window.oldest] if window.oldest else [])], default=None),
    )
    state = replace(
        state.with_window(window), posts=state.posts + len(posts), users=state.users + len(includes.get("users") or [])
    )
    write_text(str(job.folder / STATE), json.dumps(asdict(state), indent=1))
    return state, window


def _second_after(text: str | None) -> str | None:
    if text is None:
        return None
    found = datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) + datetime.timedelta(seconds=1)
    return found.strftime(TIME)
