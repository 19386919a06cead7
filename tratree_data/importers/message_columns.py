"""Lines of OpenAI messages as columns: what `openai_messages.parse` and `record_rows` do to one record after the other, done to many.

A line is taken only if nothing about it needs a second look: messages with OpenAI's keys alone, no key twice, nothing to replace. Every
other line goes through the careful reader. Most turns hear one message and make calls; the first turn, the end and all other turns are
chat.py's, and what is around the conversation the reader's. The result is the same, row by row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import xxhash
from msgspec import UNSET, UnsetType

from tratree_data import ids
from tratree_data.importers.columns import NUL, TEXTS, Batch, Ints, Schemas, Text, step_places, table
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.files.quick_json import ESCAPED_QUOTE, UNSURE, quick_value
from tratree_data.importers.hashed_columns import content_ids, framed, joined
from tratree_data.importers.log_records import LogStep, Options, Record, Unusable
from tratree_data.importers.readers import openai_messages
from tratree_data.importers.record_rows import identifying_facts, origin_of, rollout_row, validate
from tratree_data.importers.turns.chat import Conversation, Message, action_text, end_with, step_of
from tratree_data.importers.turns.conversations import OBSERVATION_LABEL, without_label
from tratree_data.importers.turns.long_records import ended
from tratree_data.messages import message_bytes
from tratree_data.store.writing.storable_text import storable

ESCAPE = b"\\u"
DOUBTFUL = (NUL, ESCAPED_QUOTE, b"\\\\ud", b"\\\\uD")
"""Those of what has to be replaced, also within the arguments of a call, and the other way to write a quote."""
DECODING_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Function(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    arguments: str


class Call(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    id: str
    function: Function
    type: Text = UNSET


class Said(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["system", "developer", "user", "tool", "assistant"]
    content: Text = UNSET
    tool_call_id: Text = UNSET
    tool_calls: list[Call] | UnsetType | None = UNSET
    name: Text = UNSET
    reasoning_content: Text = UNSET
    refusal: UnsetType | None = UNSET
    audio: UnsetType | None = UNSET
    function_call: UnsetType | None = UNSET


class Doubt(Exception):
    """Something about a line needs a second look."""


@dataclass
class Turns:
    """Steps as columns."""

    observation: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)
    action: list[str] = field(default_factory=list)
    response: list[str | None] = field(default_factory=list)
    input_messages: list[list[Message] | None] = field(default_factory=list)
    output_message: list[Message | None] = field(default_factory=list)

    def add_step(self, step: LogStep) -> None:
        if not step.action.strip() or step.metadata is not None:
            raise Doubt
        for name, column in vars(self).items():
            column.append(getattr(step, name))

    def cut(self, length: int) -> None:
        for column in vars(self).values():
            del column[length:]


def read_batch(file: LogFile, lines: Sequence[tuple[str, bytes]], options: Options, format: str, schemas: Schemas) -> Batch:
    """Lines ('file:line', bytes) as tables; rollouts have neither attempts nor duplicates, which depend on the rest of the dataset."""
    turns, starts = Turns(), [0]
    beside = [file.name, file.path.name, *(value for value in vars(options).values() if isinstance(value, str))]
    lines_to_read = enumerate(lines) if all(text == storable(text) for text in beside) else ()
    taken: list[int] = []
    records: list[Record] = []
    scores: list[float | None] = []
    for number, (where, data) in lines_to_read:
        try:
            record = _read(file, options, where, data, turns)
            scores.append(options.score(record.reward))
        except (Doubt, Unusable, *DECODING_ERRORS):
            turns.cut(starts[-1])
            continue
        taken.append(number)
        records.append(record)
        starts.append(len(turns.action))
    found = set(taken)
    rest = [number for number in range(len(lines)) if number not in found]
    return Batch(*_tables(records, scores, turns, np.array(starts, np.int64), options, format, schemas), taken, rest)


def _read(file: LogFile, options: Options, where: str, data: bytes, turns: Turns) -> Record:
    """The record with its first step; all of its steps are added to the turns."""
    if ESCAPE in data and any(escape in data for escape in DOUBTFUL):
        raise Doubt
    raw = {name: bytes(value) for name, value in _members().decode(data).items()}
    key = next((name for name in openai_messages.LOGS if name in raw), None)
    if key is None:
        raise Doubt
    entry = {name: [] if name == key else quick_value(value) for name, value in raw.items()}
    messages = _messages().decode(raw[key])
    keeps_every_key = (
        data.count(b'"') == 2 * len(raw) + sum(value.count(b'"') for value in raw.values())
        and raw[key].count(b'"') == msgspec.json.encode(messages).count(b'"')
        and UNSURE not in entry.values()
    )
    first = next((place for place, message in enumerate(messages, 1) if message.role == "assistant"), 0)
    opening = [_answer(message) if message.role == "assistant" else _heard(message) for message in messages[:first]]
    if not keeps_every_key or not any(message["role"] == "user" for message in opening):
        raise Doubt
    react = not any(message.tool_calls for message in messages)
    record = openai_messages.parse(file, options, where, entry, lambda log, name: opening, react)
    validate(record, options)
    turns.add_step(record.steps[0])
    end = Conversation()
    _add_turns(messages[first:], opening[-1].get("tool_calls") or [], react, turns, end)
    return ended(record, end)


@cache
def _members() -> "msgspec.json.Decoder[dict[str, msgspec.Raw]]":
    return msgspec.json.Decoder(dict[str, msgspec.Raw])


@cache
def _messages() -> "msgspec.json.Decoder[list[Said]]":
    return msgspec.json.Decoder(list[Said])


def _add_turns(messages: Iterable[Said], calls: list[Message], react: bool, turns: Turns, end: Conversation) -> None:
    """The turns after the first, and what is after the last; the calls are those of the turn before."""
    waiting: list[Message] = []
    for message in messages:
        if message.role != "assistant":
            waiting.append(_heard(message))
        elif len(waiting) == 1 and message.tool_calls and not message.name:
            observation = without_label(OBSERVATION_LABEL, waiting[0]["content"] or "")
            is_derived = waiting[0] == {"role": "user", "content": observation}
            reasoning, content = message.reasoning_content or None, message.content or ""
            calls = list(map(_call, message.tool_calls))
            output = {"content": None if message.content is UNSET else message.content, "reasoning": reasoning, "tool_calls": calls}
            thought = "\n".join([part for part in (reasoning, content) if part and not part.isspace()])
            action = action_text(calls[0]) if len(calls) == 1 else "\n".join(sorted(map(action_text, calls)))
            turns.observation.append(observation)
            turns.thought.append(thought)
            turns.action.append(action)
            turns.response.append(None)
            turns.input_messages.append(None if is_derived else waiting)
            turns.output_message.append(output)
            waiting = []
        else:
            answer = _answer(message)
            turns.add_step(step_of(None, waiting, calls, answer, react))
            waiting, calls = [], answer.get("tool_calls") or []
    end_with(waiting, calls, end)


def _heard(message: Said) -> Message:
    """As plain_messages.py reads what an agent hears."""
    heard: Message = {"role": message.role, "content": None if message.content is UNSET else message.content}
    if message.tool_call_id:
        heard["tool_call_id"] = _not_blank(message.tool_call_id)
    if message.name:
        heard["name"] = _not_blank(message.name)
    return heard


def _answer(message: Said) -> Message:
    """As plain_messages.py reads what an agent says."""
    if message.name:
        raise Doubt
    answer: Message = {"role": "assistant", "content": None if message.content is UNSET else message.content}
    if message.reasoning_content:
        answer["reasoning_content"] = message.reasoning_content
    if message.tool_calls:
        answer["tool_calls"] = list(map(_call, message.tool_calls))
    return answer


def _call(call: Call) -> Message:
    return {"id": _not_blank(call.id), "name": _not_blank(call.function.name), "arguments": call.function.arguments}


def _not_blank(name: str) -> str:
    if not name or name.isspace():
        raise Doubt
    return name


def _tables(
    records: Sequence[Record], scores: Sequence[float | None], turns: Turns, starts: Ints, options: Options, format: str, schemas: Schemas
) -> tuple[pa.Table, pa.Table]:
    texts = {name: pa.array(getattr(turns, name), pa.string()) for name in TEXTS}
    names = _rollout_ids(records, turns, texts, starts)
    origin, contents = origin_of(options, format), content_ids(texts, starts)
    rows = [
        rollout_row(record, name, ids.tree_id(record.environment, record.task_id), 0, score)
        | origin
        | {"content_id": content, "step_count": steps}
        for record, name, score, content, steps in zip(records, names, scores, contents, np.diff(starts).tolist(), strict=True)
    ]
    own: dict[str, Any] = {**vars(turns), **texts, **step_places(names, starts)}
    rollouts = {name: [row.get(name) for row in rows] for name in schemas["rollouts"].names}
    return table(schemas["rollouts"], rollouts, len(rows)), table(schemas["steps"], own, len(turns.action))


def _rollout_ids(records: Sequence[Record], turns: Turns, texts: dict[str, pa.Array], starts: Ints) -> list[str]:
    """As record_rows.identity hashes a record."""
    within, step_from = joined(framed(texts[name] for name in TEXTS))
    names = []
    for record, start, end in zip(records, starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        digest = xxhash.xxh3_64(identifying_facts(record))
        digest.update(within[step_from[start] : step_from[end]])
        parts = [
            *chain.from_iterable(zip(turns.input_messages[start:end], turns.output_message[start:end], strict=True)),
            record.end_messages,
        ]
        if parts.count(None) < len(parts):
            digest.update(ids.framed_bytes([message_bytes(parts)]))
        names.append(digest.hexdigest())
    return names
