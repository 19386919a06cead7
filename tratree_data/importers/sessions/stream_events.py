"""One line that a coding agent prints while it works → what was said, as Anthropic's blocks.

Each program has lines of its own, but all say the same four things: a part of an answer, a call, its result, and what the user said.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tratree_data.importers import log_records
from tratree_data.messages import json_text

Line = dict[str, Any]
Block = dict[str, Any]
SESSION_IDS = ("session_id", "sessionID", "thread_id", "sessionId")
ITEM_CALLS = {"command_execution": "shell", "file_change": "apply_patch", "web_search": "web_search", "todo_list": "update_plan"}
ITEM_RESULTS = ("aggregated_output", "result", "error")
ITEM_FACTS = ("id", "type", "status", "exit_code", *ITEM_RESULTS)


@dataclass(slots=True)
class Said:
    """Blocks of one message, or of a part of it."""

    role: str
    blocks: list[Block]
    answer: str = ""
    """The id of the answer that the blocks are a part of, where the program names it."""
    thread: str = ""
    """The call that started the subagent who speaks; '' for the agent itself."""
    about: Line = field(default_factory=dict)
    is_delta: bool = False
    """A piece of a text, that the next piece continues within a word."""


def session_id(line: Line) -> str:
    return next((line[name] for name in SESSION_IDS if isinstance(line.get(name), str)), "")


def is_beginning(line: Line) -> bool:
    """Whether a program begins its output so."""
    kind = line.get("type")
    is_codex = kind == "thread.started" and isinstance(line.get("thread_id"), str)
    is_gemini = kind == "init" and "model" in line
    is_opencode = kind == "step_start" and isinstance(log_records.at(line, "part", "messageID"), str)
    return bool(session_id(line)) and (is_codex or is_gemini or is_opencode or (kind == "system" and line.get("subtype") == "init"))


def program(line: Line) -> str:
    """The program that begins so."""
    if line["type"] == "system":
        return next((name for mark, name in PROGRAMS.items() if mark in line), "claude-code" if "tools" in line else "agent")
    return {"thread.started": "codex", "init": "gemini-cli", "step_start": "opencode"}[line["type"]]


PROGRAMS = {"claude_code_version": "claude-code", "qwen_code_version": "qwen-code", "mcp_servers": "claude-code", "apiKeySource": "cursor"}


def said_in(line: Line) -> Iterator[Said]:
    """What a line says; nothing for progress, usage and other events."""
    kind = line.get("type")
    if kind in ("assistant", "user") and isinstance(line.get("message"), dict):
        yield from _message(line, line["message"])
    elif kind == "message":
        content = line.get("content", line.get("text"))
        yield Said(str(line.get("role")), _texts(content), about=_about(line, "timestamp"), is_delta=line.get("delta") is True)
    elif kind in ("tool_use", "tool_call", "tool_result") and "part" not in line and "tool_call" not in line:
        yield from _flat_call(line)
    elif kind == "tool_call":
        yield from _cursor_call(line)
    elif isinstance(line.get("part"), dict):
        yield from _opencode_part(line["part"])
    elif isinstance(line.get("item"), dict):
        yield from _codex_item(line["item"], is_complete=kind == "item.completed")


def _message(line: Line, message: Line) -> Iterator[Said]:
    content = message.get("content")
    blocks = content if isinstance(content, list) else _texts(content)
    about = {key: value for key, value in message.items() if key not in ("content", "role", "type") and value is not None}
    yield Said(
        str(line["type"]),
        blocks,
        answer=str(message.get("id") or ""),
        thread=str(line.get("parent_tool_use_id") or ""),
        about=about | _about(line, "uuid", "timestamp", "error"),
    )


def _flat_call(line: Line) -> Iterator[Said]:
    """Gemini CLI's calls and results, and Droid's, which differ in the names only."""
    name = line.get("tool_id", line.get("id"))
    if line["type"] == "tool_result":
        output = line.get("output", line.get("value"))
        if not output:
            output = log_records.at(line, "error", "message") or output
        yield from _result(name, output, _about(line, "status", "isError", "timestamp"))
    else:
        yield Said("assistant", [_call(name, line.get("tool_name", line.get("toolName")), line.get("parameters"))])


def _cursor_call(line: Line) -> Iterator[Said]:
    """{"tool_call": {"readToolCall": {"args": …, "result": …}}}, once when it starts and once when it ends."""
    call = log_records.mapping(line.get("tool_call"), "tool_call")
    named = next(((key, value) for key, value in call.items() if isinstance(value, dict) and ("args" in value or "result" in value)), None)
    if named is None:
        return
    tool, facts = named
    if "function" in call:
        tool = str(log_records.at(call, "function", "name") or tool)
    yield Said("assistant", [_call(line.get("call_id"), tool.removesuffix("ToolCall"), facts.get("args"))])
    if line.get("subtype") == "completed":
        result = facts.get("result")
        shown = log_records.at(result, "success", "content")
        yield from _result(line.get("call_id"), shown if isinstance(shown, str) else result, {})


def _opencode_part(part: Line) -> Iterator[Said]:
    answer = str(part.get("messageID") or "")
    if part.get("type") == "text":
        yield Said("assistant", _texts(part.get("text")), answer)
    elif part.get("type") == "reasoning":
        yield Said("assistant", [{"type": "thinking", "thinking": part.get("text")}], answer)
    elif part.get("type") == "tool":
        state = log_records.mapping(part.get("state") or {}, "state")
        yield Said("assistant", [_call(part.get("callID"), part.get("tool"), state.get("input"))], answer)
        if state.get("status") in ("completed", "error"):
            facts = {key: value for key, value in state.items() if key not in ("input", "output", "attachments")}
            yield from _result(part.get("callID"), state.get("output", state.get("error")), facts)


def _codex_item(item: Line, is_complete: bool) -> Iterator[Said]:
    """A call is shown when it starts and when it ends, a file's change only when it ends."""
    kind = str(item.get("type"))
    if kind == "agent_message" and is_complete:
        yield Said("assistant", _texts(item.get("text")))
    elif kind == "reasoning" and is_complete:
        yield Said("assistant", [{"type": "thinking", "thinking": item.get("text")}])
    elif kind in ITEM_CALLS or kind == "mcp_tool_call":
        is_named = kind == "mcp_tool_call"
        name = f"{item.get('server')}__{item.get('tool')}" if is_named else ITEM_CALLS[kind]
        given = item.get("arguments") if is_named else {key: value for key, value in item.items() if key not in ITEM_FACTS}
        yield Said("assistant", [_call(item.get("id"), name, given)])
        if is_complete:
            output = next((item[key] for key in ITEM_RESULTS if item.get(key) is not None), item.get("status"))
            parts = log_records.at(output, "content")
            yield from _result(item.get("id"), parts if isinstance(parts, list) else output, _about(item, "status", "exit_code"))


def _call(name: Any, tool: Any, arguments: Any) -> Block:
    return {"type": "tool_use", "id": str(name), "name": log_records.identifier(tool, "the call's tool"), "input": arguments or {}}


def _result(name: Any, output: Any, about: Line) -> Iterator[Said]:
    content = output if isinstance(output, str | list) else "" if output is None else json_text(output)
    yield Said("user", [{"type": "tool_result", "tool_use_id": str(name), "content": content}], about=about)


def _texts(content: Any) -> list[Block]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": log_records.optional_text(content, "content")}] if content else []


def _about(line: Line, *names: str) -> Line:
    return {name: line[name] for name in names if line.get(name) is not None}
