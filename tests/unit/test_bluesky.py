"""Collecting posts from a server that behaves as Bluesky's: login, cursors that end early, labels, limits, refusals."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hosts import Answer, Clock, answering
from tests.unit.json_values import JSON
from twigma_spark.collecting import Job, collect, estimate, find_gone, start_job
from twigma_spark.config.collect import Collect
from twigma_spark.errors import CollectionError, ConfigError
from twigma_spark.io.sources.bluesky import HANDLE, PASSWORD, Bluesky, is_sensitive, pictures_of, post_of, reached_by
from twigma_spark.io.sources.client import Client

SECRET = "abcd-efgh-ijkl-mnop"  # noqa: S105
DAY = datetime.datetime(2025, 3, 1, tzinfo=datetime.UTC)
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


def picture(name: str) -> dict[str, Any]:
    return {
        "alt": f"alt {name}",
        "image": {"$type": "blob", "ref": {"$link": f"bafk{name}"}, "mimeType": "image/jpeg", "size": 9},
        "aspectRatio": {"width": 4, "height": 3},
    }


def post(n: int, tags: tuple[str, ...] = ("aiart",), **more: Any) -> dict[str, Any]:
    """Return a post of the n-th minute, with one picture."""
    at = (DAY + datetime.timedelta(minutes=n)).strftime(TIME)
    facets = [{"features": [{"$type": "app.bsky.richtext.facet#tag", "tag": tag}]} for tag in tags]
    embed = {"$type": "app.bsky.embed.images", "images": [picture(str(abs(n)))]}
    record = {"text": f"post {n}", "createdAt": at, "langs": ["en", "de"], "facets": facets, "embed": embed}
    return {
        "uri": f"at://did:plc:{n % 3}/app.bsky.feed.post/{n}", "cid": f"c{n}",
        "author": {"did": f"did:plc:{n % 3}", "handle": "somebody.test"}, "record": record, "indexedAt": at,
        "likeCount": n, "repostCount": 1, "replyCount": 2, "quoteCount": 3, "labels": [], **more,
    }  # fmt: skip


class Server:
    """An archive that is searched as Bluesky's is; it pages through `deep` posts of a search and no more."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        self.sessions = 0
        self.deep = 1000
        self.refuse: Callable[[int, dict[str, str]], Answer | None] = lambda n, given: None

    def answer(self, path: str, given: dict[str, str], token: str) -> Answer:
        if path.endswith("createSession"):
            if given != {"identifier": "me.test", "password": SECRET}:
                return 401, {}, {"error": "AuthenticationRequired", "message": f"Invalid password {given['password']}"}
            self.sessions += 1
            return 200, {}, {"accessJwt": f"session-{self.sessions}", "did": "did:plc:me"}
        if token != f"Bearer session-{self.sessions}":
            return 400, {}, {"error": "ExpiredToken", "message": "Token has expired"}
        if path.endswith("getProfiles"):
            names = given["actors"].split(",")
            return 200, {}, {"profiles": [{"did": name, "followersCount": 70 + int(name[-1])} for name in names]}
        if path.endswith("getPosts"):
            names = given["uris"].split(",")
            assert len(names) <= 25
            return 200, {}, {"posts": [p for p in self.posts if p["uri"] in names]}
        self.asked.append(given)
        refused = self.refuse(len(self.asked), given)
        return refused or (200, {}, self.search(given))

    def search(self, given: dict[str, str]) -> dict[str, Any]:
        found = [
            p for p in self.posts
            if given["since"] <= p["record"]["createdAt"][:19] + "Z" < given["until"]
            and any(f["features"][0]["tag"] == given["tag"] for f in p["record"]["facets"])
        ]  # fmt: skip
        found = sorted(found, key=lambda p: p["record"]["createdAt"], reverse=True)[: self.deep]
        start, most = int(given.get("cursor", 0)), int(given["limit"])
        assert 1 <= most <= 100 and given["sort"] == "latest" and given["q"] == f"#{given['tag']}"
        more = {"cursor": str(start + most)} if start + most < len(found) else {}
        return {"posts": found[start : start + most], **more}


@pytest.fixture
def server() -> Server:
    found = Server()
    found.posts = [post(n) for n in range(120)]
    return found


@pytest.fixture
def job(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Job]]:
    """Makes a collection into one folder; pages have 50 posts."""
    clock = Clock(DAY + datetime.timedelta(days=2))
    monkeypatch.setattr(Bluesky, "most", 50)
    with answering(server.answer) as api:

        def make(password: str = SECRET, **more: Any) -> Job:
            given = {"source": "bluesky", "out": str(tmp_path), "hashtags": ("AIart",), "start": DAY.date(), **more}
            how = Collect.model_validate({"api": api, **given})
            client = Client("Bluesky", 0.1, lambda text: None, clock.sleep, clock.time, (password,))
            said: list[str] = []
            return Job(how, Bluesky(how, ("me.test", password), client), tmp_path, said.append, clock.moment)

        make.clock = clock  # type: ignore[attr-defined]
        yield make


