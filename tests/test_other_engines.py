"""Other engines read a dataset's tables as docs/store.md shows: Polars, DuckDB's own Delta reader and Spark."""

import json
from pathlib import Path

import duckdb
import polars
import pytest
from helpers.loopback_s3 import BUCKET, LoopbackS3

from tratree_data import build, import_log, open_store


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("engines"), "dataset")


def make(folder: Path, name: str, directory: str = "") -> Path:
    lines = [
        {"task_id": task, "env": "e", "instruction": "Go.", "reward": 1.0, "steps": [{"observation": f"room {i}", "action": "go"}]}
        for task in "ab"
        for i in range(3)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_log(directory or folder / name, folder / "log.jsonl")
    build(directory or folder / name, embedder="exact")
    return folder / name


def expected(dataset: object) -> list[tuple[str, int]]:
    rows = open_store(str(dataset)).read("nodes", ["node_id", "depth"]).to_pylist()
    return sorted((row["node_id"], row["depth"]) for row in rows)


def test_polars_reads_a_table(dataset: Path) -> None:
    nodes = polars.scan_delta(str(dataset / "nodes")).select("node_id", "depth").collect()
    assert sorted(nodes.rows()) == expected(dataset)


def test_polars_reads_a_table_in_a_bucket(tmp_path: Path) -> None:
    server = LoopbackS3()
    where = f"s3://{BUCKET}/polars"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        make(tmp_path, "", where)
        options = {
            "aws_endpoint_url": server.url,
            "aws_access_key_id": "key",
            "aws_secret_access_key": "secret",
            "aws_region": "us-east-1",
            "aws_allow_http": "true",
        }
        nodes = polars.scan_delta(f"{where}/nodes", storage_options=options).select("node_id", "depth").collect()
        assert sorted(nodes.rows()) == expected(where)
    server.close()


def test_duckdbs_own_delta_reader_reads_a_table(dataset: Path) -> None:
    with duckdb.connect() as connection:
        try:
            connection.execute("LOAD delta")
        except duckdb.Error:
            pytest.skip("DuckDB's extension delta is not installed: INSTALL delta downloads it")
        rows = connection.execute("SELECT node_id, depth FROM delta_scan($path)", {"path": str(dataset / "nodes")}).fetchall()
    assert sorted(rows) == expected(dataset)


def test_duckdb_reads_the_files_of_a_version_without_an_extension(dataset: Path) -> None:
    files = list(open_store(dataset).sources["nodes"].files)
    with duckdb.connect() as connection:
        rows = connection.execute("SELECT node_id, depth FROM read_parquet($files)", {"files": files}).fetchall()
    assert sorted(rows) == expected(dataset)


@pytest.mark.slow
def test_spark_reads_the_files_of_a_version(dataset: Path) -> None:
    pyspark = pytest.importorskip("pyspark.sql", reason="needs pyspark and a Java runtime")
    files = list(open_store(dataset).sources["nodes"].files)
    try:
        spark = pyspark.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    except Exception as error:  # what it raises without Java depends on its version
        pytest.skip(f"Spark does not start here: {str(error).splitlines()[0]}")
    rows = [(row.node_id, row.depth) for row in spark.read.parquet(*files).select("node_id", "depth").collect()]
    spark.stop()
    assert sorted(rows) == expected(dataset)
