"""The ways in which tools write messages → the one form of chat.py: OpenAI's and ShareGPT's, Anthropic's blocks, OpenAI's Responses items.

Images, audio and files become a named placeholder with a hash of their bytes: equal parts are equal texts, and none disappears.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.log_records import Unusable
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.conversations import CALL_PARTS, CONTENTS, REASONING, ROLES, TEXT_PARTS, THOUGHT_PARTS
from tratree_data.importers.turns.plain_messages import CALL_IDS, TAKEN, TOOL_RESULTS, arguments_text, plain_messages
from tratree_data.importers.turns.session_blocks import answered_turns, is_blocks, is_results, plain_blocks, with_invocations
from tratree_data.messages import json_text

TOOL_ROLES = ("tool", "function", "toolresult", "tool_result")
DATA_URL = re.compile(r"data:(?P<type>[\w.+/-]*)[^,]{0,100};base64,")
MEDIA_TYPES = ("media_type", "mimeType", "mime_type", "mediaType")
MEDIA_DATA = ("data", "file_data", "b64_json")
LONGEST_URL = 500
HASH_DIGITS = 16


def read_conversation(values: Iterable[Any], name: str) -> list[Message]:
    """The messages of a whole conversation."""
    found: list[Message] = []
    for i, value in enumerate(values):
        found += plain_messages(value) or read_messages(value, f"{name}[{i}]")
    return found


def read_messages(value: Any, name: str) -> list[Message]:
    """A message as OpenAI, Anthropic, ShareGPT and their many relatives write it; tool results among its parts become messages."""
    plain = plain_messages(value)
    if plain is not None:
        return plain
    entry = log_records.mapping(value, name)
    role_name = log_records.text(entry.get("role", entry.get("from")), f"{name}.role").lower()
    role = "tool" if role_name in TOOL_ROLES else "developer" if role_name == "developer" else ROLES.get(role_name)
    if role is None:
        raise Unusable("unknown_role", f"{name}.role is {entry.get('role', entry.get('from'))!r}")
    key = next((key for key in CONTENTS if entry.get(key) is not None), "content")
    content = entry.get(key)
    if isinstance(entry.get("toolInvocations"), list):
        entry = with_invocations(entry, key)
        content = entry[key]
    if is_blocks(content) and (blocks := plain_blocks(content)) != content:
        turns = answered_turns(blocks) if role == "assistant" else [blocks]
        return [
            said for turn in turns for said in read_messages(entry | {key: turn} | ({"role": "tool"} if is_results(turn) else {}), name)
        ]
    message: Message = {"role": role, "content": None if content is None else content_of(content, f"{name}.content")}
    metadata = {key: item for key, item in entry.items() if key not in TAKEN and item is not None}
    if role == "assistant":
        _add_acts(message, entry, content, name)
        metadata |= {"name": entry["name"]} if entry.get("name") else {}
    else:
        call = next((entry[key] for key in CALL_IDS if entry.get(key)), None)
        message |= {"tool_call_id": log_records.identifier(call, f"{name}.tool_call_id")} if call is not None else {}
        named = entry.get("name") or entry.get("toolName")
        message |= {"name": log_records.text(named, f"{name}.name")} if named else {}
    message |= {"metadata": metadata} if metadata else {}
    return _with_results(message, content, name) if isinstance(content, list) else [message]


def read_exactly(value: Any, name: str) -> list[Message]:
    """A message that our own exporters wrote in OpenAI's form, unchanged: texts, ids and empty lists stay as they are."""
    entry = log_records.mapping(value, name)
    message: Message = {"role": log_records.text(entry.get("role"), f"{name}.role"), "content": _text_or_none(entry.get("content"), name)}
    if message["role"] not in ("system", "developer", "user", "assistant", "tool"):
        raise Unusable("unknown_role", f"{name}.role is {message['role']!r}")
    for key in ("reasoning_content", "tool_call_id", "name"):
        if entry.get(key) is not None:
            message[key] = log_records.text(entry[key], f"{name}.{key}")
    if entry.get("tool_calls") is not None:
        calls = [
            log_records.mapping(call, f"{name}.tool_calls") for call in log_records.items_of(entry["tool_calls"], f"{name}.tool_calls")
        ]
        message["tool_calls"] = [_exact_call(call, f"{name}.tool_calls") for call in calls]
    return [message]


