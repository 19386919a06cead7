"""OpenAI's Responses API: NeMo Gym's `rollouts.jsonl`, requests beside their responses, and conversations as lists of items.

    {"responses_create_params": {"input", "tools"}, "response": {"output"}, "reward", "_ng_task_index", …}   NeMo Gym
    {"input" or "request": {"input"}, "output" or "response": {"output"}}                                      a request and its response
    [items], {"items": [items]}, or items as a file's lines or elements                                        OpenAI Agents SDK

The model's output between two inputs is one turn. The assistant's turns in a request were given to the agent: they are steps whose
metadata says `in_prompt`. Lists of transitions are one rollout for each end; subagents that NeMo Gym observed are rollouts of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tratree_data import ids
from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Item, Options, Problem, Record, Unusable
from tratree_data.importers.readers.responses_items import CALL_ENDING, OUTPUT_ENDING, Turns
from tratree_data.importers.turns.chat import Message, record_of_chat
from tratree_data.importers.turns.dialects import read_tools
from tratree_data.messages import json_text

REQUESTS = ("responses_create_params", "request", "body")
LISTS = ("items", "data")
TASKS = ("task_id", "problem_id", "instance_id", "uuid", "id")
OBSERVED = (("ng_trajectory", "invocations"), ("ng_agent_observations", "records"))
INDEXES = ("_ng_task_index", "_ng_rollout_index")
SHOWN = {
    "type", "role", "content", "summary", "arguments", "name", "call_id", "input", "action", "output", "encrypted_content",
}  # fmt: skip
OUTPUTS = ("output", "outputs", "results")
"""Outcomes of calls that the server ran itself."""
NO_TURNS = ("mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "compaction", "item_reference")
"""Items that are kept as metadata of the message before them."""
ARGUMENTS = ("arguments", "input", "action")
FAILED = "_ng_failure_class"
TAKEN = {"input", "tools", "instructions", "output", "model", "id", "object"}


@dataclass
class Run:
    """Items that were given to the agent, and those that came after."""

    entry: dict[str, Any]
    given: list[Any]
    made: list[Any]
    request: dict[str, Any] = field(default_factory=dict)
    response: dict[str, Any] = field(default_factory=dict)
    branch: str = ""


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(_runs(file), lambda where, run: _parse(file, options, where, run))


def _runs(file: LogFile) -> Iterator[Item]:
    items: list[dict[str, Any]] = []
    first = ""
    for where, value in json_records(file):
        if is_item(value):
            first = first or where
            items.append(value)
        elif isinstance(value, Problem):
            yield where, value
        else:
            yield from _runs_of(where, value)
    if any("type" in item for item in items):
        yield first, Run({"id": file.stem}, [], items)
    elif items:
        yield first, Problem(first, "other_format", "the messages have no type, so they are not items of the Responses API")


def is_item(value: Any) -> bool:
    """Whether it is an item of a conversation. A message may have no type, because the SDK accepts that."""
    if not isinstance(value, dict):
        return False
    kind = value.get("type", "message")
    if kind == "message":
        return (
            isinstance(value.get("role"), str) and isinstance(value.get("content"), str | list) and not value.keys() & {"output", *REQUESTS}
        )
    if kind == "reasoning":
        return "summary" in value
    if kind in NO_TURNS:
        return True
    return isinstance(kind, str) and kind.endswith((CALL_ENDING, OUTPUT_ENDING)) and ("call_id" in value or "id" in value)


def _runs_of(where: str, value: Any) -> Iterator[Item]:
    """The runs of one record; a Problem if it does not belong to this API."""
    if is_items(value):
        yield where, Run({}, [], value)
        return
    if not isinstance(value, dict):
        yield where, Problem(where, "wrong_type", f"the record is {log_records.kind(value)}, but must be an object or a list of items")
        return
    listed: list[Any] = next((value[key] for key in LISTS if is_items(value.get(key))), [])
    if listed:
        yield where, Run(value, [], listed)
        return
    request = next((value[key] for key in REQUESTS if isinstance(value.get(key), dict)), value)
    response = value["response"] if isinstance(value.get("response"), dict) else value
    response = response["body"] if isinstance(response.get("body"), dict) else response
    output, given = response.get("output"), request.get("input")
    if not isinstance(output, list) or not all(is_item(item) or isinstance(item, list) for item in output):
        yield where, Problem(where, "missing_field", "a response with an 'output' of items is missing")
    elif given is None:
        yield where, Problem(where, "missing_field", "there is no 'input': a response alone does not contain what it answered")
    else:
        asked = [{"role": "user", "content": given}] if isinstance(given, str) else given
        ends = _ends([item for item in output if isinstance(item, list)]) if any(isinstance(item, list) for item in output) else [output]
        for number, made in enumerate(ends):
            yield where, Run(value, asked, made, request, response, str(number) if number else "")
        yield from ((where, run) for run in _subagents(value, request, response))


def is_items(value: Any) -> bool:
    """Whether it is a conversation of items: a list of messages without a type is not."""
    return isinstance(value, list) and all(map(is_item, value)) and any("type" in item for item in value)


def _ends(lists: Sequence[list[Any]]) -> list[list[Any]]:
    """The last of each series of growing lists; a list that does not continue the previous one begins another series."""
    ends: list[list[Any]] = []
    for items in lists:
        if ends and items[: len(ends[-1])] == ends[-1]:
            ends[-1] = items
        else:
            ends.append(items)
    return ends


def _subagents(entry: dict[str, Any], request: dict[str, Any], response: dict[str, Any]) -> Iterator[Run]:
    seen: set[str] = set()
    for place, key in OBSERVED:
        found = log_records.at(entry, place, key)
        for invocation in found if isinstance(found, list) else []:
            name, items = log_records.at(invocation, "invocation_id"), log_records.at(invocation, "conversation")
            if log_records.at(invocation, "parent_invocation_id") and isinstance(name, str) and is_items(items) and name not in seen:
                seen.add(name)
                about = {key: invocation.get(key) for key in ("parent_invocation_id", "spawned_by_tool_call_id", "status", "error_type")}
                kept = {key: entry[key] for key in (*INDEXES, *TASKS, "agent_ref", "_ng_rollout_id") if key in entry}
                yield Run(kept | about, [], items, {"tools": request.get("tools")}, {"model": response.get("model")}, name)


def _parse(file: LogFile, options: Options, where: str, run: Run) -> Record:
    entry, request, response = run.entry, run.request, run.response
    messages = _messages(run)
    task, agent = _task(file, run, messages), log_records.at(entry, "agent_ref", "name")
    agent = agent if isinstance(agent, str) else ""
    tools = next((found for place in (request, response, entry) if (found := place.get("tools"))), None)
    described = read_tools(tools)
    builtin = [tool for tool in tools if not read_tools([tool])] if isinstance(tools, list) else []
    usage = response.get("usage")
    model = response.get("model") or request.get("model")
    return record_of_chat(
        messages,
        source=where,
        environment=options.environment or agent,
        task_id=task,
        agent=agent,
        model=model if isinstance(model, str) and model else None,
        tools=described,
        trajectory_id=_trajectory(file, run),
        reward=None if run.branch and "reward" not in entry else log_records.truth_or_number(entry.get("reward"), "reward"),
        end_reason=_end_reason(entry, response),
        react=False,
        prompt_tokens=log_records.count(log_records.at(usage, "input_tokens"), "input_tokens"),
        completion_tokens=log_records.count(log_records.at(usage, "output_tokens"), "output_tokens"),
        metadata=_metadata(run) | ({"builtin_tools": builtin} if builtin else {}),
    )


def _messages(run: Run) -> list[Message]:
    instructions = next((text for place in (run.request, run.response) if isinstance(text := place.get("instructions"), str) and text), "")
    turns = Turns()
    if instructions:
        turns.say({"role": "system", "content": instructions})
    for i, item in enumerate(log_records.items_of(run.given, "input")):
        _add(turns, item, f"input[{i}]")
    turns.is_open = False
    for message in turns.messages:
        if message["role"] == "assistant":
            message["metadata"] = {"in_prompt": True} | message.get("metadata", {})
    for i, item in enumerate(run.made):
        _add(turns, item, f"output[{i}]")
    return turns.messages


def _add(turns: Turns, value: Any, name: str) -> None:
    """One item; what does not fit into a message is in its metadata."""
    item = log_records.mapping(value, name)
    kind = item.get("type") or "message"
    if not is_item(item):
        raise Unusable("unknown_role", f"{name} is of type {str(kind)[:40]!r}, which is not an item of a conversation")
    if kind in NO_TURNS:
        last = turns.messages[-1] if turns.messages else turns.turn()
        last.setdefault("metadata", {}).setdefault("items", []).append(item)
        return
    is_call = str(kind).endswith(CALL_ENDING)
    outcome = next((key for key in OUTPUTS if is_call and item.get(key)), None)
    turns.add({key: part for key, part in item.items() if key != outcome}, name)
    if (rest := _rest(item, is_call)) and turns.messages:
        turns.messages[-1].setdefault("metadata", {}).setdefault("items", []).append({"type": kind} | rest)
    if outcome:
        output = item[outcome] if isinstance(item[outcome], str) else json_text(item[outcome])
        turns.add({"type": f"{kind}{OUTPUT_ENDING}", "call_id": item.get("call_id") or item.get("id"), "output": output}, name)


def _rest(item: dict[str, Any], is_call: bool) -> dict[str, Any]:
    """What is not in the message: a call without arguments has all of it as arguments."""
    if is_call and not any(item.get(key) is not None for key in ARGUMENTS):
        return {}
    rest = {key: part for key, part in item.items() if key not in SHOWN and part not in (None, [], "completed")}
    parts = item["content"] if isinstance(item.get("content"), list) else []
    notes = [note for part in parts if isinstance(part, dict) and isinstance(part.get("annotations"), list) for note in part["annotations"]]
    summary = {"summary": item["summary"]} if item.get("summary") and item.get("content") else {}
    return rest | ({"annotations": notes} if notes else {}) | summary


def _task(file: LogFile, run: Run, messages: Sequence[Message]) -> str:
    """The task's own id, else what was given to the agent; of runs without a request, the number in the file."""
    named = next((run.entry[key] for key in TASKS if run.entry.get(key) is not None), None) if run.response else None
    if named is not None:
        return log_records.identifier(named, "task_id")
    if run.given:
        return ids.content_id(json_text(run.given))
    index = run.entry.get(INDEXES[0])
    asked = any(message["role"] == "user" for message in messages[:1] or ())
    return f"{file.stem}:{log_records.identifier(index, INDEXES[0])}" if index is not None and not asked else ""


