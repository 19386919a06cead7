"""Results of tau2 (τ²-bench): {"info", "tasks", "simulations": [{"task_id", "trial", "messages", "reward_info", "termination_reason", …}]}.

Also a simulation alone, as tau2 writes it beside `results.json`. The policy is the system message: the agent's own instruction is not
recorded. What a user did with tools of their own, which the agent cannot see, is metadata (`unseen`) of the message that follows. Messages
that no model wrote (the greeting, a task's history) are steps whose metadata says `in_prompt`.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.json_stream import MAX_RECORD_BYTES
from tratree_data.importers.files.log_files import LogFile, is_one_object, json_members, json_records
from tratree_data.importers.log_records import Item, Options, Problem, Record, Unusable
from tratree_data.importers.sessions.session import usage_sum
from tratree_data.importers.turns.chat import Message, first_request, record_of_chat
from tratree_data.importers.turns.dialects import read_messages, read_tools

RUNS = "simulations"
MARKS = ("termination_reason", "reward_info")
KEYS = {"info", "tasks", "task_id", "termination_reason", "reward_info"}
FIRST_FIELDS, MOST_FIELDS = 8, 100
"""One of these keys must come within so many members: files of other formats are not read to their end."""
END_REASONS = {
    "user_stop": "done", "agent_stop": "done", "max_steps": "max_steps", "timeout": "time_out", "too_many_errors": "invalid_actions",
    "agent_error": "agent_error", "user_error": "environment_error", "infrastructure_error": "server_unavailable",
    "context_window_exceeded": "context_overflow",
}  # fmt: skip
SAMPLED = ("usage", "raw_data", "generation_time_seconds")
DEFAULTS = {"is_audio": False, "is_final_chunk": True, "contains_speech": True, "error": False, "requestor": "assistant"}
REPEATED = ("raw_data", "id", "turn_idx")
RAW_REPEATED = ("choices", "message", "usage", "role", "content", "tool_calls", "reasoning_content")
Results = dict[str, Any]


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(_runs(file), lambda where, run: _parse(options, where, *run))


def _runs(file: LogFile) -> Iterator[Item]:
    """(results, simulation) of each: results come simulation by simulation, for a file has hundreds of them."""
    if not is_one_object(file):
        for where, value in json_records(file):
            if isinstance(value, dict) and isinstance(value.get(RUNS), list):
                yield from ((f"{where}[{i}]", (value, run)) for i, run in enumerate(value[RUNS]))
            else:
                yield where, value if isinstance(value, Problem) else ({}, value)
        return
    results: Results = {}
    found = 0
    for where, item in json_members(file, inside=(RUNS,)):
        if isinstance(item, Problem):
            yield where, item
            return
        key, value = item
        if key == RUNS:
            found += 1
            yield where, (results, value)
        elif key in results:
            yield where, log_records.repeated_key(where, key)
            return
        else:
            results[key] = value
        if (len(results) >= FIRST_FIELDS and not (found or results.keys() & KEYS)) or len(results) > MOST_FIELDS:
            yield where, Problem(where, "other_format", "the object has none of tau2's keys")
            return
    if not found and not results.get("simulation_index"):
        yield f"{file.name}:1", (_beside(file), results)


def _beside(file: LogFile) -> Results:
    """The results that a simulation in a file of its own belongs to."""
    path = file.path.parent.parent / "results.json"
    with suppress(OSError):
        status = path.stat()
        return _read_results(path, status.st_mtime_ns, status.st_size) if status.st_size <= MAX_RECORD_BYTES else {}
    return {}


@lru_cache(maxsize=4)
def _read_results(path: Path, _changed: int, _size: int) -> Results:
    with suppress(OSError, ValueError, RecursionError):
        value = json.loads(path.read_bytes())
        return value if isinstance(value, dict) else {}
    return {}


def _parse(options: Options, where: str, results: Results, value: Any) -> Record:
    run = log_records.mapping(value, "the simulation")
    if not any(mark in run for mark in MARKS):
        raise Unusable("other_format", "it contains no simulation with termination_reason or reward_info")
    if run.get("messages") is None and run.get("ticks"):
        raise Unusable("no_messages", "the simulation was spoken (ticks), so it has no messages")
    info = results.get("info")
    environment = log_records.at(info, "environment_info")
    policy = next((text for text in (run.get("policy"), log_records.at(environment, "policy")) if isinstance(text, str) and text), "")
    system: list[Message] = [{"role": "system", "content": policy}] if policy else []
    messages = system + _messages(log_records.mappings(log_records.need(run, "messages"), "messages"))
    task_id = log_records.identifier(log_records.need(run, "task_id"), "task_id")
    task = _task(results, task_id)
    domain, agent, model = (log_records.at(info, *keys) for keys in (
        ("environment_info", "domain_name"), ("agent_info", "implementation"), ("agent_info", "llm")
    ))  # fmt: skip
    return record_of_chat(
        messages,
        source=where,
        environment=options.environment or (domain if isinstance(domain, str) else ""),
        task_id=task_id,
        instruction=_instruction(task) or first_request(messages).strip(),
        trajectory_id="" if run.get("id") is None else log_records.identifier(run["id"], "id"),
        agent=agent if isinstance(agent, str) else "",
        model=model if isinstance(model, str) and model else None,
        tools=_tools(log_records.at(environment, "tool_defs")),
        reward=log_records.number(log_records.at(run, "reward_info", "reward"), "reward_info.reward"),
        end_reason=END_REASONS.get(str(run.get("termination_reason")), "unknown"),
        seconds=log_records.number(run.get("duration"), "duration"),
        prompt_tokens=_tokens(run, "prompt_tokens"),
        completion_tokens=_tokens(run, "completion_tokens"),
        react=False,
        metadata={key: item for key, item in run.items() if key not in ("id", "task_id", "messages", "policy") and item is not None}
        | ({"task": task} if task else {}) | _info(info),
    )  # fmt: skip


def _tokens(run: dict[str, Any], name: str) -> int | None:
    """The agent's usage only; the user is a model too."""
    usages = [log_records.at(said, "usage") for said in run["messages"] if said.get("role") == "assistant"]
    return usage_sum([usage for usage in usages if isinstance(usage, dict)], (name,))


