"""ingest on files of every kind that people bring."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlparse

import pytest
from PIL import Image
from pyspark.sql import DataFrame, SparkSession

from twigma_spark.config.data import Columns, Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import CorpusError
from twigma_spark.io import arrow, corpora, local_files
from twigma_spark.io.session import task_heap
from twigma_spark.io.tables import Store
from twigma_spark.schemas import IMAGES
from twigma_spark.stages import ingest
from twigma_spark.stages.stage import StageContext
from twigma_spark.transforms.chunks import chunks


def picture(mode: str = "RGB", size: tuple[int, int] = (8, 6), form: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, form, **options)
    return out.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes whose header says 20,000 x 20,000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def taken(spark: SparkSession, cfg: Config) -> dict[str, DataFrame]:
    """Return what the stage gives, computed once in memory."""
    context = StageContext(spark, lambda frame: frame.localCheckpoint(), print)
    return dict(ingest.run(cfg, context, images=arrow.local_frame(spark, [], IMAGES.schema)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images good and bad, in subfolders."""
    root = tmp_path / "images"
    (root / "sub dir").mkdir(parents=True)
    files = {
        "good.jpg": picture(form="JPEG"),
        "sub dir/grün é.PNG": picture(),
        "cmyk.jpg": picture("CMYK", form="JPEG"),
        "grey.png": picture("L"),
        "sixteen.png": picture("I;16"),
        "moving.gif": picture(form="GIF", save_all=True, append_images=[Image.new("RGB", (8, 6), "red")]),
        "empty.jpg": b"",
        "words.jpg": b"these are words",
        "bomb.png": bomb(),
        "notes.txt": b"not looked at",
    }
    for name, content in files.items():
        (root / name).write_bytes(content)
    return root


@pytest.mark.spark4
def test_usable_files_become_images_and_the_rest_rejects(spark: SparkSession, folder: Path) -> None:
    cfg = Config(corpora=(Corpus(name="mine", role="posts", path=str(folder)),))
    out = taken(spark, cfg)
    images = {r.source_key: r for r in out["images"].drop("content").collect()}
    assert set(images) == {
        "good.jpg",
        "sub dir/grün é.PNG",
        "cmyk.jpg",
        "grey.png",
        "sixteen.png",
        "moving.gif",
    }
    assert (images["good.jpg"].width, images["good.jpg"].height, images["good.jpg"].format) == (8, 6, "JPEG")
    refused = {r.key: r.reason for r in out["rejects"].collect()}
    assert refused == {"empty.jpg": "empty_file", "words.jpg": "not_an_image", "bomb.png": "too_many_pixels"}
    account = ingest.account(cfg, spark, out)
    assert (account.images, account.kept, account.rejects, account.lost) == (9, 6, 3, 0)


def test_no_file_is_lost_for_its_name_or_for_being_a_link(spark: SparkSession, tmp_path: Path) -> None:
    """Hadoop hides names that begin with _ or ., and ends at a colon and at a checksum file that is out of date."""
    root = tmp_path / "camera"
    (root / "_dir" / ".inner").mkdir(parents=True)
    names = (
        "_DSC0011.JPG",
        ".hidden.png",
        "12:30.jpg",
        "_dir/a.jpg",
        "_dir/.inner/b.jpg",
        "a [1] {x}?*.jpg",
        "new\nline.jpg",
    )
    for n, name in enumerate(names):
        (root / name).write_bytes(picture(size=(8, 6 + n)))
    (root / os.fsdecode(b"caf\xe9.jpg")).write_bytes(picture(size=(5, 5)))
    (root / "stale.jpg").write_bytes(picture(size=(4, 4)))
    (root / ".stale.jpg.crc").write_bytes(b"crc\0\0\0\2\0\0\0\0\0")
    (root / "dangling.jpg").symlink_to(root / "gone.jpg")
    (root / "loop").symlink_to(root)
    (tmp_path / "other.jpg").write_bytes(picture(size=(9, 9)))
    (root / "link.jpg").symlink_to(tmp_path / "other.jpg")
    os.mkfifo(root / "pipe.jpg")
    corpus = (Corpus(name="mine", role="posts", path=str(root)),)
    for follow in (True, False):
        cfg = Config(corpora=corpus, ingest={"follow_links": follow})
        out = taken(spark, cfg)
        images = {r.source_key for r in out["images"].select("source_key").collect()}
        assert images - {"link.jpg"} == {*names, "caf\\xe9.jpg", "stale.jpg"} and ("link.jpg" in images) == follow
        refused = {r.key: r.reason for r in out["rejects"].collect()}
        expected = {"dangling.jpg": "dangling_link", "loop/": "link_circle", "pipe.jpg": "not_a_file"}
        outside = {"link.jpg": "link_out_of_corpus", "dangling.jpg": "dangling_link"}
        assert refused == (expected if follow else {**expected, **outside})
        assert ingest.account(cfg, spark, out).lost == 0


