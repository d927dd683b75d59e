"""Folders for others: new or empty, there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from twigma_spark.errors import ConfigError
from twigma_spark.io.folders import check_new_folder, whole_folder


def test_a_folder_is_there_at_the_end_only(tmp_path: Path) -> None:
    out = tmp_path / "below" / "out"
    with whole_folder(out) as part:
        (part / "a").write_text("1")
        assert not out.exists()
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert (out / "a").read_text() == "1"


def test_after_an_error_nothing_new_is_left_and_the_old_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()
    with pytest.raises(ValueError, match="half"), whole_folder(out) as part:
        (part / "new").touch()
        raise ValueError("half")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_the_folder_of_a_relative_path_is_written_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with whole_folder(Path()) as part:
        (part / "a").touch()
    assert (tmp_path / "here" / "a").is_file()


@pytest.mark.parametrize(("replace", "there", "wrong"), [
    (False, None, None), (True, None, None), (False, "", None), (False, "kind.json", "--replace puts a kind"),
    (True, "kind.json", None), (True, "other.json", "or one with a kind"),
])  # fmt: skip
def test_which_folders_can_be_written(tmp_path: Path, replace: bool, there: str | None, wrong: str | None) -> None:
    out = tmp_path / "out"
    if there is not None:
        out.mkdir()
    if there:
        (out / there).touch()
    if wrong is None:
        check_new_folder(out, "a kind", "kind.json", replace)
    else:
        with pytest.raises(ConfigError, match=wrong):
            check_new_folder(out, "a kind", "kind.json", replace)


def test_a_url_is_no_folder() -> None:
    with pytest.raises(ConfigError, match="--out must be a folder of this machine"):
        check_new_folder(Path("s3://bucket/x"), "a kind", "kind.json")
