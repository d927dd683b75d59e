"""Posts of a live stream into a folder that the reader `posts` reads, and which of its posts were deleted."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from twigma_spark.config.collect import Collect
from twigma_spark.io.collected import (
    State,
    begin_live,
    keep_live,
    read_state,
    require_folder,
    write_deleted,
    write_state,
)
from twigma_spark.io.sources.jetstream import Event, Stream, start_stream
from twigma_spark.io.sources.source import TIME, Record

# A page is written when it has so many posts, or after so many seconds.
PAGE_POSTS, PAGE_SECONDS = 100, 60.0
Clock = Callable[[], datetime.datetime]


def utc_now() -> datetime.datetime:
    """Return the time."""
    return datetime.datetime.now(datetime.UTC)


@dataclass
class Listening:
    """A live collection: what is asked for, of whom, where it goes, and what is not written yet.

    Attributes:
        how: the configuration.
        stream: gives the events.
        folder: of the pages.
        log: shows a line.
        now: the time.
        state: how far it has come.
        held: ids of the posts of the pages and of those that are not written yet, without those that were deleted.
        authors: of these.
        deleted: ids of collected posts that were deleted, in order.
        posts: that are not written yet, with their pictures, by id.
        n_written: how many of the deleted posts are in their file.
    """

    how: Collect
    stream: Stream
    folder: Path
    log: Callable[[str], None] = field(repr=False)
    now: Clock = utc_now
    state: State = field(default_factory=State, init=False)
    held: set[str] = field(default_factory=set, init=False)
    authors: set[str] = field(default_factory=set, init=False)
    deleted: dict[str, None] = field(default_factory=dict, init=False)
    posts: dict[str, tuple[Record, tuple[Record, ...]]] = field(default_factory=dict, init=False)
    n_written: int = field(default=0, init=False)

    def run(self, minutes: float | None) -> State:
        """Collect until the time or the budget has passed, and return all that is there.

        Stopped anywhere, the next run goes on from there.

        Raises:
            CollectionError: the server refuses or does not answer, or a page is damaged.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state, held, self.deleted = begin_live(self.folder, read_state(self.folder, self.how.source))
        self.held = held - self.deleted.keys()
        self.authors, self.n_written = {_author_of(name) for name in self.held}, len(self.deleted)
        self.stream.missed = self._note_missed
        started = written = self.now()
        if not self._has_room():
            return self.state
        with closing(self.stream.events(self.state.live.cursor)) as events:
            try:
                for event in events:
                    if event is not None:
                        self._take(event)
                    now = self.now()
                    if not self._has_room() or (
                        minutes is not None and (now - started).total_seconds() >= minutes * 60
                    ):
                        break
                    if len(self.posts) >= PAGE_POSTS or (now - written).total_seconds() >= PAGE_SECONDS:
                        self._write()
                        written = now
            finally:
                self._write()
        return self.state

    def _has_room(self) -> bool:
        most = self.how.max_posts
        return most is None or self.state.kept + len(self.posts) < most

    def _take(self, event: Event) -> None:
        live = self.state.live
        if event.time is not None:
            live = replace(live, cursor=max(live.cursor or 0, event.time))
        if event.unreadable:
            live = replace(live, unreadable=live.unreadable + 1)
        self.state = replace(self.state, live=live)
        if event.post is not None and (name := str(event.post["id"])) not in self.held and name not in self.deleted:
            self.posts[name] = (event.post, event.media)
            self.held.add(name)
            self.authors.add(_author_of(name))
        if event.deleted in self.held:
            self._delete(str(event.deleted))
        if event.author in self.authors:
            for name in [each for each in self.held if _author_of(each) == event.author]:
                self._delete(name)

    def _delete(self, name: str) -> None:
        # One that is in no page yet never comes into one.
        if self.posts.pop(name, None) is None:
            self.deleted[name] = None
        self.held.discard(name)

    def _write(self) -> None:
        """Write the page, the deleted posts, and last how far it has come: what comes again adds nothing."""
        now = self.now().strftime(TIME)
        media = [each for _, pictures in self.posts.values() for each in pictures]
        self.state = keep_live(self.folder, self.state, [post for post, _ in self.posts.values()], media, now)
        self.posts.clear()
        if len(self.deleted) > self.n_written:
            write_deleted(self.folder, self.deleted)
            self.n_written = len(self.deleted)
        write_state(self.folder, self.state)
        self.log(f"collect: {describe(self.state, len(self.deleted))}")

    def _note_missed(self, start: int, end: int) -> None:
        first, last = _text_of(start), _text_of(end)
        live = self.state.live
        self.state = replace(self.state, live=replace(live, missed=(*live.missed, (first, last))))
        self.log(
            f"collect: Jetstream gave nothing from {first} to {last}: it keeps some 24 hours. twigma collect without "
            "--live searches for the posts of that time, and with --gone looks up which collected ones were deleted"
        )


def start_listening(settings: Collect, log: Callable[[str], None]) -> Listening:
    """Return the live collection that a configuration describes.

    Raises:
        ConfigError: something that it needs is missing.
    """
    folder = require_folder(settings, ("out", "hashtags"))
    return Listening(settings, start_stream(settings, log), folder, log)


def describe(state: State, n_deleted: int) -> str:
    """Return how many posts there are, how many were deleted, and how far the stream has come, in words."""
    live = state.live
    odd = f", {live.unreadable:,} events that cannot be read" if live.unreadable else ""
    until = f", up to {_text_of(live.cursor)}" if live.cursor is not None else ""
    return f"{state.kept:,} posts, {n_deleted:,} of them deleted{odd}{until}"


def _author_of(name: str) -> str:
    """Return the id of the account in the id of a post, at://DID/..."""
    return name.removeprefix("at://").partition("/")[0]


def _text_of(microseconds: int) -> str:
    return (
        datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=microseconds)
    ).strftime(TIME)
