"""A sample of an Inspect log → a record.

Of a sample's events, which are most of it, only those of the model matter: they name the tools that the agent had, and what each turn cost.
Long texts and images are attachments that messages point to (inspect_attachments.py).
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.json_stream import JsonStream
from tratree_data.importers.log_records import Options, Record, Unusable
from tratree_data.importers.readers.inspect_attachments import attached_text, resolved
from tratree_data.importers.readers.inspect_calls import Calls
from tratree_data.importers.readers.inspect_scores import headline, score_of, success_of
from tratree_data.importers.turns.chat import Message, record_of_chat
from tratree_data.importers.turns.dialects import placeholder, read_messages, read_tools
from tratree_data.importers.turns.long_records import read_streamed
from tratree_data.importers.turns.message_spool import MessageSpool
from tratree_data.messages import json_text

LIMITS = {"context": "context_overflow", "time": "time_out", "working": "time_out", "operator": "unknown"}
"""Every other limit (messages, turns, tokens, cost, one of the task's own) is a budget of steps."""
BULKY = (
    "messages", "events", "attachments", "events_data", "message_pool", "call_pool", "output", "transcript", "timelines", "message_refs",
)  # fmt: skip
"""Members that a record already contains elsewhere."""
OF_THE_EVAL = (
    "eval_id", "run_id", "created", "task", "task_version", "task_args", "solver", "solver_args", "model_args", "model_roles", "config",
    "revision", "packages", "tags", "metadata",
)  # fmt: skip
REDACTED = ("traceback_ansi", "events")
"""Members of errors that repeat others, in colour or as events."""
JSON = dict[str, Any]


@dataclass
class Sample:
    """A sample's members, except its events."""

    facts: JSON = field(default_factory=dict)
    messages: MessageSpool = field(default_factory=MessageSpool)
    attachments: dict[str, str] = field(default_factory=dict)
    tools: dict[str, tuple[str, JSON]] = field(default_factory=dict)
    """Each tool by its JSON, with the message that a model with this tool wrote."""
    turns: dict[str, str] = field(default_factory=dict)
    """What the events record about a message of the model, as JSON, by its id."""
    calls: Calls = field(default_factory=Calls)
    repeated: str | None = None
    """A key that appears twice, so its value is ambiguous."""


def read_sample(stream: JsonStream, sample: Sample, most_messages: int = sys.maxsize) -> bool:
    """The sample's members, in any order; of lists and attachments one item after the other. False if it ends at `most_messages`."""
    for key in stream.names():
        if key in sample.facts:
            sample.repeated = key
        if key == "messages" and stream.next() == "[":
            for _ in stream.elements():
                sample.messages.append(_watched(stream, sample))
                if len(sample.messages) >= most_messages:
                    return False
        elif key == "events" and stream.next() == "[":
            for _ in stream.elements():
                note_event(sample, stream.value())
        elif key == "attachments" and stream.next() == "{":
            for name in stream.names():
                _attach(sample, name, stream.value())
        else:
            sample.facts[key] = _watched(stream, sample)
            continue
        sample.facts[key] = None
    return True


def take_members(members: JSON, sample: Sample) -> None:
    """The input of `read_sample` for a sample that is one value."""
    for key, value in members.items():
        sample.facts[key] = None
        if key == "messages" and isinstance(value, list):
            for message in value:
                sample.messages.append(message)
        elif key == "events" and isinstance(value, list):
            for event in value:
                note_event(sample, event)
        elif key == "attachments" and isinstance(value, dict):
            for name, text in value.items():
                _attach(sample, name, text)
        else:
            sample.facts[key] = value


def _watched(stream: JsonStream, sample: Sample) -> Any:
    value = stream.value()
    sample.repeated = sample.repeated or stream.watch.repeated
    return value


def _open_transcript(sample: Sample) -> None:
    """Before 2025, a transcript held events and attachments."""
    transcript = sample.facts.get("transcript")
    events, content = log_records.at(transcript, "events"), log_records.at(transcript, "content")
    for event in events if isinstance(events, list) else ():
        note_event(sample, event)
    for name, text in content.items() if isinstance(content, dict) else ():
        _attach(sample, name, text)


def _attach(sample: Sample, name: str, text: Any) -> None:
    if isinstance(text, str):
        sample.attachments[name] = attached_text(text)


def note_event(sample: Sample, event: Any) -> None:
    """For each call of the model, the tools that it had and what it cost."""
    if isinstance(event, dict):
        sample.calls.note(event)
    if log_records.at(event, "event") != "model":
        return
    output = event.get("output") if isinstance(event.get("output"), dict) else {}
    choices = output.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    name = str(log_records.at(choice, "message", "id") or "")
    for tool in event.get("tools") if isinstance(event.get("tools"), list) else ():
        if isinstance(tool, dict):
            sample.tools.setdefault(json_text(tool), (name, tool))
    about = {
        "timestamp": event.get("timestamp"), "seconds": event.get("working_time"), "model": event.get("model"),
        "usage": output.get("usage"), "stop_reason": log_records.at(choice, "stop_reason"),
    }  # fmt: skip
    sample.turns[name] = json_text({key: value for key, value in about.items() if value is not None})


def eval_of(log: Any) -> JSON:
    """What was run, which every log of Inspect names."""
    spec = log_records.at(log, "eval")
    if not (isinstance(spec, dict) and isinstance(spec.get("task"), str) and isinstance(spec.get("model"), str) and "created" in spec):
        raise Unusable("other_format", "an eval with task, model and created is missing")
    return spec


def record_of(sample: Sample, log: JSON, where: str, options: Options) -> Record:
    spec, facts = eval_of(log), sample.facts
    if sample.repeated is not None:
        raise Unusable("repeated_key", log_records.repeated_key("", sample.repeated).detail)
    _open_transcript(sample)
    name = log_records.identifier(facts.get("id"), "id")
    epoch = log_records.count(facts.get("epoch", 1), "epoch")
    messages = _said(sample)
    error = log_records.optional_text(log_records.at(facts.get("error"), "message"), "error.message")
    if error and not any(message["role"] == "assistant" for message in messages):
        raise Unusable("empty_steps", f"the agent did nothing; the sample ended with {error[:200]}")
    scores = log_records.mapping(facts.get("scores") or ({"score": facts["score"]} if facts.get("score") else {}), "scores")
    scorer, value = headline(scores, log)
    usage = log_records.at(facts.get("model_usage"), spec["model"])
    parse = partial(
        record_of_chat,
        source=where,
        environment=options.environment or spec["task"],
        environment_version=str(spec.get("task_version") or ""),
        task_id=f"{spec['task']}/{name}",
        trajectory_id=str(facts.get("uuid") or f"{spec.get('run_id') or spec.get('eval_id') or ''}/{name}/{epoch}"),
        instruction=_asked(sample, messages),
        agent=_agent(log),
        model=spec["model"],
        tools=_tools(sample, messages),
        react=False,
        reward=score_of(value),
        success=success_of(value),
        end_reason=_end_reason(facts),
        seconds=log_records.number(facts.get("total_time"), "total_time"),
        prompt_tokens=log_records.count(log_records.at(usage, "input_tokens"), "input_tokens"),
        completion_tokens=log_records.count(log_records.at(usage, "output_tokens"), "output_tokens"),
        metadata=_metadata(facts, spec, log) | ({"scorer": scorer} if scorer else {}),
    )
    return read_streamed(messages, False, parse) if messages.is_long else parse(list(messages))


def _said(sample: Sample) -> MessageSpool:
    messages = MessageSpool()
    for i, message in enumerate(sample.messages):
        for said in spoken_messages(sample, message, f"messages[{i}]"):
            messages.append(said)
    return messages


def spoken_messages(sample: Sample, value: Any, name: str) -> list[Message]:
    """A message in the form that read_messages reads. A tool that the provider ran itself is part of the text, with its result."""
    message = dict(resolved(log_records.mapping(value, name), sample.attachments))
    message["name"] = message.pop("function", None)
    content = message.get("content")
    if isinstance(content, list):
        beside: dict[str, list[Any]] = {"server_tools": [], "redacted_reasoning": []}
        message["content"] = [_block(block, beside) for block in content]
        message |= {key: found for key, found in beside.items() if found}
    failure = log_records.optional_text(log_records.at(message["error"], "message"), f"{name}.error") if message.get("error") else ""
    if failure:  # the error is what the agent saw
        said = [content] if isinstance(content, str) and content else message["content"] if isinstance(content, list) else []
        message["content"] = [*said, failure] if said else failure
    if isinstance(message.get("tool_call_id"), list):  # a user message that contains what tools returned
        message["tool_call_ids"] = message.pop("tool_call_id")
    spoken = read_messages(message, name)
    if spoken[0]["role"] == "assistant":
        turn = sample.turns.get(str(message.get("id")))
        about = (json.loads(turn) if turn else {}) | _unparsed(message)
        if about:
            spoken[0]["metadata"] = spoken[0].get("metadata", {}) | about
    return spoken


def _block(block: Any, beside: dict[str, list[Any]]) -> Any:
    """A part of the content; what is not readable text is kept as metadata."""
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "tool_use":
        beside["server_tools"].append(block)
        return {"type": "text", "text": placeholder(block)}
    if kind == "reasoning" and block.get("redacted"):
        beside["redacted_reasoning"].append(block.get("reasoning"))
        return {"type": "reasoning", "reasoning": block.get("summary") or ""}
    return block


def _unparsed(message: JSON) -> JSON:
    """Why the arguments of calls could not be read, by the call's id."""
    calls = [call for call in message.get("tool_calls") or () if isinstance(call, dict) and call.get("parse_error")]
    return {"parse_errors": {str(call.get("id")): call["parse_error"] for call in calls}} if calls else {}


def _asked(sample: Sample, messages: Iterable[Message]) -> str:
    """The dataset's question, without the words that a solver puts around it."""
    asked = resolved(sample.facts.get("input"), sample.attachments)
    if isinstance(asked, list):
        said = [message for i, item in enumerate(asked) for message in read_messages(item, f"input[{i}]")]
        asked = "\n\n".join(message["content"] or "" for message in said if message["role"] == "user")
    first = next((message["content"] for message in messages if message["role"] == "user"), "")
    return (asked if isinstance(asked, str) else "").strip() or first or ""


def _agent(log: JSON) -> str:
    """The solver that was named, the chain of solvers if it has a name, or the last of several."""
    planned = log_records.at(log, "plan", "steps")
    steps = planned if isinstance(planned, list) else []
    solvers = [step["solver"] for step in steps if isinstance(step, dict) and isinstance(step.get("solver"), str)]
    names = [log_records.at(log, "eval", "solver"), log_records.at(log, "plan", "name")]
    named = [name for name in names if isinstance(name, str) and name != "plan"]
    return str([*named, *solvers[-1:], ""][0])


def _tools(sample: Sample, messages: Iterable[Message]) -> list[JSON] | None:
    """The tools of those who wrote the conversation's messages; graders and subagents have their own."""
    spoken = {str((message.get("metadata") or {}).get("id")) for message in messages}
    had = [tool for name, tool in sample.tools.values() if name in spoken] or [tool for _, tool in sample.tools.values()]
    return read_tools([resolved(tool, sample.attachments) for tool in had])


def _end_reason(facts: JSON) -> str:
    limit = log_records.at(facts.get("limit"), "type")
    if facts.get("error"):
        return "agent_error"
    if isinstance(limit, str):
        return LIMITS.get(limit, "max_steps")
    choices = log_records.at(facts.get("output"), "choices")
    stopped = log_records.at(choices[0], "stop_reason") if isinstance(choices, list) and choices else None
    return "context_overflow" if stopped == "model_length" else "done"


def _metadata(facts: JSON, spec: JSON, log: JSON) -> JSON:
    kept = {key: value for key, value in facts.items() if key not in (*BULKY, "id", "uuid", "input") and value not in (None, {}, [])}
    for key in ("error", "error_retries"):
        if key in kept:
            kept[key] = _plain_error(kept[key])
    about = {key: spec[key] for key in OF_THE_EVAL if spec.get(key) not in (None, {}, [])}
    status = {"status": log["status"]} if log.get("status") not in (None, "success") else {}
    return {"sample_id": facts.get("id"), **kept, "eval": about | status}


def _plain_error(error: Any) -> Any:
    if isinstance(error, list):
        return [_plain_error(item) for item in error]
    return {key: value for key, value in error.items() if key not in REDACTED} if isinstance(error, dict) else error
