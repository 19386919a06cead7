"""The notebooks run from their first cell to their last, and display what they were saved with."""

from pathlib import Path

import nbformat
import pyarrow as pa
import pytest
from helpers.notebooks import NOTEBOOKS, displayed, run_notebook

from tratree_data.errors import BadInputError
from tratree_data.viewing.notebooks import ROWS, page_frame, table_html


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_displays_what_it_says(path: Path, tmp_path: Path) -> None:
    saved, run = nbformat.read(path, 4), run_notebook(path, tmp_path)
    shown = displayed(run)
    assert len(shown) >= 3
    assert shown == displayed(saved), "make notebooks saves what is displayed now"
    frames = [output for cell in run.cells for output in cell.get("outputs", []) if "<iframe" in output.data.get("text/html", "")]
    assert len(frames) == sum("tratree_data.view(" in cell.source for cell in run.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_saved_notebook_names_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "/tmp/" not in text
    assert "/home/" not in text.replace("-home-me-parser", "")
    assert "<iframe" not in text


def test_a_table_is_displayed_cut_and_escaped() -> None:
    rows = pa.table({"text": ["<b>" + "x" * 500] * 30, "list": [[{"a": 1}]] * 30, "share": [0.123456] * 30, "count": [1234] * 30})
    shown = table_html(rows)
    assert "&lt;b&gt;x" in shown
    assert "<b>" not in shown
    assert shown.count("<tr>") == ROWS + 1
    assert f"{ROWS} of 30 rows" in shown
    assert "<td>0.1235</td><td>1,234</td>" in shown
    one = table_html(pa.table({f"column {i}": [i] for i in range(12)}))
    assert one.count("<tr>") == 12, "a single wide row is shown from top to bottom"
    assert "<table>" in table_html(pa.table({"empty": pa.array([], pa.int64())}))


def test_a_page_in_a_notebook_can_reach_neither_its_cookies_nor_its_kernel() -> None:
    frame = page_frame('<p title="x">&amp;</p>')
    assert 'srcdoc="&lt;p title=&quot;x&quot;&gt;&amp;amp;&lt;/p&gt;"' in frame
    assert 'sandbox="allow-scripts allow-downloads allow-popups"' in frame


def test_a_mistake_is_a_sentence_instead_of_a_traceback() -> None:
    assert BadInputError("No.\nNext: yes")._render_traceback_() == ["BadInputError: No.\nNext: yes"]
