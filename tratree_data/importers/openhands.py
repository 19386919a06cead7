"""OpenHands' `output.jsonl`: an evaluated task a line, {"instance_id", "history", "test_result", "metadata", …}.

`history` is a list of events, or of [action, observation] pairs in old versions. Up to version 0 an event says what it is by the key
`action` or `observation`, from version 1 on by `kind`; bookkeeping is left out. Where the model's own tool call is kept, it is the action,
without what it may say about any call (`summary`, `security_risk`): equal acts would differ by it.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import conversations, log_records
from tratree_data.importers.log_files import LogFile, json_records
from tratree_data.importers.log_records import LogStep, Options, Problem, Record, Unusable
from tratree_data.importers.swebench import reported_score

ENDINGS = ("output.jsonl",)
"""The evaluation's copy beside it, `output.swebench_eval.jsonl`, holds the same episodes."""
Event = dict[str, Any]
KINDS = ("kind", "action", "observation")
NO_ACTIONS = ("system", "recall", "null", "start", "pause", "resume", "stop", "change_agent_state", "condensation", "condensation_request")
NO_OBSERVATIONS = ("null", "recall", "agent_state_changed")
OWN_WORDS = {"run": "command", "run_ipython": "code", "message": "content", "browse_interactive": "browser_actions"}
NO_ARGUMENTS = ("thought", "kind", "confirmation_state", "is_confirmed", "blocking", "hidden", "security_risk", "wait_for_response")
SAID_OF_CALLS = ("summary", "security_risk")
TOLD_IN = {"AgentErrorEvent": "error", "UserRejectObservation": "rejection_reason", "CondensationSummaryEvent": "summary"}
SCORES = ("reward", "score", "resolved", "success", "correct", "result")


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(json_records(file), lambda where, value: _parse(file, options, where, value))


def _parse(file: LogFile, options: Options, where: str, value: Any) -> Record:
    entry = log_records.mapping(value, "the line")
    events = list(_events(log_records.items_of(log_records.need(entry, "history"), "history")))
    task = log_records.identifier(log_records.need(entry, "instance_id"), "instance_id")
    metadata = log_records.mapping(entry.get("metadata") or {}, "metadata")
    steps, end_observation = conversations.alternate(_happened(events))
    score = _score(entry)
    score = reported_score(file, task) if score is None else score
    asked = log_records.at(entry, "instance", "problem_statement")
    instruction = asked if isinstance(asked, str) else log_records.optional_text(entry.get("instruction"), "instruction")
    usage = log_records.at(entry, "metrics", "accumulated_token_usage")
    return Record(
        source=where,
        environment=options.environment or log_records.optional_text(metadata.get("dataset"), "metadata.dataset"),
        split=log_records.optional_text(metadata.get("data_split") or metadata.get("dataset_split"), "metadata.data_split"),
        task_id=task,
        trajectory_id="" if entry.get("attempt") is None else f"{file.stem}:{log_records.identifier(entry['attempt'], 'attempt')}",
        agent=log_records.optional_text(metadata.get("agent_class"), "metadata.agent_class") or "openhands",
        model=_model(metadata),
        prompt="\n\n".join(text for event in events if (text := _prompt(event))),
        instruction=instruction.strip() or steps[0].observation.strip(),
        reward=score,
        success=None if score is None else score == 1,
        steps=steps,
        end_observation=end_observation,
        end_reason=_end_reason(log_records.optional_text(entry.get("error"), "error"), steps[-1].action),
        prompt_tokens=log_records.count(log_records.at(usage, "prompt_tokens"), "prompt_tokens"),
        completion_tokens=log_records.count(log_records.at(usage, "completion_tokens"), "completion_tokens"),
    )


def _events(history: list[Any]) -> Iterator[Event]:
    """Events in their order; pairs one after the other."""
    for i, item in enumerate(history):
        for part in item if isinstance(item, list) else [item]:
            event = log_records.mapping(part, f"history[{i}]")
            if event and sum(isinstance(event.get(key), str) for key in KINDS) != 1:
                raise Unusable("other_format", f"history[{i}] is not an OpenHands event: it needs one of {', '.join(KINDS)}")
            if event:
                yield event


def _prompt(event: Event) -> str:
    if event.get("kind") == "SystemPromptEvent":
        parts = [_text(event.get(name), name) for name in ("system_prompt", "dynamic_context")]
        return "\n\n".join(part for part in parts if part)
    return _text(log_records.at(event, "args", "content"), "args.content") if event.get("action") == "system" else ""


