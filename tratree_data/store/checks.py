"""`tratree check`: every rule in sql/checks/ and every primary key, on all tables that a dataset has; a release's files first."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.files import read_text
from tratree_data.store.chunks.by_chunk import is_alone, need_reachable
from tratree_data.store.locations import place
from tratree_data.store.published.release import corrupt_files, names_release, open_dataset
from tratree_data.store.queries.named_queries import check_names
from tratree_data.store.reader import Store, open_store
from tratree_data.store.schemas import table_names, table_schema
from tratree_data.store.upkeep.purges import MARK, begun_purge
from tratree_data.system.engine import run_each
from tratree_data.system.limits import STAGE_MEMORY
from tratree_data.system.progress import progress
from tratree_data.system.settings import EngineSettings, takes

FILES_RULE = "Files of the release that are gone or changed since it was published: restore them from a copy, then check again."
PURGE_RULE = "Deleted tasks that are still on disk, because a purge was interrupted: run the same tratree delete --purge again."
RESULT = pa.schema([("check", pa.string()), ("rule", pa.string()), ("offending_rows", pa.int64()), ("example", pa.string())])


@takes(EngineSettings)
def check(directory: str | Path, settings: EngineSettings) -> pa.Table:
    """One row per checked rule; `offending_rows` is 0 if the dataset follows it. Rules about missing tables are left out.

    Rules are independent, so worker processes, or a cluster, may each check some.
    """
    files = [_files_rule(directory)] if names_release(str(directory)) else []
    if any(row["offending_rows"] for row in files):
        return pa.Table.from_pylist(files, schema=RESULT)
    store = _open(str(directory), None)
    return pa.Table.from_pylist(files + _purge_rule(store) + _rules_about_rows(store, str(directory), settings), schema=RESULT)


def _files_rule(release: str | Path) -> dict[str, Any]:
    corrupt = corrupt_files(release)
    return {"check": "files", "rule": FILES_RULE, "offending_rows": len(corrupt), "example": corrupt[0] if corrupt else ""}


def _purge_rule(store: Store) -> list[dict[str, Any]]:
    """One row if a purge of the dataset was interrupted, else none."""
    begun = begun_purge(store.path) if store.filesystem is None and not store.label else None
    count = max(1, len(begun.trees)) if begun is not None else 0
    return [{"check": "purge", "rule": PURGE_RULE, "offending_rows": count, "example": str(store.path / MARK)}] if begun is not None else []


def _open(directory: str, versions: tuple[tuple[str, int], ...] | None) -> Store:
    """The dataset as it is now or, in a worker, as the driver sees it."""
    store = open_dataset(directory) if versions is None else open_store(directory, dict(versions))
    store.most_memory = STAGE_MEMORY
    return store


def _rules_about_rows(store: Store, directory: str, settings: EngineSettings) -> list[dict[str, Any]]:
    rules = [(f"{table}_key", _key_rule(table), _key_query(table)) for table in sorted(store.sources) if table_schema(table).primary_key]
    for name in check_names():
        text = read_text("sql/checks", f"{name}.sql")
        if _tables(text) <= set(store.sources):
            rules.append((name, text.splitlines()[0].removeprefix("-- "), text))
    found: dict[int, tuple[int, str]] = {}
    is_release = bool(store.label) or store.filesystem is not None
    versions = None if is_release else tuple((table, source.version) for table, source in sorted(store.sources.items()))
    with progress("check", len(rules), "rules") as advance:
        if is_alone(settings.engine, settings.workers):
            for number, (_, _, text) in enumerate(rules):
                found[number] = _offending(store, text)
                advance(1)
        else:
            where = directory if is_release else str(store.path.absolute() if isinstance(store.path, Path) else store.path)
            work = [(number, where, versions, text) for number, (_, _, text) in enumerate(rules)]
            for number, offending, example in run_each(_check_rule, work, engine=settings.engine, workers=settings.workers):
                found[number] = offending, example
                advance(1)
    return [
        {"check": name, "rule": rule, "offending_rows": found[number][0], "example": found[number][1]}
        for number, (name, rule, _) in enumerate(rules)
    ]


def _check_rule(work: tuple[int, str, tuple[tuple[str, int], ...] | None, str]) -> tuple[int, int, str]:
    """Runs in a worker, which opens the dataset once."""
    number, directory, versions, text = work
    if versions is not None:
        need_reachable(place(directory))
    return number, *_offending(_open_once(directory, versions), text)


_open_once = lru_cache(maxsize=1)(_open)


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
