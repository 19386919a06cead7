"""A fast path for the messages of most logs: OpenAI's, Anthropic's blocks, Inspect's, with their metadata.

It gives the same result as dialects.py, or None for any message that is not simple.
"""

from functools import lru_cache
from typing import Any

from tratree_data.importers.turns.conversations import CALL_PARTS, CONTENTS, REASONING, TEXT_PARTS
from tratree_data.messages import json_text, message_json

ROLES = {name: name for name in ("system", "developer", "user", "tool", "assistant")}
CALL_IDS = ("tool_call_id", "toolCallId", "tool_use_id", "call_id")
TOOL_RESULTS = ("tool_result", "toolResult")
TAKEN = {"role", "from", "name", "toolName", "tool_calls", "toolCalls", "function_call", *CONTENTS, *REASONING, *CALL_IDS}
"""The keys of a message that correspond to ours; the others are metadata."""
PLAIN = {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content"}
DOUBTFUL = frozenset(TAKEN - PLAIN) | {"toolInvocations"}
Message = dict[str, Any]


def plain_messages(entry: Any) -> list[Message] | None:
    """The message, or the tool results in it."""
    if type(entry) is not dict:
        return None
    role, content = entry.get("role"), entry.get("content")
    if type(role) is not str or role not in ROLES:
        return None
    if type(content) is str and len(entry) == 2:
        return [{"role": role, "content": content}]
    others = _other_keys(tuple(entry))
    if others is None:
        return None
    acts = role == "assistant"
    thoughts: list[str] = []
    calls: list[Message | None] = []
    results: list[Message] = []
    if type(content) is list:
        texts = _read_blocks(content, thoughts, calls) if acts else _read_heard(content, results)
        if texts is None:
            return None
        content = "\n".join(texts)
    elif content is not None and type(content) is not str:
        return None
    message: Message = {"role": role, "content": content}
    if not (_add_acts(message, entry, thoughts, calls) if acts else _add_names(message, entry)):
        return None
    metadata = {key: entry[key] for key in others if entry[key] is not None} if others else None
    if metadata:
        message["metadata"] = metadata
    if not results:
        return [message]
    if metadata:
        results[0]["metadata"] = metadata | results[0].get("metadata", {})
    return results


@lru_cache(1_024)
def _other_keys(keys: tuple[str, ...]) -> tuple[str, ...] | None:
    """Those that are metadata; None if one of the keys needs a second look. A log's messages have the same keys again and again."""
    return tuple(key for key in keys if key not in TAKEN) if DOUBTFUL.isdisjoint(keys) else None


def _add_acts(message: Message, entry: Message, thoughts: list[str], calls: list[Message | None]) -> bool:
    reasoning, listed = entry.get("reasoning_content"), entry.get("tool_calls")
    if entry.get("name") or (reasoning and type(reasoning) is not str) or (listed and type(listed) is not list):
        return False
    if listed:
        calls = [*map(_plain_call, listed), *calls] if calls else list(map(_plain_call, listed))
    if reasoning:
        thoughts.insert(0, reasoning)
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return None not in calls


def _add_names(message: Message, entry: Message) -> bool:
    for key in ("tool_call_id", "name"):
        if value := entry.get(key):
            if type(value) is not str or value.isspace():
                return False
            message[key] = value
    return True


def _read_blocks(blocks: list[Any], thoughts: list[str], calls: list[Message | None]) -> list[str] | None:
    """The text of an assistant's message; its thoughts and calls are added to the given lists."""
    texts = []
    for block in blocks:
        kind = block.get("type") if type(block) is dict else None
        if kind in CALL_PARTS:
            calls.append(_plain_call(block))
            continue
        said = block.get("text") if kind in TEXT_PARTS else block.get("thinking") if kind == "thinking" else None
        if type(said) is not str:
            return None
        if kind != "thinking":
            texts.append(said)
        elif said:
            thoughts.append(said)
        elif block.get("reasoning") or block.get("text"):
            return None
    return texts


def _read_heard(blocks: list[Any], results: list[Message]) -> list[str] | None:
    """The texts for an agent, or else the results of its tools."""
    texts = []
    for block in blocks:
        kind = block.get("type") if type(block) is dict else None
        if kind in TOOL_RESULTS:
            result = _plain_result(block)
            if result is None:
                return None
            results.append(result)
        elif kind in TEXT_PARTS and type(block.get("text")) is str:
            texts.append(block["text"])
        else:
            return None
    return None if texts and results else texts


def _plain_result(block: Message) -> Message | None:
    content, call = block.get("content") or "", block.get("tool_use_id")
    if type(content) is list:
        texts = _read_heard(content, [])
        content = None if texts is None else "\n".join(texts)
    if (
        type(content) is not str
        or type(call) is not str
        or not call
        or call.isspace()
        or any(key in block for key in CALL_IDS if key != "tool_use_id")
    ):
        return None
    result = {"role": "tool", "content": content, "tool_call_id": call}
    return result | {"metadata": {"is_error": True}} if block.get("is_error") else result


def _plain_call(call: Any) -> Message | None:
    """As OpenAI nests it, as Inspect names the function, or as a block."""
    if type(call) is not dict:
        return None
    function = call.get("function", call)
    named = type(function) is str
    name = function if named else function.get("name") if type(function) is dict else None
    if named and "name" in call:
        return None
    function = call if named else function
    identity = call.get("id")
    if type(name) is not str or type(identity) is not str or not (identity and name) or identity.isspace() or name.isspace():
        return None
    arguments = function.get("arguments")
    if arguments is None:
        arguments = function.get("input")
    if type(arguments) is not str:
        if type(arguments) is not dict:
            return None
        arguments = arguments_text(arguments)
    return {"id": identity, "name": name, "arguments": arguments}


def arguments_text(value: Any) -> str:
    """`json_text`, which writes floats in its own way, several times as fast where there are none."""
    return json_text(value) if has_float(value) else message_json(value)


def has_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_float, value.values()))
    return any(map(has_float, value)) if isinstance(value, list) else isinstance(value, float)
