"""Requests to a platform's API: paced, repeated where that may help, and without its secrets in any message."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import httpcore
from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, stop_after_attempt

from twigma_spark.errors import CollectionError
from twigma_spark.io.sources.source import Log

ATTEMPTS, LONGEST_WAIT = 8, 960.0
# A page has some 2 MB.
MOST_BYTES = 50_000_000
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
        given: Mapping[str, Any],
        headers: Mapping[str, str],
        refuse: Callable[[Answer], None],
        kind: type = dict,
        body: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer with status 200, after as many attempts as it takes; no redirect is followed.

        Args:
            address: of the endpoint.
            given: parameters; a list is several of one name.
            headers: such as Authorization.
            refuse: raises what a status means that no other attempt will mend; 429 and 5xx are tried again otherwise.
            kind: list or dict, what the JSON of the answer must be; one that was cut off is asked for again.
            body: JSON that is posted; None to get.

        Raises:
            CollectionError: the platform refuses, or does not answer.
        """
        url = f"{address}?{urlencode(given, doseq=True)}" if given else address
        attempts = Retrying(
            retry=retry_if_exception_type(_Later), stop=stop_after_attempt(ATTEMPTS), wait=_pause, sleep=self._wait
        )
        try:
            answer: Answer = attempts(self._once, url, headers, refuse, kind, body)
        except RetryError as error:
            raise CollectionError(
                f"{self.name} must answer. Got {error.last_attempt.exception()} in {ATTEMPTS} attempts; the same "
                "command goes on from there."
            ) from None
        return answer

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
        try:
            with self.pool.stream(
                "GET" if content is None else "POST", url, headers=list(sent.items()), content=content,
                extensions={"timeout": SECONDS},
            ) as got:  # fmt: skip
                answer = self._answer(got.status, got.headers, self._read(got))
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise _Later(type(error).__name__) from None
        if answer.status == 200:
            if not isinstance(answer.body, kind):
                raise _Later("a page that is cut off or no JSON")
            return answer
        refuse(answer)
        if answer.status != 429 and answer.status < 500:
            raise CollectionError(f"{self.name} must take the query. Got status {answer.status}: {answer.words}")
        raise _Later(f"status {answer.status}", pause_of(answer.headers, self.clock()))

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
    found = [end for end in map(_moment, ends) if end is not None]
    return found[0] - now + 1.0 if found else None


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
