"""A storage that speaks as much of S3 as leases need: conditional puts, whole objects, listings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from twigma_spark.io.lease_s3 import s3_client

ERROR = "<Error><Code>{}</Code><Message>no</Message></Error>"


class ObjectStore:
    """The objects by bucket and key, and what the storage thinks of conditions.

    Attributes:
        objects: content and time of each path.
        conditions: kept, ignored or refused.
        asked: headers of all requests, as text.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.conditions = "kept"
        self.asked: list[str] = []
        self.lock = threading.Lock()

    def put(self, path: str, content: bytes, only_new: bool) -> tuple[int, str]:
        """Return status and answer."""
        with self.lock:
            if only_new and self.conditions == "refused":
                return 501, ERROR.format("NotImplemented")
            if only_new and self.conditions == "kept" and path in self.objects:
                return 412, ERROR.format("PreconditionFailed")
            self.objects[path] = content, datetime.now(UTC).replace(microsecond=0)
        return 200, ""

    def list(self, bucket: str, prefix: str) -> str:
        """Return the listing of a bucket."""
        with self.lock:
            keys = sorted(path.removeprefix(f"/{bucket}/") for path in self.objects)
        found = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys if key.startswith(prefix))
        return f"<ListBucketResult>{found}</ListBucketResult>"


@contextmanager
def serving() -> Iterator[tuple[ObjectStore, Any]]:
    """Yield an empty storage on this machine, and a client of it."""
    store = ObjectStore()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(*store.put(self.place(), content, self.headers.get("If-None-Match") == "*"))

        def do_DELETE(self) -> None:
            store.objects.pop(self.place(), None)
            self.answer(204, "")

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            if "list-type" in asked:
                self.answer(200, store.list(self.place().strip("/"), asked["prefix"][0]))
            elif self.place() in store.objects:
                content, changed = store.objects[self.place()]
                self.answer(200, content.decode(), {"Last-Modified": format_datetime(changed, usegmt=True)})
            else:
                self.answer(404, ERROR.format("NoSuchKey"))

        def place(self) -> str:
            store.asked.append(str(self.headers))
            return unquote(urlsplit(self.path).path)

        def answer(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(text.encode())), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    s3a = "spark.hadoop.fs.s3a."
    settings = {
        f"{s3a}endpoint": f"http://127.0.0.1:{server.server_address[1]}",
        f"{s3a}endpoint.region": "us-east-1",
        f"{s3a}access.key": "key",
        f"{s3a}secret.key": "any",
        f"{s3a}path.style.access": "true",
    }
    try:
        yield store, s3_client(settings)
    finally:
        server.shutdown()
        server.server_close()
