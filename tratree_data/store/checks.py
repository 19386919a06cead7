"""`tratree check`: every rule in sql/checks/ and every primary key, on all tables that a dataset has; a release's files first."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.files import read_text
from tratree_data.store.purges import MARK, begun_purge
from tratree_data.store.queries import check_names
from tratree_data.store.query_files import STAGE_MEMORY
from tratree_data.store.reader import Store
from tratree_data.store.release import corrupt_files, names_release, open_dataset
from tratree_data.store.schemas import table_names, table_schema
from tratree_data.system.progress import progress

FILES_RULE = "Files of the release that are gone or changed since it was published: restore them from a copy, then check again."
PURGE_RULE = "Deleted tasks that are still on disk, because a purge was interrupted: run the same tratree delete --purge again."
RESULT = pa.schema([("check", pa.string()), ("rule", pa.string()), ("offending_rows", pa.int64()), ("example", pa.string())])


def check(directory: str | Path) -> pa.Table:
    """One row a rule that was checked; `offending_rows` is 0 where it holds. Rules about tables that are not there are left out."""
    files = [_files_rule(directory)] if names_release(str(directory)) else []
    if any(row["offending_rows"] for row in files):
        return pa.Table.from_pylist(files, schema=RESULT)
    store = open_dataset(str(directory))
    store.most_memory = STAGE_MEMORY
    return pa.Table.from_pylist(files + _purge_rule(store) + _rules_about_rows(store), schema=RESULT)


def _files_rule(release: str | Path) -> dict[str, Any]:
    corrupt = corrupt_files(release)
    return {"check": "files", "rule": FILES_RULE, "offending_rows": len(corrupt), "example": corrupt[0] if corrupt else ""}


def _purge_rule(store: Store) -> list[dict[str, Any]]:
    """A row only where a purge was interrupted, in a dataset's folder."""
    begun = begun_purge(store.path) if store.filesystem is None and not store.label else None
    count = max(1, len(begun.trees)) if begun is not None else 0
    return [{"check": "purge", "rule": PURGE_RULE, "offending_rows": count, "example": str(store.path / MARK)}] if begun is not None else []


def _rules_about_rows(store: Store) -> list[dict[str, Any]]:
    rules = [(f"{table}_key", _key_rule(table), _key_query(table)) for table in sorted(store.sources) if table_schema(table).primary_key]
    for name in check_names():
        text = read_text("sql/checks", f"{name}.sql")
        if _tables(text) <= set(store.sources):
            rules.append((name, text.splitlines()[0].removeprefix("-- "), text))
    rows = []
    with progress("check", len(rules), "rules") as advance:
        for name, rule, text in rules:
            offending, example = _offending(store, text)
            rows.append({"check": name, "rule": rule, "offending_rows": offending, "example": example})
            advance(1)
    return rows


def _offending(store: Store, text: str) -> tuple[int, str]:
    body = text.strip().rstrip(";")
    found = store.sql(f"SELECT count(*) AS rows FROM ({body})")["rows"][0].as_py()
    if not found:
        return 0, ""
    first = store.sql(f"SELECT * FROM ({body}) LIMIT 1").to_pylist()[0]
    return int(found), ", ".join(f"{name}={value}" for name, value in first.items())


def _tables(text: str) -> set[str]:
    """The tables that a rule mentions."""
    words = set(re.findall(r"\w+", "\n".join(line for line in text.splitlines() if not line.startswith("--"))))
    return words & set(table_names())


def _key_rule(table: str) -> str:
    return f"Rows of {table} that share their key ({', '.join(table_schema(table).primary_key)})."


def _key_query(table: str) -> str:
    key = ", ".join(table_schema(table).primary_key)
    return f"SELECT {key}, count(*) AS rows FROM {table} GROUP BY {key} HAVING count(*) > 1 ORDER BY {key}"
