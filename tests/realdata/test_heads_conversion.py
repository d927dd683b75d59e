"""LAION's published detectors, converted: the published scores come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twigma_spark.cli.main import main
from twigma_spark.models.registry import scorer

pytestmark = pytest.mark.realdata


@pytest.mark.parametrize(("size", "name"), [("b32", "clip_autokeras_nsfw_b32"), ("l14", "clip_autokeras_binary_nsfw")])
def test_a_converted_detector_gives_the_published_scores(
    shared_data: Path, tmp_path: Path, size: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["convert-nsfw", str(shared_data / f"heads/{name}.zip"), "--out", str(tmp_path / "models")])
    assert f"{name}_weights.npz" in capsys.readouterr().out
    with np.load(shared_data / f"heads/nsfw_testvec_{size}.npz") as oracle:
        vectors, scores = oracle["x"], oracle["y"]
    stored = (vectors == vectors.astype(np.float16)).all(axis=1)
    head = scorer({"kind": "laion_nsfw", "path": str(tmp_path / "models" / f"{name}_weights.npz")}).setup()
    assert np.abs(head(vectors[stored]) - scores[stored]).max() <= 1e-6
