"""Delta logs that somebody prepared: features that change which rows a table has, and checkpoints that would fill the memory."""

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.small import make_store, tables

from tratree_data import build, check, filter, publish, vacuum
from tratree_data.errors import BadInputError

VERBS: tuple[Callable[[Path], Any], ...] = (
    lambda folder: build(folder, embedder="exact"),
    check,
    lambda folder: filter(folder, folder.with_name("out"), "true"),
    lambda folder: publish(folder, folder.with_name("release"), "1.0.0"),
    lambda folder: vacuum(folder, keep_days=0),
)


def edit(folder: Path, table: str, change: Callable[[dict[str, Any]], None]) -> None:
    for log in sorted((folder / table / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        for action in actions:
            change(action)
        log.write_text("\n".join(map(json.dumps, actions)) + "\n", encoding="utf-8")


def with_deletion_vector(action: dict[str, Any]) -> None:
    if "add" in action:
        place = {"storageType": "p", "pathOrInlineDv": "file:///etc/hostname", "offset": 1, "sizeInBytes": 40, "cardinality": 1}
        action["add"]["deletionVector"] = place
    if "protocol" in action:
        features = ["deletionVectors"]
        action["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}


def with_renamed_columns(action: dict[str, Any]) -> None:
    if "protocol" in action:
        action["protocol"] = {"minReaderVersion": 2, "minWriterVersion": 5}


@pytest.mark.parametrize(("change", "feature"), [(with_deletion_vector, "deletionVectors"), (with_renamed_columns, "columnMapping")])
def test_features_that_change_which_rows_there_are_are_refused(tmp_path: Path, change: Callable[[Any], None], feature: str) -> None:
    make_store(tmp_path / "d", *tables([("t", attempt, float(attempt), [("hall", "", f"go {attempt}")]) for attempt in (0, 1)]))
    edit(tmp_path / "d", "steps", change)
    for verb in VERBS:
        with pytest.raises(BadInputError, match=rf"steps was changed by another tool.*{feature}.*\nNext: "):
            verb(tmp_path / "d")


NULLS, FILES, TEXTS = "claims to hold", "lists 4,000,000 files", "repeats its texts"


def bomb(kind: str) -> tuple[pa.Table, int]:
    """A table, and how often it is written."""
    if kind == NULLS:
        return pa.table({"add": pa.nulls(2**22, pa.struct([("path", pa.string()), ("size", pa.int64())]))}), 80
    rows, text = (1_000_000, "p") if kind == FILES else (5_000, "p" * 2**20)
    add = pa.StructArray.from_arrays([pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))], ["path"])
    return pa.table({"add": add}), 4


@pytest.mark.parametrize("kind", [NULLS, FILES, TEXTS])
def test_a_checkpoint_that_would_fill_the_memory_is_refused(tmp_path: Path, kind: str) -> None:
    make_store(tmp_path / "d", *tables([("t", attempt, float(attempt), [("hall", "", f"go {attempt}")]) for attempt in (0, 1)]))
    log = tmp_path / "d/steps/_delta_log"
    table, times = bomb(kind)
    with pq.ParquetWriter(log / f"{0:020}.checkpoint.parquet", table.schema, compression="zstd", dictionary_pagesize_limit=2**26) as writer:
        for _ in range(times):
            writer.write_table(table)
    (log / "_last_checkpoint").write_text(json.dumps({"version": 0, "size": 1}), encoding="utf-8")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for verb in VERBS:
        with pytest.raises(BadInputError, match=rf"checkpoint\.parquet.*{kind}.*\nNext: "):
            verb(tmp_path / "d")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # kilobytes


def test_a_checkpoint_that_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    make_store(tmp_path / "d", *tables([("t", 0, 1.0, [("hall", "", "go")])]))
    (tmp_path / f"d/steps/_delta_log/{0:020}.checkpoint.parquet").write_bytes(b"x" * 1_000)
    with pytest.raises(BadInputError, match=r"is not readable.*\nNext: "):
        check(tmp_path / "d")
