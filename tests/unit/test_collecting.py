"""Collecting posts from a server that behaves as X's: pages, limits, refusals, expired cursors, budgets, new days."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.hosts import Answer, Clock, answering
from twigma_spark.collecting import Job, collect, estimate, find_gone, start_job
from twigma_spark.config.collect import Collect
from twigma_spark.errors import CollectionError, ConfigError
from twigma_spark.io.collected import STATE, read_state
from twigma_spark.io.sources import client
from twigma_spark.io.sources.client import Client
from twigma_spark.io.sources.x import GAP, LONGEST_QUERY, TOKEN, XSearch, split_query

SECRET = "a-secret-token"  # noqa: S105
DAY = datetime.datetime(2022, 3, 1, tzinfo=datetime.UTC)
Refuse = Callable[[int, dict[str, str]], tuple[int, dict[str, str], object] | None]


def posts(n: int, first: datetime.datetime = DAY) -> list[dict[str, Any]]:
    """Return posts a minute apart."""
    times = [first + datetime.timedelta(minutes=i) for i in range(n)]
    return [
        {"id": str(10**18 + int(t.timestamp())), "author_id": str(i % 7), "text": "a",
         "created_at": t.strftime("%Y-%m-%dT%H:%M:%S.000Z")}
        for i, t in enumerate(times)
    ]  # fmt: skip


class X:
    """An archive of posts that is searched as X's is."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        self.refuse: Refuse = lambda n, given: None
        self.checked: list[str] = []
        self.looks, self.api, self.ends_as = 0, "", "complete"

    def compliance(self, path: str) -> tuple[int, dict[str, str], object]:
        """Return a job of batch compliance, which ends at the third look."""
        self.looks += "/7" in path
        status = self.ends_as if self.looks == 3 else "in_progress" if self.looks else "created"
        places = {f"{each}load_url": f"{self.api}/storage/{each}?signed=1" for each in ("up", "down")}
        return 200, {}, {"data": {"id": "7", "type": "tweets", "status": status, **places}}

    def storage(self, path: str, given: dict[str, str]) -> tuple[int, dict[str, str], object]:
        """Return what becomes of a file that is put, and of each id of it that is no post a line of JSON."""
        if path == "/storage/up":
            self.checked = given["file"].split()
            return 200, {}, b""
        there = {post["id"] for post in self.posts}
        gone = [{"id": name, "action": "delete", "reason": "deleted"} for name in self.checked if name not in there]
        lines = [*gone, {"id": self.checked[0], "action": "delete", "reason": "scrub_geo"}]
        return 200, {}, "".join(json.dumps(line) + "\n" for line in lines).encode()

    def answer(self, path: str, given: dict[str, str]) -> tuple[int, dict[str, str], object]:
        self.asked.append({"path": path, **given})
        refused = self.refuse(len(self.asked), given)
        if refused is not None:
            return refused
        inside = [p for p in self.posts if given["start_time"] <= p["created_at"][:19] + "Z" < given["end_time"]]
        if "counts" in path:
            return 200, {}, {"data": [], "meta": {"total_tweet_count": len(inside)}}
        inside.sort(key=lambda post: post["created_at"], reverse=True)
        start, most = int(given.get("next_token", 0)), int(given["max_results"])
        assert 10 <= most <= 500
        page = inside[start : start + most]
        meta = {"result_count": len(page)} | ({"next_token": str(start + most)} if start + most < len(inside) else {})
        if not page:
            return 200, {}, {"meta": meta}
        users = [{"id": author} for author in sorted({post["author_id"] for post in page})]
        return 200, {}, {"data": page, "includes": {"users": users}, "meta": meta}


@contextmanager
def serving(x: X) -> Iterator[str]:
    def answer(path: str, given: dict[str, str], token: str) -> Answer:
        if path.startswith("/storage/"):
            assert not token
            return x.storage(path, given)
        assert token == f"Bearer {SECRET}"
        return x.compliance(path) if "compliance" in path else x.answer(path, given)

    with answering(answer) as address:
        yield address


@pytest.fixture
def x() -> X:
    found = X()
    found.posts = posts(120)
    return found


@pytest.fixture
def job(x: X, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Job]]:
    """Makes a collection into one folder, at a clock of its own; pages have 50 posts at most."""
    clock = Clock(DAY + datetime.timedelta(days=2))
    monkeypatch.setattr(XSearch, "most", 50)
    with serving(x) as api:

        def make(**more: Any) -> Job:
            how = Collect(
                out=str(tmp_path / "posts"),
                hashtags=("AIart",),
                start=DAY.date(),
                api=api,
                **{"max_posts": 1000, **more},
            )
            said: list[str] = []
            search = XSearch(how, Client("X", GAP, said.append, clock.sleep, lambda: clock.now, (SECRET,)))
            now = lambda: datetime.datetime.fromtimestamp(clock.now, datetime.UTC)  # noqa: E731
            return Job(how, search, tmp_path / "posts", said.append, now)

        make.clock = clock  # type: ignore[attr-defined]
        yield make


