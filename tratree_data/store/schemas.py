"""The contract between stages: schemas/*.sql as Arrow schemas, and checks against them.

A schema is a CREATE TABLE with a comment on every column. DuckDB parses it, so what people query is what we check.

A column may be added at any time if it allows NULL: older files then read as NULL. Renaming or removing one raises FORMAT_VERSION and
adds its table to CHANGED_TABLES; a dataset in an older format keeps its rollouts and steps, and the stage that wrote the table runs again.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa

from tratree_data.errors import BadInputError, NotFoundError, suggest
from tratree_data.files import file_names, read_text

if TYPE_CHECKING:
    import duckdb

FORMAT_VERSION = 2
CHANGED_TABLES: dict[int, tuple[str, ...]] = {2: ("node_values", "paths")}
"""Derived tables whose columns a format renamed or removed: those in an older format must be made again."""


@dataclass(frozen=True)
class TableSchema:
    name: str
    comment: str
    arrow: pa.Schema
    primary_key: tuple[str, ...]
    checks: dict[str, str]
    types: dict[str, str]
    """Types as DuckDB writes them."""
    comments: dict[str, str]


def table_names() -> list[str]:
    return file_names("schemas", ".sql")


@cache
def table_schema(name: str) -> TableSchema:
    if name not in table_names():
        raise NotFoundError(f"Unknown table {name!r}.{suggest(name, table_names())}")
    connection, one_at_a_time = _duckdb(os.getpid())
    named = {"name": name}
    with one_at_a_time:
        connection.execute(create_statement(name))
        try:
            inferred = connection.sql(f"SELECT * FROM {name}").to_arrow_table().schema
            comment = connection.execute("SELECT comment FROM duckdb_tables() WHERE table_name = $name", named).fetchall()[0][0]
            columns = connection.execute(
                "SELECT column_name, is_nullable, data_type, comment FROM duckdb_columns() WHERE table_name = $name ORDER BY column_index",
                named,
            ).fetchall()
            constraints = connection.execute(
                "SELECT constraint_type, expression, constraint_column_names FROM duckdb_constraints() WHERE table_name = $name "
                "ORDER BY constraint_index",
                named,
            ).fetchall()
        finally:
            connection.execute(f"DROP TABLE {name}")
    keys = [tuple(names) for kind, _, names in constraints if kind == "PRIMARY KEY"]
    return TableSchema(
        name=name,
        comment=comment,
        arrow=pa.schema([inferred.field(column).with_nullable(bool(nullable)) for column, nullable, *_ in columns]),
        primary_key=keys[0] if keys else (),
        checks={f"{name}_{i}": expression for i, (kind, expression, _) in enumerate(constraints) if kind == "CHECK"},
        types={column: kind for column, _, kind, _ in columns},
        comments={column: text for column, *_, text in columns},
    )


def create_statement(name: str) -> str:
    """The CREATE TABLE as it is written down, comments included."""
    return read_text("schemas", f"{name}.sql")


@cache
def _duckdb(process: int) -> "tuple[duckdb.DuckDBPyConnection, Lock]":
    """Starting DuckDB takes ten times as long as a check. A forked process starts its own: threads do not survive a fork."""
    import duckdb  # workers are handed their schemas, and do without

    return duckdb.connect(), Lock()


def arrow_schema(name: str) -> pa.Schema:
    return table_schema(name).arrow


JSON_IN_RELEASES = ("tool_calls", "tools")
"""Columns with lists of JSON text, which a release marks as JSON: `datasets` then returns objects, and trainers need no conversion."""


JSON_IN_TRACES = ("messages", "tools", "metadata", "trace")
"""Columns that `datasets` expects as JSON in sessions."""


def released_schema(name: str) -> pa.Schema:
    """The table's schema in a release: the same values, with lists of JSON marked as such."""
    schema = arrow_schema(name)
    if name == "traces":
        return pa.schema([field.with_type(_as_json(field.type)) if field.name in JSON_IN_TRACES else field for field in schema])
    return pa.schema([pa.field(field.name, _released(field.name, field.type), field.nullable) for field in schema])


def _as_json(kind: pa.DataType) -> pa.DataType:
    json = pa.json_(pa.string())
    return pa.list_(kind.value_field.with_type(json)) if pa.types.is_list(kind) else json


def _released(name: str, kind: pa.DataType) -> pa.DataType:
    if not pa.types.is_list(kind):
        return kind
    item = kind.value_field
    if name in JSON_IN_RELEASES:
        return _as_json(kind)
    if not pa.types.is_struct(item.type):
        return kind
    return pa.list_(item.with_type(pa.struct([field.with_type(_released(field.name, field.type)) for field in item.type])))


