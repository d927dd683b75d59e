"""The reward model that others call: files that are whole or refused, scores alike by every way, gradients."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from twigma_spark.config.overlays import load
from twigma_spark.errors import ConfigError, ModelError
from twigma_spark.models import reward_scorer
from twigma_spark.models.base import file_digest
from twigma_spark.models.clip import ClipImage, ClipText
from twigma_spark.models.clip_source import ClipSource
from twigma_spark.models.reward import Reward, encoder_settings
from twigma_spark.models.reward_files import CONFIG, WEIGHTS, load_head, save_head
from twigma_spark.models.reward_head import Head
from twigma_spark.models.reward_scorer import RewardScorer, VectorRewardScorer
from twigma_spark.ranking import rank_folder

ENCODER = ClipImage(ClipSource(path="sample:clip"))
PROMPTS = ["a castle at night", "a red flower", "a castle at night"]


def random_head(seed: int = 0, dim: int | None = None) -> Head:
    rng, dim = np.random.default_rng(seed), dim or ENCODER.dim
    maps = [(np.eye(dim) + 0.1 * rng.normal(size=(dim, dim))).astype(np.float32) for _ in range(2)]
    offsets = [(0.2 * rng.normal(size=dim)).astype(np.float32) for _ in range(2)]
    return Head(maps[0], offsets[0], maps[1], offsets[1], 12.5)


def picture(seed: int, size: tuple[int, int] = (70, 64)) -> bytes:
    rng, out = np.random.default_rng(seed), io.BytesIO()
    levels = rng.integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rev = ENCODER.preprocess_rev
    return save_head(tmp_path / "reward", random_head(), ENCODER.model_id, rev, encoder_settings(ENCODER), "# Card\n")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Reward:
    place = tmp_path_factory.mktemp("model") / "reward"
    rev = ENCODER.preprocess_rev
    save_head(place, random_head(), ENCODER.model_id, rev, encoder_settings(ENCODER), "# Card\n")
    return Reward.from_pretrained(place)


def test_a_saved_head_comes_back_and_replaces_the_one_before(folder: Path) -> None:
    head, config = load_head(folder)
    assert (head.image == random_head().image).all() and (head.text_offset == random_head().text_offset).all()
    assert config.model_id == ENCODER.model_id and config.encoder == {"path": "sample:clip", "precision": "fp32"}
    assert head.sharpness == 12.5
    save_head(folder, random_head(1), ENCODER.model_id, "rev", {}, "# Card\n")
    assert (load_head(folder)[0].image == random_head(1).image).all()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["reward"]  # nothing is left beside it


def test_half_a_model_and_another_ones_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-10])
    with pytest.raises(ModelError, match=r"must be the file that reward.json was written with"):
        load_head(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelError, match="Got another or none"):
        load_head(folder)
    with pytest.raises(ModelError, match=r"must be a folder with reward\.safetensors and reward\.json"):
        load_head(tmp_path / "nowhere")
    config = json.loads((folder / CONFIG).read_text())
    for half in ({"format": 1}, {**config, "sha256": 5}):
        (folder / CONFIG).write_text(json.dumps(half))
        with pytest.raises(ModelError, match="must be a folder with"):
            load_head(folder)


@pytest.mark.parametrize("fault", ["shape", "nan", "name", "pickle"])
def test_weights_that_are_none_are_refused(folder: Path, fault: str) -> None:
    tensors = load_file(str(folder / WEIGHTS))
    if fault == "pickle":
        (folder / WEIGHTS).write_bytes(b"\x80\x04K\x01.")
    else:
        if fault == "shape":
            tensors["image"] = tensors["image"][:5]
        elif fault == "nan":
            tensors["text"][0, 0] = np.nan
        else:
            del tensors["text_offset"]
        save_file(tensors, str(folder / WEIGHTS))
    import hashlib

    config = json.loads((folder / CONFIG).read_text())
    config["sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / CONFIG).write_text(json.dumps(config))
    said = {"shape": "must have the shape", "nan": "finite numbers", "name": "Got None", "pickle": "be safetensors"}
    with pytest.raises(ModelError, match=said[fault]):
        load_head(folder)


def test_a_checkpoint_of_another_encoder_is_refused(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, "model_id": "open_clip/ViT-L-14/openai"}))
    with pytest.raises(ModelError, match=r"encoder of the reward model .* must be 'open_clip/ViT-L-14/openai'"):
        Reward.from_pretrained(folder)


def test_an_encoder_that_was_moved_is_named(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, "encoder": {"path": "/gone/clip", "precision": "fp32"}}))
    with pytest.raises(ModelError, match="model path must be an existing file or folder"):
        Reward.from_pretrained(folder)
    there = Reward.from_pretrained(folder, encoder_source={"path": "sample:clip"})
    assert there.score(images=[picture(0)], prompts=["a castle"]).shape == (1,)
    (folder / CONFIG).write_text(json.dumps({**config, "encoder": {"command": "x"}}))
    with pytest.raises(ModelError, match=r"must have name and pretrained, or path\. Got \['command'\]"):
        Reward.from_pretrained(folder)


def test_scores_are_the_heads_on_the_encoders_vectors(model: Reward) -> None:
    files = [picture(seed) for seed in range(3)]
    images = ENCODER.setup()(files)
    texts = ClipText(ENCODER.source).setup()(PROMPTS)
    found = model.score(images=files, prompts=PROMPTS)
    assert found.dtype.is_floating_point and found.shape == (3,)
    assert found.numpy() == pytest.approx(random_head().scores(images, texts), abs=1e-5)


def test_scores_do_not_depend_on_the_batch_nor_on_the_kind_of_input(model: Reward, tmp_path: Path) -> None:
    files = [picture(seed, (64, 64)) for seed in range(5)]
    paths = [tmp_path / f"{n}.png" for n in range(5)]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file)
    whole = model.score(images=files, prompts=["a castle"])
    assert model.score(images=paths, prompts=["a castle"] * 5, batch_size=2).numpy() == pytest.approx(
        whole.numpy(), abs=1e-5
    )
    import torch

    levels = np.stack([np.asarray(Image.open(path)) for path in paths]).transpose(0, 3, 1, 2)
    pixels = torch.from_numpy(levels.astype(np.float32) / 255)
    assert model.score(images=pixels, prompts=["a castle"]).numpy() == pytest.approx(whole.numpy(), abs=1e-4)
    assert model.score(images=[], prompts=[]).shape == (0,)


def test_gradient_ascent_on_the_pixels_raises_the_reward(model: Reward) -> None:
    import torch

    pixels = torch.rand((2, 3, 80, 64), generator=torch.Generator().manual_seed(0)).requires_grad_()
    first = model.score(images=pixels, prompts=["a castle"]).detach()
    optimizer = torch.optim.Adam([pixels], lr=0.02)
    for _ in range(15):
        optimizer.zero_grad()
        (-model.score(images=pixels, prompts=["a castle"]).sum()).backward()
        optimizer.step()
        pixels.data.clamp_(0, 1)
    assert (model.score(images=pixels, prompts=["a castle"]) > first + 0.05).all()


def test_wrong_arguments_are_told(model: Reward) -> None:
    import torch

    with pytest.raises(TypeError):
        model.score([picture(0)], ["a castle"])  # type: ignore[misc]
    with pytest.raises(ModelError, match=r"must be a list of one prompt, or of one an image\. Got 2 for 3 images"):
        model.score(images=[picture(0)] * 3, prompts=["a", "b"])
    with pytest.raises(ModelError, match="prompts must be a list"):
        model.score(images=[picture(0)], prompts="a castle")
    with pytest.raises(ModelError, match=r"images must be files, or a float tensor \(n, 3, height, width\)"):
        model.score(images=torch.zeros((1, 64, 64, 3)), prompts=["a castle"])


def test_a_saved_model_scores_stored_vectors_as_it_scores_their_images(
    folder: Path, model: Reward, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RewardScorer.of_folder(folder)
    assert spec.consumes == "embedding" and spec.model_id == f"reward@{file_digest(folder / WEIGHTS)}"
    assert RewardScorer.of_folder(folder, "a cat").model_id.startswith(f"{spec.model_id}/prompt@")
    files = [picture(seed) for seed in range(3)]
    items = list(zip(ENCODER.setup()(files).tolist(), PROMPTS, strict=True))
    expected = model.score(images=files, prompts=PROMPTS).numpy()
    loaded = VectorRewardScorer(spec, ClipText(ENCODER.source)).setup()
    assert loaded([]).shape == (0,)
    for kept in (1, 4096):  # of fewer prompts than a batch has, none is kept
        monkeypatch.setattr(reward_scorer, "KEPT", kept)
        for _ in range(2):
            assert loaded(items) == pytest.approx(expected, abs=1e-5)


def test_vectors_of_another_encoder_and_half_a_model_are_refused(folder: Path) -> None:
    spec = RewardScorer.of_folder(folder)
    spec.check(ENCODER.model_id)
    with pytest.raises(ModelError, match=r"which it was trained on\. Got those of 'other'; set models\.image to that"):
        spec.check("other")
    trained = {"visual.x": np.zeros(3, np.float32)}
    settings = {"path": "nowhere"}
    save_head(folder, random_head(), ENCODER.model_id, ENCODER.preprocess_rev, settings, "# Card\n", trained)
    tuned = RewardScorer.of_folder(folder)
    assert tuned.consumes == "image"
    with pytest.raises(ModelError, match=r"model path must be an existing file or folder\. Got 'nowhere'"):
        tuned.check(ENCODER.model_id)
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])
    for half in (spec, tuned):
        with pytest.raises(
            ModelError, match=r"reward\.safetensors must be the file that reward\.json was written with"
        ):
            half.check(ENCODER.model_id)
    with pytest.raises(ModelError, match=r"a reward model must be a folder with reward\.safetensors and reward\.json"):
        RewardScorer.of_folder(folder / "nowhere")


def test_a_folder_is_ranked(folder: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    (images / "sub").mkdir(parents=True)
    for seed in range(3):
        (images / f"{seed}.png").write_bytes(picture(seed))
    (images / "sub" / "3.jpg").write_bytes(b"no image")
    (images / "notes.txt").write_text("no image either")
    cfg = load([], [])
    (images / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (images / "loop").symlink_to(images)
    frame, unusable = rank_folder(cfg, images, "a castle", folder)
    assert ("gone.png", "dangling_link") in unusable and ("loop/", "link_circle") in unusable
    unusable = [each for each in unusable if each[0] not in ("gone.png", "loop/")]
    assert sorted(frame["file"]) == ["0.png", "1.png", "2.png"] and frame["rank"].tolist() == [1, 2, 3]
    assert frame["score"].is_monotonic_decreasing
    assert [Path(file).name for file, _ in unusable] == ["3.jpg"]
    with pytest.raises(ConfigError, match="FOLDER must be an existing folder"):
        rank_folder(cfg, tmp_path / "nowhere", "a castle", folder)
    with pytest.raises(ConfigError, match="--prompt must be"):
        rank_folder(cfg, images, " ", folder)
    with pytest.raises(ConfigError, match=r"--model must be the folder of a reward model\. Got .*nowhere"):
        rank_folder(cfg, images, "a castle", tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="FOLDER must hold images"):
        rank_folder(cfg, folder, "a castle", folder)
