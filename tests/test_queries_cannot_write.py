"""No statement, whatever its syntax, changes a file of a dataset, through `tratree sql` or through `store.connection`."""

import hashlib
from pathlib import Path

import duckdb
import pytest
from helpers.small import make_store, tables

from tratree_data.errors import TratreeError
from tratree_data.store.queries.named_queries import query_or_text
from tratree_data.store.reader import Store

FORMATS = ["", "(FORMAT parquet, USE_TMP_FILE false)", "(FORMAT csv, OVERWRITE_OR_IGNORE true, USE_TMP_FILE false)"]
SOURCES = ["(SELECT 1 AS a)", "(PIVOT (SELECT 1 AS a, 2 AS b) ON a USING sum(b))", "steps"]
PREFIXES = ["", "EXPLAIN ", "EXPLAIN ANALYZE ", "EXPLAIN (ANALYZE, FORMAT json) ", "PREPARE x AS "]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "d", *tables([("t", 0, 1.0, [("here", "hm", "go"), ("there", "", "stop")])]))


def state(folder: Path) -> dict[str, tuple[int, int, str]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files}


def statements(store: Store) -> list[str]:
    local = [file for source in store.sources.values() for file in source.files]
    targets = [*local, *(f"file://{file}" for file in local), "dataset://steps/0.parquet", "dataset://steps/1.parquet"]
    copies = [f"{p}COPY {s} TO '{t}' {f}" for p in PREFIXES for s in SOURCES for t in targets for f in FORMATS]
    others = ["ATTACH '{}' AS x", "EXPORT DATABASE '{}'", "LOAD '{}'", "INSTALL '{}'", "SET temp_directory = '{}'",
              "PRAGMA profiling_output = '{}'", "CREATE SECRET (TYPE s3, SCOPE '{}')", "COPY FROM DATABASE memory TO '{}'"]  # fmt: skip
    return copies + [text.format(target) for text in others for target in targets]


def test_no_statement_changes_a_file_of_the_dataset(store: Store, tmp_path: Path) -> None:
    before = state(tmp_path)
    for text in statements(store):
        with pytest.raises(TratreeError):
            query_or_text(store, text + " ")
        try:
            store.connection.cursor().execute(text)
        except (duckdb.Error, TratreeError):
            continue
    assert state(tmp_path) == before
    assert store.count("steps") == 2


def test_settings_show_no_path_of_this_machine(store: Store, tmp_path: Path) -> None:
    shown = query_or_text(store, "SELECT current_setting('allowed_paths') AS paths").to_pylist()
    assert str(tmp_path) not in str(shown)
