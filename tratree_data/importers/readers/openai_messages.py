"""OpenAI messages with rewards: {"task_id", "trial", "reward", "info", "traj" or "messages"}, as tau-bench writes them; also bare lists of
messages, and files with one message a line, which are one conversation.

A tool call is the action, 'name {arguments}', and what was said beside it the thought; a plain answer is an action too. The first user
message may differ between the trials of a task, so the instruction is taken from `info` where it is.
"""

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, TooLong
from tratree_data.importers.turns.chat import Message, first_request, record_of_chat
from tratree_data.importers.turns.dialects import read_conversation, read_tools

LOGS = ("traj", "messages", "trajectory", "conversation")
TASKS = ("task_id", "id", "instance_id", "prompt_id")
TRIALS = ("trajectory_id", "trial", "attempt")
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
KNOWN = {*TASKS, *TRIALS, "environment", "env", "split", "model", "reward", "score", "success", "tools"}


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    """A line that is too long to hold is read message by message."""
    records = json_records(file)
    first = list(islice(records, 2))
    if _begins_a_conversation(first):
        yield from _one_conversation(file, options, chain(first, records))
        return
    for where, value in chain(first, records):
        if isinstance(value, TooLong):
            yield from log_records.each([(where, None)], lambda where, _, line=value: _long(file, options, where, line))  # type: ignore[misc]
        else:
            yield from log_records.each([(where, value)], lambda where, value: parse(file, options, where, value))


def is_one_conversation(file: LogFile) -> bool:
    """Whether the file's records are messages."""
    return _begins_a_conversation(list(islice(json_records(file), 2)))


def _begins_a_conversation(first: list[Any]) -> bool:
    """Whether the first record is a message, or what is said about the conversation before its first message."""
    messages = [_is_message(value) for _, value in first]
    return messages[:1] == [True] or (messages == [False, True] and _is_header(first[0][1]))


def _is_header(value: Any) -> bool:
    return isinstance(value, dict) and not any(name in value for name in (*LOGS, "role"))


def _is_message(value: Any) -> bool:
    said = isinstance(value, dict) and value.get("role") in ROLES and ("content" in value or "tool_calls" in value)
    return said and not any(name in value for name in LOGS)


def _one_conversation(file: LogFile, options: Options, records: Iterator[Any]) -> Iterator[Record | Problem]:
    messages: list[Any] = []
    header: dict[str, Any] = {}
    for _, value in records:
        if isinstance(value, Problem):
            yield value
        elif not messages and not header and not _is_message(value):
            header = {"header": value}
        else:
            messages.append(value)
    yield from log_records.each(
        [(f"{file.name}:1", {"messages": messages} | header)], lambda where, value: parse(file, options, where, value)
    )


def _long(file: LogFile, options: Options, where: str, line: TooLong) -> Record:
    from tratree_data.importers.turns.long_records import read_long  # imported here, because it imports the formats in turn

    return read_long(file, line, LOGS, lambda entry: parse(file, options, where, entry))


def parse(
    file: LogFile,
    options: Options,
    where: str,
    value: Any,
    read: Callable[[list[Any], str], list[Message]] = read_conversation,
    react: bool | None = None,
) -> Record:
    entry = {"messages": value} if isinstance(value, list) else log_records.mapping(value, "the record")
    key = next((name for name in LOGS if name in entry), "messages")
    log = log_records.items_of(log_records.need(entry, key), key)
    spoken = read(log, key)
    task = first_of(entry, TASKS)
    trial = first_of(entry, TRIALS)
    return record_of_chat(
        spoken,
        source=where,
        environment=options.environment or log_records.optional_text(entry.get("environment", entry.get("env")), "environment"),
        task_id="" if task is None else log_records.identifier(task, "task_id"),
        instruction=_instruction(entry) or first_request(spoken).strip(),
        tools=read_tools(entry.get("tools")),
        react=react,
        metadata={name: value for name, value in entry.items() if name not in KNOWN and name != key and value is not None},
        trajectory_id="" if trial is None else f"{file.stem}:{log_records.identifier(trial, 'trial')}",
        split=log_records.optional_text(entry.get("split"), "split"),
        model=log_records.optional_text(entry.get("model"), "model") or None,
        reward=log_records.truth_or_number(entry.get("reward", entry.get("score")), "reward"),
        success=log_records.truth(entry.get("success"), "success"),
    )


def first_of(entry: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _instruction(entry: dict[str, Any]) -> str:
    """The task's instruction, the same for all trials."""
    info = entry.get("info")
    task = info.get("task") if isinstance(info, dict) else None
    for place in (task, entry):
        if isinstance(place, dict) and isinstance(place.get("instruction"), str):
            return str(place["instruction"])
    return ""
