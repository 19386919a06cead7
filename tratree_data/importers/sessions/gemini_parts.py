"""Gemini's parts, in which Gemini CLI and Qwen Code keep what was said: texts, thoughts, calls, and results of calls."""

from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.dialects import placeholder
from tratree_data.messages import json_text

Part = dict[str, Any]


def content_text(content: Any, name: str) -> str:
    """A text, one part, or a list of parts."""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return log_records.optional_text(content, f"{name}.content")
    parts = [part if isinstance(part, dict | str) else {"type": "part", "value": part} for part in content]
    return "\n".join(part if isinstance(part, str) else _part_text(part, name) for part in parts)


def _part_text(part: Part, name: str) -> str:
    if "text" in part:
        return log_records.optional_text(part["text"], f"{name}.text")
    answered = part.get("functionResponse")
    if isinstance(answered, dict):
        return response_text(answered)
    return placeholder({"type": next(iter(part), "part"), **part})


def response_text(answered: Part) -> str:
    response = answered.get("response")
    if isinstance(response, dict) and len(response) == 1 and isinstance(found := next(iter(response.values())), str):
        return found
    return "" if response is None else json_text(response)


def results_in(content: Any) -> list[Message]:
    """The results of calls among the parts."""
    answers = [part["functionResponse"] for part in _parts(content) if isinstance(part.get("functionResponse"), dict)]
    return [
        {"role": "tool", "content": response_text(answer), "name": str(answer.get("name") or "")}
        | ({} if answer.get("id") is None else {"tool_call_id": log_records.identifier(answer["id"], "functionResponse.id")})
        for answer in answers
    ]


def without_results(content: Any) -> list[Any]:
    return [
        part
        for part in (content if isinstance(content, list) else [content])
        if not (isinstance(part, dict) and "functionResponse" in part)
    ]


def answer_of(content: Any, name: str) -> Message:
    """A turn of the model: its text, its thoughts, and its calls."""
    if isinstance(content, str | None):
        return {"role": "assistant", "content": content_text(content, name)}
    parts = _parts(content)
    thoughts = [log_records.optional_text(part.get("text"), f"{name}.text") for part in parts if part.get("thought") is True]
    whole = content if isinstance(content, list) else [content]
    said = [part for part in whole if not (isinstance(part, dict) and (part.get("thought") is True or "functionCall" in part))]
    answer: Message = {"role": "assistant", "content": content_text(said, name)}
    if any(thoughts):
        answer["reasoning_content"] = "\n".join(thoughts)
    calls = [log_records.mapping(part["functionCall"], f"{name}.functionCall") for part in parts if "functionCall" in part]
    if calls:
        answer["content"] = answer["content"] or None
        answer["tool_calls"] = [call_of(call, name) for call in calls]
    return answer


def call_of(call: Part, name: str) -> dict[str, Any]:
    return {
        "id": None if call.get("id") is None else log_records.identifier(call["id"], f"{name}.id"),
        "name": log_records.identifier(call.get("name"), f"{name}.name"),
        "arguments": json_text(call.get("args") or {}),
    }


def _parts(content: Any) -> list[Part]:
    return [part for part in (content if isinstance(content, list) else [content]) if isinstance(part, dict)]
