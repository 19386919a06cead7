"""OpenHands' `output.jsonl`: one evaluated task per line, {"instance_id", "history", "test_result", "metadata", …}.

`history` is a list of events, or of [action, observation] pairs in old versions. Up to version 0 an event says what it is by the key
`action` or `observation`, from version 1 on by `kind`; bookkeeping is left out. Where the model's own tool calls are kept, they are read as
calls (openhands_calls.py).
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from tratree_data import ids
from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import LogStep, Options, Problem, Record, Unusable
from tratree_data.importers.readers.openhands_calls import (
    NO_ACTIONS,
    NO_OBSERVATIONS,
    TOLD_IN,
    Conversation,
    Event,
    described,
    has_call,
    prompt_of,
    text_of,
)  # fmt: skip
from tratree_data.importers.readers.swebench import reported_score
from tratree_data.importers.turns import conversations
from tratree_data.importers.turns.chat import action_text, record_of_chat

ENDINGS = ("output.jsonl",)
"""The evaluation's copy beside it, `output.swebench_eval.jsonl`, holds the same episodes."""
KINDS = ("kind", "action", "observation")
TAKEN = ("instance_id", "history", "instance", "instruction", "attempt")
SCORES = ("reward", "score", "resolved", "success", "correct", "result")


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    records = json_records(file)
    first = list(islice(records, 2))
    if len(first) == 2 and all(_is_event(value) for _, value in first):  # a session's export
        events = [value for _, value in chain(first, records)]
        problem = next((value for value in events if isinstance(value, Problem)), None)
        session = (first[0][0], problem or {"history": events})
        return log_records.each([session], lambda where, value: _parse(file, options, where, value))
    return log_records.each(chain(first, records), lambda where, value: _parse(file, options, where, value))


def _is_event(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("source"), str) and sum(isinstance(value.get(key), str) for key in KINDS) == 1


def _parse(file: LogFile, options: Options, where: str, value: Any) -> Record:
    entry = log_records.mapping(value, "the line")
    events = list(_events(log_records.items_of(log_records.need(entry, "history"), "history")))
    is_export = {*entry} == {"history"}
    task = "" if is_export else log_records.identifier(log_records.need(entry, "instance_id"), "instance_id")
    metadata = log_records.mapping(entry.get("metadata") or {}, "metadata")
    score = _score(entry)
    score = reported_score(file, task) if score is None else score
    asked = log_records.at(entry, "instance", "problem_statement")
    instruction = asked if isinstance(asked, str) else log_records.optional_text(entry.get("instruction"), "instruction")
    usage = log_records.at(entry, "metrics", "accumulated_token_usage")
    facts: dict[str, Any] = {
        "source": where,
        "environment": options.environment or log_records.optional_text(metadata.get("dataset"), "metadata.dataset"),
        "split": log_records.optional_text(metadata.get("data_split") or metadata.get("dataset_split"), "metadata.data_split"),
        "task_id": task,
        "trajectory_id": "" if entry.get("attempt") is None else f"{file.stem}:{log_records.identifier(entry['attempt'], 'attempt')}",
        "agent": log_records.optional_text(metadata.get("agent_class"), "metadata.agent_class") or "openhands",
        "model": _model(metadata),
        "reward": score,
        "success": None if score is None else score == 1,
        "prompt_tokens": log_records.count(log_records.at(usage, "prompt_tokens"), "prompt_tokens"),
        "completion_tokens": log_records.count(log_records.at(usage, "completion_tokens"), "completion_tokens"),
        "metadata": {key: value for key, value in entry.items() if key not in TAKEN and value is not None},
    }
    record = _with_calls(events, instruction, facts) if any(map(has_call, events)) else _with_texts(events, instruction, facts)
    record.task_id = record.task_id or ids.content_id(record.instruction)
    record.end_reason = _end_reason(log_records.optional_text(entry.get("error"), "error"), record.steps[-1].action)
    return record


