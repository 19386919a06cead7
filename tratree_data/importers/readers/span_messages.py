"""A span of a model call → what was said to the model and what it said, whichever convention the instrumentation follows.

llm.input_messages.0.message.role, llm.output_messages.…           OpenInference
gen_ai.input.messages, gen_ai.output.messages, gen_ai.system_instructions   OpenTelemetry GenAI: JSON, with parts
gen_ai.prompt.0.role, gen_ai.completion.0.content                   OpenLLMetry
events gen_ai.user.message, gen_ai.choice, …                        OpenTelemetry GenAI until 1.36, on spans or as log records
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import orjson

from tratree_data.importers import log_records
from tratree_data.importers.readers.span_files import Event, Span, nested
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.dialects import read_messages, read_tools
from tratree_data.messages import json_text

CHOICE = "gen_ai.choice"
EVENT_ROLES = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
DETAILS = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions")
OPENINFERENCE = ("llm.input_messages", "llm.output_messages")
OPENLLMETRY = ("gen_ai.prompt", "gen_ai.completion")
LONGEST_KNOWN = 32 * 1024
Spoken = tuple[list[Message], list[Message]]


def conversation_of(span: Span) -> Spoken | None:
    """(messages to the model, messages of the model); None if the span contains none. Several of the model may be choices."""
    attributes = with_details(span)
    for read in (_openinference, _genai, _openllmetry, _langfuse):
        found = read(attributes)
        if found is not None:
            return found
    return _from_events(span.events)


def with_details(span: Span) -> dict[str, Any]:
    """The span's attributes and those of the event in which some instrumentations put the messages."""
    found = dict(span.attributes)
    for event in span.events:
        for name in DETAILS:
            value = nested(event.attributes, name) or (event.body.get(name) if isinstance(event.body, dict) else None)
            if value is not None:
                found.setdefault(name, value)
    return found


def tools_of(span: Span) -> list[dict[str, Any]] | None:
    attributes = with_details(span)
    schemas = nested(attributes, "llm.tools")
    if isinstance(schemas, list):
        return read_tools([log_records.at(tool, "tool", "json_schema") for tool in schemas])
    found = parsed(nested(attributes, "gen_ai.tool.definitions") or nested(attributes, "llm.request.functions"))
    found = found or log_records.at(parsed(attributes.get("langfuse.observation.input")), "tools")
    tools = found if isinstance(found, list) else []
    return read_tools([tool | {"parameters": parsed(tool.get("parameters"))} if isinstance(tool, dict) else tool for tool in tools])


def _openinference(attributes: dict[str, Any]) -> Spoken | None:
    both = [nested(attributes, name) for name in OPENINFERENCE]
    if both == [None, None]:
        return None
    given, made = ([_openinference_message(item) for item in side] if isinstance(side, list) else [] for side in both)
    return list(_read(given, OPENINFERENCE[0])), list(_read(made, OPENINFERENCE[1]))


def _openinference_message(item: Any) -> Any:
    message = log_records.at(item, "message")
    if not isinstance(message, dict):
        return item
    said = {key: message.get(key) for key in ("role", "content", "name", "tool_call_id")}
    parts = message.get("contents")
    if isinstance(parts, list):
        said["content"] = [_openinference_part(part) for part in parts]
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        said["tool_calls"] = [log_records.at(call, "tool_call") or call for call in calls]
    elif message.get("function_call_name"):
        said["tool_calls"] = [{"name": message["function_call_name"], "arguments": message.get("function_call_arguments_json")}]
    return said


def _openinference_part(part: Any) -> Any:
    content = log_records.at(part, "message_content")
    return content if isinstance(content, dict) else part


def _genai(attributes: dict[str, Any]) -> Spoken | None:
    given, made, instructions = (parsed(nested(attributes, name)) for name in DETAILS[:3])
    if not isinstance(given, list) and not isinstance(made, list):
        return None
    asked = [{"role": "system", "parts": instructions}] if isinstance(instructions, list) else []
    asked = [{"role": "system", "content": instructions}] if isinstance(instructions, str) and instructions else asked
    asked += given if isinstance(given, list) else []
    made = made if isinstance(made, list) else []
    return list(_read(asked, DETAILS[0])), list(_read(made, DETAILS[1]))


def _genai_message(item: Any) -> Any:
    """A message with parts in the form that read_messages knows."""
    if not isinstance(item, dict) or not isinstance(item.get("parts"), list):
        return item
    said = {key: value for key, value in item.items() if key != "parts"}
    return said | {"content": [_genai_part(part) for part in item["parts"]]}


def _genai_part(part: Any) -> Any:
    kind = log_records.at(part, "type")
    if kind == "text":
        return {"type": "text", "text": part.get("content")}
    if kind in ("reasoning", "thinking"):
        return {"type": "thinking", "thinking": part.get("content")}
    if kind == "tool_call":
        return {"type": "tool_call", "id": part.get("id"), "name": part.get("name"), "arguments": part.get("arguments")}
    if kind == "tool_call_response":
        result = part.get("response", part.get("result"))
        return {"type": "tool_result", "tool_use_id": part.get("id"), "content": result if isinstance(result, str) else json_text(result)}
    return part | {"data": part["content"]} if kind == "blob" and isinstance(part.get("content"), str) else part


