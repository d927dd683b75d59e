"""Figures for print: the charts of a report as SVG, PDF and PNG in one style, each with its data as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

from twigma_spark.errors import ConfigError, TwigmaError
from twigma_spark.io.export import escape_formula
from twigma_spark.io.folders import check_new_folder, whole_folder
from twigma_spark.report.saved_figures import (
    NEEDED,
    OF_THE_PAPER,
    SavedFigure,
    data_rows,
    file_name,
    print_caption,
    read_figures,
)

FORMATS = ("svg", "pdf", "png", "csv")
CAPTIONS = "captions.md"
# 180 mm, two columns of a journal, at the 96 pixels to the inch of CSS.
WIDTH = 680
# Of the PNG: 300 pixels to the inch.
PNG_SCALE = 300 / 96
INK, QUIET, LINE = "#1a1a1a", "#4d4d4d", "#dcdcdc"
HEAT = [[0, "#f3efe8"], [0.25, "#f2d5b5"], [0.55, "#e5a673"], [0.8, "#cf7a3c"], [1, "#5d2310"]]
# 9 points.
FONT = {"family": "Helvetica, Arial, sans-serif", "size": 12, "color": INK}
Log = Callable[[str], None]


def write_figures(
    document: str,
    out: Path,
    log: Log,
    formats: Sequence[str] = FORMATS,
    only: Sequence[str] = (),
    replace: bool = False,
) -> int:
    """Write the figures of a report into a new or empty folder, whole or not at all, and return their number.

    Args:
        document: the report.
        out: the folder.
        log: shows a line; one for each figure that the report does not have.
        formats: of FORMATS.
        only: numbers in the paper or names of the files; none for all.
        replace: whether figures that are in the folder give way to these.

    Raises:
        ConfigError: where the folder is not free, a format or a figure is not known or not there, or what draws is
            not installed.
        TwigmaError: where a figure cannot be drawn.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ConfigError(f"--format must be one of {', '.join(FORMATS)}. Got {', '.join(unknown)!r}.")
    check_new_folder(out, "figures", CAPTIONS, replace)
    figures = choose(read_figures(document), only)
    drawn = [form for form in FORMATS if form in formats and form != "csv"]
    kaleido = _load_kaleido() if drawn else None
    absent = [] if only else missing(figures)
    with whole_folder(out) as part:
        if "csv" in formats:
            for figure in figures:
                (part / f"{figure.name}.csv").write_text(csv_text(figure.chart), encoding="utf-8")
        if kaleido is not None:
            _draw(kaleido, figures, drawn, part)
        (part / CAPTIONS).write_text(describe(figures, absent), encoding="utf-8")
    for line in absent:
        log(f"figures: {line}")
    return len(figures)


def choose(figures: Sequence[SavedFigure], only: Sequence[str]) -> list[SavedFigure]:
    """Return the figures asked for, by number or name; all where none is.

    Raises:
        ConfigError: one is not there, with what it needs, or there are none at all.
    """
    if not figures:
        raise ConfigError("a report must have figures. Got none: run more stages, then the stage report (twigma run).")
    chosen = []
    for wanted in only:
        matching = [figure for figure in figures if wanted in (figure.number, figure.name, *figure.number[:1])]
        if not matching:
            known = [n for n in NEEDED if wanted in (file_name(n), OF_THE_PAPER.get(n), OF_THE_PAPER.get(n, "")[:1])]
            need = "; ".join(f"{file_name(n)} needs {NEEDED[n]}" for n in known if wanted)
            raise ConfigError(
                f"--only must name a figure of the report: {', '.join(figure.name for figure in figures)}, or the "
                f"number of one in the paper. Got {wanted!r}{': ' + need if need else ''}."
            )
        chosen += [figure for figure in matching if figure not in chosen]
    return chosen or list(figures)


def missing(figures: Sequence[SavedFigure]) -> list[str]:
    """Return a sentence for each known figure that is not there."""
    there = {figure.id for figure in figures}
    return [f"{file_name(name)} is not there: it needs {NEEDED[name]}" for name in NEEDED if name not in there]


