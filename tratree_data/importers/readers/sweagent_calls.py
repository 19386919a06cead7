"""Conversations of SWE-agent and mini-swe-agent in which the model called tools: chat messages, or answers of the Responses API."""

from collections.abc import Iterable
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.readers.responses_items import Turns
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.dialects import read_messages

NamedMessage = tuple[str, dict[str, Any]]
TAKEN = ("output", "thought", "agent", "message_type", "is_demo", "tool_call_ids", "thinking_blocks")
"""Keys that the message already contains, or that are the same in all of them."""


def has_calls(messages: Iterable[dict[str, Any]]) -> bool:
    return any(message.get("tool_calls") or _is_response(message) for message in messages)


def _is_response(message: dict[str, Any]) -> bool:
    return message.get("object") == "response" and isinstance(message.get("output"), list)


def messages_with_calls(spoken: Iterable[NamedMessage], last_observation: str) -> list[Message]:
    """The messages. If only the trajectory has the result of the last call, it is taken from there."""
    turns = Turns()
    for name, message in spoken:
        about = {key: value for key, value in message.items() if key in ("model", "usage", "extra") and value is not None}
        if _is_response(message):
            turns.is_open = False
            for i, item in enumerate(message["output"]):
                turns.add(log_records.mapping(item, f"{name}.output[{i}]"), f"{name}.output[{i}]", about or None)
            turns.is_open = False
        elif message.get("type") == "function_call_output":
            turns.add(message, name, about or None)
        elif message.get("role") == "exit":
            content = log_records.optional_text(message.get("content"), f"{name}.content")
            turns.say({"role": "user", "content": content, "metadata": {"exit": True} | about})
        else:
            turns.say(*_plain(message, name))
    calls = turns.messages[-1].get("tool_calls") if turns.messages else None
    if calls and last_observation:
        turns.say({"role": "tool", "content": last_observation, "tool_call_id": calls[-1]["id"]})
    return turns.messages


def _plain(message: dict[str, Any], name: str) -> list[Message]:
    about = {key: value for key, value in message.items() if key not in TAKEN and value is not None}
    calls = message.get("tool_call_ids")
    if message.get("role") == "tool" and isinstance(calls, list) and calls:
        about["tool_call_id"] = calls[0]
    blocks = message.get("thinking_blocks")
    thoughts = [text for block in blocks if isinstance(text := log_records.at(block, "thinking"), str)] if isinstance(blocks, list) else []
    if thoughts and message.get("role") == "assistant":
        about.setdefault("reasoning_content", "\n".join(thoughts))
    return read_messages(about, name)
