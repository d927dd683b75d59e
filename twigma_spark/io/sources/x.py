"""X: the full-archive search of the API v2, by hashtag; X bills each post, and each author that comes with it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from twigma_spark.config.collect import Collect
from twigma_spark.errors import CollectionError, ConfigError
from twigma_spark.io.sources.client import Answer, Client
from twigma_spark.io.sources.source import ExpiredCursor, Log, Page, Record, dig, oldest_of

API, TOKEN = "https://api.x.com", "X_BEARER_TOKEN"
# X's limits: characters of a query, posts of a page, seconds between two requests.
LONGEST_QUERY, MOST, FEWEST, GAP = 1024, 500, 10, 1.05
# Of a job of batch compliance: its states, seconds between two looks, and what is no reason to delete a post, whose
# place was never asked for.
COMPLETE, ENDED, BETWEEN_LOOKS, KEPT_REASON = "complete", ("failed", "expired"), 10.0, "scrub_geo"
ASKED = {
    "tweet.fields": "id,text,created_at,author_id,lang,possibly_sensitive,source,public_metrics,attachments,entities",
    "expansions": "author_id,attachments.media_keys",
    "user.fields": "id,public_metrics",
    "media.fields": "media_key,type,url,width,height,alt_text",
}


def start(settings: Collect, log: Log) -> XSearch:
    """Return the search.

    Raises:
        ConfigError: there is no token in the environment.
    """
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise ConfigError(f"{TOKEN} must hold a bearer token of the X API, as an environment variable. Got none.")
    return XSearch(settings, Client("X", GAP, log, secrets=(token,)))


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
    """The search; the token is the client's secret."""

    how: Collect
    client: Client
    billed = True
    overlaps = False
    least = FEWEST
    most = MOST
    gap = GAP
    delay = 60.0

    def queries(self) -> list[str]:
        """Return what must be asked so that a post with any of the hashtags is found."""
        return split_query(self.how.hashtags, self.how.also)

    def page(self, query: str, window: tuple[str, str], cursor: str | None, most: int) -> Page:
        """Return a page of the posts in a window of time, newest first (`Source.page`); X takes 10 to 500 at most."""
        parameters = {"query": query, "start_time": window[0], "end_time": window[1], "max_results": str(most), **ASKED}
        got = self._ask("/2/tweets/search/all", {**parameters, "next_token": cursor} if cursor else parameters)
        posts, includes, meta = got.get("data") or [], got.get("includes") or {}, got.get("meta") or {}
        return Page(
            tuple(posts),
            tuple(includes.get("users") or []),
            tuple(includes.get("media") or []),
            meta.get("next_token"),
            len(posts),
            oldest_of(dig(post, "created_at") for post in posts),
        )

    def count(self, query: str, window: tuple[str, str]) -> tuple[int, int]:
        """Return how many posts there are in a window, and how many requests it took to know."""
        total, requests, cursor = 0, 0, None
        while True:
            parameters = {"query": query, "start_time": window[0], "end_time": window[1], "granularity": "day"}
            meta = (
                self._ask("/2/tweets/counts/all", {**parameters, "next_token": cursor} if cursor else parameters).get(
                    "meta"
                )
                or {}
            )
            total, requests = total + int(meta.get("total_tweet_count", 0)), requests + 1
            cursor = meta.get("next_token")
            if not cursor:
                return total, requests

    def gone(self, ids: Iterable[str]) -> Iterator[str]:
        """Yield which of some posts must be deleted (`Source.gone`), by one job of X's batch compliance.

        X is given the ids as a file and answers with those that were deleted, or whose account was, is suspended or is
        protected. No post is looked up, which X would bill.
        """
        with tempfile.TemporaryFile() as file:
            file.writelines(f"{name}\n".encode() for name in ids)
            if not file.tell():
                return
            job = self._job(self._ask("/2/compliance/jobs", {}, {"type": "tweets"}))
            self.client.put(self._place(job, "upload_url"), file, "text/plain")
        self.client.log("collect: X looks the posts up, which takes minutes")
        while job.get("status") != COMPLETE:
            self.client.sleep(BETWEEN_LOOKS)
            job = self._job(self._ask(f"/2/compliance/jobs/{job.get('id')}", {}))
            if job.get("status") in ENDED:
                raise CollectionError(f"X must look the posts up. Got a job that has {job['status']}; ask again.")
        for line in self.client.lines(self._place(job, "download_url")):
            if line.get("reason") != KEPT_REASON:
                yield str(line["id"])

    def _job(self, answer: Record) -> Record:
        """Return the job in an answer."""
        job = dig(answer, "data")
        if not isinstance(job, dict) or not str(job.get("id", "")).isdigit():
            raise CollectionError(f"X must answer with a compliance job. Got {json.dumps(answer)[:200]}.")
        return job

    def _place(self, job: Record, name: str) -> str:
        """Return where a job's file is put or taken; it lies at another host, which is not given the token."""
        url = str(job.get(name) or "")
        if not url.startswith(("https://", f"{self.how.api or API}/")):
            raise CollectionError(f"X must name a place with https for {name}. Got {url.partition('?')[0][:100]!r}.")
        return url

    def _ask(self, path: str, parameters: Mapping[str, str], body: Mapping[str, str] | None = None) -> Record:
        def refuse(answer: Answer) -> None:
            _refuse(answer, "next_token" in parameters)

        headers = {"Authorization": f"Bearer {self.client.secrets[0]}"}
        return dict(self.client.ask(f"{self.how.api or API}{path}", parameters, headers, refuse, body=body).body)


def _refuse(answer: Answer, with_cursor: bool) -> None:
    """Raise what a status and X's own words say, unless another attempt may help."""
    text = json.dumps(answer.body)
    if "UsageCapExceeded" in text or "usage cap" in text.lower():
        raise CollectionError(f"the account's monthly cap must leave room. Got X's answer: {answer.words}.")
    if answer.status in (401, 403):
        raise CollectionError(
            f"{TOKEN} must be a token with the right to search the full archive, or to check posts. Got status "
            f"{answer.status}: {answer.words}"
        )
    if answer.status == 400 and with_cursor and "next_token" in text:
        raise ExpiredCursor