def _exact_call(call: dict[str, Any], name: str) -> dict[str, Any]:
    function = log_records.mapping(call.get("function"), f"{name}.function")
    texts = {"id": call.get("id"), "name": function.get("name"), "arguments": function.get("arguments")}
    return {key: _text_or_none(value, f"{name}.{key}") for key, value in texts.items()}


def _text_or_none(value: Any, name: str) -> str | None:
    return None if value is None else log_records.text(value, name)


def _add_acts(message: Message, entry: dict[str, Any], content: Any, name: str) -> None:
    """Reasoning and calls, which are next to the content or among its parts."""
    reasoning = next((entry[key] for key in REASONING if entry.get(key)), None)
    thoughts = [log_records.optional_text(reasoning, f"{name}.reasoning_content")]
    calls = list(log_records.items_of(entry.get("tool_calls") or entry.get("toolCalls") or [], f"{name}.tool_calls"))
    calls += [entry["function_call"]] if entry.get("function_call") else []
    for i, part in enumerate(content if isinstance(content, list) else []):
        block = log_records.mapping(part, f"{name}.content[{i}]")
        if block.get("type") in THOUGHT_PARTS:
            thoughts.append(thinking_text(block, f"{name}.content[{i}]"))
        elif block.get("type") in CALL_PARTS:
            calls.append(block)
    thought = "\n".join(text for text in thoughts if text)
    message |= {"reasoning_content": thought} if thought else {}
    message |= {"tool_calls": [read_call(call, f"{name}.tool_calls") for call in calls]} if calls else {}


def _with_results(message: Message, content: list[Any], name: str) -> list[Message]:
    """The tool results among a message's parts as separate messages, before the rest of the message."""
    blocks = [block for block in content if isinstance(block, dict) and block.get("type") in TOOL_RESULTS]
    if not blocks or message["role"] == "assistant":
        return [message]
    results = [tool_result(block, f"{name}.content") for block in blocks]
    if len(blocks) < len(content):
        return [*results, message]
    if "metadata" in message:
        results[0]["metadata"] = message["metadata"] | results[0].get("metadata", {})
    return results


def tool_result(block: dict[str, Any], name: str) -> Message:
    call = next((block[key] for key in CALL_IDS if block.get(key)), None)
    result: Message = {"role": "tool", "content": content_of(block.get("content") or "", f"{name}.content")}
    result |= {"tool_call_id": log_records.identifier(call, f"{name}.tool_call_id")} if call is not None else {}
    return result | ({"metadata": {"is_error": True}} if block.get("is_error") else {})


def content_of(content: Any, name: str) -> str:
    """A text, or a list of parts: texts as they are, thoughts, calls and results left to others, the rest as placeholders."""
    if not isinstance(content, list):
        return log_records.optional_text(content, name)
    texts = []
    for i, part in enumerate(content):
        if isinstance(part, str):
            texts.append(part)
            continue
        entry = log_records.mapping(part, f"{name}[{i}]")
        kind = entry.get("type", "text" if "text" in entry else "")
        if kind in TEXT_PARTS or (kind == "refusal" and "refusal" in entry):
            texts.append(log_records.text(entry.get("text", entry.get("refusal")), f"{name}[{i}].text"))
        elif kind not in (*THOUGHT_PARTS, *CALL_PARTS, *TOOL_RESULTS, "redacted_thinking"):
            texts.append(placeholder(entry))
    return "\n".join(texts)