def _with_texts(events: list[Event], instruction: str, facts: dict[str, Any]) -> Record:
    steps, end_observation = conversations.alternate(_happened(events))
    prompt = "\n\n".join(text for event in events if (text := prompt_of(event)))
    asked = instruction.strip() or steps[0].observation.strip()
    return Record(prompt=prompt, instruction=asked, steps=steps, end_observation=end_observation, **facts)


def _with_calls(events: list[Event], instruction: str, facts: dict[str, Any]) -> Record:
    """Reads the model's own tool calls. Descriptions that any call may have are left out of the action's text."""
    conversation = Conversation()
    for event in events:
        conversation.add(event)
    asked: dict[str, Any] = {"instruction": instruction.strip()} if instruction.strip() else {}
    record = record_of_chat(conversation.messages, tools=conversation.tools, react=False, **asked, **facts)
    for step in record.steps:
        calls = step.output_message["tool_calls"] if step.output_message else None
        if calls:
            step.action = "\n".join(sorted(conversation.texts.get(call["id"]) or action_text(call) for call in calls))
    return record


def _events(history: list[Any]) -> Iterator[Event]:
    """Events in their order; pairs one after the other."""
    for i, item in enumerate(history):
        for part in item if isinstance(item, list) else [item]:
            event = log_records.mapping(part, f"history[{i}]")
            if event and sum(isinstance(event.get(key), str) for key in KINDS) != 1:
                raise Unusable("other_format", f"history[{i}] is not an OpenHands event: it needs one of {', '.join(KINDS)}")
            if event:
                yield event


def _happened(events: list[Event]) -> Iterator[LogStep | str]:
    for event in events:
        happened = _newer(event) if isinstance(event.get("kind"), str) else _older(event)
        if happened is not None:
            yield happened


def _newer(event: Event) -> LogStep | str | None:
    """An event of version 1."""
    kind = event["kind"]
    if kind == "MessageEvent":
        message = log_records.mapping(event.get("llm_message"), "llm_message")
        turn = conversations.read_turn(message, "llm_message")
        if turn.role == "user":
            return "\n\n".join(part for part in (turn.content, text_of(event.get("extended_content"), "extended_content")) if part)
        return LogStep("", turn.thought, turn.content.strip(), turn.content or None)
    if kind == "ObservationEvent":
        observation = log_records.mapping(event.get("observation"), "observation")
        return text_of(observation.get("content", observation.get("output")), "observation.content")
    return text_of(event.get(TOLD_IN[kind]), TOLD_IN[kind]) if kind in TOLD_IN else None


def _older(event: Event) -> LogStep | str | None:
    """An event of version 0; what the user or OpenHands itself did is not a step."""
    if "action" not in event:
        silent = event["observation"] in NO_OBSERVATIONS
        return None if silent else log_records.optional_text(event.get("content"), "content")
    action = log_records.text(event["action"], "action")
    arguments = log_records.mapping(event.get("args") or {}, "args")
    if action in NO_ACTIONS:
        return None
    if event.get("source") != "agent":
        return text_of(arguments.get("content"), "args.content") if action == "message" else None
    thought = log_records.optional_text(arguments.get("thought"), "args.thought").strip()
    return LogStep("", thought, described(action, arguments))


def _score(entry: dict[str, Any]) -> float | None:
    """The evaluation's result, if the line contains it: a number, a boolean, or one of them under a usual name."""
    result = entry.get("test_result")
    if isinstance(result, bool | int | float):
        return log_records.truth_or_number(result, "test_result")
    for place in (log_records.at(result, "report"), result, entry.get("report")):
        for name in SCORES:
            found = log_records.at(place, name)
            if isinstance(found, bool | int | float):
                return log_records.truth_or_number(found, f"test_result.{name}")
    return None


def _model(metadata: dict[str, Any]) -> str | None:
    named = (log_records.at(metadata, "llm_config", "model"), log_records.at(metadata, "llm", "model"))
    return next((name for name in named if isinstance(name, str) and name), None)


def _end_reason(error: str, last: str) -> str:
    if error:
        return "max_steps" if "maximum iteration" in error.lower() else "agent_error"
    return "done" if last.split(" ", 1)[0] == "finish" else "unknown"
