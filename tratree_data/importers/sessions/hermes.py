"""Hermes: exported sessions, transcripts of the gateway, and trajectories.

    {"id", "source", "model", "system_prompt", "messages", …}            `hermes sessions export`, a session per line
    {"role": "session_meta", "tools", …}, then a message per line        a transcript in ~/.hermes/sessions
    {"conversations": [{"from", "value"}], "model", "completed", …}      trajectories: thoughts, calls and results in tags, a run per line

A trajectory's results name their calls, which have no ids of their own: the first result is that of the first call.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.sessions.session import Session, parsed
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.dialects import read_messages, read_tools
from tratree_data.messages import json_text

TOOL = "hermes"
MARKS = ("id", "source", "model", "system_prompt", "messages")
META = "session_meta"
LISTS = ("conversations", "traces")
RUN_MARKS = ("completed", "session_start", "prompt_index")
SPEAKERS = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "tool": "tool"}


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    transcript: list[Any] = []
    first = ""
    for number, (where, value) in enumerate(json_records(file)):
        if isinstance(value, Problem):
            yield value
        elif isinstance(value, dict) and (value.get("role") == META or (transcript and "role" in value)):
            first = first or where
            transcript.append(value)
        else:
            read_one = _trajectory if _is_trajectory(value) else _session
            yield from _sessions(where, options, read_one, value, f"{file.stem}:{number}")
    if transcript:
        yield from _sessions(first, options, _transcript, transcript, file.stem)


def _sessions(where: str, options: Options, read_one: Callable[[Any, str], Session], value: Any, name: str) -> Iterator[Record | Problem]:
    try:
        yield from parsed(where, read_one(value, name), options)
    except Unusable as refusal:
        yield Problem(where, refusal.reason, refusal.detail)
    except RecursionError:
        yield Problem(where, "not_json", "nested too deeply")


def _messages(log: list[Any]) -> list[Message]:
    spoken = [(i, message) for i, message in enumerate(log) if log_records.at(message, "role") != META]
    return [said for i, message in spoken for said in read_messages(message, f"messages[{i}]")]


def _session(value: Any, _name: str) -> Session:
    if not isinstance(value, dict) or not all(key in value for key in MARKS):
        raise Unusable("other_format", f"it contains no session with {', '.join(MARKS)}")
    messages = _messages(log_records.items_of(value["messages"], "messages"))
    prompt = log_records.optional_text(value["system_prompt"], "system_prompt")
    if prompt and not any(message["role"] == "system" for message in messages):
        messages = [{"role": "system", "content": prompt}, *messages]
    return Session(
        TOOL,
        log_records.identifier(value["id"], "id"),
        messages,
        project=str(value.get("cwd") or value["source"] or ""),
        model=value["model"] if isinstance(value["model"], str) else None,
        tools=read_tools(value.get("tools")),
        metadata={key: item for key, item in value.items() if key not in ("id", "model", "system_prompt", "messages", "tools")},
        prompt_tokens=log_records.count(value.get("input_tokens"), "input_tokens"),
        completion_tokens=log_records.count(value.get("output_tokens"), "output_tokens"),
    )


def _transcript(lines: list[dict[str, Any]], name: str) -> Session:
    about: dict[str, Any] = next((line for line in lines if line.get("role") == META), {})
    model = about.get("model")
    return Session(
        TOOL, name, _messages(lines), project=str(about.get("platform") or ""), model=model if isinstance(model, str) else None,
        tools=read_tools(about.get("tools")),
        metadata={key: item for key, item in about.items() if key not in ("role", "model", "tools") and item is not None},
    )  # fmt: skip


def _is_trajectory(value: Any) -> bool:
    """Whether it is a run of Hermes: other ShareGPT files have neither its marks nor calls in tags."""
    log = next((value[key] for key in LISTS if isinstance(value.get(key), list)), None) if isinstance(value, dict) else None
    if not log or not all(isinstance(log_records.at(said, "from"), str) and isinstance(said.get("value"), str) for said in log):
        return False
    return any(mark in value for mark in RUN_MARKS) or any("<tool_call>" in said["value"] for said in log if said["from"] == "gpt")


def _trajectory(value: dict[str, Any], name: str) -> Session:
    key = next(key for key in LISTS if isinstance(value.get(key), list))
    messages: list[Message] = []
    for i, entry in enumerate(value[key]):
        role = SPEAKERS.get(entry["from"])
        if role is None:
            raise Unusable("unknown_role", f"{key}[{i}].from is {entry['from']!r:.40}")
        if role == "tool":
            messages += _results(entry["value"], messages)
        else:
            messages.append(_turn(entry["value"]) if role == "assistant" else {"role": role, "content": entry["value"]})
    described = [block for message in messages if message["role"] == "system" for block in _blocks(message["content"], "tools")[0]]
    model = value.get("model") or log_records.at(value, "metadata", "model")
    identity = next((value[mark] for mark in ("session_id", "id") if value.get(mark) is not None), None)
    return Session(
        TOOL,
        name if identity is None else log_records.identifier(identity, "session_id"),
        messages,
        model=model if isinstance(model, str) else None,
        tools=read_tools(value.get("tools")) or next((tools for text in described if (tools := read_tools(text))), None),
        metadata={other: item for other, item in value.items() if other not in (key, "session_id", "id", "model", "tools")},
        end_reason="done" if value.get("completed") is True else "unknown",
    )


def _blocks(text: str, tag: str) -> tuple[list[str], list[str]]:
    """What is between the tags, and what is around them, which has one part more."""
    inside, around, place = [], [], 0
    opening, closing = f"<{tag}>", f"</{tag}>"
    while (start := text.find(opening, place)) >= 0 and (end := text.find(closing, start)) >= 0:
        around.append(text[place:start])
        inside.append(text[start + len(opening) : end].strip())
        place = end + len(closing)
    return inside, [*around, text[place:]]


def _turn(text: str) -> Message:
    """The reasoning and calls in tags; an unreadable call stays in the text."""
    thoughts, around = _blocks(text, "think")
    blocks, said = _blocks("".join(around), "tool_call")
    calls: list[dict[str, Any]] = []
    for i, block in enumerate(blocks):
        call = _parsed(block)
        name = log_records.at(call, "name")
        if isinstance(name, str) and name.strip():
            given = call.get("arguments")
            calls.append({"id": None, "name": name, "arguments": given if isinstance(given, str) else json_text(given or {})})
        else:
            said[i] += f"<tool_call>\n{block}\n</tool_call>"
    content = "".join(said).strip()
    message: Message = {"role": "assistant", "content": content if content or not calls else None}
    thought = "\n".join(part for part in thoughts if part)
    return message | ({"reasoning_content": thought} if thought else {}) | ({"tool_calls": calls} if calls else {})


def _results(text: str, before: Sequence[Message]) -> list[Message]:
    """The results in one message; each gives its id to its call."""
    found = [_parsed(block) for block in _blocks(text, "tool_response")[0]]
    if not found:
        return [{"role": "tool", "content": text}]
    calls = before[-1].get("tool_calls") if before else None
    messages: list[Message] = []
    for i, result in enumerate(found):
        content = result.get("content") if isinstance(result, dict) and "content" in result else result
        message: Message = {"role": "tool", "content": content if isinstance(content, str) else json_text(content)}
        identity, name = log_records.at(result, "tool_call_id"), log_records.at(result, "name")
        message |= {"name": name} if isinstance(name, str) and name else {}
        if isinstance(identity, str) and identity:
            message["tool_call_id"] = identity
            if calls and i < len(calls):
                calls[i]["id"] = identity
        messages.append(message)
    return messages


def _parsed(text: str) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return text
