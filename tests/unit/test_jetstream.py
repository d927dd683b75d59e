"""Live posts from a server that behaves as Jetstream: cursors, deletions, broken connections, refusals, odd events."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketClosedError, WebSocketHandler
from typer.testing import CliRunner

from tests.unit.json_values import JSON
from tests.unit.test_bluesky import picture
from twigma_spark.cli.main import app
from twigma_spark.config.collect import Collect
from twigma_spark.errors import CollectionError, ConfigError
from twigma_spark.io.collected import DELETED, STATE, State, Window, keep_page, read_state
from twigma_spark.io.sources import jetstream
from twigma_spark.io.sources.jetstream import Event, Stream, read_event
from twigma_spark.io.sources.source import Page
from twigma_spark.listening import Listening, start_listening
from twigma_spark.purging import read_ids

START = 1_750_000_000_000_000
SECOND = 1_000_000
TAGS = frozenset({"aiart"})


def commit(n: int, operation: str = "create", at: int | None = None, **more: Any) -> dict[str, Any]:
    """Return the event of the n-th post, made in the n-th second, or what became of it at another one."""
    record = {
        "$type": "app.bsky.feed.post", "text": f"post {n} #AIart", "createdAt": "2025-06-15T15:06:40.000Z",
        "langs": ["en"],
        "facets": [{"features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "AIart"}]}],
        "embed": {"$type": "app.bsky.embed.images", "images": [picture(str(n))]},
    }  # fmt: skip
    held = {"rev": f"r{n}", "operation": operation, "collection": "app.bsky.feed.post", "rkey": f"{n}"}
    if operation != "delete":
        held |= {"record": {**record, **more}, "cid": f"c{n}"}
    return {
        "did": f"did:plc:{n % 3}", "time_us": START + (n if at is None else at) * SECOND, "kind": "commit",
        "commit": held,
    }  # fmt: skip


def uri(n: int) -> str:
    return f"at://did:plc:{n % 3}/app.bsky.feed.post/{n}"


class Server:
    """A stream of events; it closes a connection after `breaks` messages, as often as there are such numbers.

    Attributes:
        events: texts, or what becomes JSON, in order of time.
        asked: the cursor of each connection.
        breaks: after how many messages the next connections end.
        oldest: time of the oldest event that it still has.
        hangs: seconds in which it answers nobody, no ping either, after the messages of the next connections.
        refuse: status of the next connections that are refused.
        idle: whether all was sent.
    """

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.asked: list[int | None] = []
        self.breaks: list[int] = []
        self.hangs: list[float] = []
        self.refuse: list[int] = []
        self.oldest = 0
        self.idle = threading.Event()

    def given(self, cursor: int | None) -> list[str]:
        found = [
            each for each in self.events
            if not isinstance(each, dict) or each.get("time_us", START) >= max(cursor or 0, self.oldest)
        ]  # fmt: skip
        return [each if isinstance(each, str) else json.dumps(each) for each in found]


@contextmanager
def streaming(server: Server) -> Iterator[str]:
    """Yield the address of a server on this machine."""

    class Handler(WebSocketHandler):
        async def get(self) -> None:  # type: ignore[override]
            assert self.get_arguments("wantedCollections") == ["app.bsky.feed.post"]
            cursor = self.get_argument("cursor", "")
            server.asked.append(int(cursor) if cursor else None)
            if server.refuse:
                self.set_status(server.refuse.pop(0))
                self.finish("no such thing here")
                return
            await super().get()

        async def open(self) -> None:
            left = server.breaks.pop(0) if server.breaks else None
            try:
                for text in server.given(server.asked[-1])[:left]:
                    await self.write_message(text)
            except (WebSocketClosedError, StreamClosedError):
                return
            if server.hangs:
                time.sleep(server.hangs.pop())
            elif left is not None:
                self.close()
            else:
                server.idle.set()

    ready, loop = threading.Event(), asyncio.new_event_loop()
    sockets = bind_sockets(0, "127.0.0.1")

    def serve() -> None:
        asyncio.set_event_loop(loop)
        HTTPServer(Application([("/subscribe", Handler)])).add_sockets(sockets)
        loop.call_soon(ready.set)
        loop.run_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield f"ws://127.0.0.1:{sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


class Ending(Stream):
    """A stream that ends where its server has sent everything and nothing came for three ticks."""

    server: Server

    def events(self, cursor: int | None) -> Generator[Event | None]:
        silent = 0
        for event in super().events(cursor):
            silent = silent + 1 if event is None and self.server.idle.is_set() else 0
            if silent == 3:
                return
            yield event


@pytest.fixture
def server() -> Server:
    found = Server()
    found.events = [commit(n) for n in range(250)]
    return found


@pytest.fixture
def job(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Listening]]:
    """Makes a live collection into one folder, which waits without waiting."""
    monkeypatch.setattr(jetstream, "TICK", 0.1)
    with streaming(server) as address:

        def make(**more: Any) -> Listening:
            server.idle.clear()
            given = {"source": "bluesky", "out": str(tmp_path), "hashtags": ("AIart",), "stream": address, **more}
            made = start_listening(Collect.model_validate(given), lambda text: None)
            said: list[str] = []
            made.stream = Ending(made.stream.address, made.stream.hashtags, said.append)
            made.stream.sleep = waits.append  # type: ignore[assignment]
            made.stream.server, made.log, made.said = server, said.append, said  # type: ignore[attr-defined]
            return made

        waits: list[float] = []
        make.waits = waits  # type: ignore[attr-defined]
        yield make


def pages(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(folder.glob("page-*.json"))]


def ids(folder: Path) -> list[str]:
    return [each["id"] for page in pages(folder) for each in page["data"]]


def test_posts_come_as_pages_with_what_the_tables_take(
    server: Server, job: Callable[..., Listening], tmp_path: Path
) -> None:
    state = job().run(None)
    assert ids(tmp_path) == [uri(n) for n in range(250)] and (state.kept, state.live.pages) == (250, 3)
    assert server.asked == [None] and state.live.cursor == START + 249 * SECOND
    page = pages(tmp_path)[0]
    assert page["platform"] == "bluesky" and len(page["data"]) == 100
    assert page["data"][1] == {
        "id": uri(1), "text": "post 1 #AIart", "created_at": "2025-06-15T15:06:40.000Z", "author_id": "did:plc:1",
        "lang": "en", "possibly_sensitive": False,
        "public_metrics": dict.fromkeys(["like_count", "retweet_count", "reply_count", "quote_count"]),
        "attachments": {"media_keys": ["bafk1"]}, "entities": {"hashtags": [{"tag": "AIart"}]},
    }  # fmt: skip
    assert page["includes"]["media"][1]["url"].endswith("/did:plc:1/bafk1@jpeg")
    assert page["includes"]["users"] == [{"id": f"did:plc:{n}"} for n in range(3)]


def test_it_goes_on_from_the_last_event_and_adds_nothing_twice(
    server: Server, job: Callable[..., Listening], tmp_path: Path
) -> None:
    job().run(None)
    server.events += [commit(n) for n in range(250, 260)]
    state = job().run(None)
    assert server.asked[1] == START + 249 * SECOND - jetstream.OVERLAP
    assert ids(tmp_path) == [uri(n) for n in range(260)] and state.kept == 260 and not state.live.missed


def test_a_page_of_a_run_that_was_killed_is_counted(
    server: Server, job: Callable[..., Listening], tmp_path: Path
) -> None:
    job().run(None)
    # As if it had been killed after the last page was written and before the state was.
    held = json.loads((tmp_path / STATE).read_text())
    held["kept"], held["live"]["pages"], held["live"]["cursor"] = 200, 2, START + 199 * SECOND
    (tmp_path / STATE).write_text(json.dumps(held))
    server.events = server.events[-3:]
    state = job().run(None)
    assert ids(tmp_path) == [uri(n) for n in range(250)] and (state.kept, state.live.pages) == (250, 3)


def test_posts_that_the_search_has_found_are_not_added_and_its_pages_come_first(
    server: Server, job: Callable[..., Listening], tmp_path: Path
) -> None:
    window = Window("#aiart", "2025-06-15T00:00:00Z", "2025-07-01T00:00:00Z")
    page = Page(({"id": uri(3), "author_id": "did:plc:0"},), (), (), None, 1, None)
    keep_page(tmp_path, State(source="bluesky"), window, page, None, "2025-06-16T00:00:00Z")
    assert job().run(None).kept == 250 == len(set(ids(tmp_path)))
    names = sorted(file.name for file in tmp_path.glob("page-*.json"))
    assert names[0] == window.file(0) and names[1].startswith("page-live-20")
    server.events.append(commit(3, "delete", 250))
    job().run(None)
    assert read_ids(tmp_path / DELETED) == (uri(3),)


def test_a_connection_that_breaks_is_made_again(server: Server, job: Callable[..., Listening], tmp_path: Path) -> None:
    server.breaks, made = [80, 0, 0, 100], job()
    state = made.run(None)
    assert ids(tmp_path) == [uri(n) for n in range(250)] and state.kept == 250
    assert server.asked == [None, *[START + 79 * SECOND - jetstream.OVERLAP] * 3, server.asked[4]]
    assert job.waits == [1.0, 2.0]  # type: ignore[attr-defined]


def test_a_connection_that_answers_no_ping_is_made_again(
    server: Server, job: Callable[..., Listening], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream, "PING", 0.3)
    server.breaks, server.hangs = [120], [2.0]
    made = job()
    assert made.run(None).kept == 250 and ids(tmp_path) == [uri(n) for n in range(250)]
    assert server.asked == [None, START + 119 * SECOND - jetstream.OVERLAP]
    assert "collect: the connection to Jetstream has ended; a new one goes on from there" in made.said  # type: ignore[attr-defined]


def test_a_server_that_is_down_ends_it_with_what_was_collected(
    server: Server, job: Callable[..., Listening], tmp_path: Path
) -> None:
    server.breaks, server.events = [30], server.events[:30]
    made = job()
    made.stream.missed = lambda start, end: None

    def refuse_all(number: int) -> None:
        server.refuse[:] = [503] * jetstream.ATTEMPTS

    made.log = lambda text: None
    made.stream.log = lambda text: refuse_all(503)
    with pytest.raises(CollectionError, match=r"must answer\. Got status 503: no such thing here in 10 attempts"):
        made.run(None)
    assert ids(tmp_path) == [uri(n) for n in range(30)] and read_state(tmp_path, "bluesky").live.cursor is not None
    assert max(job.waits) == jetstream.LONGEST_WAIT  # type: ignore[attr-defined]


def test_a_refusal_is_a_sentence_at_once(server: Server, job: Callable[..., Listening]) -> None:
    server.refuse = [400]
    with pytest.raises(CollectionError, match=r"must take the subscription\. Got status 400: no such thing here"):
        job().run(None)
    assert len(server.asked) == 1


def test_nobody_who_listens_is_a_sentence(job: Callable[..., Listening]) -> None:
    with pytest.raises(CollectionError, match=r"127.0.0.1:1 must answer\. Got \w+ in 10 attempts; the same command"):
        job(stream="ws://127.0.0.1:1").run(None)


def test_deleted_posts_that_were_collected_are_a_file_for_a_purge(
    server: Server, job: Callable[..., Listening], tmp_path: Path
) -> None:
    job().run(None)
    server.events += [
        commit(7, "delete", 250), commit(5000, "delete", 251),
        # One that is deleted before its page is written is never written.
        commit(252), commit(252, "delete", 253), commit(254),
        # Nothing of what comes again is added.
        commit(7, "delete", 255),
    ]  # fmt: skip
    state = job().run(None)
    assert read_ids(tmp_path / DELETED) == (uri(7),)
    assert uri(252) not in ids(tmp_path) and uri(254) in ids(tmp_path) and state.kept == 251
    server.events.append(commit(8, "delete", 256))
    job().run(None)
    assert read_ids(tmp_path / DELETED) == (uri(7), uri(8))


def test_the_posts_of_a_deleted_account_are_deleted_posts(
    server: Server, job: Callable[..., Listening], tmp_path: Path
) -> None:
    def account(did: str, at: int, **status: Any) -> dict[str, Any]:
        return {"did": did, "time_us": START + at * SECOND, "kind": "account", "account": {"did": did, **status}}

    server.events = [
        *(commit(n) for n in range(4)),
        account("did:plc:0", 4, active=False, status="deactivated"),
        account("did:plc:2", 4, active=True),
    ]
    job().run(None)
    assert not (tmp_path / DELETED).exists()
    server.events.append(account("did:plc:0", 5, active=False, status="deleted"))
    job().run(None)
    assert sorted(read_ids(tmp_path / DELETED)) == [uri(0), uri(3)]


def test_a_cursor_that_is_too_old_is_told_and_recorded(
    server: Server, job: Callable[..., Listening], tmp_path: Path
) -> None:
    job().run(None)
    server.events += [commit(n) for n in (4000, 4001)]
    server.oldest = START + 3000 * SECOND
    made = job()
    state = made.run(None)
    assert state.live.missed == (("2025-06-15T15:10:49Z", "2025-06-15T16:13:20Z"),) and state.kept == 252
    assert any("gave nothing from 2025-06-15T15:10:49Z to" in text and "--gone" in text for text in made.said)  # type: ignore[attr-defined]
    assert read_state(tmp_path, "bluesky").live == state.live


def test_what_cannot_be_read_is_counted_and_stops_nothing(
    server: Server, job: Callable[..., Listening], tmp_path: Path
) -> None:
    odd = ['{"did": "did:plc:1", "time', "[]", '{"time_us": "x", "did": "d", "kind": "commit"}', commit(9, rkey=1)]
    odd[-1]["commit"]["rkey"] = None
    others = [
        commit(10, facets=[]),
        commit(11, embed=None),
        {"did": "did:plc:1", "time_us": START + 12 * SECOND, "kind": "identity", "identity": {}},
    ]
    server.events = [commit(0), *odd, *others, commit(13)]
    made = job()
    state = made.run(None)
    assert ids(tmp_path) == [uri(0), uri(13)] and state.live.unreadable == 4
    assert "2 posts, 0 of them deleted, 4 events that cannot be read" in made.said[-1]  # type: ignore[attr-defined]


def test_a_budget_of_posts_and_of_time_ends_it(server: Server, job: Callable[..., Listening], tmp_path: Path) -> None:
    assert job(max_posts=70).run(None).kept == 70 == len(ids(tmp_path))
    assert job(max_posts=70).run(None).kept == 70 and len(server.asked) == 1
    assert job().run(0.0).kept == 70 and len(server.asked) == 2
    assert job().run(None).kept == 250 and ids(tmp_path) == [uri(n) for n in range(250)]


def test_an_interrupted_command_goes_on_from_there(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "posts"
    with streaming(server) as address:
        command = [
            sys.executable, "-c", "from twigma_spark.cli.main import main; main()", "collect", "--live",
            "--set", f"collect.out={out}", "--set", "collect.source=bluesky", "--set", "collect.hashtags=[aiart]",
            "--set", f"collect.stream={address}",
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        running = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert server.idle.wait(60)
        deadline = time.monotonic() + 60
        while len(list(out.glob("page-*.json"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=60)
        assert running.returncode == 130 and "interrupted" in said and "Traceback" not in said, said
        assert ids(out) == [uri(n) for n in range(250)], said
        server.events.append(commit(3, "delete", 260))
        server.idle.clear()
        ended = subprocess.run(
            [*command, "--minutes", "0.05"], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
    assert f"1 posts were deleted: {out / DELETED}; twigma purge --posts" in ended.stdout
    assert ids(out) == [uri(n) for n in range(250)] and server.asked[1] == START + 249 * SECOND - jetstream.OVERLAP


def test_what_goes_with_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (["--live", "--dry-run"], ["--live", "--gone", "x"], ["--minutes", "3"]):
        assert CliRunner().invoke(app, ["collect", *wrong]).exit_code == 2
    whole = {"source": "bluesky", "out": str(tmp_path), "hashtags": ("a",)}
    for name, none in (("out", None), ("hashtags", ())):
        with pytest.raises(ConfigError, match=f"collect.{name} must be given"):
            start_listening(Collect.model_validate({**whole, name: none}), print)
    with pytest.raises(ConfigError, match=r"collect\.out must be a folder on this machine"):
        start_listening(Collect.model_validate({**whole, "out": "s3a://b/posts"}), print)
    with pytest.raises(ConfigError, match=r"must be bluesky, which alone has a live stream\. Got 'x'"):
        start_listening(Collect.model_validate({**whole, "source": "x"}), print)
    with pytest.raises(ValidationError):
        Collect.model_validate({**whole, "stream": "https://jetstream.test"})
    monkeypatch.setitem(sys.modules, "tornado.websocket", None)
    with pytest.raises(ConfigError, match=r"needs Tornado.*twigma_spark\[live\]"):
        start_listening(Collect.model_validate(whole), print)


@settings(max_examples=100, deadline=None)
@given(
    path=st.sampled_from(["did", "time_us", "kind", "commit", "rkey", "operation", "collection", "record"]), value=JSON
)
def test_whatever_a_field_holds_an_event_is_read(path: str, value: object) -> None:
    held = commit(1)
    (held if path in held else held["commit"])[path] = value
    event = read_event(json.dumps(held), TAGS)
    assert event.unreadable or event.time is not None
    assert event.post is None or event.media


def test_an_event_that_is_no_json_is_unreadable() -> None:
    for text in ("", "nonsense", b"\xff\xfe", "[" * 100_000, "null"):
        assert read_event(text, TAGS) == Event(unreadable=True)
