"""Files of vectors: which fit together, and what is read of their rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import corpora as made
from twigma_spark.checks.configuration import find_problems
from twigma_spark.config.data import Corpus
from twigma_spark.config.settings import Config
from twigma_spark.errors import CorpusError
from twigma_spark.io.vector_files import TEXTS, list_vectors, read_vectors


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.clip_retrieval(tmp_path_factory.mktemp("vectors"), texts=True)


def test_rows_of_any_file_in_any_order_are_read_as_unit_vectors(written: Path) -> None:
    files = list_vectors("own", str(written))
    assert (files.rows, files.dim, files.n_rows) == ({"0": 40, "1": 20}, 512, 60)
    places = [("1", 3), ("0", 39), ("1", 0), ("0", 0), ("0", 39)]
    found = read_vectors(files, [f"img_emb_{n}.npy/{row}/a/b.jpg" for n, row in places])
    stored = {n: np.load(written / "img_emb" / f"img_emb_{n}.npy").astype(np.float64) for n in "01"}
    expected = [stored[n][row] / np.linalg.norm(stored[n][row]) for n, row in places]
    np.testing.assert_allclose(found.vectors, expected, atol=1e-6)
    assert found.vectors.dtype == np.float32 and found.reasons == [None] * 5
    assert found.digests[1] == found.digests[4] != found.digests[0]
    texts = read_vectors(files, ["img_emb_1.npy/3"], TEXTS).vectors
    assert texts.shape == (1, 512) and not np.allclose(texts[0], found.vectors[0])


def test_vectors_that_cannot_be_used_have_a_reason_and_are_zeros(tmp_path: Path) -> None:
    files = list_vectors("own", str(made.clip_retrieval(tmp_path)))
    np.save(tmp_path / "img_emb" / "img_emb_1.npy", np.ones((3, 512), np.float16))
    keys = ["img_emb_0.npy/7", "img_emb_0.npy/8", "img_emb_0.npy/9", "img_emb_1.npy/19"]
    found = read_vectors(files, keys)
    assert found.reasons == [None, "vector_not_finite", "vector_zero", "unreadable_file"]
    assert not found.vectors[1:].any() and found.digests[3] is None
    assert "img_emb_1.npy" in str(found.details[3])


def test_all_files_may_lie_in_one_folder(written: Path, tmp_path: Path) -> None:
    for file in written.glob("*/*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert list_vectors("own", str(tmp_path)).rows == {"0": 40, "1": 20}


def save(name: str, rows: object, **how: bool) -> Callable[[Path], object]:
    """Return what puts another file in the place of one of the fixture's."""
    return lambda root: np.save(root / "img_emb" / name, np.asarray(rows), **how)


def cut(root: Path) -> None:
    file = root / "img_emb" / "img_emb_0.npy"
    file.write_bytes(file.read_bytes()[:-7])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "count": (save("img_emb_1.npy", np.ones((19, 512))), "Got 19 in img_emb_1.npy and 20 in metadata_1.parquet"),
    "length": (save("img_emb_1.npy", np.ones((20, 4))), "Got 512 in img_emb_0.npy and 4 in img_emb_1.npy"),
    "shape": (save("img_emb_0.npy", np.ones(40)), r"be a matrix of floats.* Got float64 of shape \(40,\)"),
    "objects": (save("img_emb_0.npy", [{}] * 40, allow_pickle=True), "img_emb_0.npy must be a whole .npy file"),
    "cut": (cut, "img_emb_0.npy must be a whole .npy file"),
    "no table": (lambda root: made.put(root / "metadata" / "metadata_0.parquet", "x"), "must be a Parquet file"),
    "gone": (lambda root: (root / "metadata" / "metadata_1.parquet").unlink(), "Got img_emb_1.npy without metadata_1"),
    "alone": (lambda root: (root / "img_emb" / "img_emb_1.npy").unlink(), "Got metadata_1.parquet without img_emb_1"),
    "nothing": (lambda root: (root / "img_emb").rename(root / "old"), "path must be a folder of img_emb"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_do_not_fit_together_are_refused_with_both(tmp_path: Path, name: str) -> None:
    spoil, said = REFUSED[name]
    spoil(made.clip_retrieval(tmp_path))
    with pytest.raises(CorpusError, match=said):
        list_vectors("own", str(tmp_path))


@pytest.mark.parametrize(
    ("by", "dim", "said"),
    [
        (None, 512, "embedded_by must name the model that made the vectors, of 512 elements, such as open_clip/ViT-B"),
        ("open_clip/ViT-B-32/openai", 512, r"must be the model of the run.*'open_clip/ViT-L-14/openai'. Got '.*ViT-B"),
        ("open_clip/ViT-L-14/openai", 512, "must have the 768 elements of 'open_clip/ViT-L-14/openai'. Got 512"),
        ("open_clip/ViT-L-14/openai", 768, None),
    ],
)
def test_vectors_must_be_of_the_model_of_the_run(tmp_path: Path, by: str | None, dim: int, said: str | None) -> None:
    path = str(made.clip_retrieval(tmp_path, dim))
    corpus = Corpus(name="own", role="posts", reader="clip_retrieval", path=path, embedded_by=by)
    found = [p.text for p in find_problems(Config(corpora=(corpus,)), ["ingest"])]
    assert len(found) == (said is not None)
    assert said is None or re.search(said, found[0]), found
