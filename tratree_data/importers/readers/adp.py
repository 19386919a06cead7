"""ADP, the Agent Data Protocol: {"id", "content": [actions and observations, distinguished by class_], "details"}.

A call of a function is a tool call, and so is code with a `tool_call_id` (schema 1.3), as `execute_code {"content", "language"}`; code
without one is text. Calls in a row that have ids are one turn. `details` is free: task, environment and reward are read from it under the
names of our columns. Rewards beside actions or observations belong to their step.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.readers.intercode import as_text
from tratree_data.importers.turns import conversations
from tratree_data.importers.turns.chat import Message, record_of_chat_with_metadata
from tratree_data.importers.turns.dialects import placeholder
from tratree_data.messages import json_text

ACTIONS = ("api_action", "code_action", "message_action")
OBSERVATIONS = ("text_observation", "web_observation", "json_observation", "image_observation")
CONTENTS = ("content", "axtree", "html", "url")
CODE = "execute_code"
ACTED = ("class_", "function", "kwargs", "content", "language", "description", "reasoning_content", "tool_call_id", "reward")
SEEN = ("class_", "source", "name", "tool_call_id", "reward")
Item = dict[str, Any]


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(json_records(file), lambda where, value: _parse(options, where, value))


def _parse(options: Options, where: str, value: Any) -> Record:
    entry = log_records.mapping(value, "the trajectory")
    facts = log_records.mapping(entry.get("details") or {}, "details")
    content = log_records.mappings(log_records.items_of(log_records.need(entry, "content"), "content"), "content")
    turns = list(_turns(content))
    messages = [said for number, turn in enumerate(turns) for said in _messages(turn, turns[number - 1] if number else [])]
    record = record_of_chat_with_metadata(messages, facts, where, options.environment)
    record.trajectory_id = record.trajectory_id or log_records.identifier(log_records.need(entry, "id"), "id")
    if facts.get("task_id") is None and "instruction" not in facts:
        record.task_id = record.trajectory_id
    record.metadata |= {key: item for key, item in entry.items() if key not in ("id", "content", "details") and item is not None}
    for step, reward in zip(record.steps, _rewards(turns), strict=True):
        step.reward = reward
    conversations.apply_step_metadata(record, facts.get("steps"))
    return record


def _turns(content: list[Item]) -> Iterator[list[Item]]:
    """The items, with the parallel calls of one turn together: the later ones contain nothing besides the call."""
    turn: list[Item] = []
    for i, item in enumerate(content):
        kind = log_records.text(item.get("class_"), f"content[{i}].class_")
        if kind not in (*ACTIONS, *OBSERVATIONS):
            raise Unusable("unknown_role", f"content[{i}].class_ is {kind!r}")
        is_more = turn and _has_id(turn[-1]) and _has_id(item) and not item.get("description") and not item.get("reasoning_content")
        if turn and not is_more:
            yield turn
            turn = []
        turn.append(item)
    if turn:
        yield turn


def _has_id(item: Item) -> bool:
    return item["class_"] in ACTIONS and item.get("tool_call_id") is not None


def _messages(turn: list[Item], before: list[Item]) -> Iterator[Message]:
    first = turn[0]
    if first["class_"] in OBSERVATIONS:
        yield _observed(first, before)
        return
    thoughts = [log_records.optional_text(first.get("reasoning_content"), "reasoning_content")]
    said = log_records.optional_text(first.get("description"), "description")
    about = [{key: part for key, part in item.items() if key not in ACTED and part is not None} for item in turn]
    message: Message = {"role": "assistant", "content": said or None}
    calls = [_call(item) for item in turn if item["class_"] == "api_action" or (item["class_"] == "code_action" and _has_id(item))]
    if calls:
        message["tool_calls"] = calls
    else:
        thoughts.append(said)
        message["content"] = log_records.text(first.get("content"), "content")
    thought = "\n".join(text for text in thoughts if text)
    yield message | ({"reasoning_content": thought} if thought else {}) | ({"metadata": {"actions": about}} if any(about) else {})


def _call(item: Item) -> dict[str, Any]:
    identity = item.get("tool_call_id")
    given: Any = item.get("kwargs") or {}
    if item["class_"] == "code_action":
        given = {"language": item.get("language"), "content": log_records.text(item.get("content"), "content")}
    return {
        "id": None if identity is None else log_records.identifier(identity, "tool_call_id"),
        "name": CODE if item["class_"] == "code_action" else log_records.identifier(item.get("function"), "function"),
        "arguments": given if isinstance(given, str) else json_text(given),
    }


def _observed(item: Item, before: list[Item]) -> Message:
    """What was seen: a result if it names its call, or comes from the environment right after a call."""
    chosen = next((key for key in CONTENTS if item.get(key)), None)
    texts = [as_text(item[chosen])] if chosen else []
    image = item.get("image_observation")
    texts += [placeholder({"type": "image"} | image)] if isinstance(image, dict) else []
    about = {key: part for key, part in item.items() if key not in (*SEEN, chosen) and part is not None}
    called = before[-1] if before and before[-1]["class_"] in ACTIONS else {}
    source, identity = item.get("source"), item.get("tool_call_id")
    is_result = identity is not None or (called.get("class_") == "api_action" and source != "user")
    role = "system" if source == "system" else "tool" if is_result else "user"
    message: Message = {"role": role, "content": "\n".join(texts)}
    message |= {"tool_call_id": log_records.identifier(identity, "tool_call_id")} if identity is not None else {}
    named = item.get("name") or (called.get("function") if is_result and identity is None else None)
    message |= {"name": log_records.text(named, "name")} if named else {}
    return message | ({"metadata": about} if about else {})


def _rewards(turns: list[list[Item]]) -> Iterator[float | None]:
    """The reward of each turn: beside it, or beside what it led to."""
    for i, turn in enumerate(turns):
        if turn[0]["class_"] in ACTIONS:
            follower = turns[i + 1] if i + 1 < len(turns) and turns[i + 1][0]["class_"] in OBSERVATIONS else []
            found = (log_records.number(item.get("reward"), "reward") for item in (*turn, *follower))
            yield next((reward for reward in found if reward is not None), None)
