"""The archive of Python and packages for Spark: it names no folder of its builder and takes no library of a node."""

from __future__ import annotations

import os
import runpy
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE: dict[str, Any] = runpy.run_path(str(ROOT / "deploy" / "environment.py"))


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Return a folder such as an installed interpreter with two packages, but empty files."""
    folder = tmp_path / "built" / "environment"
    for name in (
        "bin/python3.11",
        "bin/pip",
        "bin/twigma",
        "bin/python3.11-config",
        "lib/python3.11/ssl.py",
        "lib/python3.11/site-packages/twigma_spark-0.1.0.dist-info/direct_url.json",
        "lib/python3.11/site-packages/twigma_spark-0.1.0.dist-info/METADATA",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "bin" / "python3").symlink_to("python3.11")
    return folder


def test_scripts_and_the_origin_of_the_wheel_are_left_out(environment: Path) -> None:
    MODULE["clean"](environment)
    assert sorted(path.name for path in (environment / "bin").iterdir()) == ["python", "python3", "python3.11"]
    assert (environment / "bin" / "python").read_text() == "bin/python3.11"
    (info,) = environment.glob("lib/python3.11/site-packages/*.dist-info")
    assert [path.name for path in info.iterdir()] == ["METADATA"]


def test_the_same_content_makes_the_same_archive(environment: Path, tmp_path: Path) -> None:
    MODULE["pack"](environment, tmp_path / "a.tar.gz")
    os.utime(environment / "bin" / "pip", (1, 1))
    MODULE["pack"](environment, tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    (environment / "bin" / "pip").write_text("other")
    MODULE["pack"](environment, tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() != (tmp_path / "b.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        members = {member.name: member for member in archive}
        assert members["bin/python3"].linkname == "python3.11" and members["bin/python3.11"].isfile()
        assert {(member.uid, member.uname, member.mtime) for member in members.values()} == {(0, "", 0)}


def test_libraries_of_the_machine_are_seen() -> None:
    maps = """\
7f00-7f01 r-xp 00000000 fe:00 1 /w/environment/lib/libpython3.11.so.1.0
7f02-7f03 r-xp 00000000 fe:00 2 /usr/lib/x86_64-linux-gnu/libc.so.6
7f04-7f05 r-xp 00000000 fe:00 3 /usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30
7f06-7f07 r-xp 00000000 fe:00 4 /usr/lib/x86_64-linux-gnu/libssl.so.3
7f08-7f09 r--p 00000000 fe:00 5 /usr/lib/locale/C.utf8/LC_CTYPE
7f0a-7f0b rw-p 00000000 00:00 0
7f0c-7f0d rw-p 00000000 00:00 0 [stack]
"""
    assert MODULE["foreign_libraries"](maps, Path("/w/environment")) == ["/usr/lib/x86_64-linux-gnu/libssl.so.3"]
    assert MODULE["foreign_libraries"](maps, Path("/elsewhere"))[1].endswith("libpython3.11.so.1.0")


def test_an_archive_that_does_not_import_is_refused(environment: Path, tmp_path: Path) -> None:
    script = environment / "bin" / "python"
    script.write_text("#!/bin/sh\necho 'no module of that name' >&2\nexit 1\n")
    script.chmod(0o755)
    MODULE["pack"](environment, tmp_path / "a.tar.gz")
    with pytest.raises(SystemExit, match=r"must work where it is unpacked[^\n]*\nno module of that name"):
        MODULE["check"](tmp_path / "a.tar.gz")


def test_an_archive_that_takes_the_python_of_the_machine_is_refused(environment: Path, tmp_path: Path) -> None:
    (environment / "bin" / "python").symlink_to(sys.executable)
    MODULE["pack"](environment, tmp_path / "a.tar.gz")
    with pytest.raises(SystemExit, match="must hold a Python of its own"):
        MODULE["check"](tmp_path / "a.tar.gz", required=("json",))


def test_without_a_wheel_it_says_how_one_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(MODULE["main"].__globals__, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="make wheel"):
        MODULE["main"](["emr_serverless"])


def test_a_python_that_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(MODULE["uv"].__globals__, "PYTHON", "3.11.9999")
    with pytest.raises(SystemExit, match="--python names one that is there"):
        MODULE["download_python"](tmp_path)
