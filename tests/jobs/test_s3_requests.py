"""Corpora of files in S3: how many requests a picture takes. Hadoop opens each file twice and reads it once."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests import moto_server
from tests.demos import TWIGMA
from tests.hosts import png
from tests.s3_demo import hadoop_aws
from twigma_spark.io.url_files import write_url

pytestmark = pytest.mark.faults
IMAGES = 40
# Spark asks for a file's status, S3A for it again when it opens the file, and then for the content.
MOST = 3
# All else, however many pictures there are: listings, the metadata, and the page of posts.
LISTINGS = 120


def test_a_picture_in_s3_takes_three_requests(tmp_path: Path) -> None:
    with moto_server.serving() as server:
        url = f"s3a://{moto_server.BUCKET}/in"
        for n in range(IMAGES):
            write_url(f"{url}/own/{n}.png", png(n), server.settings)
            write_url(f"{url}/posts/media/3_{n}.png", png(100 + n), server.settings)
        rows = "".join(f"{n}.png,picture {n}\n" for n in range(IMAGES))
        write_url(f"{url}/own.csv", f"file,title\n{rows}".encode(), server.settings)
        page = {
            "data": [{"id": f"{n}", "author_id": "9", "text": "a", "created_at": "2022-01-01T00:00:00Z",
                      "attachments": {"media_keys": [f"3_{n}"]}} for n in range(IMAGES)],
            "includes": {"media": [{"media_key": f"3_{n}", "type": "photo"} for n in range(IMAGES)]},
        }  # fmt: skip
        write_url(f"{url}/posts/page.json", json.dumps(page).encode(), server.settings)
        conf = tmp_path / "s3.yaml"
        corpora = [
            {"name": "posts", "role": "posts", "reader": "posts", "path": f"{url}/posts"},
            {"name": "own", "role": "art", "path": f"{url}/own", "metadata": f"{url}/own.csv"},
        ]
        spark = {"conf": {**dict(server.settings), "spark.jars.packages": hadoop_aws()}}
        conf.write_text(yaml.safe_dump({"store": {"root": "tables"}, "corpora": corpora, "spark": spark}))
        before = len(server.requests)
        command = [*TWIGMA, "run", "--conf", str(conf), "--only", "ingest"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0 and f"{2 * IMAGES} images" in done.stdout, done.stdout + done.stderr
        requests = server.requests[before:]
    of_pictures = Counter((path, method) for method, path, _ in requests if path.endswith(".png"))
    each = {path: {m: n for (p, m), n in of_pictures.items() if p == path} for path, _ in of_pictures}
    assert len(each) == 2 * IMAGES
    assert max(sum(counts.values()) for counts in each.values()) <= MOST, each
    assert all(counts["GET"] == 1 for counts in each.values()), each
    assert len(requests) - sum(of_pictures.values()) <= LISTINGS, Counter(requests).most_common(60)
