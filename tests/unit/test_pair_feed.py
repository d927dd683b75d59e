"""The feed of pairs: both readers give the same rows in the same order, each row once, in bounded memory."""

from __future__ import annotations

import importlib.metadata
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twigma_spark.checks.configuration import find_problems
from twigma_spark.config.settings import Config
from twigma_spark.errors import ModelError
from twigma_spark.estimators.training_state import open_training, remove_training
from twigma_spark.io import pair_feed
from twigma_spark.io.artifacts import ArtifactFolder
from twigma_spark.io.pair_feed import PairFeed, choose_reader
from twigma_spark.io.pair_snapshot import Snapshot, read_snapshot, write_files

ROWS = 103


def batch(rows: range) -> pa.RecordBatch:
    parts = ["test" if row % 10 == 0 else "train" for row in rows]
    prompts = [f"prompt {row} é" for row in rows]
    images = [bytes([row % 256, 0]) * (row % 7) for row in rows]
    names = ["part", "row", "prompt", "preferred"]
    return pa.record_batch([pa.array(parts), pa.array(rows), pa.array(prompts), pa.array(images, pa.binary())], names)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = tmp_path_factory.mktemp("pairs")
    for part in ("train", "test"):
        (folder / part).mkdir()
    found = [each for task in (0, 1) for each in write_files([batch(range(task, ROWS, 2))], folder, task, most=400)]
    files = {part: tuple((name, rows) for own, name, rows in found if own == part) for part in ("train", "test")}
    return Snapshot(folder, files, {"pairs": "3@2026"})


def read(feed: PairFeed, part: str, size: int, epoch: int | None) -> list[tuple[int, str, bytes]]:
    return [
        (int(row), str(prompt), bytes(image))
        for found in feed.batches(part, size, epoch)
        for row, prompt, image in zip(found["row"], found["prompt"], found["preferred"], strict=True)
    ]


def test_files_are_small_and_hold_every_row_once(snapshot: Snapshot) -> None:
    assert len(snapshot.files["train"]) > 6 and sum(rows for _, rows in snapshot.files["test"]) == 11
    assert all(
        pa.parquet.ParquetFile(snapshot.folder / name).num_row_groups == 1 for name, _ in snapshot.files["train"]
    )
    found = read(PairFeed(snapshot), "train", 8, None)
    assert sorted(row for row, _, _ in found) == [row for row in range(ROWS) if row % 10]
    assert all(prompt == f"prompt {row} é" and image == bytes([row, 0]) * (row % 7) for row, prompt, image in found)


@pytest.mark.parametrize("epoch", [None, 0, 1])
def test_petastorm_and_pyarrow_give_the_same_rows_in_the_same_order(snapshot: Snapshot, epoch: int | None) -> None:
    pytest.importorskip("petastorm")
    one, two = (PairFeed(snapshot, kind, buffer=20, seed=5, rank=1, size=2) for kind in ("arrow", "petastorm"))
    assert read(one, "train", 8, epoch) == read(two, "train", 8, epoch) != []


