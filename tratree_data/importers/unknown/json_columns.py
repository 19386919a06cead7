"""Columns that are named by path: one row per element of the list that the paths share.

    messages=samples[].messages  reward=samples[].scores[0]  model=eval.model        messages=*.log  task_id=*

`samples[]` says that each element is a row, and `*` that each member of an object is, by the name that `*` at the end stands for; what
follows is below the element. A path without them is below the value that holds the rows. `[-1]` is the last of a list. Texts that hold
JSON are read on the way, and a database is an object whose tables are lists.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tratree_data.errors import BadInputError
from tratree_data.importers.files.databases import is_sqlite
from tratree_data.importers.files.log_files import LogFile, is_one_object, json_members, json_records, json_value
from tratree_data.importers.log_records import Item, Problem
from tratree_data.importers.unknown.table_rows import csv_rows, delimiter_of, sqlite_rows

INDEX = r"\[-?\d*\]"
PATH = re.compile(rf"[^.\[\]]+(?:{INDEX})*(?:\.[^.\[\]]+(?:{INDEX})*)*")
PART = re.compile(rf"[^.\[\]]+|{INDEX}")
EACH, MEMBERS = "[]", "*"
ROWS = (EACH, MEMBERS)
ABSENT = object()
Path = tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """Paths split into parts, `rows` being what leads to the rows."""

    rows: Path
    paths: Mapping[str, Path]


def parse_columns(columns: Mapping[str, str]) -> Columns:
    paths = {ours: _parts(path) for ours, path in columns.items()}
    rows = max((rows_of(path) for path in paths.values()), key=len, default=())
    for ours, path in paths.items():
        if rows_of(path) != rows[: len(rows_of(path))]:
            raise BadInputError(
                f"{columns[ours]!r} leads to other rows than {path_text(rows)!r}.\
Next: name columns of one list of rows"
            )
    return Columns(rows, paths)


def _parts(path: str) -> Path:
    if not PATH.fullmatch(path):
        raise BadInputError(f"{path!r} is not a path to a column.\nNext: --column messages=samples[].messages")
    return tuple(PART.findall(path))


def path_text(path: Path) -> str:
    """Writes the path in the form that `_parts` reads."""
    return "".join(part if part.startswith("[") else f".{part}" for part in path).removeprefix(".")


def rows_of(path: Path) -> Path:
    """The part of the path that leads to the rows."""
    return next((path[:end] for end in range(len(path), 0, -1) if path[end - 1] in ROWS), ())


def json_rows(file: LogFile, columns: Columns, records: Iterator[Item] | None = None) -> Iterator[Item]:
    """Rows with our names for the named columns, and the element's other members under their own."""
    rest, above = columns.rows, 0
    if records is None and is_sqlite(file):
        records, above = sqlite_rows(file, rest[0] if rest else ""), 2
    elif records is None and delimiter_of(file):
        records = csv_rows(file)
    elif records is None and rest[1:2] == (EACH,) and is_one_object(file):
        yield from _streamed_rows(file, columns)
        return
    elif records is None and rest[:1] == (MEMBERS,) and is_one_object(file):
        records, above = json_members(file), 1
    for where, value in json_records(file) if records is None else records:
        if isinstance(value, Problem):
            yield where, value
        elif above == 1:
            yield from _below(where, rest[1:], (ABSENT, value[1]), (value[0],), columns)
        else:
            seen: tuple[Any, ...] = (*[ABSENT] * above, value)
            yield from _below(where, rest[above:], seen, ("",) * above, columns)


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
            yield from _below(where, columns.rows[2:], (outer, ABSENT, item[1]), ("", ""), columns)


def _below(where: str, rest: Path, seen: tuple[Any, ...], names: Path, columns: Columns) -> Iterator[Item]:
    """`seen` are the values on the way down, one more than the parts of the path so far; `names` are those of members."""
    if not rest:
        yield where, _row(seen, names, columns)
    elif rest[0] == EACH:
        for element in unpacked(seen[-1]) if isinstance(unpacked(seen[-1]), list) else []:
            yield from _below(where, rest[1:], (*seen, element), (*names, ""), columns)
    elif rest[0] == MEMBERS:
        for name, member in unpacked(seen[-1]).items() if isinstance(unpacked(seen[-1]), dict) else []:
            yield from _below(where, rest[1:], (*seen, member), (*names, name), columns)
    else:
        yield from _below(where, rest[1:], (*seen, step(seen[-1], rest[0])), (*names, ""), columns)


def _row(seen: tuple[Any, ...], names: Path, columns: Columns) -> Any:
    element = unpacked(seen[-1])
    if not isinstance(element, dict):
        inner = any(len(path) > len(columns.rows) for path in columns.paths.values())
        if isinstance(element, list) and inner:
            return _named(seen, names, columns)
        return element if "messages" not in columns.paths else {"messages": element} | _named(seen, names, columns)
    row = dict(element)
    found = _named(seen, names, columns)
    for ours, path in columns.paths.items():
        if ours in found:
            row[ours] = found[ours]
        elif ours in row and path != (ours,):
            del row[ours]
    return row


def _named(seen: tuple[Any, ...], names: Path, columns: Columns) -> dict[str, Any]:
    """The values of the named columns that exist."""
    found = {}
    for ours, path in columns.paths.items():
        shared = 0
        while shared < len(columns.rows) and path[: shared + 1] == columns.rows[: shared + 1] and shared + 1 <= len(path):
            shared += 1
        is_name = path[-1] == MEMBERS and shared == len(path) and ours != "messages"
        value = names[shared - 1] if is_name else seen[shared]
        for part in path[shared:]:
            value = step(value, part)
        if value is not ABSENT:
            found[ours] = value
    return found


def step(value: Any, part: str) -> Any:
    value = unpacked(value)
    if part.startswith("["):
        index = int(part[1:-1] or 0)
        return value[index] if isinstance(value, list) and -len(value) <= index < len(value) else ABSENT
    return value.get(part, ABSENT) if isinstance(value, dict) else ABSENT


def unpacked(value: Any) -> Any:
    """What a text holds if it is a JSON object or list."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    found = json_value("", value.encode("utf-8", "surrogatepass"))
    return value if isinstance(found, Problem) else found