def storage_type(kind: pa.DataType) -> pa.DataType:
    """The type with JSON replaced by the text that stores it."""
    if isinstance(kind, pa.BaseExtensionType):
        return kind.storage_type
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(storage_type(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(storage_type(field.type)) for field in kind])
    return kind


def changed_since(table: str, format: int) -> bool:
    """Whether a table in this format has columns whose names have changed since."""
    return any(table in tables for number, tables in CHANGED_TABLES.items() if number > format)


def scan_sql(table: str, files: Sequence[str]) -> str:
    """Parquet files of a table as DuckDB reads them: exactly the schema's columns, NULL where a file was written before one was added."""
    types = {quote(name): quote(kind) for name, kind in table_schema(table).types.items()}
    columns = ", ".join(f"{name}: {{name: {name}, type: {kind}, default_value: NULL}}" for name, kind in types.items())
    return f"read_parquet([{', '.join(quote(file) for file in files)}], schema = MAP {{{columns}}})"


def quote(text: str) -> str:
    """A text as an SQL literal, for views and comments, where DuckDB binds no values."""
    return "'" + text.replace("'", "''") + "'"


def with_columns(table: str, rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """These columns as the schema has them; NULL where the file was written before one was added."""
    fields = [arrow_schema(table).field(name) for name in columns]
    arrays = [rows[f.name].cast(f.type) if f.name in rows.column_names else pa.nulls(rows.num_rows, f.type) for f in fields]
    return pa.table(arrays, schema=pa.schema(fields))


def empty_table(name: str) -> pa.Table:
    return arrow_schema(name).empty_table()


def table_from_rows(name: str, rows: list[dict[str, object]]) -> pa.Table:
    """Rows as dictionaries → the table, with an error if a value does not fit its column. Missing columns are NULL."""
    return check(name, table_from_columns(name, {column: [row.get(column) for row in rows] for column in arrow_schema(name).names}))


def table_from_columns(name: str, columns: Mapping[str, Sequence[object]]) -> pa.Table:
    """Columns of Python values → the table, with an error if a value does not have its column's type; `check` does the rest."""
    try:
        return pa.table(dict(columns), schema=arrow_schema(name))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
        raise BadInputError(f"A row does not fit the table {name!r}: {error}.\nNext: compare it with schemas/{name}.sql") from error


def check(name: str, table: pa.Table) -> pa.Table:
    """The table with its columns in the schema's order; types, NULLs and CHECKs must hold. Keys are checked by `tratree check`."""
    schema = table_schema(name)
    missing = [column for column in schema.arrow.names if column not in table.column_names]
    extra = [column for column in table.column_names if column not in schema.arrow.names]
    if missing or extra:
        raise BadInputError(
            f"Table {name!r} does not fit its schema: missing {missing or 'nothing'}, unknown {extra or 'nothing'}.\n"
            f"Next: compare it with schemas/{name}.sql"
        )
    table = table.select(schema.arrow.names)
    for field in schema.arrow:
        column = table.column(field.name)
        if not _same_shape(column.type, field.type):
            raise BadInputError(f"{name}.{field.name} must be {field.type}, not {column.type}.\nNext: cast it, as schemas/{name}.sql says")
        if not field.nullable and column.null_count:
            raise BadInputError(f"{name}.{field.name} must not be NULL, but {column.null_count} rows are.\nNext: fill them in")
    table = table.cast(schema.arrow)
    if schema.checks and table.num_rows:
        with _duckdb(os.getpid())[0].cursor() as connection:
            connection.register(name, table)
            for expression in schema.checks.values():
                bad = connection.sql(f"SELECT count(*) FROM {name} WHERE NOT ({expression})").fetchall()[0][0]
                if bad:
                    raise BadInputError(f"{bad} rows of {name!r} break the rule {expression}.\nNext: fix the code that wrote them")
    return table


def _same_shape(have: pa.DataType, want: pa.DataType) -> bool:
    """Equal apart from the width of offsets, dictionaries and the names of list items, which carry no meaning."""
    if pa.types.is_dictionary(have):
        return _same_shape(have.value_type, want)
    if pa.types.is_string(want):
        return bool(pa.types.is_string(have) or pa.types.is_large_string(have) or pa.types.is_string_view(have))
    if pa.types.is_list(want) and (pa.types.is_list(have) or pa.types.is_large_list(have)):
        return _same_shape(have.value_type, want.value_type)
    if pa.types.is_struct(want) and pa.types.is_struct(have):
        return [f.name for f in have] == [f.name for f in want] and all(
            _same_shape(a.type, b.type) for a, b in zip(have, want, strict=True)
        )
    return bool(have.equals(want))
