"""Rows of CSV files and SQLite databases, as JSON readers see them: a row is an object, a database an object of lists.

A cell that holds a JSON object or list is read where a path leads into it (json_columns.py). Of a database, a row also has the row that it
refers to: `messages.conversation_id` brings the conversation as `conversation`.
"""

import csv
import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

from tratree_data.importers.files.log_files import READ_ERRORS, LogFile
from tratree_data.importers.files.packed_files import plain_name
from tratree_data.importers.log_records import Item, Problem, Unusable

SQLITE_MAGIC = b"SQLite format 3\0"
DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError, OverflowError)
CSV_ENDINGS = {".csv": ",", ".tsv": "\t"}
LONGEST_CELL = 32 * 2**20
SQLITE_STEPS = 2_000_000_000
"""Steps of SQLite's virtual machine: a view in a stranger's database could compute forever."""


def is_sqlite(file: LogFile) -> bool:
    try:
        with file.path.open("rb") as handle:
            return handle.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError:
        return False


def delimiter_of(file: LogFile) -> str:
    """The separator of a file of comma- or tab-separated values; '' for others."""
    name = plain_name(file.path.name)
    return next((mark for ending, mark in CSV_ENDINGS.items() if name.endswith(ending)), "")


def csv_rows(file: LogFile) -> Iterator[Item]:
    csv.field_size_limit(LONGEST_CELL)
    number = 1
    try:
        with file.open() as handle:
            reader = csv.DictReader(io.TextIOWrapper(cast(Any, handle), "utf-8-sig", newline=""), delimiter=delimiter_of(file), strict=True)
            for row in reader:
                number = reader.line_num
                yield f"{file.name}:{number}", {name: cell for name, cell in row.items() if name and cell not in (None, "")}
    except Unusable as error:
        yield f"{file.name}:1", Problem(f"{file.name}:1", error.reason, error.detail)
    except (csv.Error, UnicodeDecodeError, *READ_ERRORS) as error:
        where = f"{file.name}:{number}"
        yield where, Problem(where, "unreadable", f"the table is unreadable from here on: {error}")


def table_names(file: LogFile) -> list[str]:
    """A database's own tables, without SQLite's."""
    try:
        with closing(open_database(file)) as database:
            return sorted(columns_of(database))
    except DATABASE_ERRORS:
        return []


def sqlite_rows(file: LogFile, table: str) -> Iterator[Item]:
    """The rows of one table, each with the rows that it refers to."""
    number = 0
    try:
        with closing(open_database(file)) as database:
            columns = columns_of(database)
            if table not in columns:
                raise sqlite3.Error(f"there is no table {table!r}. Available: {', '.join(sorted(columns))}")
            parents = _parents(columns, table)
            for row in database.execute(f"SELECT * FROM {_quoted(table)}"):
                number += 1
                found = {name: cell for name in row.keys() if (cell := _cell(row[name])) is not None}  # noqa: SIM118
                for column, stem, parent, key in parents:
                    query = f"SELECT * FROM {_quoted(parent)} WHERE {_quoted(key)} = ? LIMIT 1"
                    owner = database.execute(query, (row[column],)).fetchone() if row[column] is not None else None
                    if owner is not None:
                        found.setdefault(stem, {name: cell for name in owner.keys() if (cell := _cell(owner[name])) is not None})  # noqa: SIM118
                yield f"{file.name}:{number}", found
    except DATABASE_ERRORS as error:
        where = f"{file.name}:{number + 1}"
        yield where, Problem(where, "unreadable", f"the database is unreadable from here on: {error}")


def open_database(file: LogFile) -> sqlite3.Connection:
    """Read-only, and without creating the files that SQLite keeps beside a database in use."""
    database = sqlite3.connect(f"{file.path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    database.row_factory = sqlite3.Row
    database.execute("PRAGMA trusted_schema = OFF")
    steps = iter(range(0, SQLITE_STEPS, 1_000_000))
    database.set_progress_handler(lambda: next(steps, None) is None, 1_000_000)
    return database


def columns_of(database: sqlite3.Connection) -> dict[str, list[str]]:
    """Each table's columns; internal tables of full-text search are left out."""
    made = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    virtual = [row["name"] for row in made if "VIRTUAL TABLE" in (row["sql"] or "").upper()]
    tables = [row["name"] for row in made if not row["name"].startswith("sqlite_")]
    own = [name for name in tables if not any(name == other or name.startswith(f"{other}_") for other in virtual)]
    return {name: [column["name"] for column in database.execute(f"PRAGMA table_info({_quoted(name)})")] for name in own}


def _parents(columns: dict[str, list[str]], table: str) -> list[tuple[str, str, str, str]]:
    """(column, stem, table, key): 'conversation_id' refers to the table 'conversation' or 'conversations'."""
    found = []
    for column in columns[table]:
        stem = column.removesuffix("_id")
        for parent in (stem, f"{stem}s") if stem != column else ():
            key = next((key for key in ("id", column) if key in columns.get(parent, ())), None)
            if parent != table and key is not None:
                found.append((column, stem, parent, key))
    return found


def _cell(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
