"""Codex CLI rollouts: `session_meta`, `turn_context`, `response_item` (items of the Responses API), `compacted`, and `event_msg`.

Events repeat what the items say, except token counts and roll-backs: rolling back turns leaves a branch, which is also a rollout.
Old files have the items themselves as lines behind a header {"id", "timestamp", "instructions"}.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.readers.responses_items import Turns
from tratree_data.importers.sessions.session import Session, objects_of, parsed, usage_sum
from tratree_data.importers.turns.chat import is_aside
from tratree_data.importers.turns.dialects import read_tools

TOOL = "codex"
REPEATED = (
    "agent_message",
    "user_message",
    "agent_reasoning",
    "agent_reasoning_raw_content",
    "agent_message_delta",
    "agent_reasoning_section_break",
)
ITEM_TYPES = ("message", "reasoning", "ghost_snapshot")


@dataclass(slots=True)
class _Reading:
    where: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)
    left: list[list[Any]] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    total: dict[str, Any] = field(default_factory=dict)
    has_items: bool = False


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    state = _Reading()
    faults: list[Problem] = []
    for item in objects_of(file, _is_mark):
        if isinstance(item, Problem):
            yield item
            continue
        state.where = state.where or item[0]
        try:
            _take(state, item[1])
        except Unusable as refusal:
            faults.append(Problem(item[0], refusal.reason, refusal.detail))
    yield from faults
    if not state.where:
        return
    for number, messages in enumerate([*state.left, state.turns.messages]):
        try:
            session = _session(state, messages)
        except Unusable as refusal:
            yield Problem(state.where, refusal.reason, refusal.detail)
            continue
        session.branch = f"rolled-back-{number}" if number < len(state.left) else ""
        yield from parsed(state.where, session, options)


def _is_mark(line: dict[str, Any]) -> bool:
    old = "instructions" in line and isinstance(line.get("id"), str) and isinstance(line.get("timestamp"), str)
    return (line.get("type") in ("session_meta", "response_item", "turn_context") and isinstance(line.get("payload"), dict)) or old


def _take(state: _Reading, line: dict[str, Any]) -> None:
    payload = line.get("payload")
    kind = line.get("type")
    if not isinstance(payload, dict):
        kind, payload = ("response_item" if "type" in line else "session_meta"), line
    if kind == "session_meta":
        state.meta = state.meta or {key: value for key, value in payload.items() if value is not None}
        state.events += [line] if state.meta.get("id") != payload.get("id") else []
    elif kind == "turn_context":
        state.context = payload
    elif kind == "response_item":
        about = {"timestamp": line["timestamp"]} if isinstance(line.get("timestamp"), str) and payload is not line else {}
        is_act = payload.get("type") == "reasoning" or payload.get("role") == "assistant" or str(payload.get("type")).endswith("_call")
        if is_act and state.context.get("model"):
            about["model"] = state.context["model"]
        if payload.get("type") in ITEM_TYPES[2:]:
            state.events.append(line)
        state.turns.add(payload, "the item", about)
    elif kind == "compacted":
        content = log_records.optional_text(payload.get("message"), "message")
        state.turns.say({"role": "user", "content": content, "metadata": {"compaction": True} | _rest(payload)})
    elif kind == "event_msg":
        _event(state, line, payload)
    else:
        state.events.append(line)


def _rest(payload: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in payload.items() if key != "message" and value is not None}


def _event(state: _Reading, line: dict[str, Any], payload: dict[str, Any]) -> None:
    if payload.get("type") == "token_count":
        info = payload.get("info")
        if isinstance(info, dict):
            state.total = info.get("total_token_usage") or state.total
            turn = next((message for message in reversed(state.turns.messages) if message["role"] == "assistant"), None)
            if turn is not None and info.get("last_token_usage"):
                turn.setdefault("metadata", {})["usage"] = info["last_token_usage"]
    elif payload.get("type") == "thread_rolled_back":
        _roll_back(state, log_records.count(payload.get("num_turns"), "num_turns") or 0)
    elif payload.get("type") not in REPEATED:
        state.events.append(line)


def _roll_back(state: _Reading, turns: int) -> None:
    """Makes the user's last turns a separate branch; the session continues before them."""
    messages = state.turns.messages
    asked = [i for i, m in enumerate(messages) if m["role"] == "user" and not is_aside(m)]
    if turns and asked:
        cut = asked[-turns] if turns <= len(asked) else asked[0]
        if any(message["role"] == "assistant" for message in messages[cut:]):
            state.left.append(copy.deepcopy(messages))
        del messages[cut:]
        state.turns.is_open = False


def _session(state: _Reading, messages: list[Any]) -> Session:
    meta, total = state.meta, state.total if isinstance(state.total, dict) else {}
    instructions = log_records.at(meta, "base_instructions", "text") or meta.get("instructions")
    system = [{"role": "system", "content": instructions}] if isinstance(instructions, str) and instructions else []
    left_out = ("instructions", "base_instructions", "dynamic_tools")
    return Session(
        TOOL,
        str(meta.get("id") or "session"),
        [*system, *messages],
        project=_project(meta, state.context),
        version=str(meta.get("cli_version") or ""),
        model=state.context["model"] if isinstance(state.context.get("model"), str) else None,
        tools=read_tools(meta.get("dynamic_tools")),
        metadata={key: value for key, value in meta.items() if key not in left_out}
        | ({"turn_context": state.context} if state.context else {})
        | ({"events": state.events} if state.events else {}),
        prompt_tokens=usage_sum([total], ("input_tokens",)),
        completion_tokens=usage_sum([total], ("output_tokens",)),
    )


def _project(meta: dict[str, Any], context: dict[str, Any]) -> str:
    """The repository, if known: worktrees and clones belong to one project."""
    found = log_records.at(meta, "git", "repository_url") or meta.get("cwd") or context.get("cwd")
    return found if isinstance(found, str) else ""
