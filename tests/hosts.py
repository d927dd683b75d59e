"""A host that misbehaves, for tests of downloads: what it does is in the path, and it counts who asked when."""

from __future__ import annotations

import datetime
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from PIL import Image


def png(shade: int = 0) -> bytes:
    """Return a small picture."""
    held = io.BytesIO()
    Image.new("RGB", (8, 8), (shade % 256, shade // 256 % 256, 90)).save(held, "PNG")
    return held.getvalue()


class Clock:
    """Time that passes only where someone waits.

    Attributes:
        now: seconds since 1970.
        waits: seconds that were waited, each time.
    """

    def __init__(self, start: datetime.datetime) -> None:
        """Begin at a time."""
        self.now = start.timestamp()
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.waits.append(seconds)
        self.now += seconds

    def time(self) -> float:
        """Return seconds since 1970."""
        return self.now

    def moment(self) -> datetime.datetime:
        """Return the time in UTC."""
        return datetime.datetime.fromtimestamp(self.now, datetime.UTC)


Answer = tuple[int, dict[str, str], object]


@contextmanager
def answering(answer: Callable[[str, dict[str, str], str], Answer]) -> Iterator[str]:
    """Yield the address of a server that answers with what a function returns: status, headers, bytes or JSON.

    The function is given the path, the parameters (several of one name with commas, the JSON that is posted, or as
    `file` what is put) and the header Authorization.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self.give({name: ",".join(values) for name, values in parse_qs(parts.query).items()})

        def do_POST(self) -> None:
            self.give(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def do_PUT(self) -> None:
            self.give({"file": self.rfile.read(int(self.headers["Content-Length"])).decode()})

        def give(self, given: dict[str, str]) -> None:
            parts = urlsplit(self.path)
            status, headers, body = answer(parts.path, given, self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class Host:
    """A server on this machine.

    Attributes:
        seen: how often each path was asked for.
        times: when a request came, seconds.
        url: its address.
    """

    def __init__(self) -> None:
        """Start to listen."""
        self.seen: Counter[str] = Counter()
        self.times: list[float] = []
        self.lock = threading.Lock()
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with host.lock:
                    host.times.append(time.monotonic())
                    host.seen[self.path] += 1
                    nth = host.seen[self.path]
                with suppress(BrokenPipeError, ConnectionResetError):
                    host.answer(self, self.path.strip("/").split("/"), nth)

            def log_message(self, *words: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, request: BaseHTTPRequestHandler, words: list[str], nth: int) -> None:
        """Do what the first word of the path says; a number is the status."""
        kind, rest = words[0], words[1:]
        if kind == "limited" and nth == 1:
            self.send(request, 429, b"", {"Retry-After": "1"})
        elif kind == "busy" and nth <= 2:
            self.send(request, 503, b"")
        elif kind == "drip":
            self.start(request, 200, {"Content-Length": "10000"})
            for byte in png():
                request.wfile.write(bytes([byte]))
                request.wfile.flush()
                time.sleep(0.05)
        elif kind == "short":
            self.start(request, 200, {"Content-Length": "5000"})
            request.wfile.write(png())
            request.close_connection = True
        elif kind == "endless":
            self.start(request, 200, {})
            request.close_connection = True
            request.wfile.write(png())
            while True:
                request.wfile.write(bytes(65536))
        elif kind == "huge":
            self.start(request, 200, {"Content-Length": str(10**12)})
        elif kind == "gzip":
            self.send(request, 200, b"\x1f\x8b\x08" + bytes(1000), {"Content-Encoding": "gzip"})
        elif kind == "noai":
            self.send(request, 200, png(), {"X-Robots-Tag": "noarchive, NoImageAI"})
        elif kind == "to":
            self.send(request, 302, b"", {"Location": "/" + "/".join(rest)})
        elif kind == "loop":
            self.send(request, 302, b"", {"Location": f"/loop/{nth}"})
        elif kind == "inside":
            self.send(request, 302, b"", {"Location": "http://metadata.example/latest/meta-data/"})
        elif kind == "html":
            self.send(request, 200, b"<html>a page that is no picture</html>")
        elif kind == "empty":
            self.send(request, 200, b"")
        elif kind.isdigit():
            self.send(request, int(kind), b"")
        else:
            self.send(request, 200, png(int(rest[0]) if rest and rest[0].isdigit() else 0))

    def start(self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        """Send status and headers."""
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()

    def send(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        """Send a whole answer."""
        self.start(request, status, {"Content-Length": str(len(body)), **(headers or {})})
        request.wfile.write(body)


@contextmanager
def serving() -> Iterator[Host]:
    """Yield a host that listens."""
    host = Host()
    threading.Thread(target=host.server.serve_forever, daemon=True).start()
    try:
        yield host
    finally:
        host.server.shutdown()
        host.server.server_close()
