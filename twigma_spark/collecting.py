"""Collecting posts of a source into a folder that the reader `posts` reads: resumable, and X's within a budget."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path

from twigma_spark.config.collect import Collect
from twigma_spark.errors import CollectionError, ConfigError
from twigma_spark.io.collected import (
    State,
    Window,
    keep_page,
    pending,
    read_ids,
    read_seen,
    read_state,
    require_folder,
    write_state,
)
from twigma_spark.io.sources.source import TIME, ExpiredCursor, Source, second_after, start_source


@dataclass(frozen=True)
class Job:
    """A collection: what is asked for, of whom, and where it goes."""

    how: Collect
    source: Source
    folder: Path
    log: Callable[[str], None] = field(repr=False)
    now: Callable[[], datetime.datetime]


def start_job(settings: Collect, log: Callable[[str], None]) -> Job:
    """Return the collection that a configuration describes.

    Raises:
        ConfigError: something that it needs is missing.
    """
    folder = require_folder(settings, ("out", "hashtags", "start"))
    return Job(settings, start_source(settings, log), folder, log, lambda: datetime.datetime.now(datetime.UTC))


def estimate(job: Job) -> str:
    """Return, in words, how many posts there are and what they cost; where that cannot be asked, what would be."""
    windows, posts, requests = _plan(job, read_state(job.folder, job.how.source)), 0, 0
    if not windows:
        return "nothing is left to ask"
    for window in windows:
        counted = job.source.count(window.query, (window.start, window.end))
        if counted is None:
            return _announce(job, windows)
        posts, requests = posts + counted[0], requests + counted[1]
    prices = job.how.prices
    least, most = posts * prices.post, posts * (prices.post + prices.user)
    hours = posts / job.source.most * job.source.gap / 3600
    return (
        f"{posts:,} posts: ${least:,.2f} for the posts, up to ${most:,.2f} with their authors, {hours:,.1f} hours or "
        f"more; ${requests * prices.counts:,.2f} for counting"
    )


def _announce(job: Job, windows: list[Window]) -> str:
    """Return what would be asked of a source that does not count."""
    queries = list(dict.fromkeys(window.query for window in windows))
    return (
        f"{job.how.source} is free and does not count; it would be asked for {', '.join(queries)} from "
        f"{windows[0].start} to {max(window.end for window in windows)}: {len(windows):,} windows of a month at most, "
        f"each in pages of {job.source.most} posts, {1 / job.source.gap:g} requests a second at most"
    )


def collect(job: Job) -> State:
    """Collect what is missing and return all that is there; stopped anywhere, it goes on from there.

    Raises:
        ConfigError: no budget is given for a source that bills.
        CollectionError: the source refuses, or does not answer.
    """
    settings = job.how
    if job.source.billed and settings.max_posts is None and settings.max_dollars is None:
        raise ConfigError(
            "collect.max_posts or collect.max_dollars must set a budget, since X bills each post. Got none; "
            "twigma collect --dry-run says what all of it costs."
        )
    job.folder.mkdir(parents=True, exist_ok=True)
    state = read_state(job.folder, settings.source)
    windows = _plan(job, state)
    state = state.with_windows(windows)
    write_state(job.folder, state)
    for month, each in groupby(windows, key=lambda window: window.month):
        seen = read_seen(job.folder, state, month) if job.source.overlaps else None
        for window in each:
            state = _collect_window(job, state, window, seen)
            if _affordable(job, state) < job.source.least:
                job.log(f"collect: the budget is used up at {describe(job, state)}")
                return state
    return state


def find_gone(job: Job) -> Iterator[str]:
    """Yield the ids of collected posts that are no longer there, for a purge.

    Raises:
        CollectionError: the source refuses, or does not answer.
    """
    yield from job.source.gone(chain.from_iterable(read_ids(job.folder)))


def _plan(job: Job, state: State) -> list[Window]:
    newest = job.now() - datetime.timedelta(seconds=job.source.delay)
    end = min(_midnight(job.how.end), newest) if job.how.end else newest
    start = _midnight(job.how.start or datetime.date(2006, 3, 26))
    return pending(state, job.source.queries(), start.strftime(TIME), end.strftime(TIME), job.source.overlaps)


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)


def _collect_window(job: Job, state: State, window: Window, seen: dict[str, str] | None) -> State:
    # Without a cursor, what is there already was collected before one expired.
    asked_until = window.end if window.cursor or not window.oldest else second_after(window.oldest)
    while not window.done and (most := _affordable(job, state)) >= job.source.least:
        try:
            page = job.source.page(window.query, (window.start, asked_until), window.cursor, most)
        except ExpiredCursor:
            # From the oldest post on: some may come twice, none is missed.
            again = second_after(window.oldest) if window.oldest else asked_until
            if again == asked_until:
                raise CollectionError(
                    f"{job.how.source} must take the cursors that it gives. Got none taken."
                ) from None
            asked_until, window = again, replace(window, cursor=None)
            continue
        state, window = keep_page(job.folder, state, window, page, seen, job.now().strftime(TIME))
        job.log(f"collect: {describe(job, state)}, {window.query[:60]} back to {window.oldest or window.start}")
    return state


def describe(job: Job, state: State) -> str:
    """Return how many posts there are, and what they cost where they cost something, in words."""
    if not job.source.billed:
        return f"{state.kept:,} posts"
    return f"{state.posts:,} posts, ${state.dollars(job.how.prices):,.2f}"


def _affordable(job: Job, state: State) -> int:
    """Return how many posts the budget lets the next page have."""
    settings, left = job.how, [job.source.most]
    if settings.max_posts is not None:
        left.append(settings.max_posts - (state.posts if job.source.billed else state.kept))
    if settings.max_dollars is not None and job.source.billed:
        each = settings.prices.post + settings.prices.user
        left.append(int((settings.max_dollars - state.dollars(settings.prices)) / each) if each else job.source.most)
    return min(left)
