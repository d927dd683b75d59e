"""Requests to a platform's API: paced, repeated where that may help, and without its secrets in any message."""

from __future__ import annotations

import datetime
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlencode

import httpcore
from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, stop_after_attempt

from twigma_spark.errors import CollectionError
from twigma_spark.io.sources.source import Log

ATTEMPTS, LONGEST_WAIT = 8, 960.0
# A page has some 2 MB.
MOST_BYTES = 50_000_000
PART = 2**20
T = TypeVar("T")
SECONDS = {"connect": 20.0, "read": 60.0, "write": 60.0, "pool": 60.0}
# X, Bluesky, Mastodon.
RESETS = ("x-rate-limit-reset", "ratelimit-reset", "x-ratelimit-reset")


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        status: of HTTP.
        headers: by name in lower case.
        body: what its JSON holds; None where it is no JSON.
        words: how it begins, for messages.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    words: str


class _Later(Exception):
    """An attempt that failed, where another one may not; `pause` is what the server asks for, in seconds."""

    def __init__(self, why: str, pause: float | None = None) -> None:
        super().__init__(why)
        self.pause = pause


@dataclass
class Client:
    """Requests to one host; each waits for its turn.

    Attributes:
        name: of the host, for messages.
        gap: seconds between two requests.
        log: shows a line.
        sleep: waits.
        clock: seconds since 1970.
        secrets: what no message may hold.
    """

    name: str
    gap: float
    log: Log = lambda text: None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Open a pool of one connection."""
        self.pool = httpcore.ConnectionPool(max_connections=1, retries=1)
        self.free = 0.0

    def ask(
        self,
        address: str,
        parameters: Mapping[str, Any],
        headers: Mapping[str, str],
        refuse: Callable[[Answer], None],
        kind: type = dict,
        body: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer with status 200, after as many attempts as it takes; no redirect is followed.

        Args:
            address: of the endpoint.
            parameters: parameters; a list is several of one name.
            headers: such as Authorization.
            refuse: raises what a status means that no other attempt will mend; 429 and 5xx are tried again otherwise.
            kind: list or dict, what the JSON of the answer must be; one that was cut off is asked for again.
            body: JSON that is posted; None to get.

        Raises:
            CollectionError: the platform refuses, or does not answer.
        """
        url = f"{address}?{urlencode(parameters, doseq=True)}" if parameters else address
        return self._repeat(self._once, url, headers, refuse, kind, body)

    def _once(
        self,
        url: str,
        headers: Mapping[str, str],
        refuse: Callable[[Answer], None],
        kind: type,
        body: Mapping[str, str] | None,
    ) -> Answer:
        self.sleep(max(0.0, self.free - self.clock()))
        self.free = self.clock() + self.gap
        sent = {"Accept": "application/json", "User-Agent": "twigma-spark", **headers}
        content = json.dumps(body).encode() if body is not None else None
        if content is not None:
            sent["Content-Type"] = "application/json"
        with self._stream("GET" if content is None else "POST", url, list(sent.items()), content) as got:
            answer = self._answer(got.status, got.headers, self._read(got))
        if answer.status == 200:
            if not isinstance(answer.body, kind):
                raise _Later("a page that is cut off or no JSON")
            return answer
        refuse(answer)
        if answer.status != 429 and answer.status < 500:
            raise CollectionError(f"{self.name} must take the query. Got status {answer.status}: {answer.words}")
        raise _Later(f"status {answer.status}", pause_of(answer.headers, self.clock()))

    def put(self, url: str, file: BinaryIO, kind: str) -> None:
        """Put a file to a place that a platform has named; without headers of the account.

        Raises:
            CollectionError: it is not taken.
        """
        length = file.seek(0, os.SEEK_END)

        def send() -> None:
            file.seek(0)
            headers = [("Content-Type", kind), ("Content-Length", str(length))]
            parts = iter(lambda: file.read(PART), b"")
            with self._stream("PUT", url, headers, parts) as got:
                answer = self._answer(got.status, got.headers, self._read(got))
            _check_file(self.name, answer)

        self._repeat(send)

    def lines(self, url: str) -> Iterator[Any]:
        """Yield the JSON of each line of a file at a place that a platform has named; it is never held whole.

        Raises:
            CollectionError: it is not given, or not to its end.
        """
        with tempfile.TemporaryFile() as file:

            def fetch() -> None:
                file.seek(0)
                file.truncate()
                with self._stream("GET", url) as got:
                    if got.status != 200:
                        _check_file(self.name, self._answer(got.status, got.headers, self._read(got)))
                    file.writelines(got.iter_stream())

            self._repeat(fetch)
            file.seek(0)
            for line in file:
                if line.strip():
                    yield json.loads(line)

    def _repeat(self, send: Callable[..., T], *given: Any) -> T:
        """Return what a request gives, after as many attempts as it takes."""
        attempts = Retrying(
            retry=retry_if_exception_type(_Later), stop=stop_after_attempt(ATTEMPTS), wait=_pause, sleep=self._wait
        )
        try:
            return attempts(send, *given)
        except RetryError as error:
            raise CollectionError(
                f"{self.name} must answer. Got {error.last_attempt.exception()} in {ATTEMPTS} attempts; the same "
                "command goes on from there."
            ) from None

    @contextmanager
    def _stream(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        content: bytes | Iterator[bytes] | None = None,
    ) -> Iterator[httpcore.Response]:
        try:
            with self.pool.stream(
                method, url, headers=list(headers), content=content, extensions={"timeout": SECONDS}
            ) as got:
                yield got
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise _Later(type(error).__name__) from None

    def _read(self, got: httpcore.Response) -> bytes:
        content = bytearray()
        for part in got.iter_stream():
            content += part
            if len(content) > MOST_BYTES:
                raise CollectionError(f"{self.name} must answer with {MOST_BYTES:,} bytes at most. Got more.")
        return bytes(content)

    def _answer(self, status: int, pairs: list[tuple[bytes, bytes]], content: bytes) -> Answer:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        words = _words(body) or content[:300].decode("utf-8", "replace")
        for secret in self.secrets:
            words = words.replace(secret, "***")
        return Answer(status, headers, body, words[:300])

    def _wait(self, seconds: float) -> None:
        if seconds > 10:
            self.log(f"collect: {self.name} asks to wait, {seconds:,.0f} s")
        self.sleep(seconds)


