"""The notebooks run in a kernel on the tables of a run, and draw figures without a hole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
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


@pytest.fixture(scope="module")
def kernel(done: Done) -> Iterator[KernelManager]:
    """A kernel with the run's tables; both notebooks run in it, since each start of Spark takes half a minute."""
    manager = KernelManager(kernel_name="python3")
    environment = {**os.environ, "TWIGMA_STORE": done.cfg.store.root, "PYTHONPATH": str(ROOT)}
    manager.start_kernel(cwd=str(ROOT / "notebooks"), env=environment)
    yield manager
    manager.shutdown_kernel()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(kernel: KernelManager, path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "notebooks are kept without their outputs"
    # No name of the notebook before it is left.
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    NotebookClient(notebook, timeout=300, km=kernel).execute()
    drawn = figures(notebook)
    assert drawn and all(points(trace) for figure in drawn for trace in figure["data"])


def test_the_papers_figures_and_a_question_are_there() -> None:
    assert {"paper_figures", "a_question"} <= {path.stem for path in NOTEBOOKS}
