"""An atlas of ten literal rows: neighbours by row number, blurred pictures, and what is refused without a trace."""

from __future__ import annotations

import functools
import hashlib
import io
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyspark.sql import SparkSession

from tests import tables as declared
from tests.unit.browser import FOUND, browser
from twigma_spark.atlas import ATLAS, TABLES, THEMES, VIEWER, Atlas, _files_without_thumbnail, build_atlas
from twigma_spark.cli import explore
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.models.small_jpegs import small_jpeg

# Ids whose order is none of the corpora's, so that a row number is not the order in which the rows were given.
POSTS, ART = (8, 2, 6), (5, 1)
# In order of corpus and id.
ROWS = [("art", 1), ("art", 5), ("posts", 2), ("posts", 6), ("posts", 8)]
Build = Callable[..., Atlas]


def key(number: int) -> str:
    return f"{number:032x}"


def named(kind: str, of: str) -> dict[str, Any]:
    """Return what a purge leaves of an id."""
    return {"kind": kind, "digest": hashlib.sha256(of.encode()).hexdigest(), "at": datetime(2024, 1, 1)}


def picture(seed: int) -> bytes:
    """Return a board of black and white, which differs much from its blurred self."""
    out = io.BytesIO()
    board = ((np.indices((64, 64)).sum(axis=0) // 8 + seed) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).convert("RGB").save(out, "PNG")
    return out.getvalue()


def literal() -> dict[str, list[dict[str, Any]]]:
    """Return three images of posts and two of art on the map; an image of the map that is gone has the id 9."""
    images = [
        {"image_id": key(i), "corpus": "posts", "source_key": f"t{i}/{i}", "post_id": f"t{i}", "n_bytes": 9,
         "content": b"broken" if i == 6 else picture(i), "sensitive": None if i == 2 else i == 8}
        for i in POSTS
    ] + [
        {"image_id": key(i), "corpus": "art", "source_key": f"{i}.jpg", "title": "Sun", "artist": "A. B.",
         "created_at": datetime(1890, 1, 1), "n_bytes": 9, "content": picture(i), "sensitive": False}
        for i in ART
    ]  # fmt: skip
    near = [(8, 5, 0.9), (8, 1, 0.7), (2, 1, 0.8), (2, 9, 0.99)]
    return {
        "projection": [{"image_id": key(i), "corpus": corpus, "x": float(i), "y": -float(i)}
                       for corpus, i in [*ROWS, ("posts", 9)]],
        "images": images,
        "neighbours": [{"image_id": key(i), "reference": "art", "rank": 1, "neighbour_id": key(j), "similarity": s}
                       for i, j, s in near],
        "captions": [{"image_id": key(8), "model_id": m, "caption": c} for m, c in (("a", "old"), ("b", "x" * 400))],
        "clusters": [{"image_id": key(i), "clustering_id": "themes", "corpus": "posts", "cluster": c}
                     for i, c in ((8, 0), (2, 0), (6, 1))],
        "themes": [{"clustering_id": "themes", "cluster": 0, "rank": r, "term": t}
                   for r, t in ((2, "dog"), (1, "cat"), (3, "sun"), (4, "no"))],
        "posts": [{"post_id": "t8", "created_at": datetime(2022, 3, 4), "like_count": 7}],
        "scores": [{"image_id": key(i), "model_id": "m", "kind": "nsfw", "score": s} for i, s in ((1, 0.2), (5, 0.9))],
        "duplicates": [{"image_id": key(20 + n), "canonical_id": key(8), "tier": "near", "similarity": 1.0}
                       for n in range(2)],
        "reward_scores": [{"image_id": key(8), "corpus": "posts", "score": 0.25}],
        "copies": [{"image_id": key(8), "reference": "art", "neighbour_id": key(5), "similarity": 0.9}],
        "thumbnails": [],
    }  # fmt: skip


@pytest.fixture
def build(spark: SparkSession, tmp_path: Path) -> Build:
    """Return what writes the atlas of the literal rows, some of them changed."""

    def build_of(out: Path, changed: dict[str, list[dict[str, Any]]] | None = None, **how: Any) -> Atlas:
        rows = {**literal(), "tombstones": [named("post", "gone")], **(changed or {})}
        frames = {name: declared.table(spark, name, rows[name]) for name in TABLES}
        store: Any = SimpleNamespace(
            spark=spark, read=frames.__getitem__, count=lambda name: len(rows[name]), in_catalog=False,
            root=str(tmp_path / "store"), folder=lambda name: tmp_path / "store" / name,
            path=lambda name: str(tmp_path / "store" / name),
        )  # fmt: skip
        return build_atlas(Config(), store, out, said.append, **how)

    said: list[str] = []
    build_of.said = said  # type: ignore[attr-defined]
    return build_of


def brightness(jpeg: bytes) -> float:
    """Return how far the pixels are from one grey."""
    return float(np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"), float).std())


def test_rows_neighbours_and_pictures(build: Build, tmp_path: Path) -> None:
    made = build(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [ATLAS, THEMES]
    rows = pq.read_table(tmp_path / "out" / ATLAS).to_pylist()
    assert [(r["corpus"], int(r["image_id"], 16)) for r in rows] == ROWS
    # Post 8 is row 4, art 5 row 1 and art 1 row 0: distances are 1 - cosine, the pair with image 9 is gone.
    near = {n: (r["neighbors"]["ids"], np.round(r["neighbors"]["distances"], 5).tolist()) for n, r in enumerate(rows)}
    assert near == {0: ([2, 4], [0.2, 0.3]), 1: ([4], [0.1]), 2: ([0], [0.2]), 3: ([], []), 4: ([1, 0], [0.1, 0.3])}
    # 5 scores too high, 8 is flagged, 2 and 6 are not known to be safe or are flagged as safe.
    assert [r["hidden"] for r in rows] == [False, True, True, False, True]
    assert [r["image"] is None for r in rows] == [False, False, False, True, False]
    assert brightness(rows[0]["image"]) > 100
    assert all(brightness(rows[n]["image"]) < 20 for n in (1, 2, 4))
    known = ("x", "y", "theme", "cluster", "date", "likes", "reward", "near_copies", "copy_candidate_of", "file")
    stated = {name: rows[4][name] for name in known}
    assert stated | {"date": stated["date"].replace(tzinfo=None)} == {
        "x": 8.0, "y": -8.0, "theme": "0 · cat, dog, sun", "cluster": 0, "date": datetime(2022, 3, 4), "likes": 7,
        "reward": 0.25, "near_copies": 2, "copy_candidate_of": "art", "file": "t8/8",
    }  # fmt: skip
    assert [r["importance"] for r in rows] == [1, 0, 0, 1, 0]
    assert rows[4]["caption"] == "x" * 300
    assert rows[0]["caption"] == "Sun, A. B."
    assert rows[3]["theme"] is None
    assert pq.read_table(tmp_path / "out" / THEMES).to_pylist() == [
        {"x": 2.0, "y": -8.0, "text": "0 · cat, dog, sun", "priority": 2}
    ]
    assert (made.rows.rows, made.rows.drawn, made.rows.hidden, made.themes) == (5, 4, 3, 1)
    assert made.command.endswith(
        f"{tmp_path}/out/atlas.parquet --x x --y y --neighbors neighbors --pagerank importance "
        f"--image image --text caption --labels {tmp_path}/out/themes.parquet"
    )
    assert build.said == [  # type: ignore[attr-defined]
        "atlas: 1 images of the map are no longer in the store and are left out",
        "atlas: 1 images cannot be drawn and have no picture",
        "atlas: 3 pictures that are NSFW, flagged or not scored are blurred; --show-nsfw shows them",
    ]
    assert not list((tmp_path / "store").glob("*"))


def test_pictures_are_shown_where_asked_and_no_theme_makes_no_labels(build: Build, tmp_path: Path) -> None:
    made = build(tmp_path / "out", {"themes": [], "neighbours": []}, show_hidden=True)
    rows = pq.read_table(tmp_path / "out" / ATLAS).to_pylist()
    assert all(brightness(r["image"]) > 100 for r in rows if r["image"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == [ATLAS]
    assert "--labels" not in made.command


def test_vectors_alone_make_an_atlas_without_pictures(build: Build, tmp_path: Path) -> None:
    made = build(tmp_path / "out", {"images": [i | {"content": None, "n_bytes": None} for i in literal()["images"]]})
    assert (made.rows.rows, made.rows.drawn, made.rows.hidden) == (5, 0, 0)
    assert "--image" not in made.command and "--text caption --labels" in made.command
    assert build.said[1:] == ["atlas: the images came as vectors: it has no pictures"]  # type: ignore[attr-defined]


def thumbnail(seed: int) -> bytes:
    """Return the thumbnail of a picture."""
    return small_jpeg(picture(seed), blurred=False)


def test_a_thumbnail_takes_the_place_of_the_file(build: Build, tmp_path: Path) -> None:
    """Art 1 may be shown and art 5 not; the files of both are other pictures, of 5 its thumbnail is broken."""
    made = {1: thumbnail(0), 5: b"broken", 8: thumbnail(8)}
    build(tmp_path / "out", {"thumbnails": [{"image_id": key(i), "thumbnail": made[i]} for i in made]})
    rows = {int(r["image_id"], 16): r["image"] for r in pq.read_table(tmp_path / "out" / ATLAS).to_pylist()}
    assert rows[1] == thumbnail(0) != thumbnail(1)
    assert rows[5] is None
    assert brightness(rows[8]) < 20
    # Those without a thumbnail are made of their files.
    assert brightness(rows[2]) < 20
    assert rows[6] is None


def test_no_file_is_read_where_all_have_a_thumbnail(spark: SparkSession) -> None:
    """Image 7 is not on the map, and image 3 came as a vector."""
    images = [{"image_id": key(i), "content": b"file", "n_bytes": 4} for i in (1, 2, 7)]
    tables = {
        "images": declared.table(spark, "images", [*images, {"image_id": key(3)}]),
        "projection": declared.table(spark, "projection", [{"image_id": key(i)} for i in (1, 2, 3)]),
    }
    for drawn, without in (((1, 2), None), ((1,), [key(2)])):
        small = [{"image_id": key(i), "thumbnail": b"small"} for i in drawn]
        files = _files_without_thumbnail({**tables, "thumbnails": declared.table(spark, "thumbnails", small)})
        assert (files if files is None else [r["image_id"] for r in files.collect()]) == without


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"projection": []}, r"'projection' must have rows for an atlas. Got none: run the stage project first"),
    ({"images": []}, "must be in the store. Got none of them: run the stage project again"),
    ({"tombstones": [named("post", "t8"), named("image", key(5)), named("post", "gone"), named("picture", key(1))]},
     "a purge must have ended before an atlas. Got 2 images in the store that one names .* twigma purge again"),
    ({"images": [i | {"content": b"cut", "n_bytes": 3} for i in literal()["images"]]}, "5 of which none can be drawn"),
])  # fmt: skip
def test_what_cannot_be_made_leaves_nothing(
    build: Build, tmp_path: Path, changed: dict[str, list[dict[str, Any]]], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build(tmp_path / "out", changed)
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_that_is_not_empty_is_refused(build: Build, tmp_path: Path) -> None:
    (tmp_path / "note").touch()
    with pytest.raises(ConfigError, match="--replace puts an atlas in the place of an older one"):
        build(tmp_path)


def test_figures_are_refused_after_a_purge_that_was_cut_off(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: dict[str, list[dict[str, Any]]] = {"images": literal()["images"], "tombstones": [named("image", key(1))]}
    store = SimpleNamespace(read=lambda name: declared.table(spark, name, rows[name]))
    monkeypatch.setattr(explore, "open_store", lambda cfg: nullcontext(store))
    with pytest.raises(ConfigError, match=r"a purge must have ended before figures. Got 1 image in the store"):
        explore.figures(tmp_path / "out")
    assert not list(tmp_path.iterdir())


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Give the address of a folder on this machine."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


@pytest.mark.faults
@pytest.mark.skipif(FOUND is None, reason="there is no Chromium or Chrome")
def test_embedding_atlas_shows_every_image(build: Build, tmp_path: Path) -> None:
    """The line that twigma prints, with Embedding Atlas as the package index has it, and its page in a browser."""
    uvx = shutil.which("uvx") or shutil.which("uvx", path=str(Path(sys.executable).parent))
    if uvx is None:
        pytest.skip("uv is not installed (pip install uv)")
    fetched = subprocess.run([uvx, "--from", VIEWER, "python", "-c", ""], capture_output=True, text=True, timeout=1800)
    if fetched.returncode:
        pytest.skip(f"Embedding Atlas cannot be installed: {fetched.stderr.strip()[-300:]}")
    made = build(tmp_path / "atlas")
    line = [uvx, *shlex.split(made.command)[1:], "--export-application", str(tmp_path / "page")]
    exported = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert exported.returncode == 0, exported.stderr
    with served(tmp_path / "page") as address, browser() as tab:
        tab.open(address)
        assert "5 / 5 points" in tab.wait_for("5 / 5 points", 60)
        pictures = "[...document.images].filter((one) => one.complete && one.naturalWidth === 64).length"
        for _ in range(100):
            tab.frames()
            if (drawn := tab.evaluate(pictures)) == made.rows.drawn:
                break
        assert drawn == made.rows.drawn == 4
