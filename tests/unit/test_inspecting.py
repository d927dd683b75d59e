"""`twigma inspect`: which reader fits, and that what it prints can be pasted and checked; no Spark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests import corpora as made
from twigma_spark.checks.configuration import find_problems
from twigma_spark.config.data import OLDER_NAME, READERS, Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import CorpusError
from twigma_spark.inspecting import inspect
from twigma_spark.stages.readers.reader import reader_named


def page(root: Path) -> Path:
    made.put(root / "page.json", '{"data": [{"id": "1", "text": "a\\u001b[2Jcat"}], "includes": {"media": []}}')
    return root


LAYOUTS: dict[str, tuple[str, Callable[[Path], Path], tuple[str, ...]]] = {
    "tars": ("img2dataset", made.webdataset, ("tars: 2", "1 of 3 pictures could not be downloaded", "caption = c0")),
    "parquet": ("img2dataset", made.parquet_of_img2dataset, ("rows: 3",)),
    "files": ("img2dataset", made.files_of_img2dataset, ("images: 2",)),
    "hub": ("table", made.hugging_face, ("rows: 3", "prompt: text", "like_count: likes")),
    "part": ("diffusiondb", lambda root: made.diffusiondb(root, True), ("parts: 1, images: 2, rows: 4", "generated")),
    "json": ("diffusiondb", lambda root: made.diffusiondb(root, False), ("parts: 1, images: 2",)),
    "vectors": (
        "clip_retrieval",
        lambda root: made.clip_retrieval(root, 768),
        ("vectors: 60", "embedded_by is a guess", "caption = theme 0"),
    ),
    "laion": ("laion", lambda root: made.laion(root).parent, ("rows: 4", "fetch: true")),
    "art": ("artbench", lambda root: made.artbench(root, True), ("genres: 4, images: 4", "no folder for art_nouveau")),
    "coco": ("coco", made.coco, ("images: 2, files of captions: 1",)),
    "twigma": ("twigma", made.twigma, ("images: 2, rows: 3", "like_count = 12")),
    "pages": ("posts", page, ("pages: 1", "text = a [2Jcat")),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_has_its_reader_and_yaml_to_paste(tmp_path: Path, name: str) -> None:
    reader, write, words = LAYOUTS[name]
    said = inspect(str(write(tmp_path / name)))
    (corpus,) = yaml.safe_load(said.partition("\n\n")[2])["corpora"]
    assert corpus["reader"] == reader and all(word in said for word in words), said
    cfg = Config(corpora=(Corpus.model_validate(corpus),))
    assert [p for p in find_problems(cfg, ["ingest", "fetch"]) if p.fatal] == []


def test_a_folder_of_corpora_is_one_each(tmp_path: Path) -> None:
    made.webdataset(tmp_path / "laion-photos")
    made.put(tmp_path / "paintings" / "a.png", made.picture())
    made.put(tmp_path / "paintings.csv", "Filename,painter\na.png,Ann\n")
    corpora = yaml.safe_load(inspect(str(tmp_path)).partition("\n\n")[2])["corpora"]
    assert [(c["name"], c.get("reader"), c["role"]) for c in corpora] == [
        ("laion_photos", "img2dataset", "natural"),
        ("paintings", None, "art"),
    ]
    assert corpora[1]["columns"] == {"file": "Filename", "artist": "painter"}
    assert yaml.safe_load(inspect(str(tmp_path / "paintings.csv")).partition("\n\n")[2])["corpora"] == [corpora[1]]


def test_nothing_that_is_known_is_one_sentence_with_what_was_looked_for(tmp_path: Path) -> None:
    made.put(tmp_path / "notes.txt", "words")
    with pytest.raises(CorpusError, match=r"Got '.*', a folder of 1 .txt; looked for folder: .*; laion: ") as raised:
        inspect(str(tmp_path))
    assert all(name in str(raised.value) for name in READERS if name != OLDER_NAME)
    with pytest.raises(CorpusError, match="existing file or folder of this machine"):
        inspect("s3://bucket/corpus")


def test_a_delta_table_is_told_from_files_of_parquet(tmp_path: Path) -> None:
    made.put_rows(tmp_path / "part-0.parquet", [{"id": "a", "png": made.picture()}])
    made.put(tmp_path / "_delta_log" / "0.json", "{}")
    said = inspect(str(tmp_path))
    assert "file: id" in said and "image: png" in said and "rows:" not in said


@pytest.mark.parametrize(
    "reader", [name for name in READERS if name not in ("folder", "posts", OLDER_NAME)], ids=lambda name: str(name)
)
def test_another_layout_is_refused_with_the_reader_and_what_is_there(tmp_path: Path, reader: str) -> None:
    """What was expected is the reader's, what was found is in words; nobody else's file is taken for a layout."""
    made.put(tmp_path / "notes.txt", "words")
    check = reader_named(reader).check
    corpus = Corpus(name="own", role="posts", reader=reader, path=str(tmp_path), metadata=str(tmp_path))
    assert check is not None
    with pytest.raises(CorpusError, match=rf"corpus 'own': .* for the reader {reader}. Got .*a folder of 1 .txt"):
        check(corpus)


def test_packed_parts_of_diffusiondb_and_a_broken_parquet_are_said(tmp_path: Path) -> None:
    made.put(tmp_path / "zips" / "part-000001.zip", b"PK")
    assert "1 parts are still packed" in inspect(str(tmp_path / "zips"))
    made.put(tmp_path / "broken" / "a.parquet", b"PAR1 and no more")
    with pytest.raises(CorpusError, match=r"a folder of 1 .parquet \(a.parquet cannot be read as Parquet\)"):
        inspect(str(tmp_path / "broken"))
