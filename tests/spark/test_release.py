"""A release of ten literal rows: what is in it, what stays out, and what is refused without a trace."""

from __future__ import annotations

import hashlib
import hmac
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from tests import tables as declared
from twigma_spark.config.data import Corpus
from twigma_spark.config.models import Blip, HeadSettings
from twigma_spark.config.release import Release
from twigma_spark.config.settings import Config
from twigma_spark.errors import ConfigError
from twigma_spark.io import release_files
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.release_files import check_ids, read_manifest, read_release
from twigma_spark.release.build import KEY_VARIABLE, build_release
from twigma_spark.release.fields import FIELDS
from twigma_spark.release.rows import TABLES
from twigma_spark.stages import specs

BASE = Config()
CFG = BASE.model_copy(
    update={
        "corpora": (
            Corpus(name="posts", role="posts", path="x", reader="x_api"), Corpus(name="art", role="art", path="y"),
        ),
        "models": BASE.models.model_copy(
            update={"caption": Blip(kind="blip"), "scores": {"nsfw": HeadSettings(kind="linear", path="h.safetensors")}}
        ),
        "release": Release(fields="all", reason="a test"),
    }
)  # fmt: skip


# Captions that a spreadsheet would compute, and one that looks like what is written in their place.
FORMULAS = {2: "=1+1", 3: "'=1+1", 4: "-2"}


def key(number: int) -> str:
    return f"{number:032x}"