def _trajectory(file: LogFile, run: Run) -> str:
    indexes = [run.entry.get(name) for name in INDEXES]
    if run.entry.get("_ng_rollout_id"):
        named = log_records.identifier(run.entry["_ng_rollout_id"], "_ng_rollout_id")
    elif None not in indexes:
        named = f"{file.stem}:" + "-".join(log_records.identifier(index, "index") for index in indexes)
    else:
        own = run.response.get("id") if run.response else run.entry.get("id")
        named = "" if own in (None, "") else log_records.identifier(own, "id")
    return "/".join(part for part in (named, run.branch) if part)


def _metadata(run: Run) -> dict[str, Any]:
    """The record's other members."""
    own = {*REQUESTS, "response", "reward", *LISTS, *(TAKEN if run.response is run.entry else ())}
    about = {name: value for name, value in run.entry.items() if name not in own and value is not None}
    for name, place in (("request", run.request), ("response", run.response)):
        if place is not run.entry:
            said = {key: value for key, value in place.items() if key not in TAKEN and value not in (None, [], {})}
            about |= {name: said} if said else {}
    return about


def _end_reason(entry: dict[str, Any], response: dict[str, Any]) -> str:
    if entry.get("agent_timed_out") is True:
        return "time_out"
    if entry.get(FAILED) or response.get("error") or response.get("status") == "failed":
        return "agent_error"
    if entry.get("truncated") is True:
        return "max_steps"
    if response.get("status") == "incomplete":
        return "context_overflow" if log_records.at(response, "incomplete_details", "reason") == "max_output_tokens" else "agent_stopped"
    return "done" if response.get("status") == "completed" or entry.get("terminated") is True else "unknown"
