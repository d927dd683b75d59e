"""What a source of posts is; adding one takes a module with `start` and a line in config.collect.SOURCES."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from twigma_spark.config.collect import SOURCES, Collect

TIME = "%Y-%m-%dT%H:%M:%SZ"
Log = Callable[[str], None]
Record = dict[str, Any]


class ExpiredCursor(Exception):
    """A cursor that the platform does not know any more."""


@dataclass(frozen=True)
class Page:
    """A page of posts, in the form of the X API's pages, which the reader `posts` reads.

    Attributes:
        posts: each with id, text, created_at, author_id, lang, possibly_sensitive, source, public_metrics (like_count,
            retweet_count, reply_count, quote_count), attachments.media_keys and entities.hashtags, as far as known; an
            id is one of no other platform.
        users: authors, each with id and public_metrics.followers_count.
        media: pictures, each with media_key, type, url, width, height and alt_text; a key is the name of a file.
        cursor: of the next page, None after the last one.
        given: how many posts the platform gave, those that were not asked for among them.
        oldest: time of the oldest of them, YYYY-MM-DDTHH:MM:SSZ; None where there is none.
    """

    posts: tuple[Record, ...]
    users: tuple[Record, ...]
    media: tuple[Record, ...]
    cursor: str | None
    given: int
    oldest: str | None


class Source(Protocol):
    """A platform that is searched by hashtag, newest posts first.

    Attributes:
        billed: whether each post costs money.
        overlaps: whether several queries may find the same post; then a month is collected after the other, and what
            is held to keep a post once is a month's.
        least: posts of a page at least, as asked for.
        most: posts of a page at most.
        gap: seconds between two requests.
        delay: seconds that a post may take until it is found; newer ones are left for the next time.
    """

    billed: bool
    overlaps: bool
    least: int
    most: int
    gap: float
    delay: float

    def queries(self) -> list[str]:
        """Return what must be asked so that a post with any of the hashtags is found."""

    def page(self, query: str, window: tuple[str, str], cursor: str | None, most: int) -> Page:
        """Return a page of the posts in a window of time.

        Args:
            query: one of `queries`.
            window: start, and end, which is not in it, as YYYY-MM-DDTHH:MM:SSZ.
            cursor: of the page before, None for the first one.
            most: posts at most.

        Raises:
            ExpiredCursor: the cursor is not known any more.
            CollectionError: the platform refuses, or does not answer.
        """

    def count(self, query: str, window: tuple[str, str]) -> tuple[int, int] | None:
        """Return how many posts there are in a window, and the requests it took; None where it cannot be asked.

        Raises:
            CollectionError: the platform refuses, or does not answer.
        """

    def gone(self, ids: Iterable[str]) -> Iterator[str]:
        """Yield which of some posts are no longer there; how many could not be looked up is logged.

        Raises:
            CollectionError: the platform refuses, or does not answer.
        """


def start_source(settings: Collect, log: Log) -> Source:
    """Return the source that a configuration names.

    Raises:
        ConfigError: something that it needs is missing.
    """
    source: Source = import_module(SOURCES[settings.source]).start(settings, log)
    return source


def moment_of(text: object) -> datetime.datetime | None:
    """Return an ISO 8601 time in UTC, None where a text is none."""
    try:
        moment = datetime.datetime.fromisoformat(str(text))
        return moment.replace(tzinfo=moment.tzinfo or datetime.UTC).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None


def oldest_of(times: Iterable[object]) -> str | None:
    """Return the oldest of some times, as YYYY-MM-DDTHH:MM:SSZ; what is no time is left out."""
    oldest = min((moment for moment in map(moment_of, times) if moment), default=None)
    return oldest.strftime(TIME) if oldest else None


def second_after(time: str) -> str:
    """Return the time a second after another, both as YYYY-MM-DDTHH:MM:SSZ."""
    return (datetime.datetime.strptime(time, TIME) + datetime.timedelta(seconds=1)).strftime(TIME)


def items(held: object, *names: str) -> list[Any]:
    """Return the list that lies in objects in objects under some names; an empty one where there is none."""
    value = dig(held, *names)
    return value if isinstance(value, list) else []


def dig(held: object, *names: str) -> Any:
    """Return what lies in objects in objects under some names, or None."""
    for name in names:
        held = held.get(name) if isinstance(held, Mapping) else None
    return held
