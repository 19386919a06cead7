"""Named queries: one SELECT per file in sql/, its parameters written as $name and bound, never pasted in.

sql/views/ holds queries that can also be used as tables in other queries; sql/checks/ the rules that every dataset follows: each returns
the rows that break one, so an empty result is a pass.
"""

import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tratree_data.errors import BadInputError, NotFoundError, quoted, suggest
from tratree_data.files import file_names, read_text
from tratree_data.store.queries.views import view_names, view_query
from tratree_data.store.reader import Store

READING = {duckdb.StatementType.SELECT, duckdb.StatementType.MULTI}  # MULTI is a PIVOT
BEGINNING = r"(?>\s++|--[^\n]*+(?:\n|$)|/\*.*?\*/)*+"
EXPLAIN = re.compile(BEGINNING + r"EXPLAIN(?:\s++ANALYZE)?(?:\s*+\([^()]*+\))?\s++", re.IGNORECASE | re.DOTALL)
READS = re.compile(
    BEGINNING + r"(?:\(|(?:SELECT|FROM|WITH|PIVOT|UNPIVOT|VALUES|TABLE|SUMMARIZE|DESCRIBE|DESC|SHOW)\b)", re.IGNORECASE | re.DOTALL
)
WRITES = re.compile(r"\b(?:COPY|INSERT|UPDATE|DELETE|MERGE|CREATE|PREPARE|EXECUTE)\b", re.IGNORECASE)
"""DuckDB classifies whatever contains a PIVOT as MULTI, so its words show what it does."""
TIME_LIMIT = 60.0
"""Time limit for a query that a user typed, in seconds."""


def query_names() -> list[str]:
    """The queries of sql/ and the views of sql/views/."""
    return sorted([*file_names("sql", ".sql"), *view_names()])


def check_names() -> list[str]:
    return file_names("sql/checks", ".sql")


def named_queries() -> pa.Table:
    """Every named query with its parameters and the question that it answers (the comment that begins its file); those without parameters
    first.
    """
    rows = []
    for name in query_names():
        text = query_text(name)
        comment = takewhile(lambda line: line.startswith("--"), text.splitlines())
        needed = duckdb.extract_statements(text)[0].named_parameters
        answers = " ".join(line.removeprefix("--").strip() for line in comment)
        rows.append({"name": name, "needs": ", ".join(sorted(needed)), "answers": answers})
    return pa.Table.from_pylist(sorted(rows, key=lambda row: bool(row["needs"])))


def query(store: Store, name: str, **parameters: Any) -> pa.Table:
    """The result of a named query or view."""
    return run(store, query_text(name), parameters, title=name)


def query_text(name: str) -> str:
    """The SQL of a named query, a view, or a check ('checks/roots')."""
    if name in view_names():
        return view_query(name)
    folder, _, short = name.rpartition("/")
    return read_text(f"sql/{folder}".rstrip("/"), f"{short}.sql")


def query_or_text(store: Store, text: str, parameters: Mapping[str, str] | None = None, time_limit: float | None = TIME_LIMIT) -> pa.Table:
    """The answer to what a user typed: a query's name, a .sql file, or SQL. It can read this dataset and nothing else."""
    if text == "queries":
        return named_queries()
    if text in query_names():
        return run(store, query_text(text), dict(parameters or {}), text, time_limit)
    if text.endswith(".sql") and Path(text).is_file():
        return run(store, Path(text).read_text(encoding="utf-8"), dict(parameters or {}), text, time_limit)
    if text in {*store.sources, "lineage"}:
        raise BadInputError(f"{text} is a table, not a query.\nNext: tratree sql {quoted(store.path)} 'SELECT * FROM {text} LIMIT 10'")
    if " " not in text.strip() and "\n" not in text.strip():
        raise NotFoundError(
            f"Unknown query {text!r}.{suggest(text, query_names())}\n"
            f"Next: tratree sql {quoted(store.path)} queries, which lists them, or tratree sql {quoted(store.path)} 'SELECT …'"
        )
    return run(store, text, dict(parameters or {}), "the query", time_limit)


def _only_reads(session: duckdb.DuckDBPyConnection, text: str, kind: Any) -> bool:
    """Whether a statement is a SELECT, or explains one: EXPLAIN ANALYZE carries out what it explains."""
    explain = EXPLAIN.match(text)
    if explain is None:
        return kind in READING and READS.match(text) is not None and (kind != duckdb.StatementType.MULTI or not WRITES.search(text))
    try:
        inner = session.extract_statements(text[explain.end() :])
    except duckdb.Error:
        return False
    return len(inner) == 1 and _only_reads(session, text[explain.end() :], inner[0].type)


def run(
    store: Store, text: str, parameters: Mapping[str, Any], title: str, time_limit: float | None = None, limit: int | None = None
) -> pa.Table:
    """The answer to one SELECT, or to an EXPLAIN of one; any other statement is refused."""
    try:
        statements = store.queries.session.extract_statements(text)
    except duckdb.Error as error:
        raise BadInputError(f"DuckDB cannot read {title}: {str(error).strip()}") from error
    if len(statements) != 1 or not _only_reads(store.queries.session, text, statements[0].type):
        raise BadInputError(f"{title} must be a single SELECT, because queries cannot change a dataset.\nNext: write it as SELECT …")
    parameters_used = statements[0].named_parameters
    missing, extra = sorted(parameters_used - set(parameters)), sorted(set(parameters) - parameters_used)
    if missing:
        raise BadInputError(f"{title} needs {', '.join('$' + name for name in missing)}.\nNext: add --param {missing[0]}=…")
    if extra:
        raise BadInputError(f"{title} has no parameter {', '.join('$' + name for name in extra)}.{suggest(extra[0], parameters_used)}")
    return store.sql(text, parameters, time_limit, limit)
