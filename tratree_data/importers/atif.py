"""ATIF, the Agent Trajectory Interchange Format (Harbor, RFC 0001; versions 1.0 to 1.8): one trajectory a file, a line, or a list element.

Steps of source system are the prompt, of user what the agent saw, of agent what it did; an agent step's observation came after it. The
format has no place for task and reward: they are read from `extra` (root, agent or final_metrics), else the task is the first message.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import conversations, log_records
from tratree_data.importers.conversations import Turn
from tratree_data.importers.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable

SOURCES = {"system": "system", "user": "user", "agent": "assistant"}


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(json_records(file), lambda where, value: _parse(options, where, value))


def _parse(options: Options, where: str, value: Any) -> Record:
    entry = log_records.mapping(value, "the trajectory")
    if not log_records.optional_text(entry.get("schema_version"), "schema_version").startswith("ATIF-"):
        raise Unusable("other_format", "schema_version does not begin with 'ATIF-'")
    agent = log_records.mapping(entry.get("agent") or {}, "agent")
    metrics = log_records.mapping(entry.get("final_metrics") or {}, "final_metrics")
    facts: dict[str, Any] = {}
    for place, owner in (("agent.extra", agent), ("final_metrics.extra", metrics), ("extra", entry)):
        facts |= log_records.mapping(owner.get("extra") or {}, place)
    log = [
        log_records.mapping(step, f"steps[{i}]") for i, step in enumerate(log_records.items_of(log_records.need(entry, "steps"), "steps"))
    ]
    spoken = [turn for i, step in enumerate(log) for turn in _turns(step, f"steps[{i}]")]
    record = conversations.told_conversation(spoken, facts, where, options.environment)
    record.agent = record.agent or log_records.optional_text(agent.get("name"), "agent.name")
    record.model = record.model or log_records.optional_text(agent.get("model_name"), "agent.model_name") or None
    record.trajectory_id = record.trajectory_id or log_records.optional_text(
        entry.get("trajectory_id") or entry.get("session_id"), "trajectory_id"
    )
    totals = [log_records.count(metrics.get(name), name) for name in ("total_prompt_tokens", "total_completion_tokens")]
    record.prompt_tokens = totals[0] if record.prompt_tokens is None else record.prompt_tokens
    record.completion_tokens = totals[1] if record.completion_tokens is None else record.completion_tokens
    for step, told in zip(record.steps, (step for step in log if _acts(step)), strict=True):
        extra = log_records.mapping(told.get("extra") or {}, "extra")
        step.reward = log_records.number(extra.get("reward"), "extra.reward")
        step.valid = log_records.truth(extra.get("valid"), "extra.valid")
        step.response = log_records.optional_text(extra.get("response"), "extra.response") or step.response
    return record


def _acts(step: dict[str, Any]) -> bool:
    """Steps that were copied from an earlier trajectory for context are nobody's actions here."""
    return step.get("source") == "agent" and not step.get("is_copied_context")


def _turns(step: dict[str, Any], name: str) -> Iterator[Turn]:
    role = SOURCES.get(log_records.text(step.get("source"), f"{name}.source"))
    if role is None:
        raise Unusable("unknown_role", f"{name}.source is {step['source']!r}")
    content = conversations.content_text(step.get("message"), f"{name}.message")
    if role != "assistant":
        yield Turn(role, content)
    elif _acts(step):
        thought = log_records.optional_text(step.get("reasoning_content"), f"{name}.reasoning_content")
        calls = log_records.items_of(step.get("tool_calls") or [], f"{name}.tool_calls")
        yield Turn(role, content, thought, tuple(_call(call, f"{name}.tool_calls") for call in calls))
    observation = log_records.mapping(step.get("observation") or {}, f"{name}.observation")
    results = [
        log_records.mapping(result, f"{name}.results")
        for result in log_records.items_of(observation.get("results") or [], f"{name}.results")
    ]
    if results:
        yield Turn("user", "\n\n".join(conversations.content_text(result.get("content"), f"{name}.content") for result in results))


def _call(call: Any, name: str) -> str:
    entry = log_records.mapping(call, name)
    return conversations.call_text(log_records.identifier(entry.get("function_name"), f"{name}.function_name"), entry.get("arguments"))
