"""verifiers: `traces.jsonl`, an episode a line, each agent's trace a graph of messages; and `results.jsonl`, prompt and completion a line.

Of a trace the final branch is read, as the library itself does; messages that no model sampled are context, and examples among them are
cut off. The reward is the weighted sum of a trace's rewards.
"""

from collections.abc import Callable, Iterator
from typing import Any

from tratree_data.importers import conversations, log_records
from tratree_data.importers.chat import Message, record_of_chat_with_metadata
from tratree_data.importers.dialects import read_exactly, read_messages, read_tools
from tratree_data.importers.log_files import LogFile, json_records
from tratree_data.importers.log_records import Item, Options, Problem, Record, Unusable
from tratree_data.messages import INSTRUCTING

STOPS = {"max_turns": "max_steps", "max_turns_reached": "max_steps", "context_length": "context_overflow", "timeout": "time_out"}


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(
        _traces(file), lambda where, item: _trace(options, where, *item) if isinstance(item, tuple) else _result(options, where, item)
    )


def _traces(file: LogFile) -> Iterator[Item]:
    """(episode, trace) of each trace, or an older row as it is."""
    for where, value in json_records(file):
        if not isinstance(value, dict) or not isinstance(value.get("traces"), list):
            yield where, value
        elif not value["traces"]:
            yield where, Problem(where, "empty_steps", "the episode has no trace")
        else:
            yield from ((f"{where}[{i}]", (value, trace)) for i, trace in enumerate(value["traces"]))


def _trace(options: Options, where: str, episode: dict[str, Any], value: Any) -> Record:
    trace = log_records.mapping(value, "the trace")
    environment = log_records.mapping(episode.get("env") or {}, "env")
    task = log_records.mapping(trace.get("task") or episode.get("task") or {}, "task")
    data = log_records.mapping(task.get("data") or {}, "task.data")
    facts = log_records.mapping(trace.get("info") or {}, "info")
    nodes = [
        log_records.mapping(node, f"nodes[{i}]") for i, node in enumerate(log_records.items_of(log_records.need(trace, "nodes"), "nodes"))
    ]
    named = options.environment or log_records.optional_text(facts.get("environment") or environment.get("id"), "env.id")
    exact = facts.get("exporter") == log_records.EXPORTER and facts.get("form") == "chat"
    record = record_of_chat_with_metadata(_messages(_final_branch(nodes), read_exactly if exact else read_messages), facts, where, named)
    if facts.get("task_id") is None:
        key = next((data[name] for name in ("id", "name", "idx") if data.get(name) is not None), task.get("key"))
        record.task_id = record.task_id if key is None else log_records.identifier(key, "task")
    record.trajectory_id = record.trajectory_id or log_records.optional_text(trace.get("id"), "id")
    record.reward = _reward(trace) if facts.get("score") is None else record.reward
    record.agent = record.agent or log_records.optional_text(
        log_records.mapping(trace.get("agent") or {}, "agent").get("name"), "agent.name"
    )
    conversations.apply_step_metadata(record, facts.get("steps"))
    stop = log_records.optional_text(trace.get("stop_condition"), "stop_condition")
    if facts.get("end_reason") is None:
        record.end_reason = STOPS.get(
            stop, "agent_error" if trace.get("errors") else "done" if trace.get("is_completed") is True else "unknown"
        )
    return record


def _reward(trace: dict[str, Any]) -> float | None:
    parts = []
    for name, value in log_records.mapping(trace.get("rewards") or {}, "rewards").items():
        if value is not None:
            reward = log_records.mapping(value, f"rewards.{name}")
            score = log_records.number(log_records.need(reward, "score"), f"rewards.{name}.score")
            weight = log_records.number(reward.get("weight", 1.0), f"rewards.{name}.weight")
            parts.append((score or 0.0) * (1.0 if weight is None else weight))
    return log_records.number(sum(parts), "the sum of rewards") if parts else None


def _final_branch(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """From the root to the last leaf."""
    if not nodes:
        raise Unusable("empty_steps", "the trace has no nodes")
    parents = {node.get("parent") for node in nodes if isinstance(node.get("parent"), int)}
    leaf: Any = max((i for i in range(len(nodes)) if i not in parents), default=len(nodes) - 1)
    branch: list[dict[str, Any]] = []
    while leaf is not None:
        if not isinstance(leaf, int) or isinstance(leaf, bool) or not 0 <= leaf < len(nodes) or len(branch) > len(nodes):
            raise Unusable("wrong_type", f"a node's parent is {leaf!r:.40}, which is not an earlier node")
        branch.append(nodes[leaf])
        leaf = nodes[leaf].get("parent")
    return branch[::-1]


def _messages(branch: list[dict[str, Any]], read: Callable[[Any, str], list[Message]]) -> list[Message]:
    """What was said, without examples; who sampled it counts for every message of a node."""
    said = [(message, node.get("sampled") is True) for node in branch for message in read(log_records.need(node, "message"), "message")]
    spoken, sampled = [message for message, _ in said], [model for _, model in said]
    if not any(sampled):
        return spoken
    first = sampled.index(True)
    shown = max((i + 1 for i in range(first) if spoken[i]["role"] == "assistant"), default=0)
    return [turn for i, turn in enumerate(spoken) if i >= shown or turn["role"] in INSTRUCTING]


def _result(options: Options, where: str, value: Any) -> Record:
    """An older row: prompt and completion are message lists or texts."""
    entry = log_records.mapping(value, "the line")
    spoken: list[Message] = []
    for key, role in (("prompt", "user"), ("completion", "assistant")):
        part = log_records.need(entry, key)
        log = [{"role": role, "content": part}] if isinstance(part, str) else log_records.items_of(part, key)
        spoken += [said for i, message in enumerate(log) for said in read_messages(message, f"{key}[{i}]")]
    info = entry.get("info")
    record = record_of_chat_with_metadata(spoken, info if isinstance(info, dict) else {}, where, options.environment)
    record.environment = record.environment or log_records.optional_text(entry.get("env_id") or entry.get("task"), "task")
    if record.tools is None and isinstance(info, dict):
        record.tools = read_tools(info.get("oai_tools"))
    example = entry.get("example_id", entry.get("id"))
    record.task_id = record.task_id if example is None else log_records.identifier(example, "example_id")
    record.reward = log_records.truth_or_number(entry.get("reward"), "reward")
    return record
