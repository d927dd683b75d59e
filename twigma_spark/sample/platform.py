"""A platform on this machine that has the sample's posts and pictures: what `make demo-collect` collects from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"}
FEWEST, MOST = 10, 500


class Platform:
    """Posts that are searched by hashtag as X's full archive is, and their pictures.

    Attributes:
        posts: by time, the newest first; without those that X would not give, such as one without an id.
        media: pictures' entries by media_key.
        users: authors' entries by id.
        files: pictures' files by media_key.
    """

    def __init__(self, folder: Path) -> None:
        """Read the pages and list the pictures of the posts that `twigma sample` drew below `folder`."""
        self.posts: list[dict[str, Any]] = []
        self.media: dict[str, dict[str, Any]] = {}
        self.users: dict[str, dict[str, Any]] = {}
        for file in sorted(folder.glob("*.json")):
            page = json.loads(file.read_text(encoding="utf-8"))
            self.posts += [post for post in page["data"] if "id" in post]
            self.media |= {each["media_key"]: each for each in page["includes"]["media"]}
            self.users |= {each["id"]: each for each in page["includes"]["users"]}
        self.posts = list({post["id"]: post for post in self.posts}.values())
        self.posts.sort(key=lambda post: (post["created_at"], post["id"]), reverse=True)
        self.files = {path.stem: path for path in sorted((folder / "media").iterdir())}

    def search(self, parameters: Mapping[str, str], address: str) -> dict[str, Any]:
        """Return a page of the posts with one of the hashtags of a query, in a window of time."""
        tags = {tag.lower() for tag in re.findall(r"#(\w+)", parameters["query"])}
        posts = [
            post
            for post in self.posts
            if parameters["start_time"] <= post["created_at"] < parameters["end_time"]
            and tags & {each["tag"].lower() for each in (post.get("entities") or {}).get("hashtags", [])}
        ]
        start, most = (
            int(parameters.get("next_token", 0)),
            min(MOST, max(FEWEST, int(parameters.get("max_results", FEWEST)))),
        )
        page = posts[start : start + most]
        keys = [key for post in page for key in (post.get("attachments") or {}).get("media_keys", []) if key]
        media = [self._entry(key, address) for key in dict.fromkeys(keys) if key in self.media]
        users = [self.users[name] for name in dict.fromkeys(p["author_id"] for p in page) if name in self.users]
        meta: dict[str, Any] = {"result_count": len(page)}
        if start + most < len(posts):
            meta["next_token"] = str(start + most)
        return {"data": page, "includes": {"media": media, "users": users}, "meta": meta, "total": len(posts)}

    def _entry(self, key: str, address: str) -> dict[str, Any]:
        return {**self.media[key], "url": f"{address}/media/{key}"}


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[str]:
    """Yield the address of a server on this machine, at a free port where none is given."""
    platform = Platform(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Answer a search, a count, or with a picture."""
            parts = urlsplit(self.path)
            parameters = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path in ("/2/tweets/search/all", "/2/tweets/counts/all") and parameters.get("query"):
                page = platform.search(parameters, address)
                total = page.pop("total")
                page = {"meta": {"total_tweet_count": total}} if "counts" in parts.path else page
                self._send(200, json.dumps(page).encode(), "application/json")
                return
            file = platform.files.get(parts.path.removeprefix("/media/"))
            if file is None:
                self._send(404, b"", "text/plain")
            else:
                self._send(200, file.read_bytes(), TYPES.get(file.suffix, "application/octet-stream"))

        def _send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