def _happened(events: list[Event]) -> Iterator[LogStep | str]:
    """Calls that the model made in one answer are one step."""
    answer: tuple[str, LogStep] | None = None
    for event in events:
        happened = _newer(event) if isinstance(event.get("kind"), str) else _older(event)
        if happened is None:
            continue
        same = event.get("llm_response_id")
        if isinstance(happened, LogStep) and answer is not None and isinstance(same, str) and same == answer[0]:
            answer[1].action += f"\n{happened.action}"
            answer[1].thought = "\n".join(text for text in (answer[1].thought, happened.thought) if text)
            continue
        answer = (same, happened) if isinstance(happened, LogStep) and isinstance(same, str) else None
        yield happened


def _newer(event: Event) -> LogStep | str | None:
    """An event of version 1."""
    kind = event["kind"]
    if kind == "MessageEvent":
        message = log_records.mapping(event.get("llm_message"), "llm_message")
        turn = conversations.read_turn(message, "llm_message")
        if turn.role == "user":
            return "\n\n".join(part for part in (turn.content, _text(event.get("extended_content"), "extended_content")) if part)
        return LogStep("", turn.thought, turn.content.strip(), turn.content or None)
    if kind == "ActionEvent":
        thoughts = (log_records.optional_text(event.get("reasoning_content"), "reasoning_content"), _text(event.get("thought"), "thought"))
        action = log_records.mapping(event.get("action") or {}, "action")
        given = _arguments(action | log_records.mapping(action.get("data") or {}, "action.data"))
        call = event.get("tool_call")
        called = call if isinstance(call, dict) else {"name": event.get("tool_name"), "arguments": given}
        return LogStep("", "\n".join(text for text in thoughts if text), _call(called, given))
    if kind == "ObservationEvent":
        observation = log_records.mapping(event.get("observation"), "observation")
        return _text(observation.get("content", observation.get("output")), "observation.content")
    return _text(event.get(TOLD_IN[kind]), TOLD_IN[kind]) if kind in TOLD_IN else None


def _older(event: Event) -> LogStep | str | None:
    """An event of version 0; what the user or the machinery did is not a step."""
    if "action" not in event:
        silent = event["observation"] in NO_OBSERVATIONS
        return None if silent else log_records.optional_text(event.get("content"), "content")
    action = log_records.text(event["action"], "action")
    arguments = log_records.mapping(event.get("args") or {}, "args")
    if action in NO_ACTIONS:
        return None
    if event.get("source") != "agent":
        return _text(arguments.get("content"), "args.content") if action == "message" else None
    thought = log_records.optional_text(arguments.get("thought"), "args.thought").strip()
    return LogStep("", thought, _own_call(event) or _described(action, arguments))


def _own_call(event: Event) -> str:
    """The tool call as the model wrote it, where the log keeps its answer."""
    choices = log_records.at(event, "tool_call_metadata", "model_response", "choices")
    message = log_records.at(choices[0], "message") if isinstance(choices, list) and choices else None
    call_id = log_records.at(event, "tool_call_metadata", "tool_call_id")
    calls = log_records.at(message, "tool_calls")
    found = [call for call in calls if log_records.at(call, "id") == call_id] if isinstance(calls, list) else []
    return _call(found[0], {}) if found else ""


def _call(call: dict[str, Any], given: dict[str, Any]) -> str:
    """The call as the model wrote it, without the `summary` that describes it unless the tool takes one."""
    function = log_records.mapping(call.get("function", call), "tool_call")
    arguments = conversations.read_arguments(function.get("arguments"))
    if isinstance(arguments, dict):
        arguments = {name: value for name, value in arguments.items() if name not in SAID_OF_CALLS or name in given}
    return conversations.call_text(log_records.identifier(function.get("name"), "tool_call.name"), arguments)


def _described(action: str, arguments: dict[str, Any]) -> str:
    if action in OWN_WORDS:
        return log_records.optional_text(arguments.get(OWN_WORDS[action]), f"args.{OWN_WORDS[action]}").strip()
    return conversations.call_text(action, _arguments(arguments))


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in NO_ARGUMENTS and value not in (None, "", [], {})}


def _text(content: Any, name: str) -> str:
    """A text, one part, or a list of parts."""
    return conversations.content_text([content] if isinstance(content, dict) else content, name)


def _score(entry: dict[str, Any]) -> float | None:
    """What the evaluation says, where the line holds it: a number, a truth, or one of them under a usual name."""
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
