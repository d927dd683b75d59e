"""The full-archive search of the X API v2: pages of posts by hashtag, at the pace that X allows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpcore

from twigma_spark.errors import CollectionError

# X's limits: characters of a query, posts of a page, seconds between two requests.
LONGEST_QUERY, MOST, FEWEST, GAP = 1024, 500, 10, 1.05
ATTEMPTS, LONGEST_WAIT = 8, 960.0
ASKED = {
    "tweet.fields": "id,text,created_at,author_id,lang,possibly_sensitive,source,public_metrics,attachments,entities",
    "expansions": "author_id,attachments.media_keys",
    "user.fields": "id,public_metrics",
    "media.fields": "media_key,type,url,width,height,alt_text",
}


class ExpiredCursor(Exception):
    """A page token that X does not know any more."""


def split_query(hashtags: Sequence[str], also: str) -> list[str]:
    """Return as few queries as X's limit of 1,024 characters allows that together ask for all hashtags.

    Args:
        hashtags: without the sign.
        also: what else must hold of a post, in X's language of queries.

    Raises:
        CollectionError: one hashtag alone is too long with it.
    """
    queries: list[list[str]] = []
    for tag in dict.fromkeys(name.lower() for name in hashtags):
        if queries and len(_query([*queries[-1], tag], also)) <= LONGEST_QUERY:
            queries[-1].append(tag)
        else:
            queries.append([tag])
        if len(_query(queries[-1], also)) > LONGEST_QUERY:
            raise CollectionError(
                f"collect.also must leave room for a hashtag in {LONGEST_QUERY} characters. Got {also!r}."
            )
    return [_query(tags, also) for tags in queries]


def _query(tags: Sequence[str], also: str) -> str:
    return f"({' OR '.join(f'#{tag}' for tag in tags)}) {also}".strip()


@dataclass
class XSearch:
    """The search; every request waits for its turn.

    Attributes:
        api: address of the API.
        token: bearer token; shown nowhere.
        log: shows a line.
        sleep: waits.
        clock: seconds since 1970.
    """

    api: str
    token: str = field(repr=False)
    log: Callable[[str], None] = lambda text: None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        """Open a pool of one connection."""
        self.pool = httpcore.ConnectionPool(max_connections=1, retries=1)
        self.free = 0.0

    def page(self, query: str, window: tuple[str, str], cursor: str | None, most: int) -> dict[str, Any]:
        """Return a page of the posts in a window, newest first: data, includes, meta (with next_token).

        Args:
            query: in X's language.
            window: start and end, as YYYY-MM-DDTHH:MM:SSZ.
            cursor: the next_token of the page before, None for the first one.
            most: posts at most; X takes 10 to 500.

        Raises:
            ExpiredCursor: the cursor is not known any more.
            CollectionError: X refuses, or does not answer.
        """
        given = {"query": query, "start_time": window[0], "end_time": window[1], "max_results": str(most), **ASKED}
        return self._get("/2/tweets/search/all", {**given, "next_token": cursor} if cursor else given)

    def count(self, query: str, window: tuple[str, str]) -> tuple[int, int]:
        """Return how many posts there are in a window, and how many requests it took to know.

        Raises:
            CollectionError: X refuses, or does not answer.
        """
        total, requests, cursor = 0, 0, None
        while True:
            given = {"query": query, "start_time": window[0], "end_time": window[1], "granularity": "day"}
            page = self._get("/2/tweets/counts/all", {**given, "next_token": cursor} if cursor else given)
            total, requests = total + int(page.get("meta", {}).get("total_tweet_count", 0)), requests + 1
            cursor = page.get("meta", {}).get("next_token")
            if not cursor:
                return total, requests

    def _get(self, path: str, given: Mapping[str, str]) -> dict[str, Any]:
        url, last = f"{self.api}{path}?{urlencode(given)}", ""
        for attempt in range(ATTEMPTS):
            self.sleep(max(0.0, self.free - self.clock()))
            self.free = self.clock() + GAP
            try:
                answer = self.pool.request(
                    "GET", url, headers=[("Authorization", f"Bearer {self.token}")],
                    extensions={"timeout": {"connect": 20.0, "read": 60.0, "write": 60.0, "pool": 60.0}},
                )  # fmt: skip
                if answer.status == 200:
                    return dict(json.loads(answer.content))
                last = f"status {answer.status}"
            except (
                httpcore.NetworkError,
                httpcore.TimeoutException,
                httpcore.ProtocolError,
                ValueError,
                TypeError,
            ) as error:
                self._wait(min(2.0**attempt, LONGEST_WAIT), last := type(error).__name__)
                continue
            told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
            self._raise_refusal(answer.status, answer.content, "next_token" in given)
            reset = told.get("x-rate-limit-reset", "")
            pause = float(reset) - self.clock() + 1.0 if reset.isdigit() else 2.0**attempt
            self._wait(min(max(pause, 1.0), LONGEST_WAIT), last)
        raise CollectionError(f"X must answer. Got {last} in {ATTEMPTS} attempts; the same command goes on from there.")

    def _wait(self, seconds: float, why: str) -> None:
        if seconds > 10:
            self.log(f"collect: {why}, waiting {seconds:,.0f} s")
        self.sleep(seconds)

    def _raise_refusal(self, status: int, content: bytes, with_cursor: bool) -> None:
        """Raise what a status and X's own words say, unless another attempt may help."""
        try:
            told = json.loads(content)
        except ValueError:
            told = {}
        told = told if isinstance(told, dict) else {}
        errors = [e for e in told.get("errors") or [] if isinstance(e, dict)]
        words = "; ".join(str(each.get("message") or each.get("detail") or "") for each in (errors or [told]))[:300]
        if "UsageCapExceeded" in json.dumps(told) or "usage cap" in words.lower():
            raise CollectionError(f"the account's monthly cap must leave room. Got X's answer: {words or 'usage cap'}.")
        if status in (401, 403):
            raise CollectionError(
                f"X_BEARER_TOKEN must be a token with the right to search the full archive. Got status {status}: "
                f"{words}"
            )
        if status == 400 and with_cursor and "next_token" in content.decode("utf-8", "replace"):
            raise ExpiredCursor
        if status != 429 and status < 500:
            raise CollectionError(f"X must take the query. Got status {status}: {words}")
