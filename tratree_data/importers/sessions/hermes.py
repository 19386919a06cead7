"""Hermes sessions: one session per line, {"id", "source", "model", "system_prompt", "messages", …} with OpenAI's messages."""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.chat import Message
from tratree_data.importers.dialects import read_messages, read_tools
from tratree_data.importers.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.sessions.session import Session, parsed

TOOL = "hermes"
MARKS = ("id", "source", "model", "system_prompt", "messages")


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    for where, value in json_records(file):
        if isinstance(value, Problem):
            yield value
            continue
        try:
            yield from parsed(where, _session(value), options)
        except Unusable as refusal:
            yield Problem(where, refusal.reason, refusal.detail)


def _session(value: Any) -> Session:
    if not isinstance(value, dict) or not all(key in value for key in MARKS):
        raise Unusable("other_format", f"it contains no session with {', '.join(MARKS)}")
    log = log_records.items_of(value["messages"], "messages")
    messages: list[Message] = [said for i, message in enumerate(log) for said in read_messages(message, f"messages[{i}]")]
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
