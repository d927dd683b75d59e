"""Readers of public preference data sets: what each says of two images, ties, and files of another format."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twigma_spark.errors import CorpusError
from twigma_spark.io.preferences import Preference, read_preferences


def test_imagereward_ranks_make_pairs_and_ties_none(tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    path.write_text(json.dumps([{"id": "1", "prompt": "p", "generations": ["a", "b", "c"], "ranking": [2, 1, 2]}]))
    assert read_preferences(str(path), "imagereward") == [Preference("p", "b", "a"), Preference("p", "b", "c")]


def test_hpd_train_and_test(tmp_path: Path) -> None:
    path = tmp_path / "hpd.json"
    train = {"prompt": "p", "file_path": ["a", "b"], "human_preference": [0, 1]}
    test = {"prompt": "q", "image_path": ["c", "d"], "rank": [1.2, 3.4], "raw_annotations": []}
    path.write_text(json.dumps([train, test]))
    assert read_preferences(str(path), "hpd") == [Preference("p", "b", "a"), Preference("q", "c", "d")]


def test_pickapic_labels(tmp_path: Path) -> None:
    path = tmp_path / "pick.parquet"
    columns = {
        "caption": ["p"] * 4,
        "image_0_uid": ["a"] * 4,
        "image_1_uid": ["b"] * 4,
        "label_0": [1.0, 0.0, 0.5, None],
        "jpg_0": [b""] * 4,
    }
    pq.write_table(pa.table(columns), path)
    assert read_preferences(str(path), "pickapic") == [Preference("p", "a", "b"), Preference("p", "b", "a")]


def test_social_reward(tmp_path: Path) -> None:
    path = tmp_path / "social.parquet"
    pq.write_table(pa.table({"prompt": ["p"], "pos_path": ["x/a.jpg"], "neg_path": ["x/b.jpg"]}), path)
    assert read_preferences(str(path), "social_reward") == [Preference("p", "x/a.jpg", "x/b.jpg")]


@pytest.mark.parametrize("form", ["imagereward", "hpd", "pickapic", "social_reward"])
def test_a_file_of_another_format_is_named(tmp_path: Path, form: str) -> None:
    path = tmp_path / "file"
    pq.write_table(pa.table({"prompt": ["p"], "pos_path": ["a"]}), path)
    with pytest.raises(CorpusError, match=f"preferences must be a file of the format {form}. Got "):
        read_preferences(str(path), form)
    path.write_text('[{"prompt": "p"}]')
    with pytest.raises(CorpusError, match="preferences must be a file of the format"):
        read_preferences(str(path), form)
    with pytest.raises(CorpusError, match="No such file"):
        read_preferences(str(tmp_path / "nothing"), form)


def test_the_published_test_set_has_6399_strict_pairs(shared_data: Path) -> None:
    path = shared_data / "preference" / "imagereward_test.json"
    if not path.is_file():
        pytest.skip(f"real data is missing: {path}")
    found = read_preferences(str(path), "imagereward")
    assert len(found) == 6399 and len({p.prompt for p in found}) == 463
