"""Rows of CSV files and SQLite databases, as JSON readers see them: a row is an object, a database an object of lists.

A cell that holds a JSON object or list is read where a path leads into it (json_columns.py). Of a database, a row also has the row that it
refers to: `messages.conversation_id` brings the conversation as `conversation`.
"""

import csv
import io
import sqlite3
from collections.abc import Iterator
from typing import Any, cast

from tratree_data.importers.files.databases import DATABASE_ERRORS, columns_of, opened_database, quoted_name
from tratree_data.importers.files.log_files import READ_ERRORS, LogFile
from tratree_data.importers.files.packed_files import plain_name
from tratree_data.importers.log_records import Item, Problem, Unusable

CSV_ENDINGS = {".csv": ",", ".tsv": "\t"}
LONGEST_CELL = 32 * 2**20


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
        with opened_database(file) as database:
            return sorted(columns_of(database))
    except DATABASE_ERRORS:
        return []


def sqlite_rows(file: LogFile, table: str) -> Iterator[Item]:
    """The rows of one table, each with the rows that it refers to."""
    number = 0
    try:
        with opened_database(file) as database:
            columns = columns_of(database)
            if table not in columns:
                raise sqlite3.Error(f"there is no table {table!r}. Available: {', '.join(sorted(columns))}")
            parents = _parents(columns, table)
            for row in database.execute(f"SELECT * FROM {quoted_name(table)}"):
                number += 1
                found = {name: cell for name in row.keys() if (cell := _cell(row[name])) is not None}  # noqa: SIM118
                for column, stem, parent, key in parents:
                    query = f"SELECT * FROM {quoted_name(parent)} WHERE {quoted_name(key)} = ? LIMIT 1"
                    owner = database.execute(query, (row[column],)).fetchone() if row[column] is not None else None
                    if owner is not None:
                        found.setdefault(stem, {name: cell for name in owner.keys() if (cell := _cell(owner[name])) is not None})  # noqa: SIM118
                yield f"{file.name}:{number}", found
    except DATABASE_ERRORS as error:
        where = f"{file.name}:{number + 1}"
        yield where, Problem(where, "unreadable", f"the database is unreadable from here on: {error}")


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
