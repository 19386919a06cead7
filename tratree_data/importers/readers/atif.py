"""ATIF, the Agent Trajectory Interchange Format (Harbor, RFC 0001; versions 1.0 to 1.8): one trajectory a file, a line, or a list element.

Steps of source system are the prompt, of user what the agent saw, of agent what it did; an agent step's observation came after it. The
format has no place for task and reward: they are read from `extra` (root, agent or final_metrics), else the task is the first message.
Subagents inside a trajectory are rollouts of their own.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.metadata_fields import EXPORTER
from tratree_data.importers.turns.chat import Message, record_of_chat_with_metadata
from tratree_data.importers.turns.dialects import content_of, read_call, read_exactly, read_tools

TAKEN = ("step_id", "source", "message", "reasoning_content", "tool_calls", "observation", "extra", "is_copied_context")
OF_THE_ROOT = ("session_id", "notes", "continued_trajectory_ref")
SOURCES = {"system": "system", "user": "user", "agent": "assistant"}


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    for where, value in json_records(file):
        if isinstance(value, Problem):
            yield value
        else:
            yield from records(options, where, value)


def records(options: Options, where: str, value: Any) -> Iterator[Record | Problem]:
    """The trajectory, and those of its subagents in the same environment."""
    (found,) = log_records.each([(where, value)], lambda where, value: _parse(options, where, value))
    yield found
    named = options.environment or (found.environment if isinstance(found, Record) else "")
    subagents = log_records.at(value, "subagent_trajectories")
    for number, subagent in enumerate(subagents if isinstance(subagents, list) else ()):
        yield from records(replace(options, environment=named), f"{where}[subagent_trajectories[{number}]]", subagent)


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
    ours = facts.get("exporter") == EXPORTER
    spoken = [said for i, step in enumerate(log) for said in _messages(step, f"steps[{i}]", ours)]
    record = record_of_chat_with_metadata(spoken, facts, where, options.environment)
    record.agent = record.agent or log_records.optional_text(agent.get("name"), "agent.name")
    record.model = record.model or log_records.optional_text(agent.get("model_name"), "agent.model_name") or None
    record.trajectory_id = record.trajectory_id or log_records.optional_text(
        entry.get("trajectory_id") or entry.get("session_id"), "trajectory_id"
    )
    record.tools = record.tools or read_tools(agent.get("tool_definitions"))
    if facts.get("exporter") != EXPORTER:
        record.metadata |= {key: entry[key] for key in OF_THE_ROOT if entry.get(key) is not None}
    totals = [log_records.count(metrics.get(name), name) for name in ("total_prompt_tokens", "total_completion_tokens")]
    record.prompt_tokens = totals[0] if record.prompt_tokens is None else record.prompt_tokens
    record.completion_tokens = totals[1] if record.completion_tokens is None else record.completion_tokens
    for step, logged in zip(record.steps, (step for step in log if _acts(step)), strict=True):
        extra = log_records.mapping(logged.get("extra") or {}, "extra")
        step.reward = log_records.number(extra.get("reward"), "extra.reward")
        step.valid = log_records.truth(extra.get("valid"), "extra.valid")
        step.response = log_records.optional_text(extra.get("response"), "extra.response") or step.response
    return record


def _acts(step: dict[str, Any]) -> bool:
    """Steps that were copied from an earlier trajectory for context are not actions of this one."""
    return step.get("source") == "agent" and not step.get("is_copied_context")


def _messages(step: dict[str, Any], name: str, ours: bool) -> Iterator[Message]:
    original = log_records.at(step, "extra", "message") if ours else None
    if isinstance(original, dict):  # our own exporter keeps here what ATIF has no place for
        for message in (original, *log_records.mappings(log_records.at(step, "extra", "results"), f"{name}.extra.results")):
            yield from read_exactly(message, name)
        return
    role = SOURCES.get(log_records.text(step.get("source"), f"{name}.source"))
    if role is None:
        raise Unusable("unknown_role", f"{name}.source is {step['source']!r}")
    said: Message = {"role": role, "content": content_of(step.get("message"), f"{name}.message")}
    about = {key: value for key, value in step.items() if key not in TAKEN and value is not None}
    if role != "assistant" or _acts(step):
        thought = log_records.optional_text(step.get("reasoning_content"), f"{name}.reasoning_content")
        calls = [_call(call, f"{name}.tool_calls") for call in log_records.mappings(step.get("tool_calls"), f"{name}.tool_calls")]
        said |= ({"reasoning_content": thought} if thought else {}) | ({"tool_calls": calls} if calls and role == "assistant" else {})
        yield said | ({"metadata": about} if about else {})
    observation = log_records.mapping(step.get("observation") or {}, f"{name}.observation")
    for result in log_records.mappings(observation.get("results"), f"{name}.results"):
        content = content_of(result.get("content"), f"{name}.content")
        call = result.get("source_call_id")
        yield {"role": "user", "content": content} if call is None else {"role": "tool", "content": content, "tool_call_id": str(call)}


def _call(call: dict[str, Any], name: str) -> dict[str, Any]:
    called = log_records.identifier(call.get("function_name"), f"{name}.function_name")
    return read_call({"id": call.get("tool_call_id"), "name": called, "arguments": call.get("arguments")}, name)
