"""Bluesky: the search of posts with pictures by hashtag; it is free, and takes an account."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from twigma_spark.config.collect import Collect
from twigma_spark.errors import CollectionError, ConfigError
from twigma_spark.io.sources.client import Answer, Client
from twigma_spark.io.sources.source import TIME, ExpiredCursor, Log, Page, Record, dig, items, moment_of, second_after

API, CDN = "https://bsky.social", "https://cdn.bsky.app/img/feed_fullsize/plain"
HANDLE, PASSWORD = "BLUESKY_HANDLE", "BLUESKY_APP_PASSWORD"
# Bluesky's limits: posts of a page, profiles and posts of a request, 3,000 requests in 5 minutes.
MOST, PROFILES, LOOKED_UP, GAP = 100, 25, 25, 0.1
# Labels of the poster or of Bluesky's moderation that say what X calls possibly sensitive.
SENSITIVE = {"porn", "sexual", "nudity", "sexual-figurative", "graphic-media", "gore", "nsfl"}


def start(settings: Collect, log: Log) -> Bluesky:
    """Return the search; it logs in when it first asks.

    Raises:
        ConfigError: there is no account in the environment.
    """
    account = os.environ.get(HANDLE, "").strip().removeprefix("@"), os.environ.get(PASSWORD, "").strip()
    if not all(account):
        raise ConfigError(
            f"{HANDLE} and {PASSWORD} must hold an account's handle and an app password of it, as environment "
            "variables. Got none; see docs/corpora.md."
        )
    return Bluesky(settings, account, Client("Bluesky", GAP, log, secrets=(account[1],)))


@dataclass
class Bluesky:
    """The search.

    Attributes:
        how: the configuration.
        account: handle and app password; shown nowhere.
        client: sends the requests.
    """

    how: Collect
    account: tuple[str, str] = field(repr=False)
    client: Client
    token: str = field(default="", repr=False, init=False)
    billed = False
    overlaps = True
    least = 1
    most = MOST
    gap = GAP
    delay = 60.0

    def queries(self) -> list[str]:
        """Return a query a hashtag: the search knows no OR."""
        return [f"#{tag}" for tag in dict.fromkeys(name.lower() for name in self.how.hashtags)]

    def page(self, query: str, window: tuple[str, str], cursor: str | None, most: int) -> Page:
        """Return a page of the posts with pictures in a window of time, newest first (`Source.page`).

        Bluesky does not promise to page through all that it found. So a search that ends is begun anew from its oldest
        post on, until that brings nothing older; a cursor holds the end that is asked for, Bluesky's own, and how far
        it has come.
        """
        until, own, reached = json.loads(cursor) if cursor else (window[1], None, None)
        parameters = {
            "q": query,
            "tag": query[1:],
            "sort": "latest",
            "limit": str(most),
            "since": window[0],
            "until": until,
        }
        got = self._ask("app.bsky.feed.searchPosts", {**parameters, "cursor": own} if own else parameters)
        received = [post for post in items(got, "posts") if isinstance(post, dict)]
        reached = reached_by(received, (window[0], until)) or reached
        posts: list[Record] = []
        media: dict[str, Record] = {}
        for post in received:
            pictures = list(pictures_of(post))
            if pictures:
                posts.append(post_of(post, [each["media_key"] for each in pictures]))
                media |= {each["media_key"]: each for each in pictures}
        users = self._users(list(dict.fromkeys(post["author_id"] for post in posts if post["author_id"])))
        following = None
        if received and got.get("cursor"):
            following = json.dumps([until, got["cursor"], reached])
        elif reached and (again := second_after(reached)) < until:
            following = json.dumps([again, None, None])
        return Page(tuple(posts), tuple(users), tuple(media.values()), following, len(received), reached)

    def count(self, query: str, window: tuple[str, str]) -> None:
        """Return None: Bluesky does not count."""

    def gone(self, ids: Iterable[str]) -> Iterator[str]:
        """Yield which of some posts are no longer given (`Source.gone`)."""
        left = iter(ids)
        while uris := list(islice(left, LOOKED_UP)):
            got = self._ask("app.bsky.feed.getPosts", {"uris": uris})
            there = {dig(post, "uri") for post in items(got, "posts")}
            yield from (name for name in uris if name not in there)

    def _users(self, names: list[str]) -> list[Record]:
        """Return the authors with their followers; one that is gone is left out."""
        users: list[Record] = []
        for first in range(0, len(names), PROFILES):
            got = self._ask("app.bsky.actor.getProfiles", {"actors": names[first : first + PROFILES]})
            users += [
                {"id": dig(each, "did"), "public_metrics": {"followers_count": dig(each, "followersCount")}}
                for each in items(got, "profiles")
            ]
        return users

    def _ask(self, name: str, parameters: Mapping[str, Any]) -> Record:
        """Return an answer; a session that has ended is begun again, once."""
        try:
            return self._get(name, parameters)
        except _NoSession:
            self._log_in()
        try:
            return self._get(name, parameters)
        except _NoSession as error:
            raise CollectionError(f"Bluesky must take the session that it gave. Got {error}.") from None

    def _get(self, name: str, parameters: Mapping[str, Any]) -> Record:
        def refuse(answer: Answer) -> None:
            error = dig(answer.body, "error")
            if answer.status == 401 or error in ("ExpiredToken", "InvalidToken"):
                raise _NoSession(answer.words)
            # The search without a cursor was taken.
            if answer.status == 400 and "cursor" in parameters:
                raise ExpiredCursor

        if not self.token:
            raise _NoSession("none")
        headers = {"Authorization": f"Bearer {self.token}"}
        return dict(self.client.ask(f"{self.how.api or API}/xrpc/{name}", parameters, headers, refuse).body)

    def _log_in(self) -> None:
        def refuse(answer: Answer) -> None:
            if answer.status in (400, 401):
                raise CollectionError(
                    f"{HANDLE} and {PASSWORD} must be an account and an app password of it. Got status "
                    f"{answer.status}: {answer.words}"
                )

        address = f"{self.how.api or API}/xrpc/com.atproto.server.createSession"
        body = {"identifier": self.account[0], "password": self.account[1]}
        self.token = str(self.client.ask(address, {}, {}, refuse, body=body).body.get("accessJwt") or "")
        self.client.secrets = (self.account[1], *filter(None, [self.token]))


class _NoSession(Exception):
    """There is no session, or it has ended."""


def post_of(post: Mapping[str, Any], keys: list[str]) -> Record:
    """Return a post in the form of `Page`, with the keys of its pictures."""
    record = dig(post, "record")
    return {
        "id": post.get("uri"),
        "text": dig(record, "text"),
        "created_at": dig(record, "createdAt"),
        "author_id": dig(post, "author", "did"),
        "lang": next(iter(items(record, "langs")), None),
        "possibly_sensitive": is_sensitive(post),
        "public_metrics": {
            "like_count": post.get("likeCount"),
            "retweet_count": post.get("repostCount"),
            "reply_count": post.get("replyCount"),
            "quote_count": post.get("quoteCount"),
        },
        "attachments": {"media_keys": keys},
        "entities": {"hashtags": [{"tag": tag} for tag in hashtags_of(record)]},
    }


def is_sensitive(post: Mapping[str, Any]) -> bool:
    """Return whether the poster, or the platform's moderation of post or account, has put a label of `SENSITIVE`."""
    labels = [*items(post, "record", "labels", "values"), *items(post, "labels"), *items(post, "author", "labels")]
    return any(str(dig(each, "val")) in SENSITIVE and not dig(each, "neg") for each in labels)


