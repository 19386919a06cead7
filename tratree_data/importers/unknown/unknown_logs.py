"""Which format a log is in, or, if no reader knows the tool, where its conversations are: by the beginning of the files.

A reader for a layout that many tools share (a list of messages) knows only certain names; if a log contains more under other names,
the columns that path_guess.py finds are used.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from tratree_data.errors import BadInputError, quoted
from tratree_data.importers.files.databases import is_sqlite
from tratree_data.importers.files.json_stream import JsonStream
from tratree_data.importers.files.log_files import READ_ERRORS, LogFile, is_line_of_json, is_one_object, json_records
from tratree_data.importers.files.packed_files import plain_name
from tratree_data.importers.formats import GENERIC, Unrecognised, detect_format
from tratree_data.importers.log_records import Options, Problem, Unusable
from tratree_data.importers.readers import openai_messages
from tratree_data.importers.unknown.message_rows import ROW_COLUMNS
from tratree_data.importers.unknown.parquet_rows import parquet_rows
from tratree_data.importers.unknown.path_guess import Guess, below, guess_columns, guess_rows
from tratree_data.importers.unknown.table_rows import csv_rows, delimiter_of, sqlite_rows, table_names

SAMPLE_RECORDS = 40
SAMPLE_BYTES = 8 * 2**20
SAMPLE_FILES = 12
SAMPLE_ROWS = 400
"""Rows of a table to examine, which may be single messages."""
SHARED = (*GENERIC, "frameworks", "table")
"""Formats that read messages and little of what surrounds them."""
CONVERSATIONS = {"messages", "steps", "actions", *ROW_COLUMNS}
"""Columns of which one says where the conversations are; without it they are looked for."""
NATIVE = {
    "trajectory_id": (*openai_messages.TRIALS,),
    "task_id": openai_messages.TASKS,
    "reward": ("reward", "score"),
    "env": ("env", "environment"),
}
"""Names that those formats read, besides our own."""


def recognise(path: str | Path, directory: str | Path, files: list[LogFile], options: Options) -> tuple[str, Options, str]:
    """The format, the options with the columns that were found, and what was understood. Columns that the user named stay."""
    is_hub = str(files[0].path).startswith("hub:")
    if options.columns and not is_hub and not CONVERSATIONS & set(options.columns):
        found = _guess(files)
        if (
            found is not None
            and not (found.choices or found.answers or found.pairs or found.unanswered)
            and found.columns.get("messages") != "messages"
        ):
            kept = replace(found, columns=found.columns | dict(options.columns), doubts=())
            return _settled(replace(kept, scale=None) if "reward" in options.columns else kept, path, directory, options)
    try:
        format = detect_format(path, directory, files, options)
    except Unrecognised:
        found = _guess(files)
        if found is None:
            raise
        return _settled(found, path, directory, options)
    if format not in SHARED or options.columns or is_hub:
        return format, options, ""
    found = _guess(files)
    if found is None or found.choices or found.answers or found.pairs or found.unanswered or not _says_more(format, found):
        return format, options, ". ".join(found.doubts) if found else ""
    return _settled(found, path, directory, options)


def _says_more(format: str, guess: Guess) -> bool:
    """Whether the columns contain something that the format's reader would miss."""
    about = {ours: path for ours, path in guess.columns.items() if ours not in ("messages", "prompt", "tools")}
    if {*ROW_COLUMNS} & set(about):
        return True
    if format == "frameworks":
        return bool({"reward", "task_id"} & set(about)) or bool(guess.doubts)
    return any(path not in (ours, *(NATIVE.get(ours, ()) if format != "table" else ())) for ours, path in about.items())


