"""CLIP through this package is CLIP through open_clip alone; and its ids, revisions and refusals."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twigma_spark.errors import ModelError
from twigma_spark.models import tiny
from twigma_spark.models.clip import ClipImage, ClipText, LoadedClipImage
from twigma_spark.models.clip_source import ClipSource, needs_quick_gelu
from twigma_spark.models.runner import run_batches

TEXTS = ["a red dog on a hill.", "Two cats!", "", "an unheard of word " * 30]


def jpegs(count: int, side: int = 90) -> list[bytes]:
    rng = np.random.default_rng(7)
    files = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 255, (5, 6, 3), dtype=np.uint8))
        out = io.BytesIO()
        coarse.resize((side + 11, side), Image.Resampling.BICUBIC).save(out, "JPEG")
        files.append(out.getvalue())
    return files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random CLIP in the layout of the sample's."""
    words = tiny.vocabulary(TEXTS)
    config = tiny.clip_config(len(words))
    where = tmp_path_factory.mktemp("models") / "small"
    tiny.save_clip(tiny.new_clip(config, seed=3), config, words, where)
    return where


@pytest.fixture(scope="module")
def source(folder: Path) -> ClipSource:
    return ClipSource(path=str(folder))


def alone(name: str, files: list[bytes], seed: int | None = None) -> np.ndarray:
    """What a user of open_clip writes today."""
    import open_clip
    import torch

    if seed is not None:
        torch.manual_seed(seed)
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    batch = torch.stack([preprocess(Image.open(io.BytesIO(file)).convert("RGB")) for file in files])
    with torch.no_grad():
        return model.eval().encode_image(batch, normalize=True).numpy()


def test_image_vectors_are_those_of_open_clip_alone(folder: Path, source: ClipSource) -> None:
    files = jpegs(6)
    ours = ClipImage(source, decode="pillow").setup(threads=1)(files)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, alone(f"local-dir:{folder}", files), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-6)


def test_text_vectors_are_those_of_open_clip_alone(folder: Path, source: ClipSource) -> None:
    import open_clip
    import torch

    name = f"local-dir:{folder}"
    with torch.no_grad():
        tokens = open_clip.get_tokenizer(name)(TEXTS)
        theirs = open_clip.create_model(name).eval().encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(ClipText(source).setup(threads=1)(TEXTS), theirs, atol=1e-6)


@pytest.mark.slow
def test_random_vit_b_32_gives_the_vectors_of_open_clip_alone() -> None:
    files = jpegs(5, side=256)
    theirs = alone("ViT-B-32", files, seed=11)
    loaded = ClipImage(ClipSource("ViT-B-32", "random-11"), decode="pillow").setup(threads=1)
    results = list(run_batches([files[:2], files[2:]], loaded, batch_size=3))
    ours = np.stack([value for result in results for value in result.values])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_fast_and_pillow_agree(source: ClipSource) -> None:
    files = jpegs(8)
    fast, slow = (ClipImage(source, decode=decode).setup(threads=1)(files) for decode in ("fast", "pillow"))
    assert (fast * slow).sum(axis=1).min() >= 0.9995


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-5), ("bf16", 2e-2)])
def test_batch_size_does_not_matter(source: ClipSource, precision: str, bound: float) -> None:
    files = jpegs(9)
    loaded = ClipImage(source, precision=precision).setup(threads=1)
    whole = loaded(files)
    for size in (1, 4):
        values = next(run_batches([files], loaded, batch_size=size)).values
        np.testing.assert_allclose(np.stack(values), whole, atol=bound)


def test_bf16_is_close_to_fp32(source: ClipSource) -> None:
    files = jpegs(8)
    half, full = (ClipImage(source, precision=precision).setup(threads=1)(files) for precision in ("bf16", "fp32"))
    assert half.dtype == np.float32
    assert (half * full).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)