def collected(job: Job) -> list[str]:
    """Return the ids in the pages, in order, those that came twice too."""
    pages = [json.loads(file.read_text()) for file in sorted(job.folder.glob("page-*.json"))]
    assert all(page["collected_at"].startswith("2022-03-") for page in pages)
    return sorted(post["id"] for page in pages for post in page["data"])


def test_all_posts_of_a_window_are_collected_once_and_new_ones_the_next_day(x: X, job: Callable[..., Job]) -> None:
    state = collect(job())
    assert collected(job()) == sorted(post["id"] for post in x.posts) and state.posts == 120
    assert [given["max_results"] for given in x.asked] == ["50"] * 3 and all(w.done for w in state.windows)
    assert x.asked[0]["query"] == "(#aiart) has:images -is:retweet"
    asked = len(x.asked)
    job.clock.now += 86_400  # type: ignore[attr-defined]
    x.posts += posts(30, DAY + datetime.timedelta(days=2, hours=3))
    again = collect(job())
    assert again.posts == 150 and len(x.asked) == asked + 1 and collected(job()) == sorted(p["id"] for p in x.posts)


def test_stopped_anywhere_it_goes_on_and_keeps_nothing_twice(x: X, job: Callable[..., Job], tmp_path: Path) -> None:
    x.refuse = lambda n, given: (401, {}, {"title": "Unauthorized"}) if n == 2 else None
    with pytest.raises(CollectionError, match="must be a token with the right"):
        collect(job())
    assert read_state(tmp_path / "posts").posts == 50
    # As if it had been killed after the page was written and before the state was.
    (tmp_path / "posts" / STATE).unlink()
    assert collect(job()).posts == 120
    assert collected(job()) == sorted(post["id"] for post in x.posts)
    assert not list((tmp_path / "posts").glob(".*"))


def test_limits_are_waited_for(x: X, job: Callable[..., Job]) -> None:
    made = job()
    waits = job.clock.waits  # type: ignore[attr-defined]
    reset = str(int(job.clock.now) + 300)  # type: ignore[attr-defined]
    x.refuse = lambda n, given: (
        (429, {"x-rate-limit-reset": reset}, {}) if n == 1 else (503, {}, b"") if n == 3 else None
    )
    assert collect(made).posts == 120
    assert any(299 < wait < 302 for wait in waits) and len(x.asked) == 5
    assert sum(waits) >= 300 + 3 * 1.0  # one request a second


def test_the_monthly_cap_ends_it_with_a_sentence(x: X, job: Callable[..., Job]) -> None:
    x.refuse = lambda n, given: (429, {}, {"title": "UsageCapExceeded", "detail": "Monthly product cap"})
    with pytest.raises(CollectionError, match=r"monthly cap must leave room.*Monthly product cap"):
        collect(job())
    assert len(x.asked) == 1


def test_an_expired_cursor_starts_from_the_oldest_post(x: X, job: Callable[..., Job]) -> None:
    def refuse(n: int, given: dict[str, str]) -> tuple[int, dict[str, str], object] | None:
        return (400, {}, {"errors": [{"message": "Invalid 'next_token'"}]}) if n == 2 else None

    x.refuse = refuse
    state = collect(job())
    assert sorted(set(collected(job()))) == sorted(post["id"] for post in x.posts)
    assert state.posts == 121  # the oldest one of the first page came twice
    assert x.asked[2]["end_time"] == "2022-03-01T01:10:01Z" and "next_token" not in x.asked[2]


@pytest.mark.parametrize(("budget", "most"), [({"max_posts": 70}, 70), ({"max_posts": None, "max_dollars": 0.6}, 110)])
def test_a_budget_is_never_exceeded_and_can_be_raised(
    x: X, job: Callable[..., Job], budget: dict[str, Any], most: int
) -> None:
    made = job(**budget)
    state = collect(made)
    assert 50 <= state.posts <= most and not all(window.done for window in state.windows)
    assert state.dollars(made.how.prices) <= 0.6 + 1e-9 or made.how.max_dollars is None
    assert collect(job()).posts == 120 and collected(made) == sorted(post["id"] for post in x.posts)


