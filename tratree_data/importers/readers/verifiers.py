"""verifiers: `traces.jsonl`, with one episode per line and a graph of messages per agent; and `results.jsonl`, with prompt and completion.

Every branch of a trace is a rollout, the one that ended last under the trace's own id. They share the weighted sum of the trace's rewards.
Messages that no model sampled are context, and examples among them are cut off.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tratree_data import ids
from tratree_data.importers import log_records
from tratree_data.importers.files.json_stream import MAX_RECORD_BYTES
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Item, Options, Problem, Record, Unusable
from tratree_data.importers.metadata_fields import EXPORTER
from tratree_data.importers.turns import conversations
from tratree_data.importers.turns.chat import Message, first_request, record_of_chat_with_metadata
from tratree_data.importers.turns.dialects import read_conversation, read_exactly, read_messages, read_tools
from tratree_data.messages import INSTRUCTING

STOPS = {
    "max_turns": "max_steps", "max_turns_reached": "max_steps", "max_total_tokens": "max_steps", "max_output_tokens": "max_steps",
    "context_length": "context_overflow", "max_input_tokens": "context_overflow", "compaction_failed": "context_overflow",
    "timeout": "time_out",
}  # fmt: skip
MOST_MESSAGES = 1_000_000
SUBAGENT = "subagent_call"
GRAPH = ("id", "nodes", "calls", "tools", "info", "task", "agent", "version", "verifiers", "mm_token_type_id_map", "is_completed")
"""Keys of a trace that its record contains elsewhere."""
OF_A_TURN = {"usage": "usage", "finish_reason": "stop_reason", "model": "model", "time": "time"}
ROW = {"prompt", "completion", "info", "reward", "example_id", "task", "env_id", "tool_defs"}
JSON = dict[str, Any]


@dataclass(frozen=True)
class Branch:
    """A path from a root to a leaf; `number` of `count`, the last of which ended last."""

    nodes: list[JSON]
    places: list[int]
    number: int
    count: int

    @property
    def is_last(self) -> bool:
        return self.number + 1 == self.count

    @property
    def links(self) -> list[str]:
        """How its messages came about, if the harness names it: subagent_call, compaction, …"""
        named = (link.get("type") for node in self.nodes for link in _objects(node.get("semantic_parents")))
        return sorted({name for name in named if isinstance(name, str)})


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    beside = _settings_beside(file)
    attempts: Counter[str] = Counter()
    return log_records.each(
        _traces(file),
        lambda where, item: _trace(options, where, *item) if isinstance(item, tuple) else _result(options, beside, attempts, where, item),
    )


def _settings_beside(file: LogFile) -> JSON:
    """vf-eval writes `metadata.json` beside its results: it names their environment and model."""
    for path in (file.path.with_name("metadata.json"), file.path.with_name(f"{file.stem}.metadata.json")):
        with suppress(OSError, ValueError, RecursionError):
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_RECORD_BYTES:
                found = json.loads(path.read_bytes())
                if isinstance(found, dict):
                    return found
    return {}


def _traces(file: LogFile) -> Iterator[Item]:
    """(episode, trace, branch) of each branch, or an older row as it is."""
    for where, value in json_records(file):
        if not isinstance(value, dict) or not isinstance(value.get("traces"), list):
            yield where, value
        elif not value["traces"]:
            yield where, Problem(where, "empty_steps", "the episode has no trace")
        else:
            for i, trace in enumerate(value["traces"]):
                place = f"{where}[{i}]"
                try:
                    for branch in branches(log_records.mapping(trace, "the trace")):
                        yield place, (value, trace, branch)
                except Unusable as refusal:
                    yield place, Problem(place, refusal.reason, refusal.detail)


def branches(trace: JSON) -> Iterator[Branch]:
    """One for each leaf, in the order of the leaves."""
    nodes = log_records.mappings(log_records.need(trace, "nodes"), "nodes")
    if not nodes:
        raise Unusable("empty_steps", "the trace has no nodes")
    depths: list[int] = []
    for place, node in enumerate(nodes):
        parent = node.get("parent")
        if parent is not None and (not isinstance(parent, int) or isinstance(parent, bool) or not 0 <= parent < place):
            raise Unusable("wrong_type", f"a node's parent is {parent!r:.40}, which is not an earlier node")
        depths.append(1 if parent is None else depths[parent] + 1)
    parents = {node.get("parent") for node in nodes}
    leaves = [place for place in range(len(nodes)) if place not in parents]
    if sum(depths[leaf] for leaf in leaves) > MOST_MESSAGES:
        raise Unusable("too_long", f"the trace's {len(leaves):,} branches have more than {MOST_MESSAGES:,} messages")
    for number, leaf in enumerate(leaves):
        path = [leaf]
        while (parent := nodes[path[-1]].get("parent")) is not None:
            path.append(parent)
        path.reverse()
        yield Branch([nodes[place] for place in path], path, number, len(leaves))


def _trace(options: Options, where: str, episode: JSON, trace: JSON, branch: Branch) -> Record:
    environment = log_records.mapping(episode.get("env") or {}, "env")
    task = log_records.mapping(trace.get("task") or episode.get("task") or {}, "task")
    data = log_records.mapping(task.get("data") or {}, "task.data")
    facts = log_records.mapping(trace.get("info") or {}, "info")
    agent = log_records.mapping(trace.get("agent") or {}, "agent")
    if not _is_sampled(branch.nodes) and _is_sampled(trace["nodes"]):
        raise Unusable("empty_steps", "no model answered in this branch")
    ours = facts.get("exporter") == EXPORTER
    named = options.environment or log_records.optional_text(facts.get("environment") or environment.get("id"), "env.id")
    spoken, shown = _messages(branch, _turns(trace), read_exactly if ours and facts.get("form") == "chat" else read_messages)
    record = record_of_chat_with_metadata(spoken, facts, where, named)
    if facts.get("task_id") is None:
        key = next((data[name] for name in ("id", "name", "idx") if data.get(name) is not None), task.get("key"))
        record.task_id = record.task_id if key is None else log_records.identifier(key, "task")
        if not branch.is_last and SUBAGENT in branch.links:
            record.task_id = ids.content_id(record.task_id, first_request(spoken))
    record.trajectory_id = record.trajectory_id or log_records.optional_text(trace.get("id"), "id")
    if record.trajectory_id and not branch.is_last:
        record.trajectory_id += f"/{branch.places[-1]}"
    record.reward = _reward(trace) if facts.get("score") is None else record.reward
    record.agent = record.agent or log_records.optional_text(agent.get("name"), "agent.name")
    model = log_records.at(agent.get("config"), "model")
    record.model = record.model or (model if isinstance(model, str) else None)
    record.tools = record.tools or read_tools(branch.nodes[0].get("tools")) or read_tools(trace.get("tools"))
    conversations.apply_step_metadata(record, facts.get("steps"))
    if facts.get("end_reason") is None:
        record.end_reason = _end_reason(trace)
    if not ours:
        record.metadata |= _about(episode, trace, branch) | ({"examples": shown} if shown else {})
    return record


def _is_sampled(nodes: list[JSON]) -> bool:
    return any(node.get("sampled") is True for node in nodes)


def _about(episode: JSON, trace: JSON, branch: Branch) -> JSON:
    """Metadata of the trace and its episode, and which branch this is."""
    place = {"leaf": branch.places[-1], "number": branch.number, "of": branch.count}
    metadata = {key: value for key, value in trace.items() if key not in GRAPH and value not in (None, [], {})}
    metadata |= {key: episode[key] for key in ("group", "run") if episode.get(key)} | (
        {"episode": episode["id"]} if episode.get("id") else {}
    )
    return metadata | ({"branch": place | ({"links": branch.links} if branch.links else {})} if branch.count > 1 else {})


def _turns(trace: JSON) -> dict[int, JSON]:
    """Metadata of the trace's calls, by the node of the message that they produced."""
    calls = [call for call in _objects(trace.get("calls")) if isinstance(call.get("node"), int)]
    return {call["node"]: {ours: call[name] for name, ours in OF_A_TURN.items() if call.get(name)} for call in calls}