def test_ids_and_revisions_need_no_weights_in_memory(source: ClipSource) -> None:
    image, text = ClipImage(source, precision="bf16", decode="pillow"), ClipText(source)
    assert image.model_id == text.model_id
    assert image.model_id.startswith("open_clip/small@")
    assert len(image.model_id.partition("@")[2]) == 12
    assert (image.preprocess_rev, text.preprocess_rev) == ("pillow-v1/bf16/64", "text-v1/fp32/32")
    assert image.dim == text.dim == 96
    paper = ClipImage(ClipSource("ViT-L-14", "openai"))
    assert (paper.model_id, paper.preprocess_rev, paper.dim) == (
        "open_clip/ViT-L-14/openai",
        "fast-v1/fp32/224",
        768,
    )


def test_the_digest_follows_the_weights(folder: Path, source: ClipSource, tmp_path: Path) -> None:
    words = tiny.vocabulary(TEXTS)
    config = tiny.clip_config(len(words))
    other = tmp_path / "small"
    tiny.save_clip(tiny.new_clip(config, seed=4), config, words, other)
    assert ClipSource(path=str(other)).model_id != source.model_id
    tiny.save_clip(tiny.new_clip(config, seed=3), config, words, other)
    assert ClipSource(path=str(other)).model_id == source.model_id


def test_own_config_and_weights_file(folder: Path, source: ClipSource, tmp_path: Path) -> None:
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    own = tmp_path / "my-own-clip.json"
    own.write_text(json.dumps(config))
    spec = ClipImage(ClipSource(str(own), str(folder / "open_clip_model.safetensors")))
    assert spec.model_id == source.model_id.replace("small", "my-own-clip")
    files = jpegs(3)
    np.testing.assert_allclose(spec.setup(threads=1)(files), ClipImage(source).setup(threads=1)(files), atol=1e-6)


def test_specs_pickle_in_bytes_and_are_keys(source: ClipSource) -> None:
    spec = ClipImage(source)
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301
    assert len(pickle.dumps(spec)) < 1000
    assert len({spec, ClipImage(source), ClipImage(source, decode="pillow")}) == 2


def test_nothing_in_nothing_out(source: ClipSource) -> None:
    assert ClipImage(source).setup(threads=1)([]).shape == (0, 96)
    assert ClipText(source).setup(threads=1)([]).shape == (0, 96)


def test_only_the_image_tower_is_kept(source: ClipSource) -> None:
    loaded = ClipImage(source).setup(threads=1)
    assert isinstance(loaded, LoadedClipImage)
    assert not hasattr(loaded._tower, "token_embedding")


def test_openai_weights_get_their_own_activation() -> None:
    assert needs_quick_gelu("ViT-L-14", "openai")
    assert not needs_quick_gelu("ViT-L-14", "laion2b_s32b_b82k")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "must be name and pretrained, or path alone"),
        ({"name": "ViT-B-32"}, "must be name and pretrained, or path alone"),
        ({"name": "ViT-B-32", "pretrained": "openai", "path": "x"}, "must be name and pretrained"),
    ],
)
def test_a_model_is_told_in_one_way(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ClipSource(**arguments)


def test_what_cannot_be_loaded_says_so(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelError, match="one of its architectures"):
        _ = ClipImage(ClipSource("ViT-Z-99", "openai")).preprocess_rev
    with pytest.raises(ModelError, match="existing file or folder"):
        ClipImage(ClipSource(path=str(tmp_path / "nowhere"))).setup(threads=1)
    with pytest.raises(ModelError, match="open_clip could not load"):
        ClipImage(ClipSource("ViT-S-32", "no-such-tag")).setup(threads=1)
    with pytest.raises(ModelError, match="open_clip could not load"):
        ClipImage(ClipSource("ViT-S-32", str(folder / "open_clip_model.safetensors"))).setup(threads=1)
    (tmp_path / "open_clip_config.json").write_text((folder / "open_clip_config.json").read_text())
    with pytest.raises(ModelError, match="must hold a weights file"):
        ClipImage(ClipSource(path=str(tmp_path))).setup(threads=1)


def test_pickled_code_is_never_run(tmp_path: Path) -> None:
    import torch

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "ran").write_text, ("x",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ModelError):
        ClipImage(ClipSource("ViT-S-32", str(tmp_path / "evil.pt"))).setup(threads=1)
    assert not (tmp_path / "ran").exists()
