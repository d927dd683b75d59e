"""Downloading pictures politely and safely: a rate for each host, retries, and no address inside the own network."""

from __future__ import annotations

import email.utils
import hashlib
import heapq
import ipaddress
import random
import re
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urljoin, urlsplit

import httpcore

from twigma_spark.io.local_files import is_elsewhere
from twigma_spark.io.url_files import Settings

Outcome = Literal["ok", "retry", "final"]
# Statuses after which another attempt may succeed.
RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
GONE = frozenset({404, 410})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# How the files of pictures begin, and the ending of their names.
KINDS = (
    (re.compile(rb"\xff\xd8\xff"), ".jpg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), ".png"),
    (re.compile(rb"GIF8[79]a"), ".gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), ".webp"),
    (re.compile(rb"II\*\x00|MM\x00\*"), ".tif"),
    (re.compile(rb"BM....\x00\x00\x00\x00", re.DOTALL), ".bmp"),
)
HEAD = 16
NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Seconds that a host may ask to wait within a run; what asks for more is left to the next run.
LONGEST_WAIT = 120.0
CHUNK = 1 << 16


# Requests that leave evenly arrive unevenly, and none may arrive above the rate: so much of it is left unused.
MARGIN = 0.05


@dataclass(frozen=True)
class Rules:
    """How pictures are downloaded.

    Attributes:
        rate: requests a second that a host gets at most.
        threads: requests at once.
        connect: seconds for a connection.
        read: seconds between two pieces of an answer.
        whole: seconds of one attempt in all.
        max_bytes: of a picture.
        redirects: that are followed, each at the rate of its host and to an address that is checked anew.
        tries: attempts at an address in one run.
        honour_noai: whether a picture is left alone whose X-Robots-Tag says noai or noimageai.
        user_agent: what the hosts are told.
        private_hosts: names of hosts that may be in the own network.
        seed: of the jitter of waits.
    """

    rate: float = 10.0
    threads: int = 16
    connect: float = 10.0
    read: float = 30.0
    whole: float = 120.0
    max_bytes: int = 50_000_000
    redirects: int = 5
    tries: int = 3
    honour_noai: bool = True
    user_agent: str = "twigma-spark"
    private_hosts: frozenset[str] = frozenset()
    seed: int = 0


@dataclass(frozen=True)
class Wanted:
    """A picture to be downloaded.

    Attributes:
        key: its name, with an ending or without.
        url: its address.
        attempts: that were made in earlier runs.
        target: where the address redirects to, None while it is not known.
        hops: redirects on the way there.
    """

    key: str
    url: str
    attempts: int = 0
    target: str | None = None
    hops: int = 0

    @property
    def place(self) -> str:
        """The address that is asked."""
        return self.target or self.url

    @property
    def host(self) -> str:
        """The host that is asked, "" where the address has none."""
        try:
            return (urlsplit(self.place).hostname or "").lower()
        except ValueError:
            return ""


@dataclass(frozen=True)
class Attempt:
    """What came of one request.

    Attributes:
        wanted: what was asked for.
        outcome: ok, retry (another attempt may succeed) or final.
        reason: as one word: ok, gone, status, timeout, network, tls, truncated, too_many_bytes, not_an_image, noai,
            private_address, bad_address, too_many_redirects.
        number: of the attempt at this address, from 1, over all runs.
        at: when it began, seconds since 1970.
        seconds: how long it took.
        status: of the answer.
        content: the picture's bytes where it is there.
        wait: seconds that the host asked to wait.
        detail: what was seen, in a few words.
    """

    wanted: Wanted
    outcome: Outcome
    reason: str
    number: int = 1
    at: float = 0.0
    seconds: float = 0.0
    status: int | None = None
    content: bytes | None = field(default=None, repr=False)
    wait: float | None = None
    detail: str = ""

    @property
    def sha256(self) -> str | None:
        """Checksum of the picture."""
        return None if self.content is None else hashlib.sha256(self.content).hexdigest()


class AddressError(Exception):
    """A host whose address is not to be asked."""


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet; embedded IPv4 addresses count as themselves."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to the very address that was checked: a name is looked up once, and not again by the connection."""

    def __init__(self, private_hosts: frozenset[str]) -> None:
        """Keep the names of the hosts that may be in the own network."""
        self.private_hosts = private_hosts
        self.backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Return a connection to a host.

        Raises:
            AddressError: any of its addresses is private.
            httpcore.ConnectError: it has none, or none answers.
        """
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        addresses = list(dict.fromkeys(str(each[4][0]) for each in answers))
        if host.lower() not in self.private_hosts and not all(is_public(address) for address in addresses):
            raise AddressError(f"{host} is at {', '.join(addresses)}")
        last: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return self.backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Downloader:
    """Asks for pictures by address, each once and without waiting; `download_all` says when."""

    def __init__(self, rules: Rules) -> None:
        """Open the pool of connections."""
        self.rules = rules
        self.pool = httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=rules.threads,
            max_keepalive_connections=rules.threads,
            network_backend=GuardedBackend(rules.private_hosts),
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close all connections."""
        self.pool.close()

    def attempt(self, wanted: Wanted) -> Attempt | Wanted:
        """Return what comes of asking once for a picture, or what to ask for where that redirects."""
        start, at = time.monotonic(), time.time()
        fault = address_fault(wanted.place)
        made = Attempt(wanted, "final", "bad_address", detail=fault) if fault else self._ask(wanted)
        if isinstance(made, str):
            if wanted.hops < self.rules.redirects:
                return replace(wanted, target=urljoin(wanted.place, made), hops=wanted.hops + 1)
            made = Attempt(wanted, "final", "too_many_redirects", detail=f"more than {self.rules.redirects}")
        return replace(made, number=wanted.attempts + 1, at=at, seconds=time.monotonic() - start)

    def _ask(self, wanted: Wanted) -> Attempt | str:
        """Return what comes of one request, or the address that it is redirected to."""
        rules, deadline = self.rules, time.monotonic() + self.rules.whole
        timeout = {"connect": rules.connect, "read": rules.read, "write": rules.read, "pool": rules.whole}
        headers: list[tuple[bytes | str, bytes | str]] = [
            ("User-Agent", rules.user_agent), ("Accept", "image/*"), ("Accept-Encoding", "identity"),
        ]  # fmt: skip
        try:
            with self.pool.stream("GET", wanted.place, headers=headers, extensions={"timeout": timeout}) as answer:
                told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
                if answer.status in REDIRECTS and told.get("location"):
                    return told["location"]
                refused = self._refused(wanted, answer.status, told)
                return refused or self._read(wanted, answer, told, deadline)
        except AddressError as error:
            return Attempt(wanted, "final", "private_address", detail=str(error))
        except (httpcore.TimeoutException, TimeoutError) as error:
            return Attempt(wanted, "retry", "timeout", detail=type(error).__name__)
        except ssl.SSLError as error:
            return Attempt(wanted, "retry", "tls", detail=str(error)[:200])
        except (httpcore.RemoteProtocolError, httpcore.ReadError) as error:
            return Attempt(wanted, "retry", "truncated", detail=str(error)[:200])
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            reason = "tls" if "certificate" in str(error).lower() or "ssl" in str(error).lower() else "network"
            return Attempt(wanted, "retry", reason, detail=str(error)[:200])

    def _refused(self, wanted: Wanted, status: int, told: Mapping[str, str]) -> Attempt | None:
        """Return why the answer is no picture, from its status and headers; None where it may be one."""
        if status in GONE:
            return Attempt(wanted, "final", "gone", status=status)
        if status != 200:
            outcome: Outcome = "retry" if status in RETRYABLE else "final"
            return Attempt(wanted, outcome, "status", status=status, wait=retry_after(told.get("retry-after")))
        robots = told.get("x-robots-tag", "").lower()
        if self.rules.honour_noai and re.search(r"\bno(image)?ai\b", robots):
            return Attempt(wanted, "final", "noai", status=status, detail=robots[:200])
        length = told.get("content-length", "")
        if length.isdigit() and int(length) > self.rules.max_bytes:
            return Attempt(wanted, "final", "too_many_bytes", status=status, detail=f"{length} bytes announced")
        return None

    def _read(self, wanted: Wanted, answer: httpcore.Response, told: Mapping[str, str], deadline: float) -> Attempt:
        """Return the picture, or why it is none; nothing beyond `max_bytes` is read."""
        content = bytearray()
        for piece in answer.iter_stream():
            content += piece
            if len(content) > self.rules.max_bytes:
                return Attempt(
                    wanted, "final", "too_many_bytes", status=200, detail=f"more than {self.rules.max_bytes}"
                )
            if len(content) >= HEAD and ending_of(bytes(content[:HEAD])) is None:
                return Attempt(wanted, "final", "not_an_image", status=200, detail=content[:HEAD].hex())
            if time.monotonic() > deadline:
                return Attempt(wanted, "retry", "timeout", status=200, detail=f"{len(content)} bytes came in time")
        length = told.get("content-length", "")
        if length.isdigit() and len(content) != int(length):
            return Attempt(wanted, "retry", "truncated", status=200, detail=f"{len(content)} of {length} bytes")
        if ending_of(bytes(content[:HEAD])) is None:
            return Attempt(wanted, "final", "not_an_image", status=200, detail=content[:HEAD].hex() or "empty")
        return Attempt(wanted, "ok", "ok", status=200, content=bytes(content))


def ending_of(head: bytes) -> str | None:
    """Return the ending of the name of a picture that begins so, None where it is no picture."""
    return next((ending for pattern, ending in KINDS if pattern.match(head)), None)


def address_fault(url: str) -> str | None:
    """Return why an address is not to be asked, or None."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https"):
        return f"the scheme must be http or https. Got {parts.scheme!r}"
    if not parts.hostname or parts.username is not None or port == 0:
        return "it must have a host and no user"
    return "it must be of printable ASCII" if not url.isascii() or re.search(r"[\x00-\x20\x7f]", url) else None


def retry_after(value: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that a header Retry-After asks to wait, of a number or a date; None without one."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now())
    except (TypeError, ValueError):
        return None


class _Hosts:
    """What waits for which host, and when each may be asked again."""

    def __init__(self, wanted: Iterable[Wanted], rate: float) -> None:
        self.gap = 1.0 / (rate * (1 - MARGIN))
        self.queues: dict[str, deque[Wanted]] = {}
        for each in wanted:
            self.queues.setdefault(each.host, deque()).append(each)
        self.due = [(0.0, host) for host in self.queues]
        heapq.heapify(self.due)
        self.blocked: dict[str, float] = {}
        self.later: list[tuple[float, int, Wanted]] = []

    def next_time(self) -> float | None:
        """Return when the next request may be made, None where nothing waits."""
        times = [self.due[0][0]] if self.due else []
        return min([*times, *(each[0] for each in self.later[:1])], default=None)

    def take(self, now: float) -> Wanted | None:
        """Return a picture whose host may be asked now, None where there is none."""
        while self.later and self.later[0][0] <= now:
            self._enqueue(heapq.heappop(self.later)[2])
        while self.due and self.due[0][0] <= now:
            _, host = heapq.heappop(self.due)
            free = self.blocked.get(host, 0.0)
            if free > now:
                heapq.heappush(self.due, (free, host))
                continue
            wanted = self.queues[host].popleft()
            gap = self.gap if host else 0.0  # an address without a host is refused, and asks nobody
            self.blocked[host] = now + gap
            if self.queues[host]:
                heapq.heappush(self.due, (now + gap, host))
            else:
                del self.queues[host]
            return wanted
        return None

    def again(self, wanted: Wanted, at: float) -> None:
        """Let a picture be asked for again, not before `at`."""
        heapq.heappush(self.later, (at, id(wanted), wanted))

    def block(self, host: str, until: float) -> None:
        """Leave a host alone until then."""
        self.blocked[host] = max(self.blocked.get(host, 0.0), until)

    def _enqueue(self, wanted: Wanted) -> None:
        queue = self.queues.get(wanted.host)
        if queue is not None:
            queue.append(wanted)
            return
        self.queues[wanted.host] = deque([wanted])
        heapq.heappush(self.due, (self.blocked.get(wanted.host, 0.0), wanted.host))


def no_file(wanted: Wanted) -> Attempt | None:
    """Return None: no picture is there before it was asked for."""
    return None


def download_all(
    wanted: Iterable[Wanted], rules: Rules, look: Callable[[Wanted], Attempt | None] = no_file
) -> Iterator[Attempt]:
    """Yield every attempt at the pictures, those that may succeed later tried again.

    A host gets at most `rules.rate` requests a second, whatever it answers, and none while it asks to wait. Where one
    host is slow or limited, the others go on. Waits grow by two from attempt to attempt, with a jitter.

    Args:
        wanted: pictures; all of one host must come to one call at a time, so that its rate holds.
        rules: how.
        look: returns what is known of a picture without asking its host, None where it must be asked for.
    """
    hosts, rng = _Hosts(wanted, rules.rate), random.Random(rules.seed)
    tries: dict[str, int] = {}
    with Downloader(rules) as downloader, ThreadPoolExecutor(rules.threads) as threads:
        running: set[Future[Attempt | Wanted]] = set()
        while running or hosts.next_time() is not None:
            now, due = time.monotonic(), hosts.next_time()
            if len(running) < rules.threads and due is not None and due <= now:
                if (taken := hosts.take(now)) is not None:
                    running.add(threads.submit(lambda each: look(each) or downloader.attempt(each), taken))
                continue
            pause = None if due is None or len(running) >= rules.threads else max(0.0, due - now)
            if not running:
                time.sleep(pause or 0.0)
                continue
            done, running = wait(running, timeout=pause, return_when=FIRST_COMPLETED)
            for future in done:
                attempt = future.result()
                if isinstance(attempt, Wanted):
                    hosts.again(attempt, 0.0)
                    continue
                key = attempt.wanted.key
                tries[key] = tries.get(key, 0) + 1
                if attempt.outcome == "retry" and (pause := _pause(attempt, tries[key], rules, rng)) is not None:
                    at = time.monotonic() + pause
                    if attempt.status == 429 or attempt.wait is not None:
                        hosts.block(attempt.wanted.host, at)
                    hosts.again(Wanted(key, attempt.wanted.url, attempt.number), at)
                yield attempt


def _pause(attempt: Attempt, tries: int, rules: Rules, rng: random.Random) -> float | None:
    """Return the seconds to wait before the next attempt of this run, None where there is none."""
    if tries >= rules.tries or (attempt.wait or 0.0) > LONGEST_WAIT:
        return None
    return max(attempt.wait or 0.0, float(2 ** (tries - 1)) * rng.uniform(0.5, 1.0))


def save(attempt: Attempt, folder: Path | str, settings: Settings = ()) -> str:
    """Return the name of the file that a picture was written to, below a folder; it is there whole or not at all.

    A key without the ending of a picture gets the one that its bytes tell.

    Args:
        attempt: with the picture.
        folder: on a disk, or a URL, where a picture shows only once it is whole.
        settings: how S3 is reached.

    Raises:
        ValueError: the key leads out of the folder, or there is no picture.
    """
    if attempt.content is None:
        raise ValueError("an attempt must have brought a picture. Got none.")
    key = attempt.wanted.key
    if not is_inside(key):
        raise ValueError(f"a key must be a path below the folder. Got {key!r}.")
    name = key if Path(key).suffix.lower() in ENDINGS else key + str(ending_of(attempt.content[:HEAD]))
    if is_elsewhere(str(folder)):
        # Only here, since it takes pandas, which a worker that downloads needs for nothing else.
        from twigma_spark.io.export import write_bytes

        write_bytes(f"{str(folder).rstrip('/')}/{name}", attempt.content, settings)
        return name
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"_{path.name}.part")
    part.write_bytes(attempt.content)
    part.replace(path)
    return name


def find(wanted: Wanted, folder: Path) -> Attempt | None:
    """Return the attempt of a picture that is in a folder already, as `save` writes it; None where it is not.

    So a task that is run again, since an executor was lost, asks no host for what the first try has written.
    """
    key = wanted.key
    names = [key] if Path(key).suffix.lower() in ENDINGS else [key + ending for _, ending in KINDS]
    for path in (folder / name for name in names):
        with suppress(FileNotFoundError):
            content, number = path.read_bytes(), wanted.attempts + 1
            return Attempt(wanted, "ok", "ok", number, time.time(), content=content, detail="it was in the folder")
    return None


ENDINGS = frozenset({*(ending for _, ending in KINDS), ".jpeg", ".tiff"})


def is_inside(key: str) -> bool:
    """Return whether a key is a path below a folder, of names that Spark lists."""
    parts = key.split("/")
    return bool(key) and "\\" not in key and "\x00" not in key and all(p and p[0] not in "._" for p in parts)
