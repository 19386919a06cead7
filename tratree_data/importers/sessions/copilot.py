"""Copilot CLI sessions (`events.jsonl`): events {"type", "data", "id", "timestamp", "parentId"}, one per line.

`assistant.message` holds what was said and the calls, `tool.execution_complete` a result. What a subagent says names the call that
started it, and is a rollout of its own.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.sessions.session import Session, objects_of, parsed
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.dialects import content_of, placeholder, read_call

TOOL = "copilot-cli"
PARENT_CALLS = ("parentToolCallId", "agentId")
PRINTED = "model.call_start"
PRINTED_ADVICE = (
    "what `copilot --output-format json` prints has calls without their results; import the session that it kept of the run, "
    "in ~/.copilot/session-state"
)
TAKEN = ("content", "toolRequests", "reasoningText", "attachments", "toolCallId", "result", "role", "name")


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    first, started = "", dict[str, Any]()
    is_printed = False
    chains: dict[str, list[Message]] = {"": []}
    facts: dict[str, Any] = {"events": []}
    for item in objects_of(file, _is_mark):
        if isinstance(item, Problem):
            yield item
            continue
        where, event = item
        first = first or where
        data = event.get("data") if isinstance(event.get("data"), dict) else {}
        is_printed = is_printed or event.get("type") == PRINTED
        started = started or (data if event.get("type") == "session.start" else {})
        chain = next((str(data[key]) for key in PARENT_CALLS if data.get(key)), "")
        try:
            _take(chains.setdefault(chain, []), facts, event, data)
        except Unusable as refusal:
            yield Problem(where, refusal.reason, refusal.detail)
    if is_printed and not any(message["role"] == "tool" for messages in chains.values() for message in messages):
        yield Problem(first, "no_result", PRINTED_ADVICE)
        return
    for chain, messages in chains.items():
        if first and (messages or not chain):
            yield from parsed(first, _session(started, facts, chain, messages), options)


def _is_mark(event: dict[str, Any]) -> bool:
    kind = event.get("type")
    return isinstance(event.get("data"), dict) and kind in ("session.start", "user.message", "assistant.message")


def _take(messages: list[Message], facts: dict[str, Any], event: dict[str, Any], data: dict[str, Any]) -> None:
    kind = event.get("type")
    about = {key: value for key, value in data.items() if key not in TAKEN and value is not None}
    about |= {"timestamp": event["timestamp"]} if event.get("timestamp") else {}
    if kind == "session.model_change":
        facts["model"] = data.get("newModel") or facts.get("model")
        facts["events"].append(event)
    elif kind == "system.message":
        role = "developer" if data.get("role") == "developer" else "system"
        messages.append({"role": role, "content": content_of(data.get("content"), "content"), "metadata": about})
    elif kind == "user.message":
        texts = [
            content_of(data.get("content"), "content"),
            *(placeholder(part) for part in log_records.items_of(data.get("attachments") or [], "attachments") if isinstance(part, dict)),
        ]
        messages.append({"role": "user", "content": "\n".join(text for text in texts if text), "metadata": about})
    elif kind == "assistant.message":
        messages.append(_turn(data, about, facts.get("model")))
    elif kind == "assistant.reasoning":
        facts["reasoning"] = log_records.optional_text(data.get("content"), "content")
    elif kind == "tool.execution_complete":
        messages.append(_result(data, about))
    elif kind == "session.compaction_complete" and data.get("summaryContent"):
        content = log_records.text(data["summaryContent"], "summaryContent")
        messages.append({"role": "user", "content": content, "metadata": about | {"compaction": True}})
    elif kind not in ("tool.execution_start", "assistant.turn_start", "assistant.turn_end"):
        facts["events"].append(event)
    if kind == "assistant.message" and (said := facts.pop("reasoning", "")):
        messages[-1].setdefault("reasoning_content", said)


def _turn(data: dict[str, Any], about: dict[str, Any], model: Any) -> Message:
    turn: Message = {"role": "assistant", "content": content_of(data.get("content"), "content")}
    calls = [read_call(call, "toolRequests") for call in log_records.items_of(data.get("toolRequests") or [], "toolRequests")]
    if calls:
        turn |= {"tool_calls": calls, "content": turn["content"] or None}
    if isinstance(data.get("reasoningText"), str) and data["reasoningText"]:
        turn["reasoning_content"] = data["reasoningText"]
    return turn | {"metadata": about | ({"model": model} if model and "model" not in about else {})}


def _result(data: dict[str, Any], about: dict[str, Any]) -> Message:
    result = data.get("result")
    content = result.get("content") if isinstance(result, dict) else result
    error = data.get("error")
    if content is None and error is not None:
        content = error.get("message") if isinstance(error, dict) else str(error)
    message: Message = {"role": "tool", "content": content_of(content, "result.content")}
    message |= {"tool_call_id": log_records.identifier(data["toolCallId"], "toolCallId")} if data.get("toolCallId") else {}
    detail = {key: value for key, value in result.items() if key != "content"} if isinstance(result, dict) else {}
    return message | {"metadata": about | ({"result": detail} if detail else {})}


def _session(started: dict[str, Any], facts: dict[str, Any], chain: str, messages: list[Message]) -> Session:
    project = next((str(found) for key in ("repository", "gitRoot", "cwd") if (found := log_records.at(started, "context", key))), "")
    models = [m["metadata"].get("model") for m in messages if m["role"] == "assistant"] + [started.get("selectedModel")]
    metadata = {key: value for key, value in started.items() if key not in ("sessionId",)}
    metadata |= {"subagent_of_call": chain} if chain else {"events": facts["events"]} if facts["events"] else {}
    return Session(
        TOOL,
        str(started.get("sessionId") or "session"),
        messages,
        project=project,
        branch=chain,
        version=str(started.get("copilotVersion") or ""),
        model=next((model for model in models if isinstance(model, str)), None),
        metadata=metadata,
    )