def test_counting_says_what_it_costs_and_collects_nothing(x: X, job: Callable[..., Job], tmp_path: Path) -> None:
    text = estimate(job(max_posts=None))
    assert text.startswith("120 posts: $0.60 for the posts, up to $1.80 with their authors") and "$0.01 for" in text
    assert not (tmp_path / "posts").exists()


def test_what_x_refuses_is_a_sentence_without_the_token(x: X, job: Callable[..., Job]) -> None:
    x.refuse = lambda n, given: (400, {}, {"errors": [{"message": "no viable alternative at input"}]})
    with pytest.raises(CollectionError, match=r"X must take the query.*no viable alternative") as refused:
        collect(job())
    assert SECRET not in str(refused.value) and SECRET not in repr(job().source)


def test_posts_that_are_gone_are_found_by_a_compliance_job(x: X, job: Callable[..., Job]) -> None:
    """The token does not leave the API, and no post is looked up, which would be billed."""
    assert list(find_gone(job())) == [] and x.looks == 0
    collect(job())
    asked, x.api = len(x.asked), str(job().how.api)
    gone = [x.posts.pop(n)["id"] for n in (100, 40, 3)]
    assert sorted(find_gone(job())) == sorted(gone)
    assert (len(x.checked), x.looks, len(x.asked)) == (120, 3, asked)
    x.looks, x.ends_as = 0, "expired"
    with pytest.raises(CollectionError, match="Got a job that has expired; ask again"):
        list(find_gone(job()))
    x.looks, x.api = 0, "http://169.254.169.254"
    with pytest.raises(
        CollectionError, match=r"a place with https for upload_url. Got 'http://169.254.169.254/storage"
    ):
        list(find_gone(job()))


def test_a_page_cut_off_is_asked_for_again(x: X, job: Callable[..., Job]) -> None:
    x.refuse = lambda n, given: (200, {}, b'{"data": [{"id": "1') if n == 1 else None
    assert collect(job()).posts == 120 and len(x.asked) == 4


def test_an_empty_window_is_done(x: X, job: Callable[..., Job], tmp_path: Path) -> None:
    x.posts = []
    assert collect(job()).posts == 0 and [file.name for file in (tmp_path / "posts").iterdir()] == [STATE]
    assert len(x.asked) == 1 and collect(job()).posts == 0 and len(x.asked) == 1


def test_a_server_that_is_down_ends_it(x: X, job: Callable[..., Job]) -> None:
    x.refuse = lambda n, given: (500, {}, b"")
    with pytest.raises(CollectionError, match=r"X must answer\. Got status 500 in 8 attempts"):
        collect(job())
    assert len(x.asked) == client.ATTEMPTS


def test_hashtags_are_as_few_queries_as_fit() -> None:
    tags = [f"hashtag{i:03d}" for i in range(200)]
    queries = split_query([*tags, "HASHTAG001"], "has:images")
    assert all(len(query) <= LONGEST_QUERY and query.endswith(" has:images") for query in queries)
    assert [tag for query in queries for tag in tags if f"#{tag} " in query.replace(")", " ")] == tags
    assert len(queries) == 3 and split_query(["a", "b"], "") == ["(#a OR #b)"]
    with pytest.raises(CollectionError, match="must leave room"):
        split_query(["a"], "x" * LONGEST_QUERY)


def test_what_is_missing_is_said_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, job: Callable[..., Job]
) -> None:
    whole = {"out": "posts", "hashtags": ("a",), "start": "2022-03-01"}
    monkeypatch.delenv(TOKEN, raising=False)
    for name in whole:
        with pytest.raises(ConfigError, match=f"collect.{name} must be given"):
            start_job(Collect.model_validate({**whole, name: None if name != "hashtags" else ()}), print)
    with pytest.raises(ConfigError, match=r"collect\.out must be a folder on this machine.* Got 's3a://b/posts'"):
        start_job(Collect.model_validate({**whole, "out": "s3a://b/posts"}), print)
    with pytest.raises(ConfigError, match=f"{TOKEN} must hold"):
        start_job(Collect.model_validate(whole), print)
    with pytest.raises(ConfigError, match="must set a budget"):
        collect(job(max_posts=None))


@pytest.mark.parametrize("wrong", [
    {"hashtags": ["a b"]}, {"hashtags": ["#a"]}, {"max_posts": 5}, {"api": "ftp://x"}, {"api": "http://api.test"},
    {"source": "myspace"}, {"instances": ["one.test"]}, {"start": "2022-03-02", "end": "2022-03-02"},
])  # fmt: skip
def test_what_no_collection_can_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Collect.model_validate(wrong)


def test_a_damaged_state_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / STATE).write_text('{"windows": [{"no": 1}]}')
    with pytest.raises(CollectionError, match="must be what twigma collect wrote"):
        read_state(tmp_path)