def thinking_text(block: dict[str, Any], name: str) -> str:
    return log_records.optional_text(
        next((block[key] for key in ("thinking", "reasoning", "text") if block.get(key)), None), f"{name}.thinking"
    )


def read_call(call: Any, name: str) -> dict[str, Any]:
    """A call as {"id", "name", "arguments"}; arguments that are not a text become JSON."""
    if isinstance(call, str):  # verifiers writes calls as JSON texts
        with suppress(ValueError, RecursionError):
            call = json.loads(call)
    entry = log_records.mapping(call, name)
    function = (
        log_records.mapping(entry.get("function", entry), f"{name}.function") if not isinstance(entry.get("function"), str) else entry
    )
    called = function.get("name", function.get("function"))
    arguments = next((function[key] for key in ("arguments", "input", "args", "kwargs") if function.get(key) is not None), None)
    identity = next((entry[key] for key in ("id", *CALL_IDS) if entry.get(key) is not None), None)
    return {
        "id": None if identity is None else log_records.identifier(identity, f"{name}.id"),
        "name": log_records.identifier(called, f"{name}.name"),
        "arguments": "{}" if arguments is None else arguments if isinstance(arguments, str) else arguments_text(arguments),
    }


def read_tools(value: Any) -> list[dict[str, Any]] | None:
    """Tool schemas as OpenAI, Anthropic, MCP or the Responses API write them, or JSON text of them → OpenAI's form."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return [tool for item in value if (tool := _read_tool(item))] or None if isinstance(value, list) else None


def _read_tool(item: Any) -> dict[str, Any] | None:
    if isinstance(item, str):
        with suppress(ValueError, RecursionError):
            item = json.loads(item)
    if not isinstance(item, dict):
        return None
    function = item["function"] if isinstance(item.get("function"), dict) else item
    if not isinstance(function.get("name"), str):
        return None
    parameters = next((function[key] for key in ("parameters", "input_schema", "inputSchema") if function.get(key)), None)
    described = {"name": function["name"], "description": function.get("description"), "parameters": parameters}
    return {"type": "function", "function": {key: part for key, part in described.items() if part is not None}}


def placeholder(part: dict[str, Any]) -> str:
    """'[image image/png sha256:0123456789abcdef 34567 B]'; a link stays a link, and data that names no kind of part is shown as JSON."""
    if "type" not in part and not any(_is_media(key, text) for key, text in _texts_in(part)):
        return json_text(part)
    kind = re.sub(r"^input_|_url$", "", str(part.get("type") or "part"))[:40]
    media = next((text for key, text in _texts_in(part) if key in MEDIA_TYPES), "")
    for key, text in _texts_in(part):
        data = DATA_URL.match(text)
        if data:
            return bytes_placeholder(kind, data["type"] or media, _decoded(text[data.end() :]))
        if key in MEDIA_DATA:
            return bytes_placeholder(kind, media, _decoded(text))
        if re.match(r"(https?|file|gs|s3)://", text):
            return f"[{kind} {text[:LONGEST_URL]}]"
    return bytes_placeholder(kind, media or "application/json", json_text(part).encode("utf-8", "surrogatepass"))


def _is_media(key: str, text: str) -> bool:
    return key in MEDIA_TYPES or key in MEDIA_DATA or key.lower().endswith(("url", "uri")) or DATA_URL.match(text) is not None


def _texts_in(part: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The object's texts and those one and two levels below, by key."""
    level: Iterable[tuple[str, Any]] = part.items()
    for _ in range(3):
        below: list[tuple[str, Any]] = []
        for key, value in level:
            if isinstance(value, str):
                yield key, value
            elif isinstance(value, dict):
                below += value.items()
        level = below


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (ValueError, binascii.Error):
        return text.encode("utf-8", "surrogatepass")


def bytes_placeholder(kind: str, media: str, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()[:HASH_DIGITS]
    return f"[{kind} {media[:LONGEST_URL]} sha256:{digest} {len(data)} B]".replace("  ", " ")
