"""JSON with columns that the user names by path: one row per element of the list that the paths share.

    messages=samples[].messages  reward=samples[].scores[0]  model=eval.model

`samples[]` says that each element is a row; what follows is below the element. A path without it is below the value that holds the list.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tratree_data.errors import BadInputError
from tratree_data.importers.log_files import LogFile, is_one_object, json_members, json_records
from tratree_data.importers.log_records import Item, Problem

PATH = re.compile(r"[^.\[\]]+(?:\[\d*\])*(?:\.[^.\[\]]+(?:\[\d*\])*)*")
PART = re.compile(r"[^.\[\]]+|\[\d*\]")
EACH = "[]"
ABSENT = object()


@dataclass(frozen=True)
class Columns:
    """Paths split into parts, `rows` being what leads to the list of rows."""

    rows: tuple[str, ...]
    paths: Mapping[str, tuple[str, ...]]


def parse_columns(columns: Mapping[str, str]) -> Columns:
    paths = {ours: _parts(path) for ours, path in columns.items()}
    rows = max((_rows_of(path) for path in paths.values()), key=len, default=())
    for ours, path in paths.items():
        if EACH in path and path[: len(_rows_of(path))] != rows[: len(_rows_of(path))]:
            raise BadInputError(f"{columns[ours]!r} leads to other rows than {'.'.join(rows)!r}.\nNext: name columns of one list of rows")
    return Columns(rows, paths)


def _parts(path: str) -> tuple[str, ...]:
    if not PATH.fullmatch(path):
        raise BadInputError(f"{path!r} is not a path to a column.\nNext: --column messages=samples[].messages")
    return tuple(PART.findall(path))


def _rows_of(path: tuple[str, ...]) -> tuple[str, ...]:
    return path[: len(path) - path[::-1].index(EACH)] if EACH in path else ()


def json_rows(file: LogFile, columns: Columns) -> Iterator[Item]:
    """Rows with our names for the named columns, and the element's other members under their own."""
    if len(columns.rows) > 1 and columns.rows[1] == EACH and is_one_object(file):
        yield from _streamed_rows(file, columns)
        return
    for where, value in json_records(file):
        if isinstance(value, Problem):
            yield where, value
        elif not columns.rows:
            yield where, _row((), value, columns)
        else:
            yield from _below(where, columns.rows, (value,), columns)


def _streamed_rows(file: LogFile, columns: Columns) -> Iterator[Item]:
    """The elements of one big list, without holding it: what is beside it is read first."""
    name = columns.rows[0]
    outer: dict[str, Any] = {}
    for _, item in json_members(file, inside=(name,)):
        if not isinstance(item, Problem) and item[0] != name:
            outer[item[0]] = item[1]
    for where, item in json_members(file, inside=(name,)):
        if isinstance(item, Problem):
            yield where, item
        elif item[0] == name:
            yield from _below(where, columns.rows[2:], (outer, ABSENT, item[1]), columns)


def _below(where: str, rest: tuple[str, ...], seen: tuple[Any, ...], columns: Columns) -> Iterator[Item]:
    """`seen` are the values on the way down, one per part of the path so far."""
    if not rest:
        yield where, _row(seen, seen[-1], columns)
    elif rest[0] == EACH:
        for element in seen[-1] if isinstance(seen[-1], list) else []:
            yield from _below(where, rest[1:], (*seen, element), columns)
    else:
        yield from _below(where, rest[1:], (*seen, _step(seen[-1], rest[0])), columns)


def _row(seen: tuple[Any, ...], element: Any, columns: Columns) -> Any:
    if not isinstance(element, dict):
        return element
    row = dict(element)
    for ours, path in columns.paths.items():
        shared = 0
        while shared < len(columns.rows) and path[: shared + 1] == columns.rows[: shared + 1] and shared + 1 < len(path):
            shared += 1
        value = seen[shared] if seen else element
        for part in path[shared:]:
            value = _step(value, part)
        if value is not ABSENT:
            row[ours] = value
        elif ours in row and path != (ours,):
            del row[ours]
    return row


def _step(value: Any, part: str) -> Any:
    if part.startswith("["):
        index = int(part[1:-1] or 0)
        return value[index] if isinstance(value, list) and index < len(value) else ABSENT
    return value.get(part, ABSENT) if isinstance(value, dict) else ABSENT
