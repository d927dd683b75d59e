"""Figures in a folder: what is chosen, what is refused, and what a browser draws where there is one."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import plotly.graph_objects as go
import pytest
from PIL import Image

from twigma_spark.errors import ConfigError
from twigma_spark.report import print_figures
from twigma_spark.report.figures import figure
from twigma_spark.report.print_figures import CAPTIONS, choose, write_figures
from twigma_spark.report.saved_figures import SavedFigure

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def document(*names: str) -> str:
    """Return what a report holds of charts of two points."""
    drawn = [figure(n, [go.Scatter(x=[1, 2], y=[3, 4], name="a")], {"height": 200}, f"Of {n}.") for n in names]
    return "".join(
        f'<figure><script data-figure="{each.id}">{each.json}</script><figcaption>{each.caption}</figcaption></figure>'
        for each in drawn
    )


def test_data_alone_need_no_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    assert write_figures(document("fig-likes", "fig-grid"), tmp_path / "out", said.append, ["csv"]) == 2
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [CAPTIONS, "figure-2d-likes.csv", "grid.csv"]
    assert (tmp_path / "out" / "grid.csv").read_text() == "trace,x,y\na,1,3\na,2,4\n"
    assert "figures: figure-2c-kl is not there: it needs two corpora or more (stage distinctiveness)" in said


@pytest.mark.parametrize(("only", "names"), [
    (["2d"], ["figure-2d-likes"]), (["2"], ["figure-2c-kl", "figure-2d-likes"]),
    (["grid", "2c"], ["grid", "figure-2c-kl"]), (["grid", "grid"], ["grid"]),
    ([], ["figure-2c-kl", "figure-2d-likes", "grid"]),
])  # fmt: skip
def test_figures_are_chosen_by_number_or_name(only: list[str], names: list[str]) -> None:
    figures = [SavedFigure(name, "", {}) for name in ("fig-kl", "fig-likes", "fig-grid")]
    assert [each.name for each in choose(figures, only)] == names


@pytest.mark.parametrize(("form", "only", "charts", "sentence"), [
    ("gif", [], ["fig-kl"], r"--format must be one of svg, pdf, png, csv. Got 'gif'"),
    ("csv", ["4"], ["fig-kl"], r"Got '4': figure-4a-theme-pictures-0 needs .*; figure-4b-theme-composition-0 needs a"),
    ("csv", ["prompts"], ["fig-kl"], r"--only must name a figure of the report: figure-2c-kl, or .* Got 'prompts'"),
    ("csv", ["7"], ["fig-kl"], r"Got '7'\.$"),
    ("csv", [], [], "a report must have figures. Got none"),
])  # fmt: skip
def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, form: str, only: list[str], charts: list[str], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        write_figures(document(*charts), tmp_path / "out", print, [form], only)
    assert not list(tmp_path.iterdir())


def test_without_what_draws_the_command_to_install_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(print_figures, "import_module", absent)
    with pytest.raises(ConfigError, match=r"pip install 'kaleido>=1,<2'.*--format csv needs neither"):
        write_figures(document("fig-kl"), tmp_path / "out", print)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("kaleido") is None, reason="kaleido is not installed")
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="there is no Chromium or Chrome")
def test_a_browser_draws_at_print_size(tmp_path: Path) -> None:
    write_figures(document("fig-grid"), tmp_path / "out", print)
    with Image.open(tmp_path / "out" / "grid.png") as image:
        assert image.size == (2125, 625)  # 180 mm and 200 / 96 inch at 300 pixels to the inch
    svg = (tmp_path / "out" / "grid.svg").read_text()
    assert 'width="680" height="200"' in svg and "http" not in svg.replace("http://www.w3.org/", "")
    assert (tmp_path / "out" / "grid.pdf").read_bytes().startswith(b"%PDF")
