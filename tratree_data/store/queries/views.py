"""The views of sql/views/: SELECTs whose results can be queried by name, beside the tables.

A view is created when a query names it, after the tables and the other views that it reads.
"""

import re
from collections.abc import Collection
from functools import cache

import duckdb

from tratree_data.files import file_names, read_text
from tratree_data.store.schemas import table_names


@cache
def view_names() -> list[str]:
    return file_names("sql/views", ".sql")


@cache
def view_query(name: str) -> str:
    return read_text("sql/views", f"{name}.sql")


@cache
def _reads(name: str) -> frozenset[str]:
    """The tables and views that a view names itself."""
    statement = re.sub(r"--.*", "", view_query(name))
    return frozenset(other for other in [*table_names(), *view_names()] if other != name and mentions(statement, other))


@cache
def tables_behind(name: str) -> frozenset[str]:
    """The tables that a view reads, also through other views."""
    return frozenset().union(*({other} if other in table_names() else tables_behind(other) for other in _reads(name)))


def mentions(query: str, name: str) -> bool:
    return re.search(rf"(?i)\b{name}\b", query) is not None


def views_for(query: str | None) -> list[str]:
    """The views that a query names (all of them without a query), each after those that it reads itself."""
    ordered: dict[str, None] = {}

    def add(name: str) -> None:
        for other in sorted(_reads(name).intersection(view_names())):
            add(other)
        ordered[name] = None

    for name in view_names():
        if query is None or mentions(query, name):
            add(name)
    return list(ordered)


def create_views(connection: duckdb.DuckDBPyConnection, views: Collection[str]) -> None:
    for name in views:
        connection.execute(f"CREATE OR REPLACE VIEW {name} AS {view_query(name)}")


def hold_view(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Computes a view once, for all queries of this connection that name it."""
    connection.execute(f"CREATE TABLE held_{name} AS FROM {name}")
    connection.execute(f"CREATE OR REPLACE VIEW {name} AS FROM held_{name}")