def literal() -> dict[str, list[dict[str, Any]]]:
    """Return five images of three posts, of which the fifth repeats the first, and one of art."""
    posts = {1: "t1", 2: "t1", 3: "t2", 4: "t3", 5: "t3"}
    images = [
        {"image_id": key(i), "corpus": "posts", "source_key": f"{t}/{i}", "post_id": t, "media_key": f"3_{i}",
         "created_at": datetime(2022, 1, i), "sensitive": i == 4}
        for i, t in posts.items()
    ]  # fmt: skip
    images.append({"image_id": key(9), "corpus": "art", "source_key": "a.jpg"})
    return {
        "images": images,
        "embeddings": [declared.vector(i) for i in (*posts, 9)],
        "duplicates": [{"image_id": key(5), "canonical_id": key(1), "tier": "bytes", "similarity": 1.0}],
        "posts": [
            {"post_id": t, "corpus": "posts", "author_id": f"author {t}", "author_followers": 10, "lang": "en",
             "created_at": datetime(2022, 2, 3, 4, 5, 6, 7000), "like_count": 7, "quote_count": 0, "reply_count": None,
             "text": "secret words"}
            for t in ("t1", "t2", "t3")
        ],
        "media": [{"media_key": f"3_{i}", "post_id": t, "position": 0, "corpus": "posts",
                   "url": None if i == 3 else f"https://host/media/{i}.jpg?name=large"} for i, t in posts.items()],
        "captions": [
            {"image_id": key(i), "model_id": specs.captioner(CFG).model_id,
             "caption": FORMULAS.get(i, f'a "{i}", it\nis')}
            for i in posts
        ] + [{"image_id": key(1), "model_id": "another", "caption": "no"}],
        "clusters": [{"image_id": key(i), "clustering_id": "themes", "corpus": "posts", "cluster": i} for i in posts],
        "scores": [{"image_id": key(i), "model_id": "m", "kind": "nsfw", "score": i / 10} for i in posts if i != 3],
        "projection": [{"image_id": key(i), "corpus": "posts", "x": i / 3, "y": -float(i)} for i in posts],
        "rejects": [{"stage": "ingest", "unit": "image", "corpus": "posts", "key": "k", "reason": "empty",
                     "detail": ""}],
        "runs": [{"run_id": "r", "stage": "embed", "status": "ok", "started_at": datetime(2023, 4, 5),
                  "versions": {"numpy": "1.26"}}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def store_of(spark: SparkSession) -> Callable[[dict[str, list[dict[str, Any]]]], Any]:
    """Makes a store of literal rows, without Delta."""

    def make(rows: dict[str, list[dict[str, Any]]]) -> Any:
        frames: dict[str, DataFrame] = {
            name: declared.table(spark, name, rows.get(name, [])).cache()
            for name in (*TABLES, "rejects", "runs", "results", "tombstones")
        }
        return SimpleNamespace(
            spark=spark, read=frames.__getitem__, count=lambda n: len(rows.get(n, [])), version=lambda n: 3
        )

    return make


@pytest.fixture
def release(store_of: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """Writes a release of the literal rows, and returns its folder."""

    def write(name: str, cfg: Config = CFG, previous: Path | None = None, **rows: list[dict[str, Any]]) -> Path:
        build_release(cfg, store_of({**literal(), **rows}), tmp_path / name, previous, lambda text: None)
        return tmp_path / name

    return write


@pytest.fixture(scope="module")
def first(store_of: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the literal rows that tests do not change."""
    folder = tmp_path_factory.mktemp("releases") / "first"
    build_release(CFG, store_of(literal()), folder, None, lambda text: None)
    return folder


def with_release(**more: Any) -> Config:
    return CFG.model_copy(update={"release": CFG.release.model_copy(update=more)})


def test_the_papers_fields_of_kept_posts_and_the_way_back(spark: SparkSession, first: Path) -> None:
    out = first
    rows = read_release(spark, out).collect()
    assert [field.name for field in FIELDS] == list(rows[0].asDict())
    assert [(row.id, row.image_name) for row in rows] == [
        ("t1", "1.jpg"),
        ("t1", "2.jpg"),
        ("t2", "3_3"),
        ("t3", "4.jpg"),
    ]
    one, third, last = rows[0], rows[2], rows[3]
    assert one.created_at == datetime(2022, 2, 3, 4, 5, 6, 7000) and one.all_captions == 'a "1", it\nis'
    assert (one.like_count, one.quote_count, one.reply_count) == (7, 0, None)
    assert (one.label_10_cluster, one.UMAP_dim_1, one.UMAP_dim_2) == (1, 1 / 3, -1.0)
    assert (one.nsfw_score, third.nsfw_score, last.possibly_sensitive) == (0.1, None, True)
    assert read_release(spark, out, "csv").collect() == rows
    written = (out / "data/images-00001.csv").read_text()
    assert [row.all_captions for row in rows[1:]] == list(FORMULAS.values())
    assert all(f'"{text}"' in written for text in ("'=1+1", "''=1+1", "'-2")) and ",-1" in written
    assert not [p for p in out.rglob("*") if p.is_file() and b"secret words" in p.read_bytes()]


def test_equal_tables_give_equal_bytes_and_changes_are_counted(first: Path, release: Callable[..., Path]) -> None:
    one, two = first, release("two")
    files = {p.relative_to(one): p.read_bytes() for p in one.rglob("*") if p.is_file()}
    assert files == {p.relative_to(two): p.read_bytes() for p in two.rglob("*") if p.is_file()}
    tables = literal()
    tables["images"] = [*tables["images"][1:], {**tables["images"][2], "image_id": key(8), "media_key": "3_8"}]
    tables["embeddings"].append(declared.vector(8))
    tables["scores"][1]["score"] = 0.9
    text = (release("three", previous=one, **tables) / "CHANGES.md").read_text()
    assert "1 images added, 1 gone, 1 with other values." in text and "The first release." in text


def test_ids_alone_name_nothing_else(spark: SparkSession, release: Callable[..., Path]) -> None:
    out = release("ids", with_release(fields=None, reason=None))
    assert read_release(spark, out).columns == ["id", "image_name"]
    assert read_manifest(out)["platform"] == "x" and (out / "rehydrate.py").exists()
    assert 'a \\"1' not in (out / "data/images-00001.csv").read_text()


def test_what_is_flagged_unscored_or_scored_high_stays_out(spark: SparkSession, release: Callable[..., Path]) -> None:
    out = release("gated", with_release(max_nsfw=0.15))
    assert [row.image_name for row in read_release(spark, out).collect()] == ["1.jpg"]
    assert read_manifest(out)["counts"]["hidden"] == 3


def test_authors_are_keyed_hashes(
    spark: SparkSession, release: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=f"{KEY_VARIABLE} must hold a secret"):
        release("none", with_release(authors=True))
    secret = "0123456789abcdef" * 2
    monkeypatch.setenv(KEY_VARIABLE, secret)
    out = release("authors", with_release(authors=True))
    hashes = [row.author_hash for row in read_release(spark, out).collect()]
    assert hashes[0] == hmac.new(secret.encode(), b"author t1", hashlib.sha256).hexdigest() == hashes[1] != hashes[2]
    everything = b"".join(p.read_bytes() for p in out.rglob("*") if p.is_file())
    assert secret.encode() not in everything and b"author t1" not in everything
    counts = read_manifest(out)["counts"]
    assert (counts["author_groups"], counts["fewest_authors"], counts["groups_below_five"]) == (1, 3, 1)


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [("images", "twigma run"), ("projection", r"twigma run --to project"), ("clusters", r"twigma run --to cluster")],
)
def test_a_store_that_is_not_ready_leaves_nothing(
    release: Callable[..., Path], tmp_path: Path, missing: str, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        release("out", **{missing: []})
    assert list(tmp_path.iterdir()) == []


def test_a_purge_that_was_cut_off_is_ended_first(release: Callable[..., Path], tmp_path: Path) -> None:
    ids = {"t1": "post", "gone": "post", key(3): "image", key(1): "picture"}
    named = [
        {"kind": kind, "digest": hashlib.sha256(each.encode()).hexdigest(), "at": datetime(2024, 1, 1)}
        for each, kind in ids.items()
    ]
    with pytest.raises(ConfigError, match=r"Got 3 images .* give the same ids to twigma purge again"):
        release("out", tombstones=named)
    assert list(tmp_path.iterdir()) == []


def test_a_release_of_no_image_leaves_nothing(release: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must have kept images for a release. Got none with release.max_nsfw=0"):
        release("out", with_release(max_nsfw=0.0))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_the_middle_leaves_nothing(
    release: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(release_files, "write_parts", fail)
    with pytest.raises(OSError, match="No space left"):
        release("out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(store_of: Callable[..., Any], first: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for replace in (False, True):
        with pytest.raises(ConfigError, match=r"--out must be a new or empty folder"):
            build_release(CFG, store_of(literal()), tmp_path / "mine", None, print, replace)
    with pytest.raises(ConfigError, match="--replace"):
        build_release(CFG, store_of(literal()), first, None, print)
    out = Path(shutil.copytree(first, tmp_path / "older"))
    build_release(with_release(version="1.1.0"), store_of(literal()), out, None, lambda text: None, replace=True)
    assert read_manifest(out)["version"] == "1.1.0" and (tmp_path / "mine" / "thesis.tex").exists()


def test_ids_that_were_numbers_are_refused(spark: SparkSession) -> None:
    check_ids(local_frame(spark, [("1641594537119842513",), ("a1e5b",)], "id STRING"))
    for damaged in ("1.64159453711984e+18", "1641594537119842513.0", "1E18"):
        with pytest.raises(ConfigError, match="ids must be whole"):
            check_ids(local_frame(spark, [(damaged,)], "id STRING"))
