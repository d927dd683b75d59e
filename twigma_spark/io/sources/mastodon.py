"""Mastodon: hashtag timelines of named instances, free and without an account; a post has one uri at all of them."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from twigma_spark.config.collect import Collect
from twigma_spark.errors import CollectionError, ConfigError
from twigma_spark.io.sources.client import Answer, Client
from twigma_spark.io.sources.source import Log, Page, Record, dig, items, moment_of, oldest_of

# Mastodon's limits: posts of a page, and 300 requests in 5 minutes.
MOST, GAP = 40, 1.0
# A post takes a while to reach another instance.
DELAY = 600.0
NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')
# What an instance calls its own post, at the end of the post's uri.
NUMBER = re.compile(r"/statuses/(\d+)$")
IMAGE = re.compile(r"\.(jpe?g|png|webp|gif)$", re.IGNORECASE)
# An id in which another time than the post's lies is none of Mastodon.
APART = datetime.timedelta(days=2)


def start(settings: Collect, log: Log) -> Mastodon:
    """Return the timelines.

    Raises:
        ConfigError: no instance is named.
    """
    if not settings.instances:
        raise ConfigError(
            "collect.instances must name instances of Mastodon, such as [https://mastodon.social]. Got none."
        )
    return Mastodon(settings, Client("Mastodon", GAP, log))


@dataclass
class Mastodon:
    """The timelines of the instances.

    Attributes:
        how: the configuration.
        client: what those of the instances are made of.
        clients: by instance, since each has its own limit.
    """

    how: Collect
    client: Client
    clients: dict[str, Client] = field(default_factory=dict, init=False)
    billed = False
    overlaps = True
    least = 1
    most = MOST
    gap = GAP
    delay = DELAY

    def queries(self) -> list[str]:
        """Return a query an instance and hashtag."""
        tags = dict.fromkeys(name.lower() for name in self.how.hashtags)
        return [f"{instance} #{tag}" for instance in dict.fromkeys(self.how.instances) for tag in tags]

    def page(self, query: str, window: tuple[str, str], cursor: str | None, most: int) -> Page:
        """Return a page of the posts with pictures in a window of time, newest first (`Source.page`).

        The timeline is asked for below an id: Mastodon's ids begin with the time, in milliseconds, of their post.
        """
        instance, _, tag = query.partition(" #")
        parameters = {"only_media": "true", "limit": str(most), "max_id": cursor or str(id_at(window[1]))}
        refuse = partial(_refuse_login, instance)
        address = f"{instance}/api/v1/timelines/tag/{quote(tag)}"
        answer = self._client(instance).ask(address, parameters, {}, refuse, list)
        posts = [post for post in answer.body if isinstance(post, dict)]
        _check_ids(instance, posts)
        times = [moment_of(post.get("created_at")) for post in posts]
        first, end = moment_of(window[0]), moment_of(window[1])
        inside = [p for p, at in zip(posts, times, strict=True) if at is None or (first and end and first <= at < end)]
        over = bool(posts) and all(at is not None and first is not None and at < first for at in times)
        media = {each["media_key"]: each for post in inside for each in media_of(post)}
        users = {str(user["id"]): user for user in map(author_of, inside) if user["id"]}
        return Page(
            tuple(post_of(post) for post in inside),
            tuple(users.values()),
            tuple(media.values()),
            None if over or not posts else _next(answer, posts),
            len(posts),
            oldest_of(post.get("created_at") for post in posts),
        )

    def count(self, query: str, window: tuple[str, str]) -> None:
        """Return None: Mastodon does not count."""

    def gone(self, ids: Iterable[str]) -> Iterator[str]:
        """Yield which of some posts their own instance does not give any more (`Source.gone`), a request each.

        No other instance knows, and none is asked that `collect.instances` does not name: addresses in posts are from
        outside. The posts of others are counted.
        """
        own = {urlsplit(instance).netloc: instance for instance in self.how.instances}
        others: Counter[str] = Counter()
        for name in ids:
            host, number = urlsplit(name).netloc, NUMBER.search(name)
            if host not in own or number is None:
                others[host] += 1
            elif self._is_gone(own[host], number[1]):
                yield name
        if others:
            hosts = ", ".join(f"{host or 'none'} ({n:,})" for host, n in others.most_common(5))
            self.client.log(
                f"collect: {others.total():,} posts are of {len(others):,} instances that collect.instances does not "
                f"name, and were not looked up: {hosts}{', ...' if len(others) > 5 else ''}"
            )

    def _is_gone(self, instance: str, number: str) -> bool:
        def refuse(answer: Answer) -> None:
            if answer.status in (404, 410):
                raise _Gone
            _refuse_login(instance, answer)

        try:
            self._client(instance).ask(f"{instance}/api/v1/statuses/{number}", {}, {}, refuse)
        except _Gone:
            return True
        return False

    def _client(self, instance: str) -> Client:
        if instance not in self.clients:
            self.clients[instance] = replace(self.client, name=instance)
        return self.clients[instance]


class _Gone(Exception):
    """A post that is not given any more."""


def _refuse_login(instance: str, answer: Answer) -> None:
    """Raise where an instance wants a login."""
    if answer.status in (401, 403, 422):
        raise CollectionError(
            f"{instance} must show its timelines without a login; take it out of collect.instances. Got status "
            f"{answer.status}: {answer.words}"
        )


def id_at(time: str) -> int:
    """Return the least id that a post of a time, YYYY-MM-DDTHH:MM:SSZ, may have: milliseconds since 1970 times 2^16.

    After Mastodon's own ids, `Mastodon::Snowflake.id_at` in lib/mastodon/snowflake.rb.
    """
    moment = moment_of(time)
    return int(moment.timestamp() * 1000) << 16 if moment else 0


def _check_ids(instance: str, posts: list[Record]) -> None:
    """Raise where no id has the time of its post, as it is with other software: a window could not be found there."""
    pairs = [(str(post.get("id")), moment_of(post.get("created_at"))) for post in posts]
    known = [(name, at) for name, at in pairs if at]
    if known and not any(
        name.isdigit() and abs(id_at(at.isoformat()) - int(name)) < int(APART.total_seconds() * 1000) << 16
        for name, at in known
    ):
        raise CollectionError(
            f"{instance} must run Mastodon, whose ids begin with the time; take it out of collect.instances. Got id "
            f"{known[0][0][:40]!r} for a post of {known[0][1]:%Y-%m-%d}."
        )


def _next(answer: Answer, posts: list[Record]) -> str | None:
    """Return the id below which the next page is: of the header Link, else the last post's."""
    link = answer.headers.get("link")
    if link is None:
        return str(posts[-1].get("id"))
    match = NEXT.search(link)
    return next(iter(parse_qs(urlsplit(match[1]).query).get("max_id", [])), None) if match else None