def _objects(value: Any) -> list[JSON]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _end_reason(trace: Mapping[str, Any]) -> str:
    stop = log_records.optional_text(trace.get("stop_condition"), "stop_condition")
    ended = "agent_error" if trace.get("errors") or trace.get("error") else "done" if trace.get("is_completed") is True else "unknown"
    return STOPS.get(stop, "time_out" if trace.get("is_timeout") is True else ended)


def _reward(trace: dict[str, Any]) -> float | None:
    parts = []
    for name, value in log_records.mapping(trace.get("rewards") or {}, "rewards").items():
        if value is not None:
            reward = log_records.mapping(value, f"rewards.{name}")
            score = log_records.number(log_records.need(reward, "score"), f"rewards.{name}.score")
            weight = log_records.number(reward.get("weight", 1.0), f"rewards.{name}.weight")
            parts.append((score or 0.0) * (1.0 if weight is None else weight))
    return log_records.number(sum(parts), "the sum of rewards") if parts else None


def _messages(branch: Branch, turns: Mapping[int, JSON], read: Callable[[Any, str], list[Message]]) -> tuple[list[Message], list[Message]]:
    """The messages, and the examples before them; whoever sampled a node wrote all its messages."""
    spoken: list[Message] = []
    sampled: list[bool] = []
    for place, node in zip(branch.places, branch.nodes, strict=True):
        said = read(log_records.need(node, "message"), "message")
        about = ({"timestamp": node["timestamp"]} if node.get("timestamp") else {}) | turns.get(place, {})
        if about:
            said[0]["metadata"] = said[0].get("metadata", {}) | about
        spoken += said
        sampled += [node.get("sampled") is True] * len(said)
    first = sampled.index(True) if any(sampled) else 0
    shown = max((i + 1 for i in range(first) if spoken[i]["role"] == "assistant"), default=0)
    kept = [turn for i, turn in enumerate(spoken) if i >= shown or turn["role"] in INSTRUCTING]
    return kept, [turn for turn in spoken[:shown] if turn["role"] not in INSTRUCTING]


