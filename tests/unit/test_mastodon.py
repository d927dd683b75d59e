"""Collecting posts from servers that behave as Mastodon's: timelines by id, limits, refusals, one post at several."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hosts import Answer, Clock, answering
from tests.unit.json_values import JSON
from twigma_spark.collecting import Job, collect, estimate, find_gone, start_job
from twigma_spark.config.collect import Collect
from twigma_spark.errors import CollectionError, ConfigError
from twigma_spark.io.sources import client
from twigma_spark.io.sources.client import Client, pause_of
from twigma_spark.io.sources.mastodon import Mastodon, id_at, media_of, post_of, text_of

DAY = datetime.datetime(2025, 3, 1, tzinfo=datetime.UTC)


def post(
    n: int, origin: str = "https://one.test", seen_by: int = 0, tags: tuple[str, ...] = ("aiart",)
) -> dict[str, Any]:
    """Return a post of the n-th minute as an instance shows it; `seen_by` 0 is the one where it was posted."""
    at = DAY + datetime.timedelta(minutes=n)
    own = f"{origin}/media/{n}.png"
    copy = {"url": own, "remote_url": None} if seen_by == 0 else {"url": f"https://cache/{n}.png", "remote_url": own}
    return {
        "id": str((int(at.timestamp() * 1000) << 16) + seen_by), "uri": f"{origin}/users/a/statuses/{n}",
        "url": f"{origin}/@a/{n}", "created_at": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "language": "de",
        "content": "<p>Ein Bild &amp; mehr<br>Zeile</p>", "spoiler_text": "", "sensitive": True,
        "favourites_count": n, "reblogs_count": 1, "replies_count": 2, "application": {"name": "Web"},
        "account": {"uri": f"{origin}/users/a", "acct": "a", "followers_count": 9},
        "media_attachments": [{"id": str(n), "type": "image", "description": "alt", **copy,
                               "meta": {"original": {"width": 4, "height": 3}}}],
        "tags": [{"name": tag} for tag in tags],
    }  # fmt: skip


class Instance:
    """An instance of Mastodon."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        self.refuse: Callable[[int], Answer | None] = lambda n: None

    def answer(self, path: str, given: dict[str, str], token: str) -> Answer:
        self.asked.append(given)
        if refused := self.refuse(len(self.asked)):
            return refused
        if path.startswith("/api/v1/statuses/"):
            # Its own posts alone: it has other numbers for those of others.
            own = [p for p in self.posts if p["uri"].endswith(f"/statuses/{path.rpartition('/')[2]}")]
            return (200, {}, own[0]) if own else (404, {}, {"error": "Record not found"})
        tag, most = unquote(path).removeprefix("/api/v1/timelines/tag/"), int(given["limit"])
        assert 1 <= most <= 40 and given["only_media"] == "true" and not token
        found = [
            p for p in self.posts
            if tag in [each["name"] for each in p["tags"]] and int(p["id"]) < int(given["max_id"])
        ]  # fmt: skip
        page = sorted(found, key=lambda p: int(p["id"]), reverse=True)[:most]
        if not page:
            return 200, {}, []
        older, newer = (
            f"<https://one.test{path}?{name}={page[n]['id']}>" for name, n in (("max_id", -1), ("min_id", 0))
        )
        return 200, {"Link": f'{older}; rel="next", {newer}; rel="prev"'}, page


@pytest.fixture
def instances() -> list[Instance]:
    """Two instances: each has posts of its own, and sees those of the other."""
    one, two = Instance(), Instance()
    one.posts = [post(n) for n in range(90)] + [post(n, "https://two.test", 1) for n in range(90, 110)]
    two.posts = [post(n, seen_by=2) for n in range(60)] + [post(n, "https://two.test") for n in range(90, 110)]
    return [one, two]