def post_of(post: Mapping[str, Any]) -> Record:
    """Return a post in the form of `Page`; its id is its uri, the same at each instance."""
    return {
        "id": post.get("uri") or post.get("url"),
        "text": "\n\n".join(
            filter(None, [str(post.get("spoiler_text") or ""), text_of(str(post.get("content") or ""))])
        ),
        "created_at": post.get("created_at"),
        "author_id": author_of(post)["id"],
        "lang": post.get("language"),
        "possibly_sensitive": post.get("sensitive"),
        "source": dig(post, "application", "name"),
        "public_metrics": {
            "like_count": post.get("favourites_count"),
            "retweet_count": post.get("reblogs_count"),
            "reply_count": post.get("replies_count"),
            "quote_count": post.get("quotes_count"),
        },
        "attachments": {"media_keys": [each["media_key"] for each in media_of(post)]},
        "entities": {"hashtags": [{"tag": dig(each, "name")} for each in items(post, "tags")]},
    }


def author_of(post: Mapping[str, Any]) -> Record:
    """Return an author; the id is the account's uri, the same at each instance."""
    account = post.get("account")
    return {
        "id": dig(account, "uri") or dig(account, "url"),
        "public_metrics": {"followers_count": dig(account, "followers_count")},
    }


def media_of(post: Mapping[str, Any]) -> Iterator[Record]:
    """Yield the pictures of a post, by their address where they were posted; its digest is the key."""
    for each in items(post, "media_attachments"):
        url = dig(each, "remote_url") or dig(each, "url")
        if not url:
            continue
        kind = dig(each, "type")
        # An instance that has not looked at the file does not know what it is.
        is_image = kind == "image" or (kind == "unknown" and IMAGE.search(urlsplit(str(url)).path))
        yield {
            "media_key": hashlib.sha256(str(url).encode()).hexdigest()[:32],
            "type": "photo" if is_image else kind,
            "url": url,
            "width": dig(each, "meta", "original", "width"),
            "height": dig(each, "meta", "original", "height"),
            "alt_text": dig(each, "description"),
        }


class _Text(HTMLParser):
    """The text of HTML, with a line a <br> and an empty one between two <p>."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a line."""
        if tag in ("br", "p") and self.parts:
            self.parts.append("\n" if tag == "br" else "\n\n")

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.parts.append(data)


def text_of(html: str) -> str:
    """Return the text of a post's HTML."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    return "".join(parser.parts).strip()
