"""Typical mistakes, each with the message and the code that it ends with before Spark is started."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.onnx_network import mean_colour_network
from twigma_spark.checks.configuration import find_problems
from twigma_spark.cli.main import main
from twigma_spark.config.overlays import load
from twigma_spark.config.settings import stage_names
from twigma_spark.models.heads import save_linear
from twigma_spark.models.reward_files import save_head
from twigma_spark.models.reward_head import Head


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with twelve images, their metadata and a head."""
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for n in range(12):
        Image.new("RGB", (8, 8), (20 * n, 0, 0)).save(tmp_path / "images" / f"{n}.png")
    lines = [f"{n}.png,title {n}\n" for n in range(12)]
    (tmp_path / "good.csv").write_text("file,title\n" + "".join(lines))
    save_linear(tmp_path / "head.safetensors", np.ones(4, np.float32), 0.0, {"embedding_model": "x"})
    return tmp_path


def config(folder: Path, **changes: Any) -> str:
    """Write a configuration that can run, but for the changes; return its path."""
    corpus = {"name": "mine", "role": "posts", "path": "images", "metadata": "good.csv", **changes.pop("corpus", {})}
    good = {
        "store": {"root": "tables"},
        "corpora": [corpus],
        "models": {"caption": None, "scores": {"nsfw": {"kind": "linear", "path": "head.safetensors"}}},
        "cluster": {"clusterings": [{"id": "themes", "roles": ["posts"], "k": 10, "themes": True}]},
        "report": {"path": "report.html"},
    }
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**good, **changes}))
    return str(path)


