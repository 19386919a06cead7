"""Runs the notebooks in docs/notebooks/ as their readers do, each in a new folder: python -m helpers.notebooks saves what they display."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient

from helpers.claude_sessions import write_sessions

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


def run_notebook(path: Path, folder: Path) -> Any:
    """The notebook with what it displays. `folder` is where it runs and its reader's home, with sessions of Claude Code."""
    write_sessions(folder / ".claude/projects")
    book = nbformat.read(path, 4)
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(ROOT), "TRATREE_CACHE": "off", "HF_HUB_OFFLINE": "1"}
    client = NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    for number, cell in enumerate(cell for cell in book.cells if cell.cell_type == "code"):
        cell.metadata.clear()
        cell.execution_count = number + 1
        cell.outputs = [output for output in cell.outputs if output.output_type == "execute_result"]
        for output in cell.outputs:
            output.execution_count = number + 1
    book.metadata = {"kernelspec": book.metadata["kernelspec"], "language_info": {"name": "python"}}
    return book


def displayed(book: Any) -> list[str]:
    """Tables, trees and figures, in their order. Pages are left out: each has its whole program in it."""
    found = [output.data.get("text/html") or output.data.get("image/svg+xml") for cell in book.cells for output in cell.get("outputs", [])]
    return [text for text in found if text and not text.startswith("<iframe")]


if __name__ == "__main__":
    for notebook in NOTEBOOKS:
        with TemporaryDirectory() as folder:
            book = run_notebook(notebook, Path(folder))
        for cell in book.cells:
            if any(output.data.get("text/html", "").startswith("<iframe") for output in cell.get("outputs", [])):
                cell.outputs = []
        nbformat.write(book, notebook)
        sys.stdout.write(f"{notebook.relative_to(ROOT)}\n")
