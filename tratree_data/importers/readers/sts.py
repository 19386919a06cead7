"""STS, the Hub's Session Trace Simple Format: a header line {"type": "session", "harness", "id"} and a line for each message.

The header may carry any metadata: task, environment and reward are read from it under the names of our columns.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_lines
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.metadata_fields import EXPORTER
from tratree_data.importers.turns import conversations
from tratree_data.importers.turns.chat import Message, record_of_chat_with_metadata
from tratree_data.importers.turns.dialects import read_exactly, read_messages

MOST_MESSAGES = 100_000


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    where = ""
    header: dict[str, Any] = {}
    messages: list[Any] = []
    fault: Problem | None = None
    for place, line in json_lines(file):
        if isinstance(line, dict) and line.get("type") == "session" and "harness" in line:
            yield from _finish(options, where, header, messages, fault)
            where, header, messages, fault = place, line, [], None
        elif not where:
            yield line if isinstance(line, Problem) else Problem(place, "missing_field", "no line of type session before it")
        elif isinstance(line, Problem):
            fault = fault or line
        elif len(messages) == MOST_MESSAGES:
            fault = fault or Problem(place, "too_long", f"the session has more than {MOST_MESSAGES:,} messages")
        elif isinstance(line, dict) and line.get("type") == "message":
            messages.append(line.get("message"))
    yield from _finish(options, where, header, messages, fault)


def _finish(options: Options, where: str, header: dict[str, Any], messages: list[Any], fault: Problem | None) -> Iterator[Record | Problem]:
    """A session with an unreadable line is no longer a usable trajectory."""
    if fault is not None:
        yield fault
    elif where:
        yield from log_records.each([(where, (header, messages))], lambda where, item: _parse(options, where, *item))


def _parse(options: Options, where: str, header: dict[str, Any], messages: list[Any]) -> Record:
    ours = header.get("exporter") == EXPORTER
    spoken = [said for i, message in enumerate(messages) for said in _messages(message, f"message {i + 1}", ours)]
    record = record_of_chat_with_metadata(spoken, header, where, options.environment)
    record.trajectory_id = record.trajectory_id or log_records.identifier(log_records.need(header, "id"), "id")
    record.agent = record.agent or ("" if ours else log_records.optional_text(header.get("harness"), "harness"))
    acts = [
        message
        for message in messages
        if isinstance(message, dict) and conversations.ROLES.get(str(message.get("role")).lower()) == "assistant"
    ]
    if len(acts) != len(record.steps):
        raise Unusable("wrong_type", "assistant messages and steps do not match")
    for step, message in zip(record.steps, acts, strict=True):
        record.model = record.model or log_records.optional_text(message.get("model"), "model") or None
        step.reward = log_records.number(message.get("reward"), "reward")
        step.valid = log_records.truth(message.get("valid"), "valid")
        step.response = log_records.optional_text(message.get("response"), "response") or step.response
    return record


def _messages(message: Any, name: str, ours: bool) -> list[Message]:
    """Reads what our own exporter stores because STS has no place for it."""
    original = message.get("original") if ours and isinstance(message, dict) else None
    return read_messages(message, name) if original is None else read_exactly(original, name)
