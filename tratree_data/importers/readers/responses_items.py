"""Items of OpenAI's Responses API → messages: the model's output between two inputs is one turn."""

from collections.abc import Iterable
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.dialects import content_of, read_messages
from tratree_data.messages import json_text

CALL_KEYS = ("id", "call_id", "status", "type", "name", "arguments", "input", "namespace")
OUTPUT_ENDING = "_output"
CALL_ENDING = "_call"


def messages_of_items(items: Iterable[Any], name: str = "items") -> list[Message]:
    """All items; a turn ends with the first input or result after it."""
    turns = Turns()
    for i, item in enumerate(items):
        turns.add(log_records.mapping(item, f"{name}[{i}]"), f"{name}[{i}]")
    return turns.messages


class Turns:
    """Messages so far; the assistant's last one is open until something else is said."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.is_open = False

    def say(self, *messages: Message) -> None:
        self.messages += messages
        self.is_open = False

    def turn(self) -> Message:
        if not self.is_open:
            self.messages.append({"role": "assistant", "content": None})
            self.is_open = True
        return self.messages[-1]

    def add(self, item: dict[str, Any], name: str, metadata: dict[str, Any] | None = None) -> None:
        kind = item.get("type") or ("message" if "role" in item else "")
        if kind == "message" and str(item.get("role")) != "assistant":
            said = read_messages({"role": item.get("role"), "content": item.get("content")}, name)
            if metadata:
                said[0]["metadata"] = metadata
            self.say(*said)
        elif kind == "message":
            text = content_of(item.get("content"), f"{name}.content")
            turn = self.turn()
            turn["content"] = text if turn["content"] is None else f"{turn['content']}\n{text}"
        elif kind == "reasoning":
            self._think(item, name)
        elif str(kind).endswith(OUTPUT_ENDING):
            self.say(_result(item, name, metadata))
        elif str(kind).endswith(CALL_ENDING):
            self.turn().setdefault("tool_calls", []).append(_call(item, str(kind), name))
        if self.is_open and metadata:
            turn = self.turn()
            turn["metadata"] = metadata | turn.get("metadata", {})

    def _think(self, item: dict[str, Any], name: str) -> None:
        parts = item.get("content") or item.get("summary") or []
        texts = [parts] if isinstance(parts, str) else [content_of([_as_text(part)], name) for part in log_records.items_of(parts, name)]
        turn = self.turn()
        thought = "\n".join(text for text in (turn.get("reasoning_content", ""), *texts) if text)
        if thought:
            turn["reasoning_content"] = thought
        if item.get("encrypted_content"):
            turn.setdefault("metadata", {})["encrypted_reasoning"] = item["encrypted_content"]


def _as_text(part: Any) -> Any:
    return {"type": "text", "text": part["text"]} if isinstance(part, dict) and isinstance(part.get("text"), str) else part


def _call(item: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """A call of a function, of a tool with free text as its input, or of one that the server runs itself."""
    called = item.get("name") or kind.removesuffix(CALL_ENDING)
    given = next((item[key] for key in ("arguments", "input") if item.get(key) is not None), None)
    if given is None:
        given = item.get("action") or {key: value for key, value in item.items() if key not in CALL_KEYS and value is not None}
    identity = item.get("call_id") or item.get("id")
    return {
        "id": None if identity is None else log_records.identifier(identity, f"{name}.call_id"),
        "name": log_records.identifier(called, f"{name}.name"),
        "arguments": given if isinstance(given, str) else json_text(given),
    }


def _result(item: dict[str, Any], name: str, metadata: dict[str, Any] | None) -> Message:
    output = item.get("output")
    if isinstance(output, dict) and "content" in output:
        output = output["content"]
    if isinstance(output, dict) and isinstance(output.get("type"), str):  # a screenshot
        output = [output]
    if isinstance(output, list) and not all(isinstance(part, str) or (isinstance(part, dict) and "type" in part) for part in output):
        output = json_text(output)  # what a shell printed, by stream
    content = content_of(output, f"{name}.output") if isinstance(output, str | list) else "" if output is None else json_text(output)
    message: Message = {"role": "tool", "content": content}
    if item.get("call_id"):
        message["tool_call_id"] = log_records.identifier(item["call_id"], f"{name}.call_id")
    return message | ({"metadata": metadata} if metadata else {})
