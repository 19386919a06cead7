"""What a notebook displays: results of queries as tables, pages in a frame, and a message while a cell would seem to hang."""

import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from typing import Any

from tratree_data.system.json_text import json_text

ROWS = 20
"""Rows of a table that are shown; the rest is counted."""
WIDEST = 8
LONGEST = 200
HEIGHT = 640


def is_notebook() -> bool:
    """Whether IPython runs this process."""
    found = sys.modules.get("IPython")
    return found is not None and found.get_ipython() is not None


def display_tables() -> None:
    """Lets IPython show Arrow tables, which every verb and query returns, as tables."""
    formatter = sys.modules["IPython"].get_ipython().display_formatter.formatters["text/html"]
    formatter.for_type_by_name("pyarrow.lib", "Table", table_html)


def table_html(table: Any) -> str:
    """The first rows of an Arrow table, long texts cut; a single row of many columns from top to bottom."""
    columns = [[_cell(value) for value in column.to_pylist()] for column in table.slice(0, ROWS).columns]
    if table.num_rows == 1 and table.num_columns > WIDEST:
        return _table([], [[f"<th>{escape(name)}</th>", *cells] for name, cells in zip(table.column_names, columns, strict=True)])
    more = f"<p>{ROWS} of {table.num_rows:,} rows</p>" if table.num_rows > ROWS else ""
    return _table(table.column_names, zip(*columns, strict=True)) + more


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = f"<thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in heads)}</tr></thead>" if heads else ""
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    """Aligns texts left and numbers right; writes lists and structs as JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        text = "" if value is None else json_text(value) if isinstance(value, list | dict) else str(value)
        shown = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
        return f'<td style="text-align: left">{escape(shown)}</td>'
    return f"<td>{value:.4g}</td>" if isinstance(value, float) else f"<td>{value:,}</td>"


def page_frame(page: str) -> str:
    """The page inside the notebook. It contains untrusted texts, so it has no access to the notebook's cookies or kernel."""
    look = f'width="100%" height="{HEIGHT}" style="border: 1px solid #8884; border-radius: 8px"'
    return f'<iframe srcdoc="{escape(page)}" sandbox="allow-scripts allow-downloads allow-popups" {look}></iframe>'
