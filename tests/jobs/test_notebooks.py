"""The notebooks run in a kernel of their own on the tables of a run, and draw figures without a hole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.jobs.conftest import ROOT, Done

pytestmark = pytest.mark.slow
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PLOTLY = "application/vnd.plotly.v1+json"


def figures(notebook: Any) -> list[dict[str, Any]]:
    """Return the plotly figures that a notebook has drawn."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.data[PLOTLY] for output in outputs if PLOTLY in output.get("data", {})]


def points(trace: dict[str, Any]) -> int:
    """Return how much a trace draws: plotly writes arrays as lists or as base64 text."""
    values = trace.get("x", trace.get("z", []))
    return len(values["bdata"] if isinstance(values, dict) else values)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(done: Done, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIGMA_STORE", done.cfg.store.root)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "notebooks are kept without their outputs"
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    drawn = figures(notebook)
    assert drawn and all(points(trace) for figure in drawn for trace in figure["data"])


def test_the_papers_figures_and_a_question_are_there() -> None:
    assert {"paper_figures", "a_question"} <= {path.stem for path in NOTEBOOKS}
