from pathlib import Path

import pytest

from twigma_spark.errors import ConfigError
from twigma_spark.io import export
from twigma_spark.io.export import write_text


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
    assert export._mounted(url) == path


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

    monkeypatch.setattr(export, "import_module", missing)
    with pytest.raises(ConfigError, match="Install its driver"):
        write_text("s3://bucket/r.html", "x")