def _settled(guess: Guess, path: str | Path, directory: str | Path, options: Options) -> tuple[str, Options, str]:
    """Asks for what only the user can decide, with the command for each choice."""
    command = f"tratree import {quoted(path)} {quoted(directory)}"
    if guess.pairs:
        seen, done = (f"{guess.pairs}[][{place}]" for place in (0, 1))
        ways = [_command(command, {"observation": a, "action": b} | guess.columns) for a, b in ((seen, done), (done, seen))]
        first, second = f"{ways[0]} if what was seen comes first", f"{ways[1]} if what was done comes first"
        raise BadInputError(f"{path}: `{guess.pairs}` holds pairs of texts without names.\nNext: {first}\nor: {second}")
    if guess.unanswered:
        raise BadInputError(
            f"{path}: the requests at `{guess.columns['messages']}` repeat each other, and the agent's answers were not found.\n"
            f"Next: {_command(command, guess.columns)} --column completion=PATH, where PATH leads to the answers"
        )
    if guess.choices or guess.answers:
        ours = "messages" if guess.choices else "completion"
        places = " and ".join(f"`{place}`" for place in (guess.choices or guess.answers))
        ways = [_command(command, guess.columns | {ours: place}) for place in (guess.choices or guess.answers)]
        what = f" holds different conversations, at {places}" if guess.choices else f": the agent's answers differ between {places}"
        raise BadInputError(f"{path}{what}.\nNext: " + "\nor: ".join(ways))
    if guess.scale is not None and options.score_scale is None and not options.clamp_scores and not options.mapped_rewards:
        low, high = guess.scale
        place = guess.columns["reward"]
        others = _command(command, {ours: theirs for ours, theirs in guess.columns.items() if ours not in ("reward", "success")})
        raise BadInputError(
            f"{path}: the scores at `{place}` go up to {high:g}, but a score must be from 0 to 1.\n"
            f"Next: {command} --score-scale {low:g},{high:g} if that is their scale\nor without scores: {others}"
        )
    said = f"Understood: {guess.said()}"
    return "table", replace(options, columns=guess.columns, only_columns=True), ". ".join([said, *guess.doubts])


def _command(command: str, columns: Mapping[str, str]) -> str:
    return " ".join([command, *(f"--column {quoted(f'{ours}={theirs}')}" for ours, theirs in columns.items())])


def _guess(files: Sequence[LogFile]) -> Guess | None:
    """What most of the files have in common, as some of them show."""
    some = files[:: -(-len(files) // SAMPLE_FILES) or 1]
    if is_sqlite(some[0]):
        return _guess_database(some[0])
    if delimiter_of(some[0]):
        rows = _values(csv_rows(some[0]))
        return guess_rows(rows) or guess_columns(rows[:SAMPLE_RECORDS])
    samples = [sample for file in some if (sample := _sample(file, SAMPLE_RECORDS))]
    is_whole = all(map(is_one_object, some)) and not any(plain_name(file.path.name).endswith((".jsonl", ".ndjson")) for file in some)
    records = [value for sample in samples for value in sample]
    if guess_rows(records) is None:
        return guess_columns(records, is_whole) if records else None
    return guess_rows([value for file in some for value in _sample(file, SAMPLE_ROWS)])


def _guess_database(file: LogFile) -> Guess | None:
    """The table with the most messages."""
    found: list[tuple[int, Guess]] = []
    for table in table_names(file):
        rows = _values(sqlite_rows(file, table))
        guess = guess_rows(rows, f"{table}[].") or (below(f"{table}[].", guess_columns(rows[:SAMPLE_RECORDS])) if rows else None)
        if guess is not None:
            found.append((len(rows), guess))
    return max(found, key=lambda item: item[0])[1] if found else None


def _values(items: Iterator[Any], most: int = SAMPLE_ROWS) -> list[Any]:
    return [value for _, value in islice(items, most) if not isinstance(value, Problem)]


def _sample(file: LogFile, most: int) -> list[Any]:
    """The first records; of a file that is one big object, the object with the beginnings of its lists."""
    if file.path.name.endswith(".parquet"):
        return _values(parquet_rows(file), most)
    size = file.path.stat().st_size if file.path.is_file() else 0
    if size > SAMPLE_BYTES and not is_line_of_json(file):
        shortened = _shortened(file)
        if shortened is not None:
            return [shortened]
    return _values(json_records(replace(file, end=SAMPLE_BYTES)), most)


def _shortened(file: LogFile) -> Mapping[str, Any] | None:
    """The file's object, with its lists cut after a few elements."""
    value: dict[str, Any] = {}
    try:
        with file.open() as handle:
            stream = JsonStream(handle)
            if stream.next() != "{":
                return None
            for name in stream.names():
                if len(value) >= SAMPLE_RECORDS and stream.taken > SAMPLE_BYTES:
                    break  # records under their ids
                if stream.next() == "[":
                    value[name] = [item for i in stream.elements() if (item := stream.value()) is not None and i < SAMPLE_RECORDS]
                else:
                    value[name] = stream.value()
    except (Unusable, UnicodeDecodeError, *READ_ERRORS):
        return value or None
    return value
