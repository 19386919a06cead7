"""Parquet files of a few kilobytes that claim to hold gigabytes are refused by their footer, before a row of them is read."""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.small import make_store, tables

from tratree_data import build, check, filter, import_log, open_store, publish, score
from tratree_data.errors import BadInputError
from tratree_data.store.schemas import arrow_schema
from tratree_data.system.parquet_sizes import bounded_batches
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


LONG = "x" * 2**20


def conversation(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]


def repeated(values: list[str], count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([*range(len(values))] * count, pa.int32()), pa.array(values))


def in_lists(roles: pa.Array, contents: pa.Array, per_row: int) -> pa.ListArray:
    messages = pa.StructArray.from_arrays([roles, contents], ["role", "content"])
    return pa.ListArray.from_arrays(pa.array(range(0, len(roles) + 1, per_row), pa.int32()), messages)


def bombs_of_repetition() -> dict[str, pa.Table]:
    """1,500 rows of one megabyte, which is stored once; and one row of 400 such messages."""
    rows = 1_500
    text = json.dumps(conversation(LONG))
    roles, contents = repeated(["user", "assistant"], rows), repeated([LONG, "ok"], rows)
    return {
        "text": pa.table({"task_id": list(map(str, range(rows))), "messages": repeated([text], rows)}),
        "nested": pa.table({"task_id": list(map(str, range(rows))), "messages": in_lists(roles, contents, 2)}),
        "one_row": pa.table(
            {"task_id": ["t"], "messages": in_lists(repeated(["user", "assistant"], 400), repeated([LONG, "ok"], 400), 800)}
        ),
    }


def peak_of(folder: Path, *arguments: str) -> tuple[str, int]:
    """What a command says, and the most memory that it took, in bytes."""
    code = (
        "import re, sys; from tratree_data.cli import main\n"
        "try: main()\n"
        "finally: print('PEAK', re.search('VmHWM:.*?([0-9]+)', open('/proc/self/status').read())[1], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr, int(done.stderr.rsplit("PEAK", 1)[1]) * 1024


@pytest.mark.parametrize("kind", ["text", "nested", "one_row", "shared_beginnings"])
def test_a_log_that_repeats_a_long_text_is_refused_within_the_memory_of_a_few_batches(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "log.parquet"
    if kind == "shared_beginnings":
        table = pa.table({"task_id": list(map(str, range(1_500))), "messages": [json.dumps(conversation(LONG))] * 1_500})
        encodings = {"task_id": "PLAIN", "messages": "DELTA_BYTE_ARRAY"}
        pq.write_table(table, path, compression="zstd", use_dictionary=False, column_encoding=encodings, write_statistics=False)
    else:
        pq.write_table(bombs_of_repetition()[kind], path, compression="zstd", dictionary_pagesize_limit=2**26)
    assert path.stat().st_size < 100_000
    said, peak = peak_of(tmp_path, "import", "log.parquet", "d")
    assert ("has a row of" if kind == "one_row" else "repeats its texts") in said
    assert list((tmp_path / "d").rglob("*.parquet")) == []
    assert peak < 900e6


def test_a_list_that_claims_hundreds_of_millions_of_values_is_refused(tmp_path: Path) -> None:
    count = 2**28
    values = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.nulls(count, pa.int8()))
    pq.write_table(pa.table({"task_id": ["t"], "messages": values}), tmp_path / "log.parquet", compression="zstd")
    assert "claims to hold" in peak_of(tmp_path, "import", "log.parquet", "d")[0]


def test_rows_that_repeat_texts_as_logs_do_are_all_read(tmp_path: Path) -> None:
    """Every other row has a long text: in batches of bytes, which no text leaves longer than they may be, and in the order of the file."""
    text, short = json.dumps(conversation("y" * 200_000)), json.dumps(conversation("z"))
    table = pa.table({"task_id": list(map(str, range(8_000))), "messages": repeated([text, short], 4_000)})
    pq.write_table(table, tmp_path / "log.parquet", dictionary_pagesize_limit=2**26)
    with (tmp_path / "log.parquet").open("rb") as raw:
        names, most = list[str](), 0
        for batch in bounded_batches(raw, "log", 2_048):
            names += batch["task_id"].to_pylist()
            most = max(most, batch.nbytes)
            expected = [short if int(name) % 2 else text for name in batch["task_id"].to_pylist()]
            assert batch["messages"].cast(pa.string()).to_pylist() == expected
    assert names == list(map(str, range(8_000)))
    assert most <= 2**26 + 1_000_000