def test_rows_that_petastorm_does_not_wait_for_come_too(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pytest.importorskip("petastorm.workers_pool.thread_pool").ThreadPool
    ventilator = pytest.importorskip("petastorm.workers_pool.ventilator").ConcurrentVentilator
    looked, done, hand_out = threading.Event(), pool.all_workers_done, ventilator._ventilate

    def hand_out_late(self: object) -> None:
        looked.wait(5)
        hand_out(self)

    def look_early(self: Any) -> bool:
        found = bool(done(self))
        if not looked.is_set():
            # Between its two looks all is handed out.
            looked.set()
            self._ventilator._ventilation_thread.join(5)
        return found

    monkeypatch.setattr(ventilator, "_ventilate", hand_out_late)
    monkeypatch.setattr(pool, "all_workers_done", look_early)
    one = Snapshot(snapshot.folder, {"test": snapshot.files["test"][:1]}, {})
    assert read(PairFeed(one, "petastorm"), "test", 8, None) == read(PairFeed(one, "arrow"), "test", 8, None) != []


@settings(max_examples=25)
@given(st.integers(0, 200), st.integers(1, 40), st.integers(1, 4), st.integers(0, 3))
def test_every_row_comes_once_to_one_process(
    snapshot: Snapshot, buffer: int, size: int, processes: int, epoch: int
) -> None:
    feeds = [PairFeed(snapshot, "arrow", buffer, 1, rank, processes) for rank in range(processes)]
    found = [read(feed, "train", size, epoch) for feed in feeds]
    assert sorted(row for own in found for row, _, _ in own) == [row for row in range(ROWS) if row % 10]
    assert tuple(len(own) for own in found) == feeds[0].rows("train")


def test_the_order_is_of_the_seed_and_the_epoch(snapshot: Snapshot) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [row for row, _, _ in read(PairFeed(snapshot, "arrow", 30, seed), "train", 8, epoch)]

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(seed, epoch)) for seed, epoch in ((0, 1), (0, 2), (1, 1))}) == 3
    # The buffer mixes files: a batch is of several.
    first = order(0, 1)[:8]
    assert max(first) - min(first) > 20


def test_what_is_read_ahead_is_the_buffer_and_not_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0

    def groups(files: object, seed: int | None) -> object:
        nonlocal taken
        for start in range(0, 10_000, 10):
            taken += 10
            yield {"row": np.arange(start, start + 10)}

    monkeypatch.setitem(pair_feed.READERS, "arrow", groups)  # type: ignore[arg-type]
    feed = PairFeed(Snapshot(Path(), {"train": (("a", 10_000),)}, {}), "arrow", buffer=50)
    given_out = 0
    for found in feed.batches("train", 20, 0):
        given_out += len(found["row"])
        assert taken - given_out <= 50 + 20 + 10
    assert given_out == 10_000


def test_half_a_snapshot_is_none(tmp_path: Path) -> None:
    (tmp_path / ".snapshot.json").write_text("{")
    assert read_snapshot(tmp_path) is None


def test_a_missing_petastorm_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_reader("arrow") == "arrow"

    def version(name: str) -> str:
        if name == "petastorm":
            raise importlib.metadata.PackageNotFoundError(name)
        return "14.0.2"

    monkeypatch.setattr(pair_feed, "version", version)
    assert choose_reader("auto") == "arrow"
    cfg = Config.model_validate({"reward": {"fine_tune": {"enabled": True, "feed": "petastorm"}}})
    (problem,) = find_problems(cfg, {"reward"})
    assert str(problem).startswith("reward.fine_tune.feed: must be arrow where petastorm is not installed. Got")
    with pytest.raises(ModelError, match=r"where petastorm is not installed\. .*pip install 'twigma_spark\[train\]'"):
        choose_reader("petastorm")
    monkeypatch.setattr(pair_feed, "version", lambda name: {"pyarrow": "20.0.0"}.get(name, "0.13.1"))
    with pytest.raises(ModelError, match=r"must be arrow with pyarrow 20\.0\.0"):
        choose_reader("petastorm")
    monkeypatch.setattr(pair_feed, "version", lambda name: {"pyarrow": "14.0.2"}.get(name, "0.13.1"))
    assert choose_reader("auto") == choose_reader("petastorm") == "petastorm"


def test_what_is_left_of_another_training_goes(tmp_path: Path) -> None:
    where, said = ArtifactFolder(str(tmp_path)), []
    other = open_training(where, "of other pairs", said.append)
    (other / "image").write_bytes(b"somebody's")
    place = open_training(where, "of these pairs", said.append)
    (place / "state").write_bytes(b"after an epoch")
    assert not other.exists() and open_training(where, "of these pairs", said.append) == place
    assert (place / "state").exists()
    assert remove_training(where) == 1 and list(tmp_path.iterdir()) == []
    assert remove_training(where) == 0 and not said
