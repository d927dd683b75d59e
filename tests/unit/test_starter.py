"""`twigma init`: what it finds in a folder can be run."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from twigma_spark.checks.configuration import find_problems
from twigma_spark.config.overlays import load
from twigma_spark.errors import CorpusError
from twigma_spark.starter import write_configuration


def pictures(folder: Path, number: int) -> None:
    folder.mkdir(parents=True)
    for n in range(number):
        Image.new("RGB", (8, 8), (n, 0, 0)).save(folder / f"{n}.png")


def test_a_folder_of_images_is_one_corpus_with_its_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures(Path("My Images 2"), 30)
    Path("My Images 2/table.csv").write_text("Filename,text,year,likes\n0.png,a cat,2022,3\n")
    write_configuration(Path("My Images 2"), Path("mine.yaml"))
    cfg = load(["mine.yaml"])
    (corpus,) = cfg.corpora
    assert (corpus.name, corpus.role, corpus.metadata) == ("my_images_2", "posts", "My Images 2/table.csv")
    assert (corpus.columns.file, corpus.columns.prompt, corpus.columns.created_at) == ("Filename", "text", "year")
    assert corpus.columns.title == "title" and [c.k for c in cfg.cluster.clusterings] == [3, 3]
    assert not [p for p in find_problems(cfg, ["ingest", "cluster", "deduplicate"]) if p.fatal]


def test_a_folder_of_folders_is_a_corpus_each_with_a_role_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ours", "wikiart-paintings", "laion_photos", "stable-diffusion", "empty"):
        pictures(Path("all") / name, 0 if name == "empty" else 40)
    Path("all/ours.jsonl").write_text('{"file": "0.png", "prompt": "x"}\n')
    write_configuration(Path("all"), Path("mine.yaml"))
    cfg = load(["mine.yaml"])
    assert {c.name: c.role for c in cfg.corpora} == {
        "laion_photos": "natural", "ours": "posts", "stable_diffusion": "generated", "wikiart_paintings": "art",
    }  # fmt: skip
    assert next(c for c in cfg.corpora if c.name == "ours").metadata == "all/ours.jsonl"


def test_nothing_is_overwritten_and_no_images_are_said(tmp_path: Path) -> None:
    pictures(tmp_path / "images", 2)
    (tmp_path / "mine.yaml").write_text("seed: 1\n")
    with pytest.raises(CorpusError, match="--out must be a new file"):
        write_configuration(tmp_path / "images", tmp_path / "mine.yaml")
    (tmp_path / "none").mkdir()
    with pytest.raises(CorpusError, match="must hold images"):
        write_configuration(tmp_path / "none", tmp_path / "new.yaml")
    with pytest.raises(CorpusError, match="must be a folder of images"):
        write_configuration(tmp_path / "gone", tmp_path / "new.yaml")
