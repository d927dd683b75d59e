"""The notebooks run on the tables of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.jobs.conftest import ROOT, Done

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(done: Done, path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    for cell in cells:
        source = "".join(cell["source"]).replace("../build/demo/tables", done.cfg.store.root)
        exec(compile(source, path.name, "exec"), names)  # noqa: S102 - our own notebook
    assert len(cells) > 3 and all(cell["outputs"] == [] for cell in cells)


def test_there_is_a_notebook() -> None:
    assert list((ROOT / "notebooks").glob("*.ipynb"))