def pages(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(folder.glob("page-*.json"))]


def ids(folder: Path) -> list[str]:
    return sorted(each["id"] for page in pages(folder) for each in page["data"])


def uris(server: Server) -> list[str]:
    return sorted(each["uri"] for each in server.posts)


def test_posts_are_collected_once_with_what_the_tables_take(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    state = collect(job())
    assert ids(tmp_path) == uris(server) and (state.kept, state.posts) == (120, 121) and server.sessions == 1
    page = pages(tmp_path)[0]
    assert page["platform"] == "bluesky" and page["collected_at"].startswith("2025-03-03")
    assert page["data"][0] == {
        "id": "at://did:plc:2/app.bsky.feed.post/119", "text": "post 119", "created_at": "2025-03-01T01:59:00.000000Z",
        "author_id": "did:plc:2", "lang": "en", "possibly_sensitive": False,
        "public_metrics": {"like_count": 119, "retweet_count": 1, "reply_count": 2, "quote_count": 3},
        "attachments": {"media_keys": ["bafk119"]}, "entities": {"hashtags": [{"tag": "aiart"}]},
    }  # fmt: skip
    assert page["includes"]["media"][0] == {
        "media_key": "bafk119", "type": "photo", "alt_text": "alt 119", "width": 4, "height": 3,
        "url": "https://cdn.bsky.app/img/feed_fullsize/plain/did:plc:2/bafk119@jpeg",
    }  # fmt: skip
    assert {u["id"]: u["public_metrics"]["followers_count"] for u in page["includes"]["users"]} == {
        "did:plc:0": 70, "did:plc:1": 71, "did:plc:2": 72,
    }  # fmt: skip
    asked = len(server.asked)
    job.clock.now += 86_400  # type: ignore[attr-defined]
    server.posts.append(post(2 * 1440 + 600))
    assert collect(job()).kept == 121 and ids(tmp_path) == uris(server)
    assert {given["since"] for given in server.asked[asked:]} == {"2025-03-02T23:59:00Z"}


def test_a_search_that_ends_early_is_begun_anew_from_its_oldest_post(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    server.deep = 70
    assert collect(job()).kept == 120 and ids(tmp_path) == uris(server)
    # Two pages of 70 posts, from the oldest on two of 51, and a last look that finds nothing older.
    assert [given.get("cursor") for given in server.asked] == [None, "50", None, "50", None]
    assert server.asked[2]["until"] == "2025-03-01T00:50:01Z"


def test_a_post_that_two_hashtags_find_is_kept_once_across_a_killed_run(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    server.posts = [post(n, ("aiart", "midjourney") if n % 2 else ("midjourney",)) for n in range(120)]
    both = {"hashtags": ("aiart", "midjourney")}
    server.refuse = lambda n, given: (401, {}, {"error": "AccountTakedown"}) if n >= 4 else None
    with pytest.raises(CollectionError, match="must take the session"):
        collect(job(**both))
    begun = ids(tmp_path)
    assert 60 <= len(begun) < 120
    server.refuse = lambda n, given: None
    assert collect(job(**both)).kept == 120 and ids(tmp_path) == uris(server)
    assert sum(len(page["includes"]["media"]) for page in pages(tmp_path)) == 120


def test_a_month_is_asked_for_after_the_other_and_what_is_held_is_a_months(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    server.posts = [post(n * 1440) for n in (-45, -20, 0)]
    state = collect(job(start="2025-01-10"))
    assert [(w.start[:10], w.end[:10], w.pages) for w in state.windows] == [
        ("2025-01-10", "2025-02-01", 1), ("2025-02-01", "2025-03-01", 1), ("2025-03-01", "2025-03-02", 1),
    ]  # fmt: skip
    # An earlier start asks for what is before, and for nothing again.
    asked = len(server.asked)
    collect(job(start="2024-12-20"))
    assert [given["until"] for given in server.asked[asked : asked + 2]] == [
        "2025-01-01T00:00:00Z",
        "2025-01-10T00:00:00Z",
    ]


def test_limits_are_waited_for_and_a_page_cut_off_is_asked_for_again(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    made, clock = job(), job.clock  # type: ignore[attr-defined]
    answers: dict[int, Answer] = {
        1: (429, {"ratelimit-reset": str(int(clock.now) + 200)}, {"error": "RateLimitExceeded"}),
        2: (200, {}, b'{"posts": [{"uri": "at'),
        4: (502, {}, b"<html>"),
        5: (429, {"Retry-After": "30"}, {}),
    }
    server.refuse = lambda n, given: answers.get(n)
    assert collect(made).kept == 120 and ids(tmp_path) == uris(server)
    assert any(200 <= wait < 202 for wait in clock.waits) and 30.0 in clock.waits


def test_a_session_that_ends_is_begun_again(server: Server, job: Callable[..., Job], tmp_path: Path) -> None:
    def refuse(n: int, given: dict[str, str]) -> Answer | None:
        return (400, {}, {"error": "ExpiredToken", "message": "Token has expired"}) if n == 2 else None

    server.refuse = refuse
    assert collect(job()).kept == 120 and server.sessions == 2


def test_a_login_that_is_refused_is_a_sentence_without_the_password(job: Callable[..., Job]) -> None:
    made = job(password="wrong-word-here")  # noqa: S106
    with pytest.raises(CollectionError, match=r"must be an account and an app password.*Invalid password \*\*\*") as no:
        collect(made)
    assert "wrong-word-here" not in str(no.value) + repr(made.source) + repr(made.source.client)  # type: ignore[attr-defined]


def test_an_empty_window_is_done_and_posts_without_pictures_are_left_out(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    bare = post(1)
    del bare["record"]["embed"]
    server.posts = [bare, post(2, ("other",))]
    state = collect(job())
    assert (state.kept, ids(tmp_path)) == (0, []) and all(window.done for window in state.windows)
    asked = len(server.asked)
    assert collect(job()).kept == 0 and len(server.asked) == asked


def test_a_post_without_an_address_is_kept_for_the_rejects(
    server: Server, job: Callable[..., Job], tmp_path: Path
) -> None:
    server.posts = [post(2), post(3, uri=None)]
    collect(job())
    held = [each for page in pages(tmp_path) for each in page["data"]]
    assert sorted(each["id"] or "" for each in held) == ["", "at://did:plc:2/app.bsky.feed.post/2"]


def test_posts_that_are_gone_are_found_for_a_purge(server: Server, job: Callable[..., Job]) -> None:
    collect(job())
    gone = [server.posts.pop(n)["uri"] for n in (100, 40, 3)]
    assert sorted(find_gone(job())) == sorted(gone)


def test_a_budget_of_posts_holds(server: Server, job: Callable[..., Job], tmp_path: Path) -> None:
    assert collect(job(max_posts=70)).kept == 70 == len(ids(tmp_path))
    assert collect(job()).kept == 120 and ids(tmp_path) == uris(server)


def test_what_would_be_asked_is_said_without_asking(server: Server, job: Callable[..., Job], tmp_path: Path) -> None:
    told = estimate(job(start="2025-01-10"))
    assert "#aiart from 2025-01-10T00:00:00Z to 2025-03-02T23:59:00Z: 3 windows" in told and "10 requests" in told
    assert not server.asked and not server.sessions and not list(tmp_path.iterdir())


def test_an_account_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    how = Collect(source="bluesky", out=str(tmp_path), hashtags=("a",), start=DAY.date())
    monkeypatch.delenv(PASSWORD, raising=False)
    monkeypatch.setenv(HANDLE, "@me.test")
    with pytest.raises(ConfigError, match=f"{HANDLE} and {PASSWORD} must hold"):
        start_job(how, print)
    monkeypatch.setenv(PASSWORD, SECRET)
    assert SECRET not in repr(start_job(how, print))


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({}, False),
        ({"labels": [{"val": "porn", "src": "did:plc:mod"}]}, True),
        ({"labels": [{"val": "nudity", "neg": True}]}, False),
        ({"labels": [{"val": "spam"}]}, False),
        ({"author": {"did": "did:plc:1", "labels": [{"val": "sexual"}]}}, True),
        ({"record": {"labels": {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "nudity"}]}}}, True),
    ],
)
def test_labels_say_what_is_sensitive(more: dict[str, Any], found: bool) -> None:
    assert is_sensitive(post(1, **more)) is found


def test_a_picture_beside_a_quoted_post_and_hashtags_beside_the_text_are_found() -> None:
    quoting = post(1)
    quoting["record"]["embed"] = {"$type": "app.bsky.embed.recordWithMedia", "media": quoting["record"]["embed"]}
    quoting["record"]["tags"] = ["aiart", "Dalle"]
    made = post_of(quoting, ["bafk1"])
    assert made["entities"]["hashtags"] == [{"tag": "aiart"}, {"tag": "Dalle"}]


def test_how_far_a_search_has_come_is_told_by_a_time_in_the_window() -> None:
    window = ("2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z")
    backdated = post(5, indexedAt="2025-03-01T09:00:00Z")
    assert reached_by([post(9), backdated], window) == "2025-03-01T09:00:00Z"
    assert reached_by([post(5, indexedAt="2025-04-01T09:00:00Z")], window) == "2025-03-01T00:05:00Z"
    assert reached_by([], window) is None


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(post(1))), value=JSON)
def test_whatever_a_field_holds_a_post_is_made(name: str, value: object) -> None:
    odd = {**post(1), name: value}
    assert post_of(odd, []).keys() == post_of(post(1), []).keys()
    assert all(each["media_key"].isalnum() for each in pictures_of(odd)) and is_sensitive(odd) in (True, False)
