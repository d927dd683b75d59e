import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twigma_spark.errors import ConfigError
from twigma_spark.io import local_files, url_files
from twigma_spark.io.export import escape_formula, frame_bytes, unescape_formula, write_text


def test_a_file_is_written_whole_and_over_an_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "r.html"
    for text in ("first, longer", "zweite: ü\n"):
        assert write_text(str(path), text) == str(path)
    assert path.read_bytes() == "zweite: ü\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["r.html"]


def test_a_failed_write_leaves_the_old_file_and_no_scraps(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    write_text(str(path), "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(str(path), "new \ud800")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_a_file_url_is_a_file(tmp_path: Path) -> None:
    write_text(f"file://{tmp_path}/r.html", "x")
    assert (tmp_path / "r.html").read_text() == "x"


@pytest.mark.parametrize(
    ("url", "path"),
    [("dbfs:/Volumes/a/b/r.html", "/Volumes/a/b/r.html"), ("dbfs:/reports/r.html", "/dbfs/reports/r.html")],
)
def test_a_dbfs_url_is_its_mount(url: str, path: str) -> None:
    assert local_files.mount_path(url) == path


def test_a_url_goes_through_fsspec() -> None:
    fsspec = pytest.importorskip("fsspec")
    assert write_text("memory://bucket/r.html", "ü") == "memory://bucket/r.html"
    assert fsspec.filesystem("memory").cat("/bucket/r.html") == "ü".encode()


def test_a_url_that_nothing_can_write_names_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"nosuch://x/r\.html.*table `reports`"):
        write_text("nosuch://x/r.html", "x")


def test_without_fsspec_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"no module {name}")

    monkeypatch.setattr(url_files, "import_module", missing)
    with pytest.raises(ConfigError, match="Install its driver"):
        write_text("abfss://bucket/r.html", "x")


@given(st.text(st.sampled_from("'=+-@\t\ra1 "), max_size=5))
def test_an_escaped_text_is_no_formula_and_is_found_again(text: str) -> None:
    escaped = escape_formula(text)
    assert not escaped.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unescape_formula(escaped) == text
    if text.startswith(("a", "1", " ")):
        assert escaped == text


def test_a_csv_for_people_computes_nothing_and_keeps_its_numbers() -> None:
    frame = pd.DataFrame({"key": ["=1+1", "a", None], "n": [-1, 2, 3], "x": [-0.5, None, 1.0], "f": ["@b", "'=c", ""]})
    assert frame_bytes(frame, "csv").decode() == "key,n,x,f\n'=1+1,-1,-0.5,'@b\na,2,,''=c\n,3,1.0,\n"
    assert b'"=1+1"' in frame_bytes(frame, "json")
    assert pd.read_parquet(io.BytesIO(frame_bytes(frame, "parquet"))).equals(frame)
