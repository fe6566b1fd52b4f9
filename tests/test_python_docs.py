"""What the guide to Python and the notebook show does run, as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]


def test_every_block_of_the_guide_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 7
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "atempts is no option" in done.stdout


def test_the_notebook_runs(tmp_path):
    notebook = nbformat.read(ROOT / "examples" / "small_world.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # kept without them: they are large, and age
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [out["data"] for cell in notebook.cells for out in cell.get("outputs", ()) if "data" in out]
    pages = "\n".join(data["text/html"] for data in shown if "text/html" in data)
    assert "the student</span>" in pages and "fallback_rate" in pages and "95 % interval" in pages
    assert "stdout" not in [
        out.get("name") for cell in notebook.cells for out in cell.get("outputs", ())
    ]  # it is quiet