def _check_file(name: str, answer: Answer) -> None:
    """Raise where a file was not taken or given, for good or for now."""
    if answer.status == 429 or answer.status >= 500:
        raise _Later(f"status {answer.status}")
    if answer.status >= 300:
        raise CollectionError(f"{name} must take or give the file. Got status {answer.status}: {answer.words}")


def _words(body: object) -> str:
    """Return what the JSON of a refusal says: X's errors, Bluesky's error and message, Mastodon's error."""
    if not isinstance(body, dict):
        return ""
    several = [each for each in body.get("errors") or [] if isinstance(each, dict)] or [body]
    names = ("title", "error", "message", "detail", "error_description")
    return "; ".join(": ".join(str(each[name]) for name in names if each.get(name)) for each in several)


def _pause(state: RetryCallState) -> float:
    """Return the seconds until the next attempt: what the server asks for, or twice as long each time."""
    failed = state.outcome.exception() if state.outcome else None
    pause = failed.pause if isinstance(failed, _Later) else None
    return min(2.0 ** (state.attempt_number - 1) if pause is None else max(pause, 1.0), LONGEST_WAIT)


def pause_of(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a server asks to wait, None where it does not say.

    Args:
        headers: in lower case: Retry-After in seconds or as a date, or when the limit ends, in seconds since 1970 (X,
            Bluesky) or as a time (Mastodon).
        now: seconds since 1970.
    """
    after = headers.get("retry-after", "").strip()
    if after.isdigit():
        return float(after)
    ends = [after, *(headers.get(name, "").strip() for name in RESETS)]
    moments = [end for end in map(_moment, ends) if end is not None]
    return moments[0] - now + 1.0 if moments else None


def _moment(text: str) -> float | None:
    """Return seconds since 1970 of a number of them, an ISO 8601 time or a date of HTTP; None where it is none."""
    if text.isdigit():
        return float(text)
    for read in (datetime.datetime.fromisoformat, parsedate_to_datetime):
        try:
            return read(text).timestamp()
        except (ValueError, OverflowError):
            continue
    return None