def test_a_file_that_vanishes_after_the_listing_is_a_reject(
    spark: SparkSession, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = local_files.list_files

    def list_then_remove(path: str, follow_links: bool = True) -> list[local_files.LocalFile]:
        files = list(listed(path, follow_links))
        (folder / "good.jpg").unlink(missing_ok=True)
        return files

    monkeypatch.setattr(local_files, "list_files", list_then_remove)
    out = taken(spark, Config(corpora=(Corpus(name="mine", role="posts", path=str(folder)),)))
    refused = {r.key: (r.reason, r.detail) for r in out["rejects"].collect()}
    assert refused["good.jpg"] == ("unreadable_file", "No such file or directory")


def test_a_file_over_the_limit_is_never_read(spark: SparkSession, folder: Path) -> None:
    cfg = Config(corpora=(Corpus(name="mine", role="posts", path=str(folder)),), ingest={"max_bytes": 40})
    refused = {r.key: r.reason for r in taken(spark, cfg)["rejects"].collect()}
    assert refused["good.jpg"] == "too_many_bytes"


@pytest.mark.parametrize(("heap", "kept"), [(12 * 900, 2), (12 * 300, 1), (None, 2)])
def test_the_largest_file_follows_the_memory_of_a_task(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heap: int | None, kept: int
) -> None:
    """A file of 190 MB stalled or killed a driver of 2 GB."""
    (tmp_path / "small.png").write_bytes(picture())
    (tmp_path / "large.png").write_bytes(picture() + bytes(500))
    monkeypatch.setattr(ingest, "task_heap", lambda session: heap)
    monkeypatch.setattr(ingest, "HELD_BYTES", 1)
    cfg = Config(corpora=(Corpus(name="mine", role="posts", path=str(tmp_path)),))
    made = taken(spark, cfg)
    assert made["images"].count() == kept
    refused = made["rejects"].select("key", "reason", "detail").collect()
    assert [(r.key, r.reason) for r in refused] == [("large.png", "too_many_bytes")] * (2 - kept)
    assert all("more than 300 bytes: ingest.max_bytes, or what spark.driver.memory" in r.detail for r in refused)


def test_the_heap_of_a_task_is_the_sessions_over_its_slots(spark: SparkSession) -> None:
    heap = task_heap(spark)
    assert heap is not None and 100e6 < heap < 40e9
    conf = {"spark.executor.memory": "4g", "spark.executor.cores": "4", "spark.task.cpus": "2"}
    cluster = SimpleNamespace(conf=SimpleNamespace(get=lambda key, default=None: conf.get(key, default)))
    assert task_heap(cluster) == 2 * 2**30  # type: ignore[arg-type]
    conf["spark.executor.memory"] = "much"
    assert task_heap(cluster) is None  # type: ignore[arg-type]


@pytest.mark.spark4
def test_metadata_in_latin_1_without_columns_and_with_missing_files(spark: SparkSession, folder: Path) -> None:
    table = folder.parent / "m.csv"
    table.write_bytes("file,title\ngood.jpg,fine\ngrey.png,caf\xe9\ngone.jpg,x\ngood.jpg,twice\n".encode("latin-1"))
    corpus = Corpus(name="mine", role="posts", path=str(folder), metadata=str(table), columns=Columns(artist="painter"))
    cfg = Config(corpora=(corpus,))
    out = taken(spark, cfg)
    titles = {r.source_key: r.title for r in out["images"].select("source_key", "title").collect()}
    assert (titles["good.jpg"], titles["grey.png"]) == ("fine", None)
    refused = {(r.unit, r.key, r.reason) for r in out["rejects"].where("key LIKE 'm.csv%' OR key LIKE 'go%'").collect()}
    assert refused == {
        ("metadata", "m.csv#1", "metadata_not_utf8"),
        ("metadata", "m.csv", "missing_column"),
        ("image", "gone.jpg", "missing_file"),
        ("image", "good.jpg", "duplicate_key"),
    }
    assert ingest.account(cfg, spark, out).lost == 0


def test_the_account_sees_a_lost_image(spark: SparkSession, folder: Path) -> None:
    cfg = Config(corpora=(Corpus(name="mine", role="posts", path=str(folder)),))
    out = taken(spark, cfg)
    assert ingest.account(cfg, spark, {**out, "images": out["images"].limit(5)}).lost == 1


def test_the_fingerprint_follows_the_files(spark: SparkSession, folder: Path) -> None:
    corpus = (Corpus(name="mine", role="posts", path=str(folder)),)
    before = corpora.fingerprint(spark, corpus)
    assert corpora.fingerprint(spark, corpus) == before
    (folder / "new.jpg").write_bytes(picture(form="JPEG"))
    assert corpora.fingerprint(spark, corpus) != before


def test_a_changed_file_is_another_image(spark: SparkSession, folder: Path) -> None:
    cfg = Config(corpora=(Corpus(name="mine", role="posts", path=str(folder)),))

    def good() -> str:
        row = taken(spark, cfg)["images"].where("source_key = 'good.jpg'").select("image_id").first()
        assert row is not None
        return str(row["image_id"])

    before = good()
    (folder / "good.jpg").write_bytes(picture(size=(9, 9), form="JPEG"))
    assert good() != before


def test_paths_that_cannot_be_read_are_told(spark: SparkSession, tmp_path: Path, store: Store) -> None:
    missing = Corpus(name="mine", role="posts", path=str(tmp_path / "none"))
    with pytest.raises(CorpusError, match="corpus 'mine': path must be an existing"):
        taken(spark, Config(corpora=(missing,)))
    with pytest.raises(CorpusError, match="at least one corpus"):
        taken(spark, Config())


def test_a_chunk_of_images_is_read_from_its_own_files(
    spark: SparkSession, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "many").mkdir()
    for n in range(40):
        (tmp_path / "many" / f"{n}.png").write_bytes(picture(size=(n + 1, 3)))
    monkeypatch.setattr(ingest, "FILE_BYTES", 400)  # of about 75 bytes an image
    cfg = Config(corpora=(Corpus(name="mine", role="posts", path=str(tmp_path / "many")),))
    store.write("images", taken(spark, cfg)["images"], stage="ingest")
    stored = store.read("images")
    every = {Path(unquote(urlparse(uri).path)) for uri in stored.inputFiles()}
    inside = chunks("image_id", 40, 20)[0]
    ids = sorted(r.image_id for r in stored.select("image_id").collect())
    wanted = [i for i in ids if i < "8"]
    own = {Path(unquote(urlparse(uri).path)) for uri in stored.where(inside).inputFiles()}
    assert 0 < len(wanted) < 40 and len(every) >= 6 and len(own) <= len(every) * 0.7
    for path in every - own:
        path.unlink()
    rows = store.read("images").where(inside).select("image_id", "content").collect()
    assert sorted(row.image_id for row in rows) == wanted
    assert all(row.content for row in rows)


@pytest.mark.parametrize("name", ["M.CSV", "M.TSV", "M.JsonL"])
def test_the_suffix_of_metadata_may_be_in_capitals(spark: SparkSession, tmp_path: Path, name: str) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    rows = {
        "M.CSV": "file,title\na.png,A",
        "M.TSV": "file\ttitle\na.png\tA",
        "M.JsonL": '{"file": "a.png", "title": "A"}',
    }
    (tmp_path / name).write_text(rows[name])
    corpus = Corpus(name="own", role="posts", path=str(tmp_path), metadata=str(tmp_path / name))
    assert [r.title for r in taken(spark, Config(corpora=(corpus,)))["images"].collect()] == ["A"]


def test_what_changed_since_the_last_run_is_shown(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("same.png", "gone.png", "changed.png"):
        (tmp_path / name).write_bytes(picture())
    cfg = Config(corpora=(Corpus(name="own", role="posts", path=str(tmp_path)),))
    before = taken(spark, cfg)["images"].localCheckpoint()
    shown: list[str] = []
    context = StageContext(
        spark, lambda frame: frame.localCheckpoint(), shown.append, table_version=lambda name: "1@2024-01-01"
    )
    ingest.run(cfg, context, images=before)
    assert shown == ["ingest: the same images as in the last run"]
    (tmp_path / "gone.png").unlink()
    (tmp_path / "changed.png").write_bytes(picture(size=(9, 9)))
    for name in ("new.png", "new2.png"):
        (tmp_path / name).write_bytes(picture())
    ingest.run(cfg, context, images=before)
    assert shown[1:] == ["ingest: 2 new, 1 gone, 1 changed since the last run"]


def test_likes_and_followers_of_a_folder_become_posts(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        (tmp_path / name).write_bytes(picture())
    rows = ["a.png,7,12,ann,100,2023-01-02", "b.png,7,,ann,100,2023-01-02", "c.png,,3.0,,many,1889", "d.png,,,,,"]
    rows += ["c.png,,9,,,", "gone.png,8,1,bob,1,2023-01-02"]
    header = "file,post_id,likes,author_id,author_followers,created_at"
    (tmp_path / "m.csv").write_text("\n".join([header, *rows]))
    columns = Columns(like_count="likes")
    corpus = Corpus(name="own", role="posts", path=str(tmp_path), metadata=str(tmp_path / "m.csv"), columns=columns)
    made = taken(spark, Config(corpora=(corpus,)))
    posts = {r.post_id: (r.author_id, r.author_followers, r.like_count) for r in made["posts"].collect()}
    assert posts == {"7": ("ann", 100, 12), "own/c.png": (None, None, 3), "8": ("bob", 1, 1)}
    assert {r.platform for r in made["posts"].collect()} == {"file"} and made["raw_posts"].count() == 0
    # A painting of 1889 has a date; no post was made then.
    dates = {r.post_id: r.created_at and r.created_at.year for r in made["posts"].collect()}
    assert dates == {"7": 2023, "own/c.png": None, "8": 2023}
    shown = {r.source_key: r.post_id for r in made["images"].collect()}
    assert shown == {"a.png": "7", "b.png": "7", "c.png": "own/c.png", "d.png": None}
    refused = {(r.key, r.reason, r.detail) for r in made["rejects"].collect()}
    assert ("m.csv#2", "value_unusable", "author_followers: many") in refused
    art = corpus.model_copy(update={"role": "art"})
    assert taken(spark, Config(corpora=(art,)))["posts"].count() == 3
    unread = dict.fromkeys(("post_id", "author_id", "author_followers", "like_count"))
    alone = taken(spark, Config(corpora=(art.model_copy(update={"columns": Columns(**unread)}),)))
    assert alone["posts"].count() == 0 and alone["rejects"].where("detail LIKE 'author%'").count() == 0
