"""Parquet files of a few kilobytes that claim to hold gigabytes are refused by their footer, before a row of them is read."""

import resource
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.small import make_store, tables

from tratree_data import build, check, filter, import_log, open_store, publish, score
from tratree_data.errors import BadInputError
from tratree_data.store.schemas import arrow_schema
from tratree_data.viewing.figures import figure

ROWS = 2**22
ATTEMPTS = [("t", attempt, float(attempt), [("hall", "", "door")]) for attempt in (0, 1)]


def bomb(schema: pa.Schema, path: Path) -> Path:
    """Row groups of NULLs: a few bytes each, however many rows they have."""
    optional = pa.schema([field.with_nullable(True) for field in schema])
    one = pa.table([pa.nulls(ROWS, field.type) for field in optional], schema=optional)
    with pq.ParquetWriter(path, optional) as writer:
        for _ in range(2**28 // (ROWS * len(schema)) + 2):
            writer.write_table(one)
    assert path.stat().st_size < 2_000_000
    return path


@pytest.fixture(scope="module")
def of_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bomb(
        pa.schema([arrow_schema("steps").field(name) for name in ("rollout_id", "step")]), tmp_path_factory.mktemp("bomb") / "steps.parquet"
    )


def test_a_bomb_in_a_dataset_or_a_release_is_refused_before_it_is_read(tmp_path: Path, of_steps: Path) -> None:
    store = make_store(tmp_path / "d", *tables(ATTEMPTS))
    publish(tmp_path / "d", tmp_path / "release", "1.0.0")
    for file in (*store.sources["steps"].files, *(tmp_path / "release").rglob("data/steps/*.parquet")):
        shutil.copy(of_steps, file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for verb in (build, check, lambda name: filter(name, tmp_path / "out", "true"), lambda name: publish(name, tmp_path / "new", "1.0.0")):
        with pytest.raises(BadInputError, match="claims to hold"):
            verb(tmp_path / "d")
    for query in ("SELECT count(*) FROM steps", "SELECT observation FROM steps"):
        with pytest.raises(BadInputError, match="claims to hold"):
            open_store(tmp_path / "d").sql(query)
    assert [row["check"] for row in check(tmp_path / "release").to_pylist() if row["offending_rows"]] == ["files"]
    shutil.rmtree(tmp_path / "release/versions")
    with pytest.raises(BadInputError, match="claims to hold"):
        filter(tmp_path / "release", tmp_path / "out", "true")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def test_a_bomb_among_logs_scores_or_figures_is_refused(tmp_path: Path, of_steps: Path) -> None:
    with pytest.raises(BadInputError, match="claims to hold"):
        import_log(tmp_path / "imported", of_steps)
    make_store(tmp_path / "d", *tables(ATTEMPTS))
    scores = bomb(pa.schema([("trajectory_id", pa.string()), ("score", pa.float64())]), tmp_path / "scores.parquet")
    with pytest.raises(BadInputError, match="claims to hold"):
        score(tmp_path / "d", source=str(scores))
    with pytest.raises(BadInputError, match="claims to hold"):
        figure(tmp_path / "d", "scores", tmp_path / "s.svg", table=scores)
