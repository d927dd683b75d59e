"""S3 as moto simulates it, served on this machine: all requests are listed."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from twigma_spark.io.url_files import Settings

BUCKET = "twigma-test"


@dataclass(frozen=True)
class Server:
    """Where S3 is, and which requests came.

    Attributes:
        address: of the server.
        requests: method, path and query of each request.
        signers: access keys that requests were signed with.
    """

    address: str
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    signers: set[str] = field(default_factory=set)

    @property
    def settings(self) -> Settings:
        """What Spark is told of it."""
        s3a = "spark.hadoop.fs.s3a."
        return (
            (f"{s3a}endpoint", self.address),
            (f"{s3a}endpoint.region", "us-east-1"),
            (f"{s3a}access.key", "key"),
            (f"{s3a}secret.key", "any"),
            (f"{s3a}path.style.access", "true"),
        )

    def client(self) -> Any:
        """Return boto3's client of it."""
        boto3: Any = pytest.importorskip("boto3", reason="boto3 is not installed")
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "any", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=self.address, **keys)

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects of the bucket, without Arrow's marks of folders."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return [key for key in keys if not key.endswith("/")]


@contextmanager
def serving() -> Iterator[Server]:
    """Yield a server with an empty bucket; a test that calls it skips where moto[server] is not installed."""
    pytest.importorskip("flask", reason="moto[server] is not installed")
    moto: Any = pytest.importorskip("moto.moto_server.werkzeug_app", reason="moto is not installed")
    serving: Any = pytest.importorskip("werkzeug.serving")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app, requests, signers = moto.DomainDispatcherApplication(moto.create_backend_app), [], set[str]()

    def count(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]))
        signers.update(re.findall(r"Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", "")))
        return app(environ, start)  # type: ignore[no-any-return]

    server = serving.make_server("127.0.0.1", 0, count, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    described = Server(f"http://127.0.0.1:{server.server_port}", requests, signers)
    try:
        described.client().create_bucket(Bucket=BUCKET)
        yield described
    finally:
        server.shutdown()
        server.server_close()