def describe(figures: Sequence[SavedFigure], absent: Sequence[str]) -> str:
    """Return the captions as Markdown, the figures of the paper first."""
    ordered = sorted(figures, key=lambda figure: (figure.number or "9", figure.name))
    parts = ["# Figures", *(f"**{figure.name}.** {_escape_markdown(print_caption(figure))}" for figure in ordered)]
    if absent:
        parts += ["## Not there", "\n".join(f"- {line}" for line in absent)]
    return "\n\n".join(parts) + "\n"


def csv_text(chart: Mapping[str, Any]) -> str:
    """Return what a chart draws as CSV with a header; texts that a spreadsheet would compute are escaped."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names, rows = data_rows(chart)
    writer.writerow(names)
    writer.writerows([escape_formula(value) for value in row] for row in rows)
    return out.getvalue()


def printable(chart: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chart at print size in the one style: dark ink on white, as the report's light page."""
    figure = deepcopy({"data": chart["data"], "layout": chart["layout"]})
    layout = figure["layout"]
    # Names of panels stand above them; the legend goes above those.
    titled = any(each.get("yref", "").startswith("paper") and each.get("y", 0) >= 1 and each.get("yanchor") == "bottom"
                 for each in layout.get("annotations", []))  # fmt: skip
    place = {"orientation": "h", "x": 0, "y": 1.16 if titled else 1.02, "yanchor": "bottom"}
    layout |= {
        "width": WIDTH,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": FONT,
        "margin": {"l": 60, "r": 20, "t": 34 if titled else 16, "b": 48, **layout.get("margin", {})},
        "legend": {**place, **layout.get("legend", {})},
    }
    for axis in [key for key in layout if key[:5] in ("xaxis", "yaxis")]:
        lines = dict.fromkeys(("gridcolor", "zerolinecolor", "linecolor"), LINE)
        layout[axis] = {"automargin": True, **lines, "tickfont": {"color": QUIET}, **layout[axis]}
    for trace in figure["data"]:
        if trace["type"] == "heatmap":
            trace["colorscale"] = HEAT
    return figure


def _escape_markdown(text: str) -> str:
    """Return text from outside as Markdown that shows it literally."""
    return "".join(f"\\{sign}" if sign in "\\`*_<>[]" else sign for sign in text)


def _load_kaleido() -> Any:
    try:
        return import_module("kaleido")
    except ImportError as error:
        raise ConfigError(
            "kaleido must be installed to draw svg, pdf and png. Got no such package: pip install 'kaleido>=1,<2' (it "
            "draws with the Chrome or Chromium of this machine); --format csv needs neither."
        ) from error


def _draw(kaleido: Any, figures: Sequence[SavedFigure], formats: Sequence[str], folder: Path) -> None:
    """Write each figure in each format; one browser draws them all, and asks nothing of the network."""
    paths = [(figure, form, folder / f"{figure.name}.{form}") for figure in figures for form in formats]
    files = [
        {
            "fig": printable(figure.chart),
            "path": str(path),
            "opts": {"format": form, "scale": PNG_SCALE if form == "png" else 1},
        }
        for figure, form, path in paths
    ]
    browser = import_module("choreographer.errors")
    try:
        errors = kaleido.write_fig_from_object_sync(files, kopts={"mathjax": False})
    except browser.ChromeNotFoundError as error:
        raise ConfigError(
            "Chrome or Chromium must be installed to draw svg, pdf and png. Got neither: install one "
            "(kaleido_get_chrome downloads it), or use --format csv."
        ) from error
    except (browser.BrowserFailedError, browser.BrowserClosedError, browser.BrowserDepsError) as error:
        raise TwigmaError(f"Chrome or Chromium must start to draw figures. Got: {error.args[0]}") from error
    undrawn = sorted(path.name for _, _, path in paths if not path.is_file())
    if errors or undrawn:
        reasons = "; ".join(sorted({str(error) for error in errors})) or "no reason was given"
        raise TwigmaError(f"every figure must be drawn. Got none of {', '.join(undrawn)}: {reasons}.")
