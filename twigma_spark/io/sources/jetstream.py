"""Bluesky's Jetstream: posts as they are made and deleted, over a websocket; it takes no account.

The stream is that of `/subscribe`: JSON, with times in microseconds as cursors. A server has the events of the last 24
to 36 hours; where a cursor is older it begins with its oldest event and says nothing, so `Stream` looks for gaps.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from twigma_spark.config.collect import Collect
from twigma_spark.errors import CollectionError, ConfigError
from twigma_spark.io.sources.bluesky import hashtags_of, pictures_of, post_of
from twigma_spark.io.sources.source import Log, Record, dig

HOST = "wss://jetstream2.us-east.bsky.network"
POSTS = "app.bsky.feed.post"
# The stream is asked for from these microseconds before what was seen last, since servers differ by as much.
OVERLAP = 5_000_000
# No public stream is silent for so many microseconds: what lies between was lost.
SILENCE = 60_000_000
ATTEMPTS, LONGEST_WAIT, CONNECT, PING, MOST_BYTES = 10, 120.0, 20.0, 20.0, 2**22
# Seconds after which `Stream.events` yields None where nothing came.
TICK = 1.0


@dataclass(frozen=True)
class Event:
    """An event of the stream.

    Attributes:
        time: microseconds since 1970; None where the event cannot be read.
        post: that was made and has a hashtag that is asked for and a picture, in the form of `Page.posts`.
        media: its pictures, in the form of `Page.media`.
        deleted: id of a post that was deleted.
        author: whose account was deleted.
        unreadable: whether nothing can be made of it.
    """

    time: int | None = None
    post: Record | None = None
    media: tuple[Record, ...] = ()
    deleted: str | None = None
    author: str | None = None
    unreadable: bool = False


class _Later(Exception):
    """No connection, where another attempt may make one."""


@dataclass
class Stream:
    """The events of posts from a moment on; a connection that breaks is made again.

    Attributes:
        address: of the host, wss://...
        hashtags: in lower case; a post with any of them is given.
        log: shows a line.
        sleep: waits.
        missed: called with the times, in microseconds, between which the server gave nothing.
    """

    address: str
    hashtags: frozenset[str]
    log: Log = field(repr=False)
    sleep: Callable[[float], None] = time.sleep
    missed: Callable[[int, int], None] = lambda start, end: None

    def events(self, cursor: int | None) -> Generator[Event | None]:
        """Yield the events from a little before a cursor on, without an end; None where none came for a second.

        Args:
            cursor: time of the last event that was seen, in microseconds; None for what comes from now on.

        Raises:
            CollectionError: the server refuses, or does not answer.
        """
        loop = asyncio.new_event_loop()
        try:
            while True:
                connection = self._connect(loop, cursor)
                try:
                    for event in self._listen(connection, cursor):
                        cursor = max(cursor or 0, event.time) if event and event.time else cursor
                        yield event
                finally:
                    connection.close()
                self.log("collect: the connection to Jetstream has ended; a new one goes on from there")
        finally:
            loop.close()

    def _listen(self, connection: _Connection, cursor: int | None) -> Iterator[Event | None]:
        """Yield the events of one connection until it ends."""
        first = True
        while True:
            if not connection.ready():
                yield None
                continue
            if (text := connection.take()) is None:
                return
            event = read_event(text, self.hashtags)
            if first and event.time is not None:
                if cursor is not None and event.time - cursor > SILENCE:
                    self.missed(cursor, event.time)
                first = False
            yield event

    def _connect(self, loop: asyncio.AbstractEventLoop, cursor: int | None) -> _Connection:
        """Return a connection, after as many attempts as it takes."""
        parameters = [
            ("wantedCollections", POSTS),
            *([("cursor", max(0, cursor - OVERLAP))] if cursor is not None else []),
        ]
        url = f"{self.address}/subscribe?{urlencode(parameters)}"
        attempts = Retrying(
            retry=retry_if_exception_type(_Later),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(max=LONGEST_WAIT),
            sleep=self.sleep,
        )
        try:
            return attempts(_open, loop, url)
        except RetryError as error:
            raise CollectionError(
                f"Jetstream at {self.address} must answer. Got {error.last_attempt.exception()} in {ATTEMPTS} "
                "attempts; the same command goes on from there."
            ) from None


def start_stream(settings: Collect, log: Log) -> Stream:
    """Return the stream that a configuration describes.

    Raises:
        ConfigError: it is no stream of Bluesky, or its client is not installed.
    """
    if settings.source != "bluesky":
        raise ConfigError(f"collect.source must be bluesky, which alone has a live stream. Got {settings.source!r}.")
    try:
        import tornado.websocket  # noqa: F401 (an extra)
    except ImportError as error:
        raise ConfigError(
            "the live stream needs Tornado, for its websocket. Got none; pip install 'twigma_spark[live]'."
        ) from error
    return Stream(settings.stream or HOST, frozenset(tag.lower() for tag in settings.hashtags), log)


def read_event(text: str | bytes, hashtags: frozenset[str]) -> Event:
    """Return an event, with what of it is asked for; one that cannot be read says so.

    Args:
        text: the JSON.
        hashtags: in lower case, of which a post must have one.
    """
    try:
        held = json.loads(text)
        at, did, kind = held["time_us"], held["did"], held["kind"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Event(unreadable=True)
    if not isinstance(at, int) or isinstance(at, bool) or at < 0 or not isinstance(did, str):
        return Event(unreadable=True)
    if kind == "account":
        gone = dig(held, "account", "active") is False and dig(held, "account", "status") == "deleted"
        return Event(at, author=did if gone else None)
    if kind != "commit" or dig(held, "commit", "collection") not in (POSTS, None):
        return Event(at)
    operation, key, record = (dig(held, "commit", name) for name in ("operation", "rkey", "record"))
    if not isinstance(key, str) or not key or operation not in ("create", "update", "delete"):
        return Event(at, unreadable=True)
    uri = f"at://{did}/{POSTS}/{key}"
    if operation == "delete":
        return Event(at, deleted=uri)
    if not isinstance(record, dict):
        return Event(at, unreadable=True)
    post = {"uri": uri, "author": {"did": did}, "record": record}
    pictures = tuple(pictures_of(post))
    if not pictures or hashtags.isdisjoint(tag.lower() for tag in hashtags_of(record)):
        return Event(at)
    return Event(at, post_of(post, [each["media_key"] for each in pictures]), pictures)


class _Connection:
    """A websocket that is read without threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Any) -> None:
        self.loop, self.socket = loop, socket
        self.next: asyncio.Future[str | bytes | None] | None = None

    def ready(self) -> bool:
        """Return whether a message has come, or the end, for which a second is waited."""

        async def wait() -> bool:
            self.next = self.next or asyncio.ensure_future(self.socket.read_message())
            return bool((await asyncio.wait({self.next}, timeout=TICK))[0])

        return self.loop.run_until_complete(wait())

    def look(self) -> str | bytes | None:
        """Return the message that has come, None at the end."""
        return self.next.result() if self.next is not None else None

    def take(self) -> str | bytes | None:
        """Return the message that has come and be ready for another one, None at the end."""
        event, self.next = self.look(), None
        return event

    def close(self) -> None:
        """End the connection; the server is told, as far as it listens."""

        async def close() -> None:
            self.socket.close()
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

        self.loop.run_until_complete(close())


def _open(loop: asyncio.AbstractEventLoop, url: str) -> _Connection:
    """Return a connection that has outlived its first second, or brought a message.

    Raises:
        CollectionError: the server refuses for good.
        _Later: there is none for now.
    """
    from tornado.httpclient import HTTPClientError, HTTPRequest
    from tornado.websocket import WebSocketError, websocket_connect

    async def connect() -> Any:
        request = HTTPRequest(url, user_agent="twigma-spark", connect_timeout=CONNECT, follow_redirects=False)
        return await websocket_connect(request, ping_interval=PING, ping_timeout=PING, max_message_size=MOST_BYTES)

    try:
        connection = _Connection(loop, loop.run_until_complete(connect()))
    except HTTPClientError as error:
        answered = error.response.body if error.response else b""
        words = answered[:300].decode("utf-8", "replace") or str(error.message)
        if error.code < 500 and error.code != 429:
            raise CollectionError(f"Jetstream must take the subscription. Got status {error.code}: {words}") from None
        raise _Later(f"status {error.code}: {words}") from None
    except (OSError, WebSocketError) as error:
        raise _Later(type(error).__name__) from None
    if connection.ready() and connection.look() is None:
        connection.close()
        raise _Later("a connection that is closed at once")
    return connection
