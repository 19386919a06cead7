"""Conversations too long to hold: a line of any size whose messages are read one after the other, three times.

The first reading finds the other members and whether any message calls a tool, the second hashes the steps, and the third stores them. In
memory are one message, the messages since the last turn, and one batch of steps.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import xxhash

from tratree_data import ids
from tratree_data.importers.contents import ContentHash
from tratree_data.importers.files.log_files import LogFile, members_of_line
from tratree_data.importers.log_records import LogStep, Record, StreamedSteps, TooLong, Unusable
from tratree_data.importers.record_rows import clean_step
from tratree_data.importers.turns.chat import Conversation, Message, stream_steps
from tratree_data.importers.turns.dialects import read_messages
from tratree_data.messages import message_json

MOST_FIELDS = 1_000
FRAME = 8


@dataclass
class Scanned:
    """What two readings of a long record found."""

    key: str
    facts: dict[str, Any]
    opening: list[Any]
    """The raw messages up to the agent's first turn."""
    react: bool
    steps: int = 0
    empty_actions: int = 0
    replaced: int = 0
    digest: str = ""
    content: str = ""
    end: Conversation = field(default_factory=Conversation)


def read_streamed(messages: Iterable[Message], react: bool, parse: Callable[[list[Message]], Record]) -> Record:
    """The record of messages that can be read again and again; `parse` makes one of those up to the agent's first turn."""
    opening: list[Message] = []
    for message in messages:
        opening.append(message)
        if message["role"] == "assistant":
            break
    record = parse(opening)
    end, content = Conversation(), ContentHash()
    count = empty = replaced = 0
    for step in stream_steps(messages, react, end):
        count += 1
        empty += not step.action.strip()
        replaced += clean_step(step)
        content.add(step.observation, step.action)
    record.steps = StreamedSteps(count, empty, replaced, content.hexdigest(), lambda: _cleaned_steps(messages, react))
    return ended(record, end)


def _cleaned_steps(messages: Iterable[Message], react: bool) -> Iterator[LogStep]:
    for step in stream_steps(messages, react, Conversation()):
        clean_step(step)
        yield step


def ended(record: Record, end: Conversation) -> Record:
    record.end_observation, record.end_messages = end.end_observation, end.end_messages
    if end.end_metadata is not None:
        record.metadata["end_messages"] = end.end_metadata
    return record


def read_long(file: LogFile, line: TooLong, logs: tuple[str, ...], parse: Callable[[dict[str, Any]], Record]) -> Record:
    """The record of a line that is too long to hold; `parse` makes one of a short record with the same facts."""
    found = _scan(file.path, file.name, line, logs)
    record = parse(found.facts | {found.key: found.opening})
    ended(record, found.end)
    record.steps = StreamedSteps(
        found.steps, found.empty_actions, found.replaced, found.content, lambda: _steps(file.path, file.name, line, found)
    )
    facts = (record.trajectory_id, record.agent, record.model or "", record.reward, record.instruction, record.end_observation)
    record.rollout_id = ids.rollout_id(record.environment, record.task_id, "import", *facts, found.digest)
    return record


@lru_cache(4)
def _scan(path: Path, name: str, line: TooLong, logs: tuple[str, ...]) -> Scanned:
    """Cached, because detecting the format reads the beginning of a file several times."""
    found = _around(path, name, line, logs)
    digest, content = xxhash.xxh3_64(), ContentHash()
    for step in _steps(path, name, line, found):
        found.steps += 1
        found.empty_actions += not step.action.strip()
        content.add(step.observation, step.action)
        for part in (step.observation, step.thought, step.action, message_json([step.input_messages, step.output_message])):
            data = part.encode()
            digest.update(len(data).to_bytes(FRAME, "little") + data)
    if not found.steps:
        raise Unusable("empty_steps", "no assistant turn, so there are no steps")
    found.digest, found.content = digest.hexdigest(), content.hexdigest()
    return found


def _around(path: Path, name: str, line: TooLong, logs: tuple[str, ...]) -> Scanned:
    facts: dict[str, Any] = {}
    opening: list[Any] = []
    key = ""
    react, acted = True, False
    for member, value in members_of_line(LogFile(path, name), line, logs):
        if member in logs and key not in ("", member):
            raise Unusable("repeated_key", f"{member!r} and {key!r} are both there, and either may be the conversation")
        if member in logs:
            key = member
        else:
            facts[member] = value
        if len(facts) > MOST_FIELDS:
            raise Unusable("too_long", f"the record has more than {MOST_FIELDS:,} members")
        if member == key:
            for message in read_messages(value, key):
                react = react and not message.get("tool_calls")
                acted_now = message["role"] == "assistant"
                if not acted and (not opening or opening[-1] is not value):
                    opening.append(value)
                acted = acted or acted_now
    if not key:
        raise Unusable("too_long", f"the line has {line.length:,} bytes, and it has no list {' or '.join(logs)}")
    return Scanned(key, facts, opening, react)


def _messages(path: Path, name: str, line: TooLong, key: str) -> Iterator[Message]:
    for member, value in members_of_line(LogFile(path, name), line, (key,)):
        if member == key:
            yield from read_messages(value, key)


def _steps(path: Path, name: str, line: TooLong, found: Scanned) -> Iterator[LogStep]:
    found.end, found.replaced = Conversation(), 0
    for step in stream_steps(_messages(path, name, line, found.key), found.react, found.end):
        found.replaced += clean_step(step)
        yield step
