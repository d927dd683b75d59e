"""Readers of corpora in the layouts that people have: what is taken, what is a reject, and that nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyspark.sql import SparkSession

from tests import corpora as made
from twigma_spark.config.data import Columns, Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import CorpusError
from twigma_spark.io import arrow
from twigma_spark.schemas import IMAGES
from twigma_spark.stages import ingest
from twigma_spark.stages.readers.reader import reader_of
from twigma_spark.stages.stage import StageContext

PLACE = "train-00000-of-00001.parquet"


def address_keys(spark: SparkSession, corpus: Corpus) -> dict[str, str]:
    """Return the source_key by the address of the pictures that a corpus would have downloaded."""
    addresses = reader_of(corpus).addresses
    assert addresses is not None
    return {row["url"]: row["source_key"] for row in addresses(spark, corpus).collect()}


@pytest.fixture(scope="module")
def taken(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """One run of ingest over a corpus of each layout: images and rejects by corpus, posts, addresses, the account."""
    root = tmp_path_factory.mktemp("corpora")
    delta = [("k1", bytearray(made.picture(1))), ("k1", bytearray(made.picture(2))), ("k2", None)]
    frame = spark.createDataFrame(delta, "id STRING, png BINARY").coalesce(1)
    frame.write.format("delta").save(str(root / "delta"))
    made.put(root / "folder" / "a.png", made.picture())
    described: list[dict[str, object]] = [{"file_name": "a.png", "about": {"text": "a cat"}}, {"file_name": "b.png"}]
    made.put_rows(root / "folder.parquet", described)
    made.laion(root / "laion")
    made.twigma(root / "twigma")
    made.released(root / "released")

    def corpus(name: str, reader: str, path: Path, **keys: object) -> Corpus:
        return Corpus(name=name, role="posts", reader=reader, path=str(path), **keys)

    laion = corpus("laion", "laion", root / "pictures", metadata=str(root / "laion"))
    keys = address_keys(spark, laion)
    made.put(root / "pictures" / f"{keys['http://x/1.jpg']}.jpg", made.picture())
    likes = Columns(prompt="text", like_count="likes")
    nested = Columns(file="file_name", prompt="about.text")
    cfg = Config(
        corpora=(
            corpus("tars", "img2dataset", made.webdataset(root / "tars")),
            corpus("parquet", "img2dataset", made.parquet_of_img2dataset(root / "parquet")),
            corpus("files", "img2dataset", made.files_of_img2dataset(root / "files")),
            corpus("hub", "table", made.hugging_face(root / "hub"), columns=likes),
            corpus("delta", "table", root / "delta", columns=Columns(file="id", image="png")),
            corpus("diffusion", "diffusiondb", made.diffusiondb(root / "diffusion", True)),
            corpus("diffusion_json", "diffusiondb", made.diffusiondb(root / "diffusion_json", False)),
            laion,
            corpus("art", "artbench", made.artbench(root / "art", True)),
            corpus("art_names", "artbench", made.artbench(root / "art_names", False)),
            corpus("coco", "coco", made.coco(root / "coco")),
            corpus("twigma", "twigma", root / "twigma" / "images", metadata=str(root / "twigma" / "twigma.csv")),
            corpus("released", "twigma", root / "released" / "images", metadata=str(root / "released")),
            corpus("folder", "folder", root / "folder", metadata=str(root / "folder.parquet"), columns=nested),
        )
    )
    context = StageContext(spark, lambda each: each.localCheckpoint(), print)
    frames = dict(ingest.run(cfg, context, images=arrow.local_frame(spark, [], IMAGES.schema)))
    images = frames["images"].drop("content").collect()
    rejects = frames["rejects"].collect()
    return SimpleNamespace(
        images={c.name: {r.source_key: r for r in images if r.corpus == c.name} for c in cfg.corpora},
        rejects={c.name: {(r.unit, r.key, r.reason): r for r in rejects if r.corpus == c.name} for c in cfg.corpora},
        posts={r.tweet_id: r for r in frames["tweets"].collect()},
        keys=keys,
        account=ingest.account(cfg, spark, frames),
    )


def test_no_image_is_lost(taken: SimpleNamespace) -> None:
    assert taken.account.lost == 0
    assert taken.account.images == 5 + 3 + 3 + 3 + 3 + 3 + 3 + 3 + 5 + 4 + 3 + 3 + 2 + 2


def test_tars_of_img2dataset(taken: SimpleNamespace) -> None:
    found = {key: (row.caption, row.n_bytes) for key, row in taken.images["tars"].items()}
    assert found == {
        "00000.tar/000000000.jpg": ("c0", len(made.picture(1))),
        "00000.tar/000000001.jpg": ("c1", len(made.picture(2))),
        "00001.tar/000000000.jpg": (None, len(made.picture(1))),
    }
    rejects = taken.rejects["tars"]
    gone = ("image", "00000.tar/000000002", "missing_file")
    assert set(rejects) == {
        gone,
        ("image", "00001.tar", "unreadable_archive"),
        ("metadata", "00000.tar/000000001.jpg", "metadata_unreadable"),
    }
    assert rejects[gone].detail == "failed_to_download: HTTP Error 404: Not Found"


@pytest.mark.parametrize(("corpus", "name"), [("parquet", "00000000{}"), ("files", "00000/00000000{}.jpg")])
def test_parquet_and_files_of_img2dataset(taken: SimpleNamespace, corpus: str, name: str) -> None:
    found = {key: row.caption for key, row in taken.images[corpus].items()}
    assert found == {name.format(n): f"c{n}" for n in range(2)}
    assert set(taken.rejects[corpus]) == {("image", "000000002", "missing_file")}


def test_a_data_set_of_hugging_face(taken: SimpleNamespace) -> None:
    assert {key: row.prompt for key, row in taken.images["hub"].items()} == {
        f"{PLACE}/{n}": f"prompt {n}" for n in range(2)
    }
    assert set(taken.rejects["hub"]) == {("image", f"{PLACE}/2", "missing_file")}
    assert [taken.posts[f"hub/{PLACE}/{n}"].like_count for n in range(3)] == [0, 1, 2]


def test_a_delta_table_by_a_mapping(taken: SimpleNamespace) -> None:
    assert {key: row.n_bytes for key, row in taken.images["delta"].items()} == {"k1": len(made.picture(1))}
    assert set(taken.rejects["delta"]) == {("image", "k1", "duplicate_key"), ("image", "k2", "missing_file")}


@pytest.mark.parametrize("corpus", ["diffusion", "diffusion_json"])
def test_a_part_of_diffusiondb(taken: SimpleNamespace, corpus: str) -> None:
    found = {key: row.prompt for key, row in taken.images[corpus].items()}
    assert found == {"part-000001/aaa.png": "a cat 0", "part-000001/bbb.png": "a cat 0"}
    assert len({row.prompt_id for row in taken.images[corpus].values()} - {None}) == 1
    assert set(taken.rejects[corpus]) == {("image", "part-000001/ccc.png", "missing_file")}


def test_metadata_of_laion_and_its_downloads(taken: SimpleNamespace) -> None:
    assert set(taken.keys) == {"http://x/1.jpg", "http://x/2.jpg"}
    (row,) = taken.images["laion"].values()
    assert (row.source_key, row.caption, row.sensitive) == (taken.keys["http://x/1.jpg"], "a dog", False)
    assert sorted((unit, reason) for unit, _, reason in taken.rejects["laion"]) == [
        ("image", "duplicate_key"),
        ("image", "missing_file"),
        ("metadata", "metadata_unreadable"),
    ]


@pytest.mark.parametrize(("corpus", "gone"), [("art", {("image", "gone_d.jpg", "missing_file")}), ("art_names", set())])
def test_artbench_with_and_without_its_csv(taken: SimpleNamespace, corpus: str, gone: set[tuple[str, ...]]) -> None:
    found = {key.rpartition("/")[2]: (row.artist, row.genre) for key, row in taken.images[corpus].items()}
    assert found["rubens_a.jpg"] == ("rubens", "baroque") and found["hokusai_c.jpg"] == ("hokusai", "ukiyo_e")
    assert len(found) == 4 and set(taken.rejects[corpus]) == gone


def test_captions_of_coco(taken: SimpleNamespace) -> None:
    found = {key: row.caption for key, row in taken.images["coco"].items()}
    assert found == {"val2017/000.jpg": "A dog.", "val2017/001.jpg": "A cat."}
    assert set(taken.rejects["coco"]) == {("image", "002.jpg", "missing_file")}


def test_a_release_of_twigma(taken: SimpleNamespace) -> None:
    ids = [f"160000000000000000{n}" for n in (1, 2, 3)]
    found = {key: (row.tweet_id, row.sensitive, row.caption) for key, row in taken.images["twigma"].items()}
    text = "a painting, of a cat"
    assert found == {"F0.jpg": (ids[0], False, text), "F1.jpg": (ids[1], True, text)}
    assert set(taken.rejects["twigma"]) == {
        ("image", "F2.jpg", "missing_file"),
        ("metadata", "twigma.csv#1", "value_unusable"),
    }
    counts = ("like_count", "quote_count", "reply_count", "possibly_sensitive")
    posts = [tuple(taken.posts[name][count] for count in counts) for name in ids]
    assert posts == [(12, 1, 2, False), (None, 1, 2, True), (0, 1, 2, False)]


def test_a_release_of_ours_comes_back(taken: SimpleNamespace) -> None:
    found = {key: (row.tweet_id, row.caption) for key, row in taken.images["released"].items()}
    assert found == {"a.jpg": ("1600000000000000009", 'a "cat",\nsitting'), "sub/b.png": ("0f" * 16, None)}
    assert taken.images["released"]["sub/b.png"].created_at.isoformat() == "2022-09-01T00:00:00"
    assert taken.posts["1600000000000000009"].like_count == 5 and taken.rejects["released"] == {}


def test_metadata_in_parquet_describes_a_folder(taken: SimpleNamespace) -> None:
    assert {key: row.prompt for key, row in taken.images["folder"].items()} == {"a.png": "a cat"}
    assert set(taken.rejects["folder"]) == {("image", "b.png", "missing_file")}


def refused(spark: SparkSession, reader: str, path: Path, **keys: object) -> Callable[[], object]:
    corpus = Corpus(name="own", role="posts", reader=reader, path=str(path), **keys)
    return lambda: reader_of(corpus).read(Config(corpora=(corpus,)), spark, corpus)


def test_a_table_that_lacks_what_it_needs_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    made.hugging_face(tmp_path / "hub")
    with pytest.raises(CorpusError, match=r"columns.image must name a column of bytes.* Got 'png'; there are image"):
        refused(spark, "table", tmp_path / "hub", columns=Columns(image="png"))()
    with pytest.raises(CorpusError, match="a table must be a Parquet file"):
        refused(spark, "table", Path("nocatalog.noschema.notable"))()
    frame = spark.createDataFrame([(bytearray(b"x"),)], "image BINARY")
    frame.write.format("delta").save(str(tmp_path / "delta"))
    with pytest.raises(CorpusError, match="tells the rows of a Delta table apart"):
        refused(spark, "table", tmp_path / "delta")()