def _openllmetry(attributes: dict[str, Any]) -> Spoken | None:
    given, made = (nested(attributes, name) for name in OPENLLMETRY)
    if not isinstance(given, list) and not isinstance(made, list):
        return None
    sides = [[_openllmetry_message(item, role) for item in side or []] for side, role in ((given, "user"), (made, "assistant"))]
    return list(_read(sides[0], OPENLLMETRY[0])), list(_read(sides[1], OPENLLMETRY[1]))


def _openllmetry_message(item: Any, role: str) -> Any:
    """Contents that are not text are written as JSON."""
    if not isinstance(item, dict):
        return item
    content = parsed(item.get("content"))
    is_parts = isinstance(content, list) and all(isinstance(part, dict) and "type" in part for part in content)
    return {"role": role} | item | {"content": content if is_parts else item.get("content")}


def _langfuse(attributes: dict[str, Any]) -> Spoken | None:
    """The messages as Langfuse's own client writes them: a request, and the answer's message."""
    if attributes.get("langfuse.observation.type") != "generation":
        return None
    given, made = (parsed(attributes.get(f"langfuse.observation.{side}")) for side in ("input", "output"))
    asked = log_records.at(given, "messages") or given
    if not isinstance(asked, list):
        return None
    said = made if isinstance(made, list) else [made if isinstance(made, dict) else {"role": "assistant", "content": made}]
    return list(_read(asked, "input")), list(_read(said, "output"))


def _from_events(events: Iterable[Event]) -> Spoken | None:
    given: list[Any] = []
    made: list[Any] = []
    for event in events:
        role = EVENT_ROLES.get(event.name)
        body = event.body if isinstance(event.body, dict) else parsed(event.attributes.get("gen_ai.event.content"))
        body = body if isinstance(body, dict) else _body_of(event.attributes)
        if event.name == CHOICE:
            message = parsed(body.get("message"))
            message = message if isinstance(message, dict) else {key: body[key] for key in ("content", "tool_calls") if key in body}
            made.append(_event_message(message, "assistant") | {"finish_reason": body.get("finish_reason")})
        elif role is not None:
            given.append(_event_message(body, role))
    return (list(_read(given, "events")), list(_read(made, "events"))) if given or made else None


def _body_of(attributes: dict[str, Any]) -> dict[str, Any]:
    found = {key: nested(attributes, key) for key in ("content", "role", "tool_calls", "id", "name", "message", "finish_reason")}
    return {key: value for key, value in found.items() if value is not None}


def _event_message(body: dict[str, Any], role: str) -> dict[str, Any]:
    said = {key: body[key] for key in ("content", "tool_calls", "name") if key in body}
    calls = parsed(said.get("tool_calls"))
    said |= {"content": json_text(said["content"])} if isinstance(said.get("content"), dict) else {}
    said |= {"tool_calls": calls} if isinstance(calls, list) else {}
    return {"role": role} | said | ({"tool_call_id": body["id"]} if role == "tool" and body.get("id") else {})


def _read(items: Iterable[Any], name: str) -> Iterator[Message]:
    """Messages; the parts of one turn that were written as messages of their own (reasoning, text, calls) are joined."""
    said: list[Message] = []
    for item in items:
        for message in _messages_of(item, name):
            if said and _continues(said[-1], message):
                said[-1] = _joined(said[-1], message)
            else:
                said.append(message)
    for message in said:
        yield message | {"content": None} if message.get("tool_calls") and not message["content"] else message


def _messages_of(item: Any, name: str) -> Sequence[Message]:
    """The item's messages. Every call of a conversation repeats those before it, so they are read once, as long as they are short."""
    with suppress(TypeError, RecursionError):
        data = orjson.dumps(item)
        if len(data) <= LONGEST_KNOWN:
            return _known_messages(data, name)
    return read_messages(_genai_message(item), name)


@lru_cache(4_096)
def _known_messages(data: bytes, name: str) -> Sequence[Message]:
    return read_messages(_genai_message(orjson.loads(data)), name)


def _continues(before: Message, after: Message) -> bool:
    """Whether the message continues the same turn: reasoning, text and calls come in this order."""
    if before["role"] != "assistant" or after["role"] != "assistant":
        return False
    only_calls = not after.get("content") and not after.get("reasoning_content") and bool(after.get("tool_calls"))
    only_thought = not before.get("content") and not before.get("tool_calls") and bool(before.get("reasoning_content"))
    return only_calls or only_thought


def _joined(turn: Message, more: Message) -> Message:
    joined = dict(turn)
    for key in ("reasoning_content", "content"):
        texts = [text for text in (turn.get(key), more.get(key)) if text]
        joined |= {key: "\n".join(texts)} if texts else {}
    joined |= {"tool_calls": [*turn.get("tool_calls", []), *more["tool_calls"]]} if more.get("tool_calls") else {}
    joined |= {"metadata": turn.get("metadata", {}) | more["metadata"]} if more.get("metadata") else {}
    return joined


def parsed(value: Any) -> Any:
    """The value of a JSON text; anything else as it is."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value
