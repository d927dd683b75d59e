"""Downloads from a host that misbehaves: every picture is accounted for, rates hold, and nothing inside is reached."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hosts import Host, png, serving
from twigma_spark.io.downloads import (
    Attempt,
    Rules,
    Wanted,
    address_fault,
    download_all,
    ending_of,
    find,
    is_inside,
    is_public,
    retry_after,
    save,
)

RULES = Rules(rate=1000, connect=5, read=10, whole=20, max_bytes=20_000, private_hosts=frozenset({"127.0.0.1"}))


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with serving() as found:
        yield found


def fetched(host: Host, *paths: str, rules: Rules = RULES) -> dict[str, list[Attempt]]:
    """Return the attempts at each path, in order."""
    found: dict[str, list[Attempt]] = {path: [] for path in paths}
    for made in download_all([Wanted(path, f"{host.url}/{path}") for path in paths], rules):
        found[made.wanted.key].append(made)
    return found


@pytest.mark.parametrize(
    ("path", "outcomes"),
    [
        ("ok/1", ["ok"]),
        ("limited/a", ["status", "ok"]),
        ("busy/a", ["status", "status", "ok"]),
        ("500/a", ["status", "status", "status"]),
        ("404/a", ["gone"]),
        ("410/a", ["gone"]),
        ("403/a", ["status"]),
        ("short/a", ["truncated"] * 3),
        ("endless/a", ["too_many_bytes"]),
        ("huge/a", ["too_many_bytes"]),
        ("gzip/a", ["not_an_image"]),
        ("html/a", ["not_an_image"]),
        ("empty/a", ["not_an_image"]),
        ("noai/a", ["noai"]),
        ("to/to/ok/7", ["ok"]),
        ("loop/a", ["too_many_redirects"]),
        ("inside/a", ["private_address"]),
    ],
)
def test_each_way_to_misbehave_has_its_reason(
    host: Host, path: str, outcomes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def inside(name: str, *rest: Any, **more: Any) -> Any:
        return look_up("169.254.169.254" if name == "metadata.example" else name, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", inside)
    made = fetched(host, path)[path]
    assert [each.reason for each in made] == outcomes
    assert [each.number for each in made] == list(range(1, len(made) + 1))
    last = made[-1]
    assert (last.outcome == "ok") == (last.content is not None) == (outcomes[-1] == "ok")
    if path.endswith("ok/7"):
        assert last.content == png(7)
    if last.reason in ("gone", "private_address", "not_an_image", "noai", "too_many_bytes"):
        assert last.outcome == "final"


def test_a_drip_ends_in_time(host: Host) -> None:
    start = time.monotonic()
    (made,) = fetched(host, "drip/a", rules=Rules(**{**vars(RULES), "tries": 1, "whole": 1}))["drip/a"]
    assert (made.outcome, made.reason) == ("retry", "timeout") and time.monotonic() - start < 4


def test_no_answer_at_all_is_tried_again(host: Host) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    made = list(download_all([Wanted("a", f"http://127.0.0.1:{port}/a")], RULES))
    assert [each.reason for each in made] == ["network"] * 3 and made[-1].outcome == "retry"


def test_a_wrong_certificate_is_never_accepted(host: Host) -> None:
    made = list(download_all([Wanted("a", host.url.replace("http:", "https:") + "/ok/1")], RULES))
    assert all(each.outcome == "retry" and each.content is None for each in made) and host.seen["/ok/1"] <= 1


def test_a_private_host_is_never_asked(host: Host) -> None:
    before = sum(host.seen.values())
    rules = Rules(**{**vars(RULES), "private_hosts": frozenset()})
    (made,) = fetched(host, "ok/2", rules=rules)["ok/2"]
    assert (made.outcome, made.reason, made.status) == ("final", "private_address", None)
    assert "127.0.0.1" in made.detail and sum(host.seen.values()) == before


def test_the_address_that_was_checked_is_the_one_connected_to(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public at the first look-up and private at the second (DNS rebinding)."""
    asked: list[str] = []
    look_up = socket.getaddrinfo

    def changing(name: str, *rest: Any, **more: Any) -> Any:
        asked.append(name)
        return look_up("127.0.0.1" if asked.count(name) > 1 else "192.0.2.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    monkeypatch.setattr("twigma_spark.io.downloads.is_public", lambda address: address == "192.0.2.1")
    rules = Rules(**{**vars(RULES), "connect": 0.3})
    before = sum(host.seen.values())
    made = list(download_all([Wanted("a", host.url.replace("127.0.0.1", "rebinding.example"))], rules))
    # The first attempt goes to the address that was checked, which answers nothing; the next look-up is refused.
    assert made[0].outcome == "retry" and made[1].reason == "private_address" and len(made) == 2
    assert asked.count("rebinding.example") == 2 and sum(host.seen.values()) == before


def test_the_rate_of_a_host_holds_whatever_it_answers(host: Host) -> None:
    """Counted at the host, redirects and further attempts included."""
    host.times.clear()
    rules = Rules(**{**vars(RULES), "rate": 25, "threads": 8})
    paths = [f"ok/{i}" for i in range(100, 125)] + [f"to/ok/{i}" for i in range(8)] + [f"busy/{i}" for i in range(4)]
    fetched(host, *paths, rules=rules)
    times = sorted(host.times)
    assert len(times) == 25 + 16 + 12
    # So many requests take so long, but for what the first of them was late on a busy machine.
    assert all(times[j] - times[i] >= (j - i) / 25 - 0.3 for i in range(len(times)) for j in range(i, len(times)))
    # What is left unused of the rate makes up for requests that are late.
    assert times[-1] - times[0] >= (len(times) - 1) / 25


def test_a_slow_host_does_not_hold_up_the_others(host: Host) -> None:
    with serving() as other:
        wanted = [Wanted(f"slow{i}", f"{host.url}/limited/{i}/x") for i in range(3)]
        wanted += [Wanted(f"fast{i}", f"{other.url.replace('127.0.0.1', 'localhost')}/ok/{i}") for i in range(50)]
        rules = Rules(**{**vars(RULES), "private_hosts": frozenset({"127.0.0.1", "localhost"})})
        order = [made.wanted.key for made in download_all(wanted, rules) if made.outcome == "ok"]
    assert len(order) == 53 and {key[:4] for key in order[:50]} == {"fast"}


def test_many_pictures_are_all_accounted_for(host: Host) -> None:
    kinds = ("ok", "404", "html", "to/ok")
    paths = [f"{kinds[i % 4]}/{i}" for i in range(600)]
    found = fetched(host, *paths, rules=Rules(**{**vars(RULES), "rate": 1e6}))
    assert sum(made[-1].outcome == "ok" for made in found.values()) == 300
    assert {made[-1].reason for path, made in found.items() if path.startswith("html")} == {"not_an_image"}
    assert all(len(made) == 1 for made in found.values())


KILLED = """
import sys
from pathlib import Path
from twigma_spark.io.downloads import Rules, Wanted, download_all, save
wanted = [Wanted(f"{n}.png", f"{sys.argv[1]}/ok/killed/{n}") for n in range(400)]
for made in download_all(wanted, Rules(rate=150, private_hosts=frozenset({"127.0.0.1"}))):
    save(made, Path(sys.argv[2]))
"""


def test_a_process_that_is_killed_leaves_whole_pictures_and_what_it_has_is_not_asked_for_again(
    host: Host, tmp_path: Path
) -> None:
    """As an executor is, or its driver: the next run lists the folder and asks for the rest alone."""
    with subprocess.Popen([sys.executable, "-c", KILLED, host.url, str(tmp_path)]) as process:
        end = time.monotonic() + 100
        while len(list(tmp_path.glob("[0-9]*.png"))) < 40:
            assert time.monotonic() < end and process.poll() is None, "it never came so far"
            time.sleep(0.02)
        process.kill()
    there = {file.name for file in tmp_path.glob("[0-9]*.png")}
    assert 40 <= len(there) < 400
    asked = dict(host.seen)
    left = [Wanted(f"{n}.png", f"{host.url}/ok/killed/{n}") for n in range(400) if f"{n}.png" not in there]
    for made in download_all(left, Rules(**{**vars(RULES), "rate": 1e6})):
        save(made, tmp_path)
    pictures = png(0)
    assert {file.name: file.read_bytes() == pictures for file in tmp_path.glob("[0-9]*.png")} == {
        f"{n}.png": True for n in range(400)
    }
    twice = [path for path, n in host.seen.items() if path.startswith("/ok/killed") and n > 1]
    # Only what was under way, or not written yet.
    assert len(twice) <= 2 * RULES.threads and not {path.rpartition("/")[2] + ".png" for path in twice} & there
    assert sum(path.startswith("/ok/killed") for path in asked) <= len(there) + 2 * RULES.threads


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2001:4860:4860::8888", True), ("127.0.0.1", False), ("10.1.2.3", False),
        ("192.168.0.1", False), ("172.16.0.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104
        ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False), ("::", False),
        ("fe80::1%eth0", False), ("fd00::1", False), ("ff02::1", False), ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True), ("2002:7f00:1::", False), ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True),
    ],
)  # fmt: skip
def test_addresses_of_the_own_network_are_told_from_public_ones(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "url",
    ["ftp://a/b", "file:///etc/passwd", "a/b", "http://", "http://user:pw@host/", "http://host:0/", "http://host:99999/",
     "http://host/a b", "http://host/\u00e9", "http://host/a\r\nX: y", "http://[::1/"],
)  # fmt: skip
def test_addresses_that_are_none_are_refused_unasked(url: str) -> None:
    assert address_fault(url)
    (made,) = download_all([Wanted("a", url)], RULES)
    assert (made.outcome, made.reason) == ("final", "bad_address")


