"""Answers for agents: tables as JSON that fits a context window, and text without terminal control characters.

Cells, rows and whole answers are limited; a note says what was left out and how to read it.
"""

import json
import unicodedata
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from tratree_data.errors import BadInputError
from tratree_data.system.json_text import json_text

MOST_ROWS = 100
LONGEST_CELL = 1_000
LONGEST_ANSWER = 40_000
"""Characters, about 10,000 tokens: what agents take from a tool without a warning."""


def answer_rows(table: pa.Table, most_rows: int = MOST_ROWS) -> str:
    """One JSON object: the columns, a line per row, and a note if anything was left out. `table` may have one row more than is shown."""
    names = visible(json_text(table.column_names))
    if len(names) > LONGEST_ANSWER:
        raise BadInputError(f"The answer has {table.num_columns:,} columns, too many to show.\nNext: select fewer columns")
    lines: list[str] = []
    size, cut = len(names), False
    for row in _rows(table.slice(0, most_rows)):
        cells = [_cell(value) for value in row]
        line = visible(json_text([cell for cell, _ in cells]))
        size += len(line)
        if size > LONGEST_ANSWER:
            break
        lines.append(line)
        cut = cut or any(was_cut for _, was_cut in cells)
    note = _note(len(lines), table.num_rows, cut)
    parts = [f'"columns": {names}', '"rows": [\n' + ",\n".join(lines) + "\n]", *([f'"note": {json_text(note)}'] if note else [])]
    return "{" + ",\n".join(parts) + "}"


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    try:
        return zip(*(column.to_pylist() for column in table.columns), strict=True)
    except (OverflowError, ValueError) as error:
        raise BadInputError(f"A value cannot be shown: {error}.\nNext: CAST(column AS VARCHAR)") from error


def answer_text(text: str, advice: str) -> str:
    """Lines up to the limit; `advice` says how to ask for fewer."""
    if len(text) <= LONGEST_ANSWER:
        return visible(text)
    shown = text[: text.rfind("\n", 0, LONGEST_ANSWER) + 1] or text[:LONGEST_ANSWER]
    left_out = text.count("\n", len(shown)) + 1
    return f"{visible(shown)}({left_out:,} more lines were left out: {advice}.)"


def visible(text: str) -> str:
    """Control, bidirectional and invisible characters as JSON escapes: exact, and nothing that a terminal would carry out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(json.dumps(c)[1:-1] if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c for c in text)


def _cell(value: Any) -> tuple[Any, bool]:
    """The value, or the beginning of its text and how long it is."""
    text = value if isinstance(value, str) else json_text(value)
    if len(text) <= LONGEST_CELL:
        return value, False
    return f"{text[:LONGEST_CELL]}… ({len(text):,} characters)", True


def _note(shown: int, found: int, cut: bool) -> str:
    notes = []
    if found > shown > 0:
        notes.append(f"Only the first {shown:,} rows are shown. Next: aggregate, or read on with ORDER BY … LIMIT … OFFSET {shown}.")
    elif found > shown:
        notes.append(f"A row is longer than {LONGEST_ANSWER:,} characters, the limit. Next: select fewer columns.")
    if cut:
        notes.append(f"Cells are cut at {LONGEST_CELL:,} characters. Next: substr(column, {LONGEST_CELL + 1}, {LONGEST_CELL}) continues.")
    return " ".join(notes)
