"""Heads: their arithmetic against loops written out, and what they refuse. The oracles are in realdata."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from twigma_spark.errors import ModelError
from twigma_spark.models.heads import Head, HeadSpec, LinearNet, load_aesthetic, save_linear
from twigma_spark.models.heads_laion import load_nsfw

RNG = np.random.default_rng(0)
OWN = "open_clip/clip@0123456789ab"


def unit(rows: int, dim: int) -> np.ndarray:
    vectors = RNG.normal(size=(rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def linear_file(folder: Path, **meta: str) -> str:
    save_linear(folder / "mine.safetensors", np.arange(8, dtype=np.float32), -0.5, meta)
    return str(folder / "mine.safetensors")


def nsfw_files(folder: Path) -> str:
    """A detector in miniature: 8 columns, of which the third is categorical."""
    arrays = {
        "mean": RNG.normal(size=8),
        "variance": np.array([1, 2, 3, 4, 5, 6, 0, 8.0]),
        "encoding_layers0": np.zeros(0),
        "kernel2": RNG.normal(size=(8, 4)),
        "bias2": RNG.normal(size=4),
        "kernel10": RNG.normal(size=(4, 1)),
        "bias10": RNG.normal(size=1),
    }
    np.savez(folder / "small_weights.npz", **{key: value.astype(np.float32) for key, value in arrays.items()})
    words = {"0.250000": 1, "0.099976": 2}  # 0.1 as float16 is 0.09998
    (folder / "small_vocab.json").write_text(json.dumps({"int_columns": [2], "vocab": {"2": words}}))
    return str(folder / "small_weights.npz")


def test_linear_head_is_a_sigmoid_or_not(tmp_path: Path) -> None:
    vectors = unit(5, 8)
    logits = vectors @ np.arange(8) - 0.5
    head = HeadSpec("linear", linear_file(tmp_path, embedding_model=OWN)).setup()
    np.testing.assert_allclose(head(vectors, OWN), 1 / (1 + np.exp(-logits)), atol=1e-6)
    plain = HeadSpec("linear", linear_file(tmp_path, embedding_model=OWN, link="identity")).setup()
    np.testing.assert_allclose(plain(vectors), logits, atol=1e-6)
    assert plain(vectors).dtype == np.float32
    assert plain(vectors[:0]).shape == (0,)


def test_a_head_refuses_other_embeddings(tmp_path: Path) -> None:
    head = HeadSpec("linear", linear_file(tmp_path, embedding_model=OWN)).setup()
    with pytest.raises(ModelError, match=r"must be of shape \(n, 8\). Got \(3, 9\)"):
        head(unit(3, 9))
    with pytest.raises(ModelError, match="must be of shape"):
        head(unit(1, 8)[0])
    with pytest.raises(ModelError, match=r"must be of open_clip/clip@0123456789ab\. Got 'open_clip/ViT-B-32/op"):
        head(unit(3, 8), "open_clip/ViT-B-32/openai")
    other = HeadSpec("linear", linear_file(tmp_path, embedding_model=OWN), embedding_model="x/y").setup()
    assert other(unit(3, 8), "x/y").shape == (3,)


def test_a_head_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="embedding_model must be set"):
        HeadSpec("linear", linear_file(tmp_path)).setup()


def test_nsfw_head_does_what_the_published_model_does(tmp_path: Path) -> None:
    path = nsfw_files(tmp_path)
    arrays = np.load(path)
    vectors = unit(6, 8)
    vectors[:3, 2] = [0.25, 0.1, 0.3]
    halves = vectors.astype(np.float16).astype(np.float64)
    halves[:, 2] = [1, 2, 0, 0, 0, 0]
    hidden = (halves - arrays["mean"]) / np.maximum(np.sqrt(arrays["variance"]), 1e-7)
    hidden = np.maximum(hidden @ arrays["kernel2"] + arrays["bias2"], 0)
    logits = (hidden @ arrays["kernel10"] + arrays["bias10"])[:, 0]
    head = HeadSpec("laion_nsfw", path, embedding_model=OWN).setup()
    np.testing.assert_allclose(head(vectors), 1 / (1 + np.exp(-logits)), rtol=1e-4, atol=1e-6)


def test_without_the_cast_the_look_up_misses(tmp_path: Path) -> None:
    path = nsfw_files(tmp_path)
    vectors = unit(1, 8)
    vectors[0, 2] = 0.1
    for cast, index in ((True, 2), (False, 0)):
        net = load_nsfw(Path(path), tmp_path / "small_vocab.json", cast_float16=cast)
        assert net._encode_categories(vectors)[0, 2] == index


def test_heads_of_laion_belong_to_openai_models(tmp_path: Path) -> None:
    import torch

    for dim, name in ((512, "ViT-B-32"), (768, "ViT-L-14")):
        torch.save({"weight": torch.ones(1, dim), "bias": torch.zeros(1)}, tmp_path / "sa.pth")
        head = HeadSpec("laion_aesthetic", str(tmp_path / "sa.pth")).setup()
        assert head(np.ones((2, dim)), f"open_clip/{name}/openai").tolist() == [dim, dim]
        with pytest.raises(ModelError, match="must be of"):
            head(np.ones((2, dim)), f"open_clip/{name}/laion2b_s34b_b79k")


def test_the_mlp_is_one_linear_map(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Linear(8, 6), torch.nn.Dropout(0.2), torch.nn.Linear(6, 4), torch.nn.Linear(4, 1)
    ).eval()
    torch.save({f"layers.{key}": value for key, value in layers.state_dict().items()}, tmp_path / "mlp.pth")
    vectors = unit(5, 8)
    with torch.no_grad():
        theirs = layers(torch.from_numpy(vectors))[:, 0].numpy()
    np.testing.assert_allclose(load_aesthetic(tmp_path / "mlp.pth").score(vectors), theirs, atol=1e-6)


def test_files_that_are_no_heads(tmp_path: Path) -> None:
    import torch

    (tmp_path / "junk.pth").write_bytes(b"junk")
    torch.save({"weight": torch.ones(3, 8), "bias": torch.zeros(3)}, tmp_path / "wide.pth")
    np.savez(tmp_path / "other_weights.npz", mean=np.zeros(3), objects=np.array([{}], dtype=object))
    (tmp_path / "other_vocab.json").write_text("{}")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    for kind, name in (
        ("laion_aesthetic", "junk.pth"),
        ("laion_aesthetic", "wide.pth"),
        ("laion_nsfw", "other_weights.npz"),
        ("linear", "junk.safetensors"),
        ("linear", "missing.safetensors"),
    ):
        with pytest.raises(ModelError):
            HeadSpec(kind, str(tmp_path / name), embedding_model=OWN).setup()
    with pytest.raises(ModelError, match="kind of a head must be one of"):
        HeadSpec("random", "x")


def test_a_head_travels_in_a_closure() -> None:
    head = Head("mine", (OWN,), LinearNet(np.ones(8, dtype=np.float32), 0.0))
    vectors = unit(4, 8)
    assert (pickle.loads(pickle.dumps(head))(vectors) == head(vectors)).all()  # noqa: S301