def test_retry_after_is_a_number_or_a_date() -> None:
    assert (retry_after("7"), retry_after(None), retry_after("soon")) == (7.0, None, None)
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", lambda: 20.0) == 40.0
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", lambda: 90.0) == 0.0


def test_a_file_is_named_by_its_key_and_what_it_is(tmp_path: Path) -> None:
    def made(key: str) -> Attempt:
        return Attempt(Wanted(key, "http://host/x.gif"), "ok", "ok", content=png())

    assert save(made("3_16"), tmp_path) == "3_16.png" and (tmp_path / "3_16.png").read_bytes() == png()
    assert save(made("part/a.jpg"), tmp_path) == "part/a.jpg" and (tmp_path / "part" / "a.jpg").exists()
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {"3_16.png", "a.jpg"}
    for key in ("../a", "/etc/a", "a/../../b", "", ".hidden", "_temporary/a", "a\\b", "a//b"):
        with pytest.raises(ValueError, match="must be a path below"):
            save(made(key), tmp_path)


def test_what_a_task_that_was_cut_off_has_written_is_not_asked_for(host: Host, tmp_path: Path) -> None:
    wanted = [Wanted(key, f"{host.url}/ok/{n}") for n, key in enumerate(("3_1", "in/a.png", "3_2"))]
    for each in wanted[:2]:
        save(Attempt(each, "ok", "ok", content=png(7)), tmp_path)
    host.seen.clear()
    made = {each.wanted.key: each for each in download_all(wanted, RULES, partial(find, folder=tmp_path))}
    assert host.seen == {"/ok/2": 1} and {each.outcome for each in made.values()} == {"ok"}
    assert made["3_1"].content == made["in/a.png"].content == png(7)
    assert (made["3_1"].status, made["3_1"].detail, made["3_2"].status) == (None, "it was in the folder", 200)


@given(st.text(max_size=20))
def test_no_key_leads_out_of_the_folder(key: str) -> None:
    if is_inside(key):
        folder = Path("/a/b")
        assert folder in (folder / key).parents and ".." not in Path(key).parts


@pytest.mark.parametrize(
    ("head", "ending"),
    [(png(), ".png"), (b"\xff\xd8\xff\xe0" + bytes(20), ".jpg"), (b"RIFF\n\n\n\nWEBPVP8 ", ".webp"),
     (b"GIF89a" + bytes(10), ".gif"), (b"<svg xmlns", None), (b"", None), (b"RIFF1234WAVEfmt ", None)],
)  # fmt: skip
def test_pictures_are_told_by_how_they_begin(head: bytes, ending: str | None) -> None:
    assert ending_of(head[:16]) == ending
