"""With what files go to S3: the keys of the session, or those of the machine's role, and none in the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import moto_server
from tests.hosts import png
from twigma_spark.io.downloads import Attempt, Wanted, save

ROLE = {"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "KEY-OF-THE-ROLE", "SecretAccessKey": "any",
        "Token": "token", "LastUpdated": "2022-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z"}  # fmt: skip
CREDENTIALS = "/latest/meta-data/iam/security-credentials"


@pytest.fixture
def metadata() -> Iterator[str]:
    """The address of an EC2 machine's metadata, which answers only to a token, as EMR's nodes have it (IMDSv2)."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.answer("a token" if self.path == "/latest/api/token" else None)

        def do_GET(self) -> None:
            known = {CREDENTIALS: "node", f"{CREDENTIALS}/node": json.dumps(ROLE)}
            self.answer(known.get(self.path.rstrip("/")) if self.headers.get("x-aws-ec2-metadata-token") else None)

        def answer(self, text: str | None) -> None:
            self.send_response(404 if text is None else 200)
            self.send_header("Content-Length", str(len(text or "")))
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_picture_is_written_with_the_keys_of_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with moto_server.serving() as server:
        server.signers.clear()
        attempt = Attempt(Wanted("in/3_1", "https://host/1"), "ok", "ok", 1, 0.0, content=png(1))
        assert save(attempt, f"s3a://{moto_server.BUCKET}/media", server.settings) == "in/3_1.png"
        assert server.signers == {"key"} and server.keys("media/") == ["media/in/3_1.png"]


def test_without_keys_the_role_of_the_machine_is_taken(metadata: str, tmp_path: Path) -> None:
    """In another process: what AWS's library reads of the environment it reads once."""
    with moto_server.serving() as server:
        server.signers.clear()
        bare = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        service = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata, "AWS_ENDPOINT_URL_S3": server.address}
        files = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no"), "AWS_CONFIG_FILE": str(tmp_path / "no")}
        url = f"s3://{moto_server.BUCKET}/role/1.png"
        code = f"from twigma_spark.io.url_files import write_url; write_url({url!r}, b'picture')"
        done = subprocess.run(
            [sys.executable, "-c", code], env={**bare, **service, **files}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert server.signers == {ROLE["AccessKeyId"]} and server.keys("role/") == ["role/1.png"]
