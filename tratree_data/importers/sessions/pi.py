"""Sessions of Pi (and OpenClaw) and of Droid: a header line, then entries that form a tree by `id` and `parentId`.

Every leaf is a rollout. Messages hold Anthropic's or Pi's blocks; a result is a message of role toolResult. What `pi --mode json` prints
has the same header and messages, each once more in pieces.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.sessions.session import Node, Session, branches, objects_of, parsed, usage_sum
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.dialects import read_messages
from tratree_data.messages import json_text

HEADERS = {"session": "pi", "session_start": "droid"}
SUMMARIES = ("compaction", "branch_summary", "compaction_state")
MESSAGES = ("message", "message_end")
PROGRESS = ("message_start", "message_update", "turn_start", "turn_end", "agent_start", "agent_end", "tool_execution_start",
            "tool_execution_update", "tool_execution_end")  # fmt: skip
"""Printed lines that repeat what the messages say."""
Entry = dict[str, Any]


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    first, header = "", dict[str, Any]()
    nodes: list[Node] = []
    for item in objects_of(file, _is_header):
        if isinstance(item, Problem):
            yield item
            continue
        where, entry = item
        first = first or where
        if _is_header(entry):
            header = header or entry
            continue
        if entry.get("type") in PROGRESS:
            continue
        name = str(entry.get("id") or where)
        parent = str(entry["parentId"]) if entry.get("parentId") else nodes[-1].id if nodes and "parentId" not in entry else None
        nodes.append(Node(name, parent, entry))
    paths, dangling = branches(nodes, _acts)
    for number, path in enumerate(paths):
        try:
            session = _session(header, path)
        except Unusable as refusal:
            yield Problem(first, refusal.reason, refusal.detail)
            continue
        session.branch = path[-1].id if number else ""
        session.metadata |= {"events": [node.value for node in dangling]} if dangling and not number else {}
        yield from parsed(first, session, options)
    if first and not paths:
        yield Problem(first, "empty_steps", "the session has no action of the agent")


def _is_header(entry: Entry) -> bool:
    return entry.get("type") in tuple(HEADERS) and "harness" not in entry and isinstance(entry.get("id"), str) and "message" not in entry


def _acts(entry: Entry) -> bool:
    return bool(log_records.at(entry, "message", "role") == "assistant")


def _session(header: Entry, path: list[Node]) -> Session:
    session = Session(HEADERS[header["type"]], header["id"], [], project=str(header.get("cwd") or ""))
    usages: list[dict[str, Any]] = []
    events: list[Entry] = []
    for node in path:
        entry = node.value
        message = entry.get("message")
        if isinstance(message, dict) and entry.get("type") in MESSAGES and not _is_failure(message):
            said = _said(message)
            about = {key: entry[key] for key in ("timestamp",) if entry.get(key)}
            if said and about:
                said[0]["metadata"] = about | said[0].get("metadata", {})
            session.messages += said
            session.model = session.model or (message["model"] if isinstance(message.get("model"), str) else None)
            usages += [message["usage"]] if isinstance(message.get("usage"), dict) else []
        elif entry.get("type") in SUMMARIES and isinstance(text := entry.get("summary", entry.get("summaryText")), str):
            about = {key: value for key, value in entry.items() if key not in ("summary", "summaryText", "id", "parentId")}
            session.messages.append({"role": "user", "content": text, "metadata": about | {"compaction": True}})
        elif entry.get("type") == "custom_message":
            session.messages += read_messages({"role": "user", "content": entry.get("content")}, "content")
        else:
            events.append(entry)
    session.metadata = {key: value for key, value in header.items() if key not in ("type", "id")} | ({"events": events} if events else {})
    session.prompt_tokens = usage_sum(usages, ("input", "cacheRead", "cacheWrite"))
    session.completion_tokens = usage_sum(usages, ("output",))
    return session


def _is_failure(message: Entry) -> bool:
    """Whether an answer was stopped before it contained anything, and so is not a turn."""
    parts = message.get("content")
    said = parts if isinstance(parts, list) else [{"text": parts}]
    acts = any(log_records.at(part, "type") == "toolCall" or log_records.at(part, "text") for part in said)
    return message.get("role") == "assistant" and message.get("stopReason") in ("error", "aborted") and not acts


def _said(message: Entry) -> list[Message]:
    """A message; a command that the user ran counts as the user's message."""
    if message.get("role") == "bashExecution":
        text = f"$ {message.get('command')}\n{message.get('output') or ''}"
        return [{"role": "user", "content": text, "metadata": {key: value for key, value in message.items() if key != "output"}}]
    if message.get("role") in ("custom", "hookMessage", "branchSummary", "compactionSummary"):
        content = message.get("content", message.get("summary"))
        return read_messages(
            {"role": "user", "content": content if content is None or isinstance(content, str | list) else json_text(content)}, "message"
        )
    return read_messages(message, "message")