def hashtags_of(record: object) -> list[str]:
    """Return the hashtags in the text and beside it, each once."""
    features = [each for facet in items(record, "facets") for each in items(facet, "features")]
    inside = [dig(each, "tag") for each in features if dig(each, "$type") == "app.bsky.richtext.facet#tag"]
    return list(dict.fromkeys(str(tag) for tag in [*inside, *items(record, "tags")] if tag))


def pictures_of(post: Mapping[str, Any]) -> Iterator[Record]:
    """Yield the pictures of a post, alone or beside a quoted post; the key is the digest of the file (CID).

    So a picture that several posts show has one key, and the CDN gives it by any of their ids (DID).
    """
    embed = dig(post, "record", "embed")
    for image in items(embed, "images") or items(embed, "media", "images"):
        cid, did = dig(image, "image", "ref", "$link") or dig(image, "image", "cid"), dig(post, "author", "did")
        if isinstance(cid, str) and cid.isalnum() and isinstance(did, str):
            yield {
                "media_key": cid,
                "type": "photo",
                "url": f"{CDN}/{did}/{cid}@jpeg",
                "width": dig(image, "aspectRatio", "width"),
                "height": dig(image, "aspectRatio", "height"),
                "alt_text": dig(image, "alt") or None,
            }


def reached_by(posts: list[Record], window: tuple[str, str]) -> str | None:
    """Return the time of the last post, by which Bluesky sorts: when it says it was made, or when it was first seen.

    Of both, the later one in the window that was asked for: what lies between may come twice, and none is missed.
    """
    last = posts[-1] if posts else {}
    times = [moment_of(dig(last, "record", "createdAt")), moment_of(last.get("indexedAt"))]
    texts = [time.strftime(TIME) for time in times if time]
    return max((text for text in texts if window[0] <= text < window[1]), default=None)