@pytest.fixture
def job(instances: list[Instance], tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Makes a collection into one folder."""
    clock = Clock(DAY + datetime.timedelta(days=2))
    with ExitStack() as stack:
        addresses = tuple(stack.enter_context(answering(each.answer)) for each in instances)

        def make(**more: Any) -> Job:
            given = {"source": "mastodon", "out": str(tmp_path), "hashtags": ("AIart",), "start": DAY.date(), **more}
            how = Collect.model_validate({"instances": addresses, **given})
            sender = Client("Mastodon", 1.0, lambda text: None, clock.sleep, clock.time)
            return Job(how, Mastodon(how, sender), tmp_path, lambda text: None, clock.moment)

        make.clock = clock  # type: ignore[attr-defined]
        make.addresses = addresses  # type: ignore[attr-defined]
        yield make


def held(folder: Path) -> list[dict[str, Any]]:
    return [each for file in sorted(folder.glob("page-*.json")) for each in json.loads(file.read_text())["data"]]


def ids(folder: Path) -> list[str]:
    return sorted(each["id"] for each in held(folder))


def uris(instances: list[Instance]) -> list[str]:
    return sorted({each["uri"] for instance in instances for each in instance.posts})


def test_a_post_that_both_instances_show_is_kept_once(
    instances: list[Instance], job: Callable[..., Job], tmp_path: Path
) -> None:
    state = collect(job())
    assert ids(tmp_path) == uris(instances) and (state.kept, state.posts) == (110, 190)
    assert len(instances[0].asked) == 4 and sum(job.clock.waits) >= 5.0  # type: ignore[attr-defined]
    first = next(each for each in held(tmp_path) if each["id"] == "https://one.test/users/a/statuses/3")
    assert first == {
        "id": "https://one.test/users/a/statuses/3", "text": "Ein Bild & mehr\nZeile", "lang": "de", "source": "Web",
        "created_at": "2025-03-01T00:03:00.000Z", "author_id": "https://one.test/users/a", "possibly_sensitive": True,
        "public_metrics": {"like_count": 3, "retweet_count": 1, "reply_count": 2, "quote_count": None},
        "attachments": {"media_keys": [each["media_key"] for each in media_of(post(3))]},
        "entities": {"hashtags": [{"tag": "aiart"}]},
    }  # fmt: skip
    asked = len(instances[0].asked)
    job.clock.now += 86_400  # type: ignore[attr-defined]
    instances[0].posts.append(post(2 * 1440 + 600))
    assert collect(job()).kept == 111 and ids(tmp_path) == uris(instances)
    assert len(instances[0].asked) == asked + 2


def test_a_picture_has_one_key_and_its_own_address_at_each_instance() -> None:
    at_home, elsewhere = list(media_of(post(3))), list(media_of(post(3, seen_by=2)))
    assert at_home == elsewhere and at_home[0]["url"] == "https://one.test/media/3.png"
    assert len(at_home[0]["media_key"]) == 32 and at_home[0]["type"] == "photo" and at_home[0]["alt_text"] == "alt"
    kinds = [("unknown", "a.PNG?x=1", "photo"), ("unknown", "a", "unknown"), ("gifv", "a.mp4", "gifv")]
    for kind, name, found in kinds:
        one = {"media_attachments": [{"type": kind, "url": f"https://one.test/{name}"}]}
        assert [each["type"] for each in media_of(one)] == [found]
    assert not list(media_of({"media_attachments": [{"type": "image", "url": None}, None]}))


def test_a_hashtag_of_any_script_is_asked_for(
    instances: list[Instance], job: Callable[..., Job], tmp_path: Path
) -> None:
    instances[0].posts.append(post(5, "https://three.test", tags=("絵画",)))
    collect(job(hashtags=("絵画",)))
    assert ids(tmp_path) == ["https://three.test/users/a/statuses/5"]


def test_an_answer_without_an_end_is_a_sentence(
    instances: list[Instance], job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MOST_BYTES", 1000)
    with pytest.raises(CollectionError, match=r"must answer with 1,000 bytes at most"):
        collect(job())


def test_a_window_that_has_passed_is_asked_for_by_id(
    instances: list[Instance], job: Callable[..., Job], tmp_path: Path
) -> None:
    instances[0].posts += [post(-1440 * n) for n in range(1, 4)] + [post(1440 + n) for n in range(30)]
    instances[1].posts = []
    collect(job(start="2025-02-27", end="2025-03-01"))
    assert ids(tmp_path) == [f"https://one.test/users/a/statuses/{-1440 * n}" for n in (1, 2)]
    assert instances[0].asked[0]["max_id"] == str(id_at("2025-03-01T00:00:00Z"))


def test_stopped_anywhere_it_goes_on(instances: list[Instance], job: Callable[..., Job], tmp_path: Path) -> None:
    instances[1].refuse = lambda n: (
        (401, {}, {"error": "This method requires an authenticated user"}) if n == 2 else None
    )
    with pytest.raises(CollectionError, match=r"127\.0\.0\.1.* must show its timelines without a login.*authenticated"):
        collect(job())
    assert 90 <= len(ids(tmp_path)) <= 110
    instances[1].refuse = lambda n: None
    assert collect(job()).kept == 110 and ids(tmp_path) == uris(instances)


def test_limits_are_waited_for_and_a_page_cut_off_is_asked_for_again(
    instances: list[Instance], job: Callable[..., Job], tmp_path: Path
) -> None:
    clock = job.clock  # type: ignore[attr-defined]
    reset = datetime.datetime.fromtimestamp(clock.now + 240, datetime.UTC).isoformat().replace("+00:00", "Z")
    answers: dict[int, Answer] = {
        1: (429, {"X-RateLimit-Reset": reset}, {"error": "Too many requests"}),
        2: (200, {}, b'[{"id": "1'),
        3: (200, {}, {"error": "not a list"}),
        5: (503, {}, b""),
    }
    instances[0].refuse = answers.get
    assert collect(job()).kept == 110 and ids(tmp_path) == uris(instances)
    assert any(240 <= wait < 242 for wait in clock.waits)


def test_other_software_and_a_server_that_is_down_are_sentences(
    instances: list[Instance], job: Callable[..., Job]
) -> None:
    instances[0].posts = [{**post(1), "id": "5"}]
    with pytest.raises(CollectionError, match=r"must run Mastodon, whose ids begin with the time.*Got id '5'"):
        collect(job())
    instances[0].refuse = lambda n: (500, {}, b"")
    with pytest.raises(CollectionError, match=r"http://127\.0\.0\.1:\d+ must answer\. Got status 500 in 8 attempts"):
        collect(job())


def test_an_empty_window_is_done_and_what_is_asked_is_said(
    instances: list[Instance], job: Callable[..., Job], tmp_path: Path
) -> None:
    told = estimate(job())
    assert all(f"{address} #aiart" in told for address in job.addresses) and not instances[0].asked  # type: ignore[attr-defined]
    for instance in instances:
        instance.posts = []
    assert all(window.done for window in collect(job()).windows) and ids(tmp_path) == []


def test_posts_that_are_gone_are_asked_of_their_own_instance_alone(
    instances: list[Instance], job: Callable[..., Job]
) -> None:
    """Those of an instance that nobody named are not asked for, wherever their address leads, and are counted."""
    own = job.addresses[0]  # type: ignore[attr-defined]
    instances[0].posts = [post(n, own) for n in range(3)] + [post(9, "http://169.254.169.254", 1)]
    instances[1].posts = []
    collect(job())
    gone = instances[0].posts.pop(1)["uri"]
    said: list[str] = []
    asking = job()
    asking.source.client.log = said.append  # type: ignore[attr-defined]
    assert list(find_gone(asking)) == [gone]
    assert said == [
        "collect: 1 posts are of 1 instances that collect.instances does not name, and were not looked up: "
        "169.254.169.254 (1)"
    ]
    instances[0].refuse = lambda n: (401, {}, {"error": "This method requires an authenticated user"})
    with pytest.raises(CollectionError, match=r"without a login.*Got status 401"):
        list(find_gone(job()))


def test_a_folder_is_of_one_source_and_instances_are_named(job: Callable[..., Job], tmp_path: Path) -> None:
    collect(job())
    with pytest.raises(CollectionError, match=r"folder of its own for each source.*posts of mastodon, for bluesky"):
        collect(job(source="bluesky"))
    with pytest.raises(ConfigError, match=r"collect\.instances must name"):
        start_job(Collect(source="mastodon", out="x", hashtags=("a",), start=DAY.date()), print)


def test_a_post_with_nothing_in_it_is_kept_for_the_rejects() -> None:
    assert post_of({"media_attachments": None, "account": None})["id"] is None


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a</p><p>b<br/>c</p>", "a\n\nb\nc"),
        ('<p>see <a href="x"><span class="invisible">https://</span>one.test</a></p>', "see https://one.test"),
        ("a &lt;b&gt; <i>c", "a <b> c"),
        ("", ""),
    ],
)
def test_html_becomes_text(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7", "x-rate-limit-reset": "5000"}, 7.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:17:40 GMT"}, 61.0),
        ({"x-rate-limit-reset": "1010"}, 11.0),
        ({"ratelimit-reset": "1010"}, 11.0),
        ({"x-ratelimit-reset": "1970-01-01T00:17:40.5Z"}, 61.5),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_what_a_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert pause_of(headers, 1000.0) == seconds


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(post(1))), value=JSON)
def test_whatever_a_field_holds_a_post_is_made(name: str, value: object) -> None:
    odd = {**post(1), name: value}
    assert post_of(odd).keys() == post_of(post(1)).keys()
    assert all(len(each["media_key"]) == 32 for each in media_of(odd))