def _task(results: Results, task_id: str) -> dict[str, Any]:
    tasks = results.get("tasks")
    found = (task for task in tasks if isinstance(task, dict) and str(task.get("id")) == task_id) if isinstance(tasks, list) else ()
    return next(iter(found), {})


def _instruction(task: dict[str, Any]) -> str:
    """What the user wants, which each trial expresses in different words."""
    asked = log_records.at(task, "user_scenario", "instructions")
    if isinstance(asked, dict):
        asked = "\n".join(text for key in ("reason_for_call", "task_instructions") if isinstance(text := asked.get(key), str) and text)
    return asked.strip() if isinstance(asked, str) else ""


def _tools(definitions: Any) -> list[dict[str, Any]] | None:
    found = definitions.values() if isinstance(definitions, dict) else ()
    named = [tool for tool in found if isinstance(tool, dict)]
    return read_tools([{"name": tool.get("name"), "description": tool.get("doc"), "parameters": tool.get("params")} for tool in named])


def _info(info: Any) -> dict[str, Any]:
    """How the simulations were run; policy and tools are stored elsewhere."""
    if not isinstance(info, dict):
        return {}
    environment = info.get("environment_info")
    if isinstance(environment, dict):
        info = info | {"environment_info": {key: part for key, part in environment.items() if key not in ("policy", "tool_defs")}}
    return {"info": info}


def _messages(log: Sequence[dict[str, Any]]) -> list[Message]:
    log = [said for i, message in enumerate(log) for said in _parts(message, f"messages[{i}]")]
    has_samples = any(message.get(key) is not None for message in log for key in SAMPLED)
    messages: list[Message] = []
    unseen: list[dict[str, Any]] = []
    for i, said in enumerate(log):
        if _is_unseen(said):
            unseen.append(_about(said))
            continue
        message = _message(said, f"messages[{i}]")
        given = said.get("role") == "assistant" and has_samples and all(said.get(key) is None for key in SAMPLED)
        message["metadata"] = ({"in_prompt": True} if given else {}) | ({"unseen": unseen} if unseen else {}) | message.get("metadata", {})
        messages.append(message)
        unseen = []
    if unseen and messages:
        messages[-1]["metadata"] = messages[-1]["metadata"] | {"unseen_after": unseen}
    return messages


def _is_unseen(said: dict[str, Any]) -> bool:
    """What users do with their own tools."""
    return bool(said.get("tool_calls")) if said.get("role") == "user" else said.get("role") == "tool" and said.get("requestor") == "user"


def _about(said: dict[str, Any]) -> dict[str, Any]:
    """The message without what is the same in all of them; of the raw answer, only what the message does not contain."""
    about = {key: value for key, value in said.items() if key not in REPEATED and value is not None and DEFAULTS.get(key) != value}
    raw = said.get("raw_data")
    rest = {key: value for key, value in raw.items() if key not in RAW_REPEATED and value is not None} if isinstance(raw, dict) else {}
    return about | ({"raw_data": rest} if rest else {})


def _parts(message: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The results in one message of several."""
    return log_records.mappings(message["tool_messages"], f"{name}.tool_messages") if message.get("tool_messages") else [message]


def _message(said: dict[str, Any], name: str) -> Message:
    """A message with calls as the model wrote them, where its raw answer is kept."""
    raw = said.get("raw_data")
    choices = log_records.at(raw, "choices")
    answer = log_records.at(choices[0] if isinstance(choices, list) and choices else raw, "message") or raw
    about = _about(said) | ({"tool_call_id": said.get("id") or None} if said.get("role") == "tool" else {})
    (message,) = read_messages(about, name)
    if said.get("role") != "assistant":
        return message
    thought = log_records.at(answer, "reasoning_content")
    if isinstance(thought, str) and thought:
        message["reasoning_content"] = thought
    calls = log_records.at(answer, "tool_calls")
    found = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    written = {str(call.get("id")): log_records.at(call, "function", "arguments") for call in found}
    for call in message.get("tool_calls") or ():
        exact = written.get(str(call["id"]))
        if isinstance(exact, str) and _same_json(exact, call["arguments"]):
            call["arguments"] = exact
    return message


def _same_json(one: str, other: str) -> bool:
    with suppress(ValueError, RecursionError):
        return bool(json.loads(one) == json.loads(other))
    return False
