"""Tables (Parquet, CSV, SQLite), JSON with named columns, and Hub datasets (hub:org/name[:config][@revision]), one trajectory per row.

`columns` says which column is which of ours ('task_id=question_id'); a column that already has our name need not be named, unless the
columns were found by searching (path_guess.py). A row holds `steps` (as in jsonl) or `messages`, as a list or as JSON text, with what the
agent answered to them if that is elsewhere (`completion`); or it is one message (message_rows.py). A column is also a path
(json_columns.py).
"""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from tratree_data.errors import BadInputError, suggest
from tratree_data.importers import log_records
from tratree_data.importers.files.hub_files import HUB
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.log_records import Item, KeyWatch, Options, Problem, Record, Unusable
from tratree_data.importers.readers import jsonl, openai_messages
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.unknown.continued_calls import last_calls, may_continue
from tratree_data.importers.unknown.histories import answers_in, instruction_text, read_history
from tratree_data.importers.unknown.json_columns import ABSENT, ROWS, Columns, json_rows, parse_columns, step, unpacked
from tratree_data.importers.unknown.message_graphs import graph_rows
from tratree_data.importers.unknown.message_rows import ROW_COLUMNS, conversations_of
from tratree_data.importers.unknown.scores_in_logs import reward_of, truth_of
from tratree_data.importers.unknown.step_parts import LISTS, numbered_steps, steps_of_lists
from tratree_data.importers.unknown.transcripts import read_exchange, read_transcript
from tratree_data.messages import INSTRUCTING
from tratree_data.system.parquet_sizes import bounded_batches

ROWS_PER_BATCH = 64
OURS = (
    "task_id", "env", "trajectory_id", "split", "agent", "model", "prompt", "instruction", "reward", "success",
    "end_observation", "end_reason", "steps", "messages", "completion", "tools",
    "role", "content", "message", "observation", "thought", "action", "order", *LISTS,
)  # fmt: skip
READ = {*OURS, *openai_messages.LOGS, *openai_messages.KNOWN, "system", "info"}
"""Names that the readers of a row know."""


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    unknown = [ours for ours in options.columns if ours not in OURS]
    if unknown:
        raise BadInputError(f"Unknown column {unknown[0]!r}.{suggest(unknown[0], OURS)}\nNext: --column OURS=THEIRS")
    columns = parse_columns(options.columns)
    is_table = str(file.path).startswith("hub:") or file.path.name.endswith(".parquet")
    if is_table and not options.only_columns and not any(part in ROWS for path in columns.paths.values() for part in path):
        return log_records.each(_table_rows(file, options), lambda where, row: _parse(file, options, columns, where, row))

    def rows() -> Iterator[Item]:
        return json_rows(file, columns, _table_rows(file, options) if is_table else None)

    if {*ROW_COLUMNS} & set(columns.paths):
        found = conversations_of(rows(), "trajectory_id" in columns.paths or len(columns.rows) == 0)
    else:
        found = last_calls(rows) if may_continue(columns.paths) else rows()
    found = graph_rows(found)
    return log_records.each(found, lambda where, row: _parse_json(file, options, columns, where, row))


def _table_rows(file: LogFile, options: Options) -> Iterator[Item]:
    return _hub_rows(file, options) if str(file.path).startswith("hub:") else parquet_rows(file)


def parquet_rows(file: LogFile) -> Iterator[Item]:
    number = 0
    try:
        with file.path.open("rb") as raw:
            file.raw = raw
            for batch in bounded_batches(raw, file.name, ROWS_PER_BATCH):
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


def _parse(file: LogFile, options: Options, columns: Columns, where: str, row: dict[str, Any]) -> Record:
    taken = set(options.columns.values())
    entry = {name: value for name, value in row.items() if name not in taken}
    for ours, theirs in options.columns.items():
        value: Any = row.get(theirs, ABSENT)
        if value is ABSENT:
            value = row
            for part in columns.paths[ours]:
                value = step(value, part)
        if value is ABSENT:
            raise Unusable("missing_field", f"no column {theirs!r}. Available: {', '.join(sorted(row))}")
        entry[ours] = value
    return _record(file, options, where, entry)


def _parse_json(file: LogFile, options: Options, columns: Columns, where: str, row: Any) -> Record:
    """A row whose paths were followed; refused if it lacks a column of the conversation."""
    entry = log_records.mapping(row, "the row")
    for ours in ("steps", "messages", "actions"):
        if ours in options.columns and ours not in entry:
            raise Unusable(
                "missing_field", f"no column {options.columns[ours]!r}. Available: {', '.join(sorted(set(entry) - set(options.columns)))}"
            )
    beside = {}
    if options.only_columns:
        taken = {*columns.paths, "messages", "steps"}
        beside = {name: entry.pop(name) for name in list(entry) if name in READ and name not in taken}
    for path in columns.paths.values():
        below = path[len(columns.rows) :]
        for whole in (entry, beside) if below else ():
            if below[0] in whole and (whole is beside or below[0] not in columns.paths):
                rest = _without(whole[below[0]], below[1:])
                whole |= {below[0]: rest}
    record = _record(file, options, where, {name: value for name, value in entry.items() if value is not None or name in OURS})
    record.metadata |= {name: value for name, value in beside.items() if value not in (None, "", [], {})}
    return record


def _without(value: Any, path: tuple[str, ...]) -> Any:
    """What is next to the place that the path leads to; None if there is nothing."""
    if not path or not isinstance(value, dict):
        return None
    rest = {name: item for name, item in value.items() if name != path[0]}
    inner = _without(value.get(path[0]), path[1:])
    return (rest if inner is None else rest | {path[0]: inner}) or None


def _record(file: LogFile, options: Options, where: str, entry: dict[str, Any]) -> Record:
    answer = entry.pop("completion", None)
    asked = unpacked(entry.get("messages"))
    if isinstance(asked, str) and answer is not None:
        entry["messages"], answer = read_exchange(asked, answer)
    elif isinstance(asked, str):
        entry["messages"] = read_transcript(asked) or asked
    if "actions" in options.columns and entry.get("actions") is not None:
        lists = {name: unpacked(entry.pop(name)) for name in options.columns if name in LISTS and entry.get(name) is not None}
        log_records.need(lists, "observations")
        entry["messages"] = steps_of_lists(lists)
    for name in ("steps", "messages"):
        if isinstance(entry.get(name), str):
            entry[name] = _from_json(entry[name], name)
    entry |= {"reward": reward_of(entry["reward"])} if "reward" in entry else {}
    entry |= {"success": truth_of(entry["success"])} if "success" in entry else {}
    if entry.get("steps") is not None:
        return jsonl.parse(options, where, {"instruction": "", "reward": None} | entry)
    if entry.get("messages") is None:
        raise Unusable("missing_field", "no column steps or messages; name one with --column messages=THEIRS")
    prompt = instruction_text(entry.pop("prompt", None))
    answers = answers_in(answer)
    if isinstance(entry["messages"], dict):
        entry["messages"] = numbered_steps(entry["messages"]) or entry["messages"]
    return openai_messages.parse(file, options, where, entry, lambda log, name: with_prompt(read_history([*log, *answers], name), prompt))


def with_prompt(spoken: list[Message], prompt: str | None) -> list[Message]:
    """Puts a system prompt that is stored separately before the messages, unless they have one."""
    has_one = not prompt or any(message["role"] in INSTRUCTING for message in spoken)
    return spoken if has_one else [{"role": "system", "content": prompt}, *spoken]


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