def write(folder: Path, name: str, content: str | bytes) -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def code_and_output(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    try:
        main(arguments)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_a_configuration_that_can_run_has_no_problem(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_and_output(capsys, "check", "--conf", config(folder))[0] == 0
    assert find_problems(load([config(folder)]), stage_names()) == []


def head(weight: list[float]) -> str:
    save_linear(Path("bad.safetensors"), np.array(weight, np.float32), 0.0, {"embedding_model": "x"})
    return "bad.safetensors"


def reward_model(folder: Path) -> str:
    save_head(folder / "liked", Head.identity(4), "some/encoder", "rev", {"path": "x"}, "# Card\n")
    return "liked"


MISTAKES: dict[str, tuple[Any, str]] = {
    "no corpus": (lambda f: {"corpora": []}, "corpora: must name a corpus. Got none"),
    "corpora is a number": (lambda f: {"corpora": 5}, "corpora: must be a list. Got 5"),
    "a typing error": (lambda f: {"modells": {}}, "modells: is not a known key"),
    "a text for a number": (lambda f: {"seed": "x"}, "seed: must be a whole number. Got 'x'"),
    "an unknown kind": (lambda f: {"models": {"image": {"kind": "vit"}}}, "kind must be one of 'open_clip', 'onnx'"),
    "a name with a blank": (lambda f: {"corpus": {"name": "my images"}}, "must be lower-case letters, digits and _"),
    "no such folder": (lambda f: {"corpus": {"path": "imags"}}, "mine.path: must be an existing file or folder"),
    "where a path starts": (lambda f: {"corpus": {"path": "imags"}}, "/imags; paths start at the working directory"),
    "no image": (
        lambda f: (f / "none").mkdir(exist_ok=True) or {"corpus": {"path": "none"}}, "must hold images (jpg, jpeg, png"
    ),
    "no such metadata": (lambda f: {"corpus": {"metadata": "gone.csv"}}, "corpora.mine.metadata: must be an existing"),
    "a sheet": (lambda f: {"corpus": {"metadata": "m.xlsx"}}, "Got 'm.xlsx'; save the sheet as CSV"),
    "semicolons": (
        lambda f: write(f, "semi.csv", "file;title\n1.png;one\n") or {"corpus": {"metadata": "semi.csv"}},
        "The separator seems to be ';'; save it with commas",
    ),
    "tabs": (
        lambda f: write(f, "tabs.csv", "file\ttitle\n1.png\tone\n") or {"corpus": {"metadata": "tabs.csv"}},
        "The separator seems to be a tab; name it .tsv",
    ),
    "another column": (
        lambda f: write(f, "m.csv", "name,title\n1.png,one\n") or {"corpus": {"metadata": "m.csv"}},
        "must have a column 'file' with the names of the files. Got name, title; set corpora.mine.columns.file",
    ),
    "another key": (
        lambda f: write(f, "m.jsonl", json.dumps({"image": "1.png"})) or {"corpus": {"metadata": "m.jsonl"}},
        "must have a column 'file' with the names of the files. Got image",
    ),
    "no JSON": (
        lambda f: write(f, "m.jsonl", "1.png one\n") or {"corpus": {"metadata": "m.jsonl"}},
        "must have a line of JSON for each image. Got '1.png one'",
    ),
    "UTF-16": (
        lambda f: write(f, "m.csv", "file,title\n".encode("utf-16")) or {"corpus": {"metadata": "m.csv"}},
        "must be UTF-8. Got UTF-16",
    ),
    "an empty table": (lambda f: write(f, "m.csv", "\n") or {"corpus": {"metadata": "m.csv"}}, "Got an empty file"),
    "a column twice": (
        lambda f: write(f, "m.csv", "file,title,title\n1.png,a,b\n") or {"corpus": {"metadata": "m.csv"}},
        "must have columns of different names. Got twice: title",
    ),
    "more clusters than images": (
        lambda f: {"cluster": {"clusterings": [{"id": "themes", "roles": ["posts"], "k": 13}]}},
        "cluster.clusterings.themes.k: must be at most the number of images. Got 13, and 12 images in mine",
    ),
    "no such network": (
        lambda f: {"models": {"image": {"kind": "onnx", "path": "gone.onnx"}}},
        "models.image: model path must be an existing file or folder. Got 'gone.onnx'",
    ),
    "no network": (
        lambda f: write(f, "x.onnx", b"nothing") or {"models": {"image": {"kind": "onnx", "path": "x.onnx"}}},
        "models.image: onnxruntime could not load",
    ),
    "no such architecture": (
        lambda f: {"models": {"image": {"kind": "open_clip", "name": "ViT-L14", "pretrained": "openai"}}},
        "models.image: name must be an architecture of open_clip, such as ViT-L-14. Got 'ViT-L14'",
    ),
    "no such head": (
        lambda f: {"models": {"scores": {"nsfw": {"kind": "linear", "path": "gone.safetensors"}}}},
        "models.scores.nsfw: model path must be an existing file",
    ),
    "a head of NaN": (
        lambda f: {"models": {"scores": {"mine": {"kind": "linear", "path": head([1.0, float("nan")])}}}},
        "models.scores.mine: weights of a head must be finite numbers",
    ),
    "no such reward model": (
        lambda f: {"models": {"scores": {"liked": {"kind": "reward", "path": "gone"}}}},
        "models.scores.liked: a reward model must be a folder with reward.safetensors and reward.json. Got 'gone'",
    ),
    "a reward model of another encoder": (
        lambda f: {"models": {"scores": {"liked": {"kind": "reward", "path": reward_model(f)}}}},
        "must be of 'some/encoder', which it was trained on. Got those of 'open_clip/ViT-L-14/openai'",
    ),
    "the reward model of the run itself": (
        lambda f: {
            "store": {"artifacts": str(f)},
            "models": {"scores": {"liked": {"kind": "reward", "path": str(f / "reward")}}},
        },
        "models.scores.liked.path: must be another folder than that which the stage reward writes to",
    ),
    "a prompt without a word": (
        lambda f: {"models": {"scores": {"liked": {"kind": "reward", "path": "gone", "prompt": " "}}}},
        "models.scores.liked.reward.prompt",
    ),
    "a score with the name of another scorer": (
        lambda f: {"models": {"scores": {"random": {"kind": "linear", "path": "head.safetensors"}}}},
        "must have other names than the scorers that the report always has, random and reward. Got 'random'",
    ),
    "no such judgements": (
        lambda f: {"pairs": {"files": [{"format": "hpd", "path": "j.json", "corpus": "mine"}]}},
        "pairs.files.0.path: must be an",
    ),
    "judgements of no corpus": (
        lambda f: {"pairs": {"files": [{"format": "hpd", "path": "j.json", "corpus": "other"}]}},
        "pairs.files must name corpora. Got 'other'; there are mine",
    ),
    "judgements in another format": (
        lambda f: {"pairs": {"files": [{"format": "xlsx", "path": "j.json", "corpus": "mine"}]}},
        "pairs.files.0.format",
    ),
    "matched by no clustering": (
        lambda f: {"pairs": {"match": {"clustering": "styles"}}},
        "pairs.match.clustering must be an id of cluster.clusterings (themes). Got 'styles'",
    ),
    "more tested folds than folds": (lambda f: {"reward": {"folds": 3, "tested": 4}}, "tested must be at most folds"),
    "no such copies": (lambda f: {"deduplicate": {"known_copies": "c.csv"}}, "deduplicate.known_copies: must be an"),
    "no such texts": (
        lambda f: {"texts": [{"name": "poems", "path": "poems.txt"}]}, "texts.poems.path: must be an existing"
    ),
    "a store below a file": (
        lambda f: {"store": {"root": "good.csv/tables"}}, "store.root: must be a folder, or lie in one"
    ),
    "files beside the tables on a URL without a driver": (
        lambda f: {"store": {"root": "tables", "artifacts": "nowhere://b/art"}},
        "store.artifacts: must be a folder, or a URL that Arrow (s3://) or fsspec can read and write. Got 'nowhere://b",
    ),
    "files beside the tables nowhere": (
        lambda f: {"store": {"root": "main.twigma"}}, "store.artifacts: must be a folder or a URL where"
    ),
    "a store on half a URL": (
        lambda f: {"store": {"root": "dbfs:/a", "artifacts": "kept"}}, "or catalog.schema. Got 'dbfs:/a'; write dbfs:///a"
    ),
    "a report where nothing can write": (
        lambda f: {"report": {"path": "nowhere://b/r.html"}}, "report.path: must be a file or a URL that fsspec can"
    ),
    "a report that is a folder": (
        lambda f: (f / "r").mkdir(exist_ok=True) or {"report": {"path": "r"}}, "report.path: must be a file. Got 'r'"
    ),
    "events on a URL": (lambda f: {"run": {"events": "s3://b/e"}}, "run.events: must be a file on this machine"),
    "events below a file": (lambda f: {"run": {"events": "good.csv/e"}}, "run.events: must be a folder, or lie in one"),
    "pages on the web": (
        lambda f: {"corpora": [{"name": "posts", "role": "posts", "path": "https://host/a"}]},
        "corpora.posts.path: must be on a disk or a storage that Spark lists, such as s3a://. Got 'https://host/a'",
    ),
    "a list on the web": (
        lambda f: {"corpora": [{"name": "p", "role": "posts", "path": "p", "fetch": True, "metadata": "http://host/a.csv"}]},
        "corpora.p.metadata: must be on a disk or a storage that Spark lists, such as s3a://. Got 'http://host/a.csv'",
    ),
    "a sample on a URL": (lambda f: {"sample": {"out": "s3://b/s"}}, "sample.out: must be a folder on this machine"),
    "copies of indexes on a URL": (
        lambda f: {"neighbours": {"search": {"cache": "s3://b/c"}}},
        "neighbours.search.cache: must be a folder on this machine",
    ),
    "judgements on a URL without a driver": (
        lambda f: {"pairs": {"files": [{"format": "hpd", "path": "nowhere://b/j.json", "corpus": "mine"}]}},
        "pairs.files.0.path: must be on a disk, or a URL that Arrow (s3://) or fsspec can read. Got 'nowhere://b/j.json'",
    ),
    "answers in the web": (
        lambda f: {"concordance": {"answers": "https://host/a"}},
        "concordance.answers: must be on a disk or a storage that Spark lists, such as s3a://. Got 'https://host/a'",
    ),
    "vectors on a URL": (
        lambda f: {"corpora": [{"name": "v", "role": "art", "reader": "clip_retrieval", "path": "s3://b/v"}]},
        "for the reader clip_retrieval. Got 's3://b/v'",
    ),
    "captions on a URL that nobody names": (
        lambda f: {"corpora": [{"name": "coco", "role": "natural", "reader": "coco", "path": "s3://b/coco"}]},
        "corpora.coco.metadata: must be named where path is a URL, for the reader coco. Got null beside 's3://b/coco'",
    ),
    "a captioner on a URL": (
        lambda f: {"models": {"caption": {"kind": "blip", "name": "s3://b/blip"}}},
        "models.caption: path must be a file or folder on this machine",
    ),
    "a network on a URL": (
        lambda f: {"models": {"image": {"kind": "onnx", "path": "s3a://b/net.onnx"}}},
        "models.image: path must be a file or folder on this machine, or mounted there like /Volumes. Got 's3a://b/net.",
    ),
    "a head on a URL": (
        lambda f: {"models": {"scores": {"nsfw": {"kind": "linear", "path": "s3://b/h.npz"}}}},
        "models.scores.nsfw: path must be a file or folder on this machine",
    ),
    "no such captioner": (
        lambda f: {"models": {"caption": {"kind": "blip", "name": "./gone"}}},
        "models.caption: model path must be an existing file or folder. Got './gone'",
    ),
    "a report below a file": (lambda f: {"report": {"path": "good.csv/r.html"}}, "report.path: must be a folder, or"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_with_2_and_says_what_is_wrong(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, message = MISTAKES[name]
    for command in ("check", "run"):
        code, output = code_and_output(capsys, command, "--conf", config(folder, **changes(folder)))
        assert code == 2 and message in output, output
        assert "Traceback" not in output and "Input should" not in output


WARNINGS: dict[str, tuple[Any, str]] = {
    "no NSFW model": (lambda f: {"models": {}}, "warning: models.scores: has no nsfw: the report hides every picture"),
    "latin-1": (
        lambda f: write(f, "m.csv", b"file,title\n1.png,caf\xe9\n") or {"corpus": {"metadata": "m.csv"}},
        "Got byte 0xe9 in line 2 (latin-1?)",
    ),
    "names of no files": (
        lambda f: write(f, "m.csv", "file,title\na/1.png,one\n") or {"corpus": {"metadata": "m.csv"}},
        "Got no file in 1 rows, such as 'a/1.png'",
    ),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_what_may_be_meant_is_a_warning(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes, message = WARNINGS[name]
    code, output = code_and_output(capsys, "check", "--conf", config(folder, **changes(folder)))
    assert code == 0 and message in output and "ready to run" in output, output


def test_stages_that_need_no_files_are_not_held_up(folder: Path) -> None:
    cfg = load([config(folder, corpus={"path": "gone"})])
    assert find_problems(cfg, ["report", "trends"]) == []


def test_on_a_cluster_paths_are_not_those_of_this_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = load([config(folder, corpus={"path": "/data/in/hdfs"}, store={"root": "good.csv/tables"})])
    on_a_url = load([config(folder, store={"root": "tables", "artifacts": "nowhere://b/art"})])
    assert len(find_problems(cfg, stage_names())) == 2
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    assert find_problems(cfg, stage_names()) == []
    assert [problem.key for problem in find_problems(on_a_url, stage_names())] == ["store.artifacts"]


def test_a_range_of_stages_that_is_empty_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_and_output(capsys, "run", "--from", "report", "--to", "ingest") == (
        2,
        "twigma: --from must not come after --to. Got 'report' and 'ingest'; the order is "
        f"{', '.join(stage_names())}.\n",
    )
    code, output = code_and_output(capsys, "run", "--only", "embed", "--from", "score")
    assert code == 2 and "--only must lie between --from and --to. Got 'embed'." in output


def test_the_answer_comes_at_once(folder: Path) -> None:
    """It takes a second; the bound is one that no slow machine misses."""
    began = time.monotonic()
    find_problems(load([config(folder)]), stage_names())
    assert time.monotonic() - began < 20


def test_a_network_that_nobody_said_how_to_feed_is_warned_of(folder: Path) -> None:
    path = mean_colour_network(folder / "net.onnx", ["n", 3, 224, 224], "n")
    model = {"kind": "onnx", "path": path}

    def warnings(**how: Any) -> list[str]:
        found = find_problems(load([config(folder, models={"image": {**model, **how}})], []), ["embed"])
        return [str(problem) for problem in found if not problem.fatal]

    assert ["models.image: is fed pixels from 0 to 1" in text for text in warnings()] == [True]
    assert warnings(preset="clip") == warnings(preset="zero_to_one") == warnings(mean=[0, 0, 0]) == []


def test_pictures_that_are_yet_to_be_downloaded_need_not_be_there(folder: Path) -> None:
    def faults(corpus: dict[str, Any], stages: list[str]) -> list[str]:
        cfg = load([config(folder, corpus={"fetch": True, **corpus})], [])
        return [problem.key for problem in find_problems(cfg, stages) if problem.fatal]

    (folder / "posts").mkdir()
    (folder / "posts" / "page.json").write_text('{"data": []}')
    posts = {"reader": "x_api", "path": "posts", "metadata": None}
    assert faults({"path": "new"}, stage_names()) == faults(posts, stage_names()) == []
    assert faults({"path": "new"}, ["ingest"]) == faults({"path": "new", "metadata": None}, stage_names()) == [
        "corpora.mine.path"
    ]  # fmt: skip
    assert faults({"metadata": "gone.csv"}, stage_names()) == ["corpora.mine.metadata"]
    assert faults({**posts, "path": "none"}, stage_names()) == ["corpora.mine.path"]
