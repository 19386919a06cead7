"""Parquet files, JSON with named columns, and Hub datasets (hub:org/name[:config][@revision]), one trajectory per row.

`columns` says which column is which of ours ('task_id=question_id'); a column that already has our name needs no word. A row holds either
`steps` (as in jsonl) or `messages`, as a list or as JSON text. In JSON a column is a path (json_columns.py).
"""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tratree_data.errors import BadInputError, suggest
from tratree_data.importers import jsonl, log_records, openai_messages
from tratree_data.importers.hub_files import HUB
from tratree_data.importers.json_columns import Columns, json_rows, parse_columns
from tratree_data.importers.log_files import LogFile
from tratree_data.importers.log_records import Item, KeyWatch, Options, Problem, Record, Unusable
from tratree_data.system.parquet_sizes import refuse_too_much

ROWS_PER_BATCH = 64
OURS = (
    "task_id", "env", "trajectory_id", "split", "agent", "model", "prompt", "instruction", "reward", "success",
    "end_observation", "end_reason", "steps", "messages",
)  # fmt: skip


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    unknown = [ours for ours in options.columns if ours not in OURS]
    if unknown:
        raise BadInputError(f"Unknown column {unknown[0]!r}.{suggest(unknown[0], OURS)}\nNext: --column OURS=THEIRS")
    if not str(file.path).startswith("hub:") and not file.path.name.endswith(".parquet"):
        columns = parse_columns(options.columns)
        return log_records.each(json_rows(file, columns), lambda where, row: _parse_json(file, options, columns, where, row))
    rows = _hub_rows(file, options) if str(file.path).startswith("hub:") else _parquet_rows(file)
    return log_records.each(rows, lambda where, row: _parse(file, options, where, row))


def _parquet_rows(file: LogFile) -> Iterator[Item]:
    number = 0
    try:
        with file.path.open("rb") as raw:
            file.raw = raw
            refuse_too_much(raw, file.name)
            for batch in pq.ParquetFile(raw).iter_batches(ROWS_PER_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{file.name}:{number}", row
    except (pa.ArrowException, OSError, ValueError) as error:
        where = f"{file.name}:{number + 1}"
        yield where, Problem(where, "unreadable", f"the table is unreadable from here on: {error}")


def _hub_rows(file: LogFile, options: Options) -> Iterator[Item]:
    import datasets

    match = HUB.fullmatch(str(file.path))
    if match is None:
        raise BadInputError(f"{file.path} does not name a Hub dataset.\nNext: hub:org/name, hub:org/name:config or hub:org/name@revision")
    try:
        rows = datasets.load_dataset(
            match["repository"], match["config"], revision=match["revision"], split=options.split or "train", streaming=True
        )
        for number, row in enumerate(rows, 1):
            yield f"{file.name}:{number}", row
    except Exception as error:  # the network libraries below have no common base
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInputError(
            f"The Hub dataset {file.path} cannot be read: {first}\nNext: check its name, config, split and your access"
        ) from error


def _parse(file: LogFile, options: Options, where: str, row: dict[str, Any]) -> Record:
    taken = set(options.columns.values())
    entry = {name: value for name, value in row.items() if name not in taken}
    for ours, theirs in options.columns.items():
        if theirs not in row:
            raise Unusable("missing_field", f"no column {theirs!r}. Available: {', '.join(sorted(row))}")
        entry[ours] = row[theirs]
    return _record(file, options, where, entry)


def _parse_json(file: LogFile, options: Options, columns: Columns, where: str, row: Any) -> Record:
    """A row whose paths were followed; of the columns that make a conversation none may be missing."""
    entry = log_records.mapping(row, "the row")
    for ours in ("steps", "messages"):
        if ours in options.columns and ours not in entry:
            raise Unusable(
                "missing_field", f"no column {options.columns[ours]!r}. Available: {', '.join(sorted(set(entry) - set(options.columns)))}"
            )
    inner = {path[len(columns.rows)] for path in columns.paths.values() if len(path) > len(columns.rows)}
    return _record(file, options, where, {name: value for name, value in entry.items() if name in OURS or name not in inner})


def _record(file: LogFile, options: Options, where: str, entry: dict[str, Any]) -> Record:
    for name in ("steps", "messages"):
        if isinstance(entry.get(name), str):
            entry[name] = _from_json(entry[name], name)
    if entry.get("steps") is not None:
        return jsonl.parse(options, where, {"instruction": "", "reward": None} | entry)
    if entry.get("messages") is None:
        raise Unusable("missing_field", "no column steps or messages; name one with --column messages=THEIRS")
    return openai_messages.parse(file, options, where, entry)


def _from_json(value: str, name: str) -> Any:
    watch = KeyWatch()
    try:
        found = json.loads(value, object_pairs_hook=watch)
    except (ValueError, RecursionError) as error:
        raise Unusable("not_json", f"{name} is text, but not valid JSON: {error}") from error
    if watch.repeated is not None:
        problem = log_records.repeated_key(name, watch.repeated)
        raise Unusable(problem.reason, problem.detail)
    return found
