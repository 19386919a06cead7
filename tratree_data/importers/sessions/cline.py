"""Cline's conversations: `api_conversation_history.json`, a list of messages in Anthropic's blocks (Roo Code and Kilo Code write it, too),
and `….messages.json` of the newer command line, an object with the same messages.

What the user asked is in tags (`<task>`, `<user_input>`); what Cline says in the user's name about files, time and costs is a separate
message, by the tool.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.sessions.session import Session, parsed, usage_sum
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.dialects import read_messages

TOOL = "cline"
ENVIRONMENT = "<environment_details>"
ASIDES = (ENVIRONMENT, "[SYSTEM]", "# task_progress", "# TODO LIST")
LONGEST_ABOUT = 1_000_000
JSON = dict[str, Any]


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    where, first = next(iter(json_records(file)), (f"{file.name}:1", None))
    whole = first if isinstance(first, dict) and "messages" in first else {}
    begun = whole.get("messages") if whole else first if isinstance(first, list) else [first]
    if not _is_cline(whole, begun):
        yield Problem(where, "other_format", "it contains no conversation of Cline")
        return
    messages = begun or [] if whole or isinstance(first, list) else []
    for place, value in json_records(file) if not messages else ():
        if isinstance(value, Problem):
            yield Problem(place, value.reason, value.detail)
        else:
            messages.append(value)
    try:
        yield from parsed(where, _session(file, whole, log_records.mappings(messages, "messages")), options)
    except Unusable as refusal:
        yield Problem(where, refusal.reason, refusal.detail)


def _is_cline(whole: JSON, messages: Any) -> bool:
    if whole and not (isinstance(whole.get("sessionId"), str) and "origin" in whole):
        return False
    first = next((m for m in messages if log_records.at(m, "role") == "user"), None) if isinstance(messages, list) else None
    content = log_records.at(first, "content")
    texts = [str(log_records.at(part, "text") or "") for part in content] if isinstance(content, list) else [str(content)]
    return bool(whole) or any(text.lstrip().startswith((ENVIRONMENT, "<task>", "<user_input ")) for text in texts)


def _session(file: LogFile, whole: JSON, messages: list[JSON]) -> Session:
    about = _beside(file)
    folder = file.path.parent.name
    session = Session(TOOL, str(whole.get("sessionId") or (folder if not file.stem.endswith(folder) else file.stem)), [])
    session.project = str(about.get("workspace_root") or about.get("cwd") or "")
    session.metadata = {key: value for key, value in (about | whole).items() if key not in ("messages", "sessionId") and value is not None}
    for i, message in enumerate(messages):
        session.messages += _said(message, f"messages[{i}]")
    models = [log_records.at(message.get("metadata"), "modelInfo", "id") for message in session.messages] + [about.get("model")]
    session.model = next((model for model in models if isinstance(model, str)), None)
    metrics = [found for message in session.messages if isinstance(found := log_records.at(message.get("metadata"), "metrics"), dict)]
    session.prompt_tokens = usage_sum(metrics, ("inputTokens",))
    session.completion_tokens = usage_sum(metrics, ("outputTokens",))
    return session


def _beside(file: LogFile) -> JSON:
    """What the newer command line writes about a session besides its messages."""
    path = file.path.with_name(file.path.name.removesuffix(".messages.json") + ".json")
    with suppress(OSError, ValueError, RecursionError):
        if path != file.path and path.is_file() and not path.is_symlink() and path.stat().st_size <= LONGEST_ABOUT:
            found = json.loads(path.read_bytes())
            return {key: value for key, value in found.items() if not key.endswith("_path")} if isinstance(found, dict) else {}
    return {}


def _said(message: JSON, name: str) -> list[Message]:
    """The message, and what Cline added as a separate message."""
    content = message.get("content")
    if message.get("role") != "user" or not isinstance(content, list):
        return [_by_tool(said) for said in read_messages(message, name)]
    asides = [part for part in content if str(log_records.at(part, "text") or "").lstrip().startswith(ASIDES)]
    rest = [part for part in content if part not in asides]
    said = read_messages(message | {"content": rest}, name) if rest or not asides else []
    return said + [{"role": "user", "content": str(part["text"]), "by_tool": True} for part in asides]


def _by_tool(message: Message) -> Message:
    is_aside = message["role"] == "user" and (message["content"] or "").lstrip().startswith(ASIDES)
    return message | {"by_tool": True} if is_aside else message
