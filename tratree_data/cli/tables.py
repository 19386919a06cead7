"""Prints tables to a terminal or a pipe: aligned text, JSON lines, CSV or Parquet. Untrusted text is shown, never interpreted."""

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa

from tratree_data.errors import BadInputError, suggest
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store
from tratree_data.system.json_text import json_text
from tratree_data.system.plain_text import from_first_difference, one_line, pad, shorten, width_of

FORMATS = ("table", "json", "csv", "parquet")
PIPED_WIDTH = 160
CALL_WIDTH = 140
SHORT_TEXT = 20
GAP = 2
UNPRINTABLE = re.compile("[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")


def print_table(table: pa.Table, format: str) -> None:
    if format not in FORMATS:
        raise BadInputError(f"Unknown format {format!r}.{suggest(format, FORMATS)}")
    if format != "parquet":
        table = _printable(table)
    if format == "json":
        for row in table.to_pylist():
            print(_escaped(json_text(row)))
    elif format == "csv":
        sys.stdout.flush()
        flat = pa.table({name: _flat(table[name]) for name in table.column_names})
        text = _csv(flat)
        sys.stdout.write("".join(f"{one_line(line)}\n" for line in text.splitlines()) if sys.stdout.isatty() else text)
    elif format == "parquet":
        _write_parquet(table)
    else:
        print_lines(draw_grid(table, _columns()))


def _printable(table: pa.Table) -> pa.Table:
    """Gives every column a unique name, and turns what Python cannot represent (dates after the year 9999, huge intervals) into text."""
    names: list[str] = []
    for name in table.column_names:
        again = names.count(name) and next(f"{name}_{i}" for i in range(1, len(table.column_names) + 1) if f"{name}_{i}" not in names)
        names.append(again or name)
    return pa.table([_within_python(column) for column in table.columns], names=names)


def _within_python(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if not (pa.types.is_temporal(kind) or pa.types.is_interval(kind) or pa.types.is_nested(kind)):
        return column
    try:
        column.to_pylist()
    except (OverflowError, ValueError):
        return pa.chunked_array([[_scalar_text(value) for value in column]], pa.string())
    return column


def _scalar_text(value: pa.Scalar) -> str | None:
    if not value.is_valid:
        return None
    try:
        return str(value.as_py())
    except (OverflowError, ValueError):
        return "out of range"


def print_record(table: pa.Table, format: str) -> None:
    """A table of one row, with one line per column."""
    if format != "table":
        print_table(table, format)
        return
    row = table.to_pylist()[0]
    width = max(len(name) for name in row)
    for name, value in row.items():
        print(f"{name.replace('_', ' '):<{width}}  {_cell(value)}")


def print_calls(calls: pa.Table) -> None:
    """The close calls of an audit, one text above the other, from shortly before they differ."""
    for row in calls.to_pylist():
        verdict = {True: "the next observations agree", False: "the next observations differ", None: "no next observation"}[row["agrees"]]
        print(f"{row['similarity']:.4f}  {'merged' if row['merged'] else 'apart '}  after {shorten(row['action'], 60)!r}: {verdict}")
        for text in from_first_difference(row["a_text"], row["b_text"]):
            print(f"    {shorten(text, CALL_WIDTH)}")


def print_state_merges(store: Store, calls: int) -> None:
    """Pairs of observations that a state combines, if any, the most doubtful first."""
    if not store.has("state_merges"):
        return
    for row in query(store, "state_merges_to_check", calls=calls).to_pylist():
        verdict = f"{row['contradicted']:,} of {row['judged']:,} actions after both led elsewhere" if row["judged"] else "not judged"
        print(f"{row['similarity']:.4f}  one state, {row['visits']:,} steps: {verdict}")
        for text in from_first_difference(row["observation"], row["joined"]):
            print(f"    {shorten(text, CALL_WIDTH)}")


def print_suggestions(rules: pa.Table) -> None:
    """Normalisers that the log supports, then those that it contradicts, each with an example and the reason."""
    for row in rules.to_pylist():
        verdict = f"+{row['merges']:,} steps merge" if row["accepted"] else "not suggested"
        print(f"{verdict}  {row['compares']}: {row['rule']}\n    in {row['pairs']:,} pairs at {row['decisions']:,} decisions, such as")
        print(f"    {shorten(one_line(row['one_text']), 60)!r} / {shorten(one_line(row['other_text']), 60)!r}")
        print(f"    {row['futures'] if row['accepted'] else row['reason']}")


def draw_grid(table: pa.Table, columns: int) -> list[str]:
    """Numbers and short texts keep their width; long texts share the remaining columns and are cut."""
    rows = [[_cell(value) for value in row.values()] for row in table.to_pylist()]
    heads = [one_line(name) for name in table.column_names]
    widths = [max([width_of(name), *(width_of(row[i]) for row in rows)]) for i, name in enumerate(heads)]
    long = [i for i, width in enumerate(widths) if width > SHORT_TEXT]
    left = columns - GAP * (len(widths) - 1) - sum(width for width in widths if width <= SHORT_TEXT)
    for place, i in enumerate(sorted(long, key=lambda i: widths[i])):
        widths[i] = min(widths[i], max(SHORT_TEXT, left // (len(long) - place)))
        left -= widths[i]
    numbers = [pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) for kind in table.schema.types]
    lines = []
    for row in [heads, *rows]:
        cells = [_right(text, width) if number else pad(text, width) for text, width, number in zip(row, widths, numbers, strict=True)]
        lines.append((" " * GAP).join(cells).rstrip())
    return lines


def print_lines(lines: Sequence[str]) -> None:
    """The first line is the heading, in bold if the terminal has colours."""
    head = "\x1b[1m{}\x1b[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else "{}"
    print(head.format(lines[0]))
    for line in lines[1:]:
        print(line)


def _columns() -> int:
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return shutil.get_terminal_size().columns
    return PIPED_WIDTH


def _right(text: str, width: int) -> str:
    return " " * (width - width_of(text)) + text


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return f"{value:,}"
    return one_line(str(value))


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists and structs as JSON, because CSV cannot nest; intervals and bytes as text."""
    if pa.types.is_nested(column.type):
        return pa.chunked_array([[None if value is None else json_text(value) for value in column.to_pylist()]], pa.string())
    if pa.types.is_interval(column.type) or pa.types.is_binary(column.type) or isinstance(column.type, pa.BaseExtensionType):
        return pa.chunked_array([[None if value is None else str(value) for value in column.to_pylist()]], pa.string())
    return column


def _escaped(text: str) -> str:
    """The same JSON with terminal control characters escaped: JSON itself escapes only the first 32 characters."""
    return UNPRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _csv(table: pa.Table) -> str:
    import pyarrow.csv

    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, sink)
    text: str = sink.getvalue().to_pybytes().decode("utf-8")
    return text


def _write_parquet(table: pa.Table) -> None:
    if sys.stdout.isatty():
        raise BadInputError("Refusing to write Parquet to a terminal.\nNext: add > rows.parquet")
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    try:
        pq.write_table(table, sink)
    except pa.ArrowNotImplementedError as error:
        raise BadInputError(
            f"Parquet cannot store this result: {error}.\nNext: cast the column in the query, or use --format json"
        ) from error
    sys.stdout.buffer.write(sink.getvalue())
