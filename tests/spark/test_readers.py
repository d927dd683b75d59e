"""Readers of corpora in the layouts that people have: what is taken, what is a reject, and that nothing is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from tests import corpora as made
from tests.tables import table
from twigma_spark.config.data import Columns, Corpus
from twigma_spark.config.engine import Deduplicate, Ingest
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import Config
from twigma_spark.errors import CorpusError
from twigma_spark.io import arrow, corpora
from twigma_spark.io.arrow import local_frame
from twigma_spark.io.corpora import Metadata
from twigma_spark.schemas import IMAGES
from twigma_spark.stages import deduplicate, embed, embed_text, ingest, specs
from twigma_spark.stages.readers import artbench, coco, described, diffusiondb, img2dataset, laion, twigma
from twigma_spark.stages.readers.reader import reader_of
from twigma_spark.stages.stage import StageContext

PLACE = "train-00000-of-00001.parquet"


Describe = Callable[[SparkSession, Corpus, DataFrame], Metadata]


def corpus_of(name: str, reader: str, path: Path, **keys: object) -> Corpus:
    return Corpus(name=name, role="posts", reader=reader, path=str(path), **keys)


def rows_of(spark: SparkSession, describe: Describe, corpus: Corpus) -> dict[str, Row]:
    """Return what a reader knows of the files of a corpus, by their names; of one that is not there too."""
    names = corpora.list_images(spark, corpus, corpus.path, Ingest())
    return {row.file: row for row in describe(spark, corpus, names).rows.collect()}


@pytest.fixture(scope="module")
def taken(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """One run of ingest over corpora that bring images or posts: images and rejects by corpus, posts, the account."""
    root = tmp_path_factory.mktemp("corpora")
    delta = [("k1", bytearray(made.picture(1))), ("k1", bytearray(made.picture(2))), ("k2", None)]
    frame = local_frame(spark, delta, "id STRING, png BINARY").coalesce(1)
    frame.write.format("delta").save(str(root / "delta"))
    likes = Columns(prompt="text", like_count="likes")
    clip = load([], ["models.image={kind: open_clip, path: 'sample:clip', precision: fp32}"])
    by = specs.image_encoder(clip).model_id
    vectors = made.clip_retrieval(root / "vectors", 96, texts=True)
    made.released(root / "released")
    cfg = Config(
        models=clip.models,
        deduplicate=Deduplicate(near=None),
        corpora=(
            corpus_of("vectors", "clip_retrieval", vectors, embedded_by=by),
            corpus_of("tars", "img2dataset", made.webdataset(root / "tars")),
            corpus_of("parquet", "img2dataset", made.parquet_of_img2dataset(root / "parquet")),
            corpus_of("files", "img2dataset", made.files_of_img2dataset(root / "files")),
            corpus_of("hub", "table", made.hugging_face(root / "hub"), columns=likes),
            corpus_of("delta", "table", root / "delta", columns=Columns(file="id", image="png")),
            corpus_of("released", "twigma", root / "released" / "images", metadata=str(root / "released")),
        ),
    )
    context = StageContext(spark, lambda each: each.localCheckpoint(), print)
    frames = dict(ingest.run(cfg, context, images=arrow.local_frame(spark, [], IMAGES.schema)))
    images = frames["images"].drop("content").collect()
    rejects = frames["rejects"].collect()
    return SimpleNamespace(
        images={c.name: {r.source_key: r for r in images if r.corpus == c.name} for c in cfg.corpora},
        rejects={c.name: {(r.unit, r.key, r.reason): r for r in rejects if r.corpus == c.name} for c in cfg.corpora},
        posts={r.post_id: r for r in frames["posts"].collect()},
        account=ingest.account(cfg, spark, frames),
        cfg=cfg,
        frames=frames,
    )


@pytest.mark.spark4
def test_no_image_is_lost(taken: SimpleNamespace) -> None:
    assert taken.account.lost == 0
    assert taken.account.images == 60 + 5 + 3 + 3 + 3 + 3 + 2


@pytest.mark.spark4
def test_vectors_of_clip_retrieval_are_images_without_bytes(taken: SimpleNamespace) -> None:
    found = taken.images["vectors"]
    assert len(found) == 58 and {row.n_bytes for row in found.values()} == {None}
    row = found["img_emb_1.npy/19/000000059"]
    assert (row.caption, row.sensitive, row.width) == ("theme 4 picture 59", False, None)
    assert set(taken.rejects["vectors"]) == {
        ("image", "img_emb_0.npy/8/000000008", "vector_not_finite"),
        ("image", "img_emb_0.npy/9/000000009", "vector_zero"),
    }


@pytest.mark.spark4
def test_vectors_of_clip_retrieval_go_through_the_stages(spark: SparkSession, taken: SimpleNamespace) -> None:
    """They are imported, also those of their captions; one that has changed since is a reject, and copies are found."""
    cfg, images = taken.cfg, taken.frames["images"].where("corpus = 'vectors'").cache()
    (corpus,) = (corpus for corpus in cfg.corpora if corpus.name == "vectors")
    said: list[str] = []
    context = StageContext(spark, lambda each: each.localCheckpoint(), said.append)
    file = Path(corpus.path) / "img_emb" / "img_emb_1.npy"
    stored = np.load(file)
    np.save(file, np.concatenate([stored[:19], stored[:1]]))
    (part,) = embed.run(cfg, context, images, table(spark, "embeddings", []))
    embeddings = part["embeddings"].cache()
    rows = {row.image_id: row for row in embeddings.collect()}
    keys = {row.image_id: row.source_key for row in images.select("image_id", "source_key").collect()}
    assert {row.preprocess_rev for row in rows.values()} == {"imported"} and len(rows) == 57
    (reject,) = part["rejects"].collect()
    assert (reject.key, reject.reason) == ("img_emb_1.npy/19/000000059", "unreadable_file")
    assert "58 images came as vectors" in said[0]
    place = {key: image_id for image_id, key in keys.items()}
    vector = stored[3].astype(np.float64)
    found = rows[place["img_emb_1.npy/3/000000043"]].embedding
    np.testing.assert_allclose(found, vector / np.linalg.norm(vector), atol=1e-6)
    again = list(embed.run(cfg, context, images, embeddings))
    assert [each["embeddings"].count() for each in again] == [0]
    tables = {name: table(spark, name, []) for name in ("hashes", "posts", "media")}
    repeats = deduplicate.run(cfg, context, images, embeddings, **tables)["duplicates"].collect()
    pair = {place[f"img_emb_0.npy/{n}/00000000{n}"] for n in (6, 7)}
    assert [({row.image_id, row.canonical_id}, row.tier) for row in repeats] == [(pair, "embedding")]
    none = {name: table(spark, name, []) for name in ("posts", "captions", "text_embeddings")}
    (texts,) = embed_text.run(cfg, context, images, **none)
    made_of = {row.text: row.embedding for row in texts["text_embeddings"].collect()}
    captions = np.load(Path(corpus.path) / "text_emb" / "text_emb_1.npy").astype(np.float64)
    assert len(made_of) == 58
    np.testing.assert_allclose(made_of["theme 4 picture 59"], captions[19] / np.linalg.norm(captions[19]), atol=1e-6)


@pytest.mark.spark4
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


def test_tars_at_a_url_are_refused_and_parquet_there_is_read(spark: SparkSession, tmp_path: Path) -> None:
    """The images of a tar there would all seem to be missing."""
    tars, parquet = made.webdataset(tmp_path / "tars"), made.parquet_of_img2dataset(tmp_path / "parquet")
    at_url = [corpus_of("own", "img2dataset", tars).model_copy(update={"path": p.as_uri()}) for p in (tars, parquet)]
    with pytest.raises(CorpusError, match=r"a folder that all nodes see as a disk.* images lie in tars\. Got 'file:"):
        img2dataset.read(Config(), spark, at_url[0])
    images = img2dataset.read(Config(), spark, at_url[1]).images
    assert images.where("content IS NOT NULL").count() == 2


@pytest.mark.spark4
def test_a_data_set_of_hugging_face(taken: SimpleNamespace) -> None:
    assert {key: row.prompt for key, row in taken.images["hub"].items()} == {
        f"{PLACE}/{n}": f"prompt {n}" for n in range(2)
    }
    assert set(taken.rejects["hub"]) == {("image", f"{PLACE}/2", "missing_file")}
    assert [taken.posts[f"hub/{PLACE}/{n}"].like_count for n in range(3)] == [0, 1, 2]


@pytest.mark.spark4
def test_a_delta_table_by_a_mapping(taken: SimpleNamespace) -> None:
    assert {key: row.n_bytes for key, row in taken.images["delta"].items()} == {"k1": len(made.picture(1))}
    assert set(taken.rejects["delta"]) == {("image", "k1", "duplicate_key"), ("image", "k2", "missing_file")}


@pytest.mark.parametrize("table", [True, False])
def test_a_part_of_diffusiondb(spark: SparkSession, tmp_path: Path, table: bool) -> None:
    corpus = corpus_of("own", "diffusiondb", made.diffusiondb(tmp_path, table))
    found = rows_of(spark, diffusiondb.describe, corpus)
    assert {file: row.prompt for file, row in found.items()} == {
        "part-000001/aaa.png": "a cat 0",
        "part-000001/bbb.png": "a cat 0",
        "part-000001/ccc.png": "a cat 1",
    }
    same = [found[f"part-000001/{name}.png"].prompt_id for name in ("aaa", "bbb", "ccc")]
    assert same[0] == same[1] != same[2] and None not in same


def test_metadata_of_laion_and_its_addresses(spark: SparkSession, tmp_path: Path) -> None:
    made.laion(tmp_path)
    corpus = corpus_of("own", "laion", tmp_path / "pictures", metadata=str(tmp_path))
    rows = laion.describe(spark, corpus).rows.collect()
    assert [(row.caption, row.sensitive, row.bad) for row in rows] == [
        ("a dog", "false", None),
        ("a cat", "true", None),
        ("a cat again", None, None),
        ("nothing", None, "metadata_unreadable"),
    ]
    digits = hashlib.sha256(b"http://x/1.jpg").hexdigest()[:32]
    assert rows[0].file == f"{digits[:2]}/{digits}" and rows[1].file == rows[2].file and rows[3].file is None
    assert {row["url"] for row in laion.addresses(spark, corpus).collect()} == {"http://x/1.jpg", "http://x/2.jpg"}
    files = local_frame(spark, [(f"{digits[:2]}/{digits}.webp",)], "source_key STRING")
    assert [row[0] for row in described.without_ending(files).collect()] == [rows[0].file]


@pytest.mark.parametrize("table", [True, False])
def test_artbench_with_and_without_its_csv(spark: SparkSession, tmp_path: Path, table: bool) -> None:
    root = made.artbench(tmp_path, table)
    made.put(root / "cassatt_e.jpg", made.picture(9))  # in no folder, so of no genre
    found = rows_of(spark, artbench.describe, corpus_of("own", "artbench", root))
    folder = "artbench-10-imagefolder"
    known = {file: (row.artist, row.genre) for file, row in found.items()}
    assert known[f"{folder}/baroque/rubens_a.jpg"] == ("rubens", "baroque")
    assert known[f"{folder}/ukiyo_e/hokusai_c.jpg"] == ("hokusai", "ukiyo_e")
    assert table or known["cassatt_e.jpg"] == ("cassatt", None)
    assert len(known) == 5 and ("gone_d.jpg" in known) == table


def test_captions_of_coco(spark: SparkSession, tmp_path: Path) -> None:
    found = rows_of(spark, coco.describe, corpus_of("own", "coco", made.coco(tmp_path)))
    assert {file: row.caption for file, row in found.items()} == {
        "val2017/000.jpg": "A dog.",
        "val2017/001.jpg": "A cat.",
        "002.jpg": None,
    }
    assert found["002.jpg"].url == "http://x/002.jpg"


def test_a_broken_json_of_coco_is_a_row_that_says_so(spark: SparkSession, tmp_path: Path) -> None:
    made.put(tmp_path / "captions_val.json", '{"images": [')
    (row,) = rows_of(spark, coco.describe, corpus_of("own", "coco", tmp_path)).values()
    assert (row.bad, row.line) == ("metadata_unreadable", '{"images": [')


def test_a_release_of_twigma(spark: SparkSession, tmp_path: Path) -> None:
    ids = ("1600000000000000001", "1600000000000000002", "1.6e+18")
    made.twigma(tmp_path, ids)
    keys = {"metadata": str(tmp_path / "twigma.csv")}
    found = rows_of(spark, twigma.describe, corpus_of("own", "twigma", tmp_path / "images", **keys))
    names = ("post_id", "like_count", "quote_count", "reply_count", "sensitive", "caption", "bad")
    text = "a painting, of a cat"
    assert {file: tuple(row[name] for name in names) for file, row in found.items()} == {
        "F0.jpg": (ids[0], "12", "1", "2", "False", text, None),
        "F1.jpg": (ids[1], "many", "1", "2", "True", text, None),
        "F2.jpg": (ids[2], "0", "1", "2", "False", text, "id_damaged"),
    }


@pytest.mark.spark4
def test_a_release_of_ours_comes_back(taken: SimpleNamespace) -> None:
    found = {key: (row.post_id, row.caption) for key, row in taken.images["released"].items()}
    assert found == {"a.jpg": ("1600000000000000009", 'a "cat",\nsitting'), "sub/b.png": ("0f" * 16, None)}
    assert taken.images["released"]["sub/b.png"].created_at.isoformat() == "2022-09-01T00:00:00"
    assert taken.posts["1600000000000000009"].like_count == 5 and taken.rejects["released"] == {}


def test_metadata_in_parquet_describes_a_folder(spark: SparkSession, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"name": "a.png", "about": {"text": "a \ufffd cat"}}, {"name": "b.png"}]
    table = made.put_rows(tmp_path / "table.parquet", rows)
    columns = Columns(file="name", prompt="about.text", title="none")
    read = corpora.read_metadata(spark, corpus_of("own", "folder", tmp_path, metadata=str(table), columns=columns))
    assert {row.file: (row.prompt, row.bad) for row in read.rows.collect()} == {
        "a.png": ("a \ufffd cat", None),
        "b.png": (None, None),
    }
    assert read.missing == ("none",)


def test_names_are_matched_by_path_then_alone_then_without_ending(spark: SparkSession) -> None:
    files = local_frame(spark, [("a.png",), ("sub/a.png",), ("sub/b.jpg",)], "source_key STRING")
    rows = local_frame(spark, [("a.png",), ("sub/a.png",), ("b.jpg",), ("b",), ("c",)], "name STRING")
    found = {(row.name, row.source_key) for row in described.match_files(rows, "name", files).collect()}
    assert found == {
        ("a.png", "a.png"),
        ("sub/a.png", "sub/a.png"),
        ("b.jpg", "sub/b.jpg"),
        ("b", "sub/b.jpg"),
        ("c", None),
    }


def refused(spark: SparkSession, reader: str, path: Path, **keys: object) -> Callable[[], object]:
    corpus = Corpus(name="own", role="posts", reader=reader, path=str(path), **keys)
    return lambda: reader_of(corpus).read(Config(corpora=(corpus,)), spark, corpus)


def test_a_table_that_lacks_what_it_needs_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    made.hugging_face(tmp_path / "hub")
    with pytest.raises(CorpusError, match=r"columns.image must name a column of bytes.* Got 'png'; there are image"):
        refused(spark, "table", tmp_path / "hub", columns=Columns(image="png"))()
    with pytest.raises(CorpusError, match="a table must be a Parquet file"):
        refused(spark, "table", Path("nocatalog.noschema.notable"))()
    frame = local_frame(spark, [(bytearray(b"x"),)], "image BINARY")
    frame.write.format("delta").save(str(tmp_path / "delta"))
    with pytest.raises(CorpusError, match="tells the rows of a Delta table apart"):
        refused(spark, "table", tmp_path / "delta")()
