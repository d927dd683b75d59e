"""Artifacts at URLs, in S3 and in a storage of fsspec: whole or not read, one copy a node, and nothing left of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import moto_server
from twigma_spark.errors import ConfigError, StoreError
from twigma_spark.estimators.training_state import Mirror, open_training, remove_training
from twigma_spark.io import artifacts, export, url_files
from twigma_spark.io.artifacts import Artifact, ArtifactFolder, local_copy, reusable
from twigma_spark.io.url_files import list_url, write_url


@pytest.fixture(scope="module")
def server() -> Iterator[moto_server.Server]:
    with moto_server.serving() as found:
        yield found


@pytest.fixture(params=["s3a", "memory"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactFolder:
    """A place of artifacts with nothing in it; temporary files lie in a folder of the test."""
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    if request.param == "memory":
        return ArtifactFolder(f"memory://bucket/{tmp_path.name}/art")
    server = request.getfixturevalue("server")
    return ArtifactFolder(f"s3a://{moto_server.BUCKET}/{tmp_path.name}/art", server.settings)


def publish(where: ArtifactFolder, content: bytes = b"index") -> Artifact:
    """Return an artifact of a file and a companion."""
    where.local.mkdir(parents=True, exist_ok=True)
    file = where.local / "photo-0.faiss"
    file.write_bytes(content)
    file.with_suffix(".arrow").write_bytes(b"ids of " + content)
    return where.publish("neighbours/photo/0", "faiss_index", file, "{}")


def listed(where: ArtifactFolder) -> list[str]:
    return list_url(where.place, where.settings)


def test_an_artifact_is_uploaded_and_has_one_copy_a_node(where: ArtifactFolder, tmp_path: Path) -> None:
    made = publish(where)
    assert made.path == f"{where.place}/photo-0.faiss"
    assert listed(where) == ["photo-0.arrow", "photo-0.faiss"]
    # What was uploaded is this node's copy, and nowhere else on it.
    assert [p.name for p in (tmp_path / "tmp").rglob("photo*")] == [p.name for p in where.open(made).parent.iterdir()]
    assert where.open(made).read_bytes() == b"index"
    # Another node.
    cache = str(tmp_path / "node")
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: local_copy(made.path, made.checksum, cache, where.settings), range(8)))
    assert found == {str(tmp_path / "node" / made.checksum / "photo-0.faiss")}
    assert sorted(p.name for p in (tmp_path / "node" / made.checksum).iterdir()) == ["photo-0.arrow", "photo-0.faiss"]
    assert reusable([made], made.artifact_id, "{}", where) == made
    assert artifacts.remove_copies() == 2 == artifacts.remove_copies(cache)
    assert reusable([made], made.artifact_id, "{}", where) == made  # fetched again


@pytest.mark.parametrize("fault", ["gone", "half", "no companion"])
def test_what_is_not_whole_is_never_read(where: ArtifactFolder, fault: str, tmp_path: Path) -> None:
    made = publish(where)
    if fault == "half":
        write_url(made.path, b"ind", where.settings)
    else:
        name = made.path if fault == "gone" else made.path.replace(".faiss", ".arrow")
        assert url_files.remove_url(name, where.settings) == 1
    artifacts.remove_copies()
    assert reusable([made], made.artifact_id, "{}", where) is None
    with pytest.raises((StoreError, FileNotFoundError)):
        local_copy(made.path, made.checksum, str(tmp_path / "node"), where.settings)
    assert [path.suffix for path in (tmp_path / "node").iterdir()] == [".lock"]  # no part of it either


def test_companions_come_first_and_a_cut_off_upload_is_none(
    where: ArtifactFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, asked = publish(where), []

    def cut_off(file: Path, url: str, settings: url_files.Settings) -> None:
        asked.append(file.name)
        if file.suffix == ".faiss":
            raise OSError("the network is gone")
        url_files.upload(file, url, settings)

    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "upload", cut_off)
        with pytest.raises(OSError, match="network is gone"):
            publish(where, b"another")
    assert asked == ["photo-0.arrow", "photo-0.faiss"]
    artifacts.remove_copies()
    assert reusable([old], old.artifact_id, "{}", where) is None  # its companion is another now
    assert reusable([new := publish(where, b"another")], old.artifact_id, "{}", where) == new


def test_a_companion_of_an_older_artifact_goes(where: ArtifactFolder) -> None:
    write_url(f"{where.place}/photo-0.encoder.bin", b"old", where.settings)
    write_url(f"{where.place}/photo-01.faiss", b"another's", where.settings)
    made = publish(where)
    assert listed(where) == ["photo-0.arrow", "photo-0.faiss", "photo-01.faiss"]
    assert artifacts.remove(made.path, where.settings) == 2 and listed(where) == ["photo-01.faiss"]
    assert artifacts.remove(made.path, where.settings) == 0


def checkpoint(folder: Path, epoch: int) -> None:
    (folder / f"epoch-{epoch:04d}").mkdir(parents=True)
    for name in ("weights.safetensors", "state.json"):
        (folder / f"epoch-{epoch:04d}" / name).write_text(f"{name} {epoch}")


def test_checkpoints_follow_to_the_url_and_another_machine_goes_on(
    where: ArtifactFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    place, mirror = open_training(where, "key", said.append), Mirror(where)
    heads = place / "heads" / "fold-1"
    checkpoint(heads, 1)
    mirror(heads)
    checkpoint(heads, 2)
    (heads / "epoch-0001" / "state.json").unlink()
    (heads / "epoch-0001" / "weights.safetensors").unlink()
    mirror(heads)
    there = "reward-training/key/heads/fold-1/epoch-0002"
    assert listed(where) == [f"{there}/state.json", f"{there}/weights.safetensors"]
    # Of what was cut off there is no state.
    write_url(f"{where.place}/reward-training/key/heads/fold-1/epoch-0003/weights.safetensors", b"half", where.settings)
    write_url(f"{where.place}/reward-training/older/heads/fold-1/epoch-0009/state.json", b"old", where.settings)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    again = open_training(where, "key", said.append)
    assert again != place and not [name for name in listed(where) if "older" in name]
    epochs = sorted((again / "heads" / "fold-1").iterdir())
    assert [p.name for p in epochs] == ["epoch-0002"] and (epochs[0] / "state.json").read_text() == "state.json 2"
    assert [line.partition(" in ")[0] for line in said] == [
        "reward: no checkpoint", "reward: checkpoints of an interrupted training are",
    ]  # fmt: skip
    assert remove_training(where) == 2 + 3 and not listed(where) and not again.exists()


def test_a_place_is_tried_before_a_run(where: ArtifactFolder) -> None:
    export.try_to_write(where.place, where.settings)
    assert listed(where) == []
    if where.settings:
        with pytest.raises(ConfigError, match="must be a folder that all nodes can write"):
            export.try_to_write("s3a://no-such-bucket-of-ours/a", where.settings)