def _result(options: Options, beside: JSON, attempts: Counter[str], where: str, value: Any) -> Record:
    """A row of vf-eval: prompt and completion are message lists or texts.

    Rows of one example are attempts, even if they are equal. Old files have an `id` that counts attempts instead of naming a task: there,
    equal prompts are one task.
    """
    entry = log_records.mapping(value, "the line")
    spoken: list[Message] = []
    for key, role in (("prompt", "user"), ("completion", "assistant")):
        part = log_records.need(entry, key)
        log = [{"role": role, "content": part}] if isinstance(part, str) else log_records.items_of(part, key)
        spoken += read_conversation(log, key)
    info = entry.get("info")
    record = record_of_chat_with_metadata(spoken, info if isinstance(info, dict) else {}, where, options.environment)
    named = next((key for key in (entry.get("env_id"), beside.get("env_id"), beside.get("env"), entry.get("task")) if key), None)
    record.environment = record.environment or log_records.optional_text(named, "task")
    record.model = record.model or (beside["model"] if isinstance(beside.get("model"), str) else None)
    if record.tools is None:
        record.tools = read_tools(log_records.at(info, "oai_tools")) or read_tools(entry.get("tool_defs"))
    if entry.get("example_id") is not None:
        record.task_id = log_records.identifier(entry["example_id"], "example_id")
        record.trajectory_id = record.trajectory_id or f"{record.task_id}/{attempts[record.task_id]}"
        attempts[record.task_id] += 1
    if record.end_reason == "unknown":
        record.end_reason = _end_reason(entry)
    record.metadata |= {key: item for key, item in entry.items() if key not in ROW and item is not None}
    record.metadata.pop("oai_tools", None)
    record.reward = log_records.truth_or_number(entry.get("reward"), "reward")
    return record
