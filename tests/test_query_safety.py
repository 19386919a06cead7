"""Queries cannot write: every kind of statement, with every option of COPY, against every name of the dataset's files."""

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.small import make_store, tables

from tratree_data.errors import BadInputError, TratreeError
from tratree_data.store.queries.named_queries import query_or_text
from tratree_data.store.queries.query_files import QueryFiles
from tratree_data.store.reader import Store, open_store

COPY_OPTIONS = (
    "(FORMAT parquet)",
    "(FORMAT parquet, USE_TMP_FILE false)",
    "(FORMAT csv)",
    "(FORMAT csv, USE_TMP_FILE false)",
    "(FORMAT json)",
    "(FORMAT parquet, OVERWRITE_OR_IGNORE true)",
    "(FORMAT parquet, OVERWRITE true)",
    "(FORMAT parquet, APPEND true)",
    "(FORMAT parquet, PER_THREAD_OUTPUT true)",
    "(FORMAT parquet, PARTITION_BY (x), OVERWRITE_OR_IGNORE true)",
    "(FORMAT parquet, FILE_SIZE_BYTES 1000)",
    "",
)
AROUND = (
    "{}",
    "EXPLAIN {}",
    "EXPLAIN ANALYZE {}",
    "EXPLAIN (ANALYZE) {}",
    "/* a */ EXPLAIN /* b */ ANALYZE {}",
    "SELECT 1; {}",
    "PREPARE p AS {}",
)
OTHERS = (
    "ATTACH '{}' AS other",
    "ATTACH '{}' AS other (READ_WRITE)",
    "EXPORT DATABASE '{}'",
    "IMPORT DATABASE '{}'",
    "INSTALL '{}'",
    "LOAD '{}'",
    "COPY FROM DATABASE memory TO '{}'",
    "SET temp_directory = '{}'",
    "PRAGMA temp_directory = '{}'",
    "SET allowed_paths = ['{}']",
    "CALL enable_logging(storage = 'file', storage_config = {{'path': '{}'}})",
    "SELECT * FROM enable_logging('QueryLog', storage = 'file')",
    "PRAGMA enable_profiling = 'json'",
    "SET profiling_output = '{}'",
    "CREATE SECRET s (TYPE s3, KEY_ID '{}')",
    "VACUUM",
    "CHECKPOINT",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET allowed_paths",
    "SET home_directory = '{}'",
    "CREATE PERSISTENT SECRET s (TYPE http, SCOPE '{}')",
    "FORCE CHECKPOINT",
)
READING_OTHER_FILES = (
    "SELECT * FROM read_text('{}')",
    "SELECT * FROM read_blob('{}')",
    "SELECT * FROM read_csv('{}')",
    "SELECT * FROM read_json('{}')",
    "SELECT * FROM '{}'",
    "SELECT * FROM glob('{}*')",
    "SELECT * FROM read_parquet('{}')",
    "FROM query('SELECT * FROM ''{}''')",
    "SELECT * FROM parquet_metadata('{}')",
    "SELECT * FROM sniff_csv('{}')",
    "COPY steps FROM '{}'",
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("queries") / "d"
    make_store(folder, *tables([("t", 0, 1.0, [("a hall", "", "go"), ("a room", "", "stop")]), ("t", 1, 0.0, [("a hall", "", "sit")])]))
    (folder.parent / "secret.csv").write_text("x\nsecret\n")
    return folder


def state(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Every file beside and below the dataset: its inode, the time of its last change, its content."""
    files = [path for path in folder.parent.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder.parent).as_posix(): (
            path.stat().st_ino,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in files
    }


def try_everywhere(store: Store, statement: str) -> list[bool]:
    """Typed as a query, through `store.sql`, and through the bare connection: whether each went through."""
    done = []
    for run in (
        lambda: query_or_text(store, statement),
        lambda: store.sql(statement),
        lambda: store.connection.cursor().execute(statement),
    ):
        try:
            run()
            done.append(True)
        except (TratreeError, duckdb.Error):
            done.append(False)
    return done


def targets(store: Store, dataset: Path) -> list[str]:
    (named,) = store.sql("SELECT current_setting('allowed_paths') AS names")["names"].to_pylist()
    return [
        named[0],
        store.sources["steps"].files[0],
        str(dataset / "new.parquet"),
        "new.parquet",
        f"file://{store.sources['steps'].files[0]}",
    ]


def test_no_copy_writes(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(dataset)
    before, tried = state(dataset), 0
    for target, options, around in product(targets(store, dataset), COPY_OPTIONS, AROUND):
        statement = around.format(f"COPY (SELECT 1 AS x) TO '{target}' {options}")
        typed, *_ = try_everywhere(store, statement)
        if not around.startswith("EXPLAIN {}"):
            assert not typed, statement
        tried += 1
    assert tried == 5 * len(COPY_OPTIONS) * len(AROUND)
    assert state(dataset) == before
    assert list(tmp_path.iterdir()) == []


def test_no_other_statement_writes(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(dataset)
    before = state(dataset)
    for target, statement in product(targets(store, dataset), OTHERS):
        typed, *_ = try_everywhere(store, statement.format(target))
        assert not typed, statement.format(target)
    assert state(dataset) == before
    assert list(tmp_path.iterdir()) == []


def test_every_kind_of_statement_but_reading_ones_is_refused(dataset: Path) -> None:
    store = open_store(dataset)
    for statement in (
        "CREATE TABLE x AS SELECT 1",
        "DROP VIEW steps",
        "CREATE VIEW v AS SELECT 1",
        "DELETE FROM lineage",
        "UPDATE lineage SET stage = ''",
        "INSERT INTO lineage SELECT * FROM lineage",
        "BEGIN TRANSACTION",
        "SET threads = 1",
        "PRAGMA version",
        "CALL pragma_version()",
        "USE memory",
        "EXPLAIN DELETE FROM lineage",
        "EXPLAIN ANALYZE INSERT INTO lineage SELECT * FROM lineage",
        "DEALLOCATE p",
        "ALTER VIEW steps RENAME TO s",
        "EXPLAIN EXPLAIN ANALYZE DELETE FROM lineage",
        "EXPLAIN (FORMAT json) DROP VIEW steps",
        "COMMENT ON TABLE lineage IS 'x'",
        "EXPLAIN COPY (PIVOT rollouts ON task_id USING count(*)) TO 'x.parquet'",
        "EXPLAIN ANALYZE COPY (PIVOT rollouts ON task_id USING count(*)) TO 'x.parquet'",
        "COPY (PIVOT rollouts ON task_id USING count(*)) TO 'x.parquet'",
        "PREPARE x AS COPY (PIVOT rollouts ON task_id USING count(*)) TO 'x.parquet'",
    ):
        with pytest.raises(BadInputError, match=r"single SELECT|cannot read"):
            query_or_text(store, statement)
    for statement in (
        "SELECT 1 AS x",
        "FROM steps",
        "WITH a AS (SELECT 1 AS x) FROM a",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE FROM steps",
        "EXPLAIN (FORMAT json) SELECT 1",
        "PIVOT rollouts ON task_id USING count(*)",
        "VALUES (1)",
        "SUMMARIZE steps",
    ):
        assert query_or_text(store, statement).num_rows > 0, statement


def test_no_other_file_is_read(dataset: Path) -> None:
    store = open_store(dataset)
    secret = dataset.parent / "secret.csv"
    for path, statement in product(
        (str(secret), f"dataset://../{secret.name}", f"dataset://{secret}", f"file://{secret}"), READING_OTHER_FILES
    ):
        assert not any(try_everywhere(store, statement.format(path))), statement.format(path)


def test_a_query_does_not_learn_where_the_dataset_is(dataset: Path) -> None:
    store = open_store(dataset)
    for query in (
        "SELECT current_setting('allowed_paths')",
        "FROM duckdb_settings()",
        "FROM duckdb_views()",
        "SELECT * FROM steps, duckdb_databases()",
    ):
        assert str(dataset) not in str(query_or_text(store, query).to_pylist()), query


def test_threads_that_share_a_file_read_their_own_parts(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)))
    handle = QueryFiles({"steps": (str(tmp_path / "file"),)}).open("dataset://steps/0.parquet")
    both_sought = threading.Barrier(2, timeout=30)

    def read_at(position: int) -> bytes:
        handle.seek(position)
        both_sought.wait()
        return bytes(handle.read(10))

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(read_at, [20, 200])) == [bytes(range(20, 30)), bytes(range(200, 210))]


def test_a_large_file_reads_the_same_from_many_threads(tmp_path: Path) -> None:
    numbers = pa.table({"a": range(400_000), "b": [str(number) * 3 for number in range(400_000)]})
    pq.write_table(numbers, tmp_path / "0.parquet", row_group_size=5_000)
    connection = duckdb.connect(config={"threads": 8})
    connection.register_filesystem(QueryFiles({"steps": (str(tmp_path / "0.parquet"),)}))
    query = "SELECT sum(a), sum(length(b)) FROM read_parquet('dataset://steps/0.parquet')"
    expected = (sum(range(400_000)), sum(len(text) for text in numbers["b"].to_pylist()))
    assert [connection.execute(query).fetchone() for _ in range(20)] == [expected] * 20


def test_a_long_query_is_stopped(dataset: Path) -> None:
    began = time.monotonic()
    with pytest.raises(BadInputError, match=r"longer than 0\.3 s and was stopped\.\nNext: .*--time-limit 3"):
        query_or_text(open_store(dataset), "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b", time_limit=0.3)
    assert time.monotonic() - began < 20


def test_a_query_that_needs_too_much_memory_is_refused(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tratree_data.store.queries.query_session.memory_for_queries", lambda: 64 * 2**20)
    with pytest.raises(BadInputError, match=r"more than 0\.1 GiB of memory"):
        query_or_text(open_store(dataset), "SELECT list(repeat('x', 1000) || range) AS texts FROM range(10000000)")
