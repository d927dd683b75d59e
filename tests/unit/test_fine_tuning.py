"""Fine-tuning of the encoder: what moves and what does not, restarts, refusals, and the model that comes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.training_processes import train_together
from tests.tuning import ENCODER, PROMPTS, job, picture, write_pairs
from twigma_spark.errors import ModelError
from twigma_spark.estimators import fine_tuning
from twigma_spark.estimators.fine_tuning import FineTuned, FineTuning, fine_tune
from twigma_spark.estimators.reward import HeadTrainer, Pairs
from twigma_spark.io.pair_feed import PairFeed
from twigma_spark.io.pair_snapshot import Snapshot, write_files
from twigma_spark.models.checkpoints import load_checkpoint
from twigma_spark.models.clip_source import load_clip
from twigma_spark.models.pair_inputs import VectorPairs
from twigma_spark.models.pair_losses import TrainingSpec, pair_losses, rate_factor
from twigma_spark.models.reward import Reward, encoder_settings
from twigma_spark.models.reward_files import ENCODER as ENCODER_FILE
from twigma_spark.models.reward_files import load_head, save_head
from twigma_spark.models.reward_fit import Trainer
from twigma_spark.models.reward_head import Head, new_network
from twigma_spark.models.reward_tower import new_tuned

PAIRS = 40


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "snapshot", PAIRS)


@pytest.fixture(scope="module")
def tuned(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> FineTuned:
    return fine_tune(job(snapshot, tmp_path_factory.mktemp("tuned")), PAIRS)


def same(one: FineTuned, two: FineTuned, within: float) -> bool:
    ours, theirs = ({**each.encoder, "head": each.head.image, "offset": each.head.text_offset} for each in (one, two))
    return all(np.abs(ours[name] - theirs[name]).max() <= within for name in ours)


def test_only_the_last_blocks_the_ends_and_the_head_are_trained() -> None:
    names = {
        name.removeprefix("clip.").split(".weight")[0].split(".bias")[0]
        for name, value in new_tuned(load_clip(ENCODER.source), new_network(ENCODER.dim), 1).named_parameters()
        if value.requires_grad
    }
    assert any(name.startswith("visual.layer4.0.") for name in names)
    assert any(name.startswith("transformer.resblocks.1.") for name in names)
    assert {"text_projection", "ln_final", "head.image", "head.text", "head.log_sharpness"} <= names
    assert not any(
        name.startswith(("visual.layer3", "visual.conv", "transformer.resblocks.0", "token")) for name in names
    )
    projections = {
        name
        for name, value in new_tuned(load_clip(ENCODER.source), new_network(ENCODER.dim), 0).named_parameters()
        if value.requires_grad and not name.startswith("head.")
    }
    assert all(
        name.startswith(("clip.visual.attnpool.", "clip.ln_final.", "clip.text_projection")) for name in projections
    )
    with pytest.raises(ModelError, match=r"blocks must be at most 2, the text tower's\. Got 3"):
        new_tuned(load_clip(ENCODER.source), new_network(ENCODER.dim), 3)


def test_frozen_weights_do_not_move_and_trained_ones_do(snapshot: Path, tmp_path: Path) -> None:
    import torch

    before = load_clip(ENCODER.source).state_dict()
    clip = load_clip(ENCODER.source)
    network = new_tuned(clip, new_network(ENCODER.dim), 1)
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    pixels, tokens = torch.rand((6, 3, 64, 64)), torch.randint(5, 50, (6, 32))
    optimizer = torch.optim.AdamW(network.parameter_groups(1e-3, 1e-3, 0.1))
    for _ in range(2):
        optimizer.zero_grad()
        (-(network.image_vectors(pixels) * network.text_vectors(tokens)).sum()).backward()
        optimizer.step()
    for name, value in clip.state_dict().items():
        moved = not torch.equal(value, before[name])
        assert moved == (f"clip.{name}" in trained), name


def test_fine_tuning_learns_what_is_liked_and_keeps_the_best_epoch(tuned: FineTuned) -> None:
    losses = [epoch.validation for epoch in tuned.epochs]
    assert losses[tuned.best] == min(losses) < losses[0] - 0.1 and tuned.epochs[0].number == 0
    held_out = tuned.margins[1::5]
    assert (held_out > 0).all() and np.isnan(tuned.margins[2::5]).all()


def test_parts_of_a_step_and_both_feeds_give_the_same_model(tuned: FineTuned, snapshot: Path, tmp_path: Path) -> None:
    parts = fine_tune(job(snapshot, tmp_path / "parts", accumulate=4), PAIRS)
    # A step of 1,000 pairs in four parts: each of the 24 pairs still counts once.
    assert same(tuned, parts, 2e-5)
    small = replace(job(snapshot, tmp_path / "a").spec, batch_size=12, epochs=1)
    one = fine_tune(job(snapshot, tmp_path / "b", spec=small, accumulate=3), PAIRS)
    two = fine_tune(job(snapshot, tmp_path / "c", spec=small, accumulate=3, feed="auto"), PAIRS)
    assert same(one, two, 0)


def test_bf16_comes_near(tuned: FineTuned, snapshot: Path, tmp_path: Path) -> None:
    half = fine_tune(job(snapshot, tmp_path, precision="bf16"), PAIRS)
    assert [epoch.validation for epoch in half.epochs] == pytest.approx([e.validation for e in tuned.epochs], abs=0.05)
    assert not same(half, tuned, 0)


def test_a_restart_ends_where_an_undisturbed_run_does(snapshot: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    spec = replace(job(snapshot, tmp_path).spec, batch_size=10, epochs=4)
    whole = fine_tune(job(snapshot, tmp_path / "whole", spec=spec), PAIRS)
    lines: list[str] = []

    def kill(text: str) -> None:
        if text.startswith("epoch 3"):
            raise Killed

    again = job(snapshot, tmp_path / "again", spec=spec)
    with pytest.raises(Killed):
        fine_tune(again, PAIRS, progress=kill)
    # The third epoch was computed and not written: what is left of a write is no checkpoint.
    assert [path.name for path in again.checkpoints.iterdir()] == ["epoch-0002"]
    (again.checkpoints / ".epoch-0003").mkdir()
    (again.checkpoints / ".epoch-0003" / "weights.safetensors").write_bytes(b"half")
    found = fine_tune(again, PAIRS, progress=lines.append)
    assert lines[0] == "going on after epoch 2 of 4" and len(lines) == 3
    assert same(whole, found, 0) and np.array_equal(whole.margins, found.margins, equal_nan=True)
    assert [e.validation for e in found.epochs] == [e.validation for e in whole.epochs] and found.best == whole.best
    # What is done is not done again.
    fine_tune(again, PAIRS, progress=lines.append)
    assert lines[3:] == ["going on after epoch 4 of 4"]
    assert [path.name for path in again.checkpoints.iterdir()] == ["epoch-0004"]


def test_two_processes_that_were_killed_end_where_undisturbed_ones_do(snapshot: Path, tmp_path: Path) -> None:
    spec = replace(job(snapshot, tmp_path).spec, batch_size=12, epochs=3)
    whole = train_together(job(snapshot, tmp_path / "whole", spec=spec), PAIRS)
    again = job(snapshot, tmp_path / "again", spec=spec)
    assert train_together(again, PAIRS, dies_after=2) is None
    assert [path.name for path in again.checkpoints.iterdir()] == ["epoch-0002"]
    found = train_together(again, PAIRS)
    assert whole is not None and found is not None
    assert (whole[1], found[1]) == ([1, 2, 3], [3])
    assert same(whole[0], found[0], 0) and found[0].epochs[1:] == whole[0].epochs[1:]
    assert np.array_equal(whole[0].margins, found[0].margins, equal_nan=True)
    # Two processes are another training than one: their halves of a step are added up in another order.
    with pytest.raises(ModelError, match=r"same model and settings\. Got .*processes 2 and not 1"):
        fine_tune(again, PAIRS)


@pytest.fixture
def interrupted(tuned: FineTuned, snapshot: Path, tmp_path: Path) -> FineTuning:
    own = job(snapshot, tmp_path / "state", spec=replace(job(snapshot, tmp_path).spec, epochs=1))
    fine_tune(own, PAIRS)
    return own


def test_a_checkpoint_of_another_model_or_half_of_one_is_refused(interrupted: FineTuning) -> None:
    with pytest.raises(ModelError, match=r"same model and settings\. Got .*blocks 1 and not 0; .*weights"):
        fine_tune(replace(interrupted, blocks=0), PAIRS)
    with pytest.raises(ModelError, match=r"tower_rate 0\.001 and not 0\.01; remove the folder to begin anew"):
        fine_tune(replace(interrupted, tower_rate=0.01), PAIRS)
    last = interrupted.checkpoints / "epoch-0001"
    file = last / "optimizer.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(ModelError, match=r"optimizer\.safetensors must be the file that was written"):
        fine_tune(interrupted, PAIRS)
    file.write_bytes(whole)
    assert fine_tune(interrupted, PAIRS).epochs[-1].number == 1
    (last / "state.json").write_text("{")
    with pytest.raises(ModelError, match=r"must have a whole state\.json"):
        fine_tune(interrupted, PAIRS)
    assert load_checkpoint(interrupted.checkpoints / "nowhere", {}) is None


def test_a_checkpoint_holds_numbers_and_no_code(interrupted: FineTuning) -> None:
    names = sorted(path.name for path in (interrupted.checkpoints / "epoch-0001").iterdir())
    assert names == ["best.safetensors", "optimizer.safetensors", "state.json", "weights.safetensors"]
    json.loads((interrupted.checkpoints / "epoch-0001" / "state.json").read_text(), parse_constant=pytest.fail)


def test_bad_input_is_one_sentence(snapshot: Path, tmp_path: Path) -> None:
    spec = job(snapshot, tmp_path).spec
    with pytest.raises(
        ModelError, match=r"loss must be a finite number\. Got (nan|inf) in epoch [23]; lower the learning"
    ):
        fine_tune(job(snapshot, tmp_path / "nan", spec=replace(spec, learning_rate=1e30, warmup=0.0)), PAIRS)
    with pytest.raises(ModelError, match="must be a whole snapshot"):
        fine_tune(job(tmp_path, tmp_path / "none"), PAIRS)
    broken = tmp_path / "broken"
    for part in ("train", "validation", "test"):
        (broken / part).mkdir(parents=True)
    (broken / "snapshot.json").write_text(
        json.dumps({"files": {"train": [], "validation": [], "test": []}, "facts": {}})
    )
    with pytest.raises(ModelError, match="training pairs must be one at least"):
        fine_tune(job(broken, tmp_path / "none"), PAIRS)


def test_a_head_learns_from_the_feed_and_in_memory_what_a_plain_loop_learns(tmp_path: Path) -> None:
    rng, dim = np.random.default_rng(0), 8
    matrices = [rng.normal(size=(60, dim)) for _ in range(3)]
    text, one, two = ((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16) for rows in matrices)
    parts = ["validation" if row % 5 == 0 else "train" for row in range(60)]
    bytes_of = [pa.array([row.tobytes() for row in rows], pa.binary()) for rows in (text, one, two)]
    weight = rng.uniform(0.5, 2, 60).astype(np.float32)
    names = ["part", "row", "text", "preferred", "other", "weight"]
    batch = pa.record_batch([pa.array(parts), pa.array(range(60)), *bytes_of, pa.array(weight)], names)
    for part in ("train", "validation"):
        (tmp_path / part).mkdir()
    found = list(write_files([batch], tmp_path, 0, most=1000))
    files = {part: tuple((name, rows) for own, name, rows in found if own == part) for part in ("train", "validation")}
    spec = TrainingSpec(epochs=5, patience=9, batch_size=64)
    network = new_network(dim)
    groups = network.parameter_groups(spec.learning_rate, spec.weight_decay)
    feed = PairFeed(Snapshot(tmp_path, files, {}))
    fitted = Trainer(network, groups, VectorPairs(), feed, spec).fit()
    rows = [np.flatnonzero(np.array(parts) == part) for part in ("train", "validation")]
    images = np.concatenate([one, two])
    memory = HeadTrainer(images, text, spec).train(*(Pairs(r, r, r + 60, weight[r]) for r in rows))
    assert [e.validation for e in fitted.epochs] == pytest.approx([e.validation for e in memory.epochs], rel=1e-5)
    assert Head.of_network(network).image == pytest.approx(memory.head.image, abs=1e-5)
    losses, image = plain_loop([text, one, two], weight, rows, spec)
    assert [e.validation for e in memory.epochs] == pytest.approx(losses, rel=1e-5)
    assert memory.head.image == pytest.approx(image, abs=1e-5)


def plain_loop(
    vectors: list[np.ndarray], weight: np.ndarray, rows: list[np.ndarray], spec: TrainingSpec
) -> tuple[list[float], np.ndarray]:
    """Return the validation losses of a head that is trained with all pairs in one step, and its best map of images."""
    import torch

    network = new_network(vectors[0].shape[1])
    optimizer = torch.optim.AdamW(network.parameter_groups(spec.learning_rate, spec.weight_decay))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor(spec.epochs, spec.warmup))

    def loss(own: np.ndarray) -> torch.Tensor:
        text, one, two = (torch.from_numpy(each[own].astype(np.float32)) for each in vectors)
        mapped = network.text_vectors(text), network.image_vectors(one), network.image_vectors(two)
        each, of = pair_losses(*mapped, network.sharpness(), spec), torch.from_numpy(weight[own])
        return (each * of).sum() / of.sum()

    losses, maps = [float(loss(rows[1]).detach())], [Head.of_network(network).image]
    for _ in range(spec.epochs):
        optimizer.zero_grad()
        loss(rows[0]).backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss(rows[1]).detach()))
        maps.append(Head.of_network(network).image)
    return losses, maps[int(np.argmin(losses))]


def test_the_model_that_is_written_scores_as_the_trained_one(tuned: FineTuned, snapshot: Path, tmp_path: Path) -> None:
    import torch

    rev = ENCODER.preprocess_rev
    settings = encoder_settings(ENCODER)
    folder = save_head(tmp_path / "reward", tuned.head, ENCODER.model_id, rev, settings, "# Card\n", tuned.encoder)
    model = Reward.from_pretrained(folder)
    found = pa.dataset.dataset(str(snapshot / "test"), format="parquet").to_table().to_pylist()
    prompts = [row["prompt"] for row in found]
    both = [model.score(images=[row[side] for row in found], prompts=prompts) for side in ("preferred", "other")]
    assert (both[0] - both[1]).numpy() == pytest.approx(tuned.margins[[row["row"] for row in found]], abs=1e-5)
    # Without its encoder it would be another model.
    head, _ = load_head(folder)
    plain = Reward(head, ENCODER).score(images=[row["preferred"] for row in found], prompts=prompts)
    assert np.abs((plain - both[0]).numpy()).max() > 1e-3
    pixels = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0)).requires_grad_()
    model.score(images=pixels, prompts=[PROMPTS[0]]).sum().backward()
    assert pixels.grad is not None and float(pixels.grad.abs().sum()) > 0
    (folder / ENCODER_FILE).write_bytes((folder / ENCODER_FILE).read_bytes()[:-1])
    with pytest.raises(
        ModelError, match=r"reward\.encoder\.safetensors must be the file that reward\.json was written with"
    ):
        Reward.from_pretrained(folder)
    save_head(
        folder, tuned.head, ENCODER.model_id, rev, settings, "# Card\n", {"visual.proj": np.zeros((3, 3), np.float32)}
    )
    with pytest.raises(ModelError, match=r"'visual\.proj' of the trained encoder must fit its base: no such weight"):
        Reward.from_pretrained(folder)


def test_an_image_that_cannot_be_used_is_told(snapshot: Path, tmp_path: Path) -> None:
    from twigma_spark.models.pair_inputs import ImagePairs

    good = picture(np.random.default_rng(0), True)
    pairs = ImagePairs(ENCODER, load_clip(ENCODER.source), "cpu", 1)
    columns = {"preferred": [good], "other": [b"no image"], "prompt": ["a cat"], "weight": [1.0], "row": [0]}
    with pytest.raises(ModelError, match="images of pairs must be files that can be decoded"):
        list(pairs.stream([columns]))


def test_a_process_that_fails_leaves_its_sentence(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    own = job(tmp_path / "nowhere", tmp_path / "state")
    with pytest.raises(ModelError, match="must be a whole snapshot"):
        fine_tuning._train_as_one(own, PAIRS)
    assert (tmp_path / "state" / fine_tuning.ERROR).read_text().startswith("pairs to train on must be a whole snapshot")
