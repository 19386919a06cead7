"""ToolBench's answers: the search tree of DFSDT ({"tree": {"tree": node}, "answer_generation", …}), or the tries of a chain ({"trys"}).

A turn spans nodes: Thought → Action → Action Input, whose observation is the result. Every leaf is a rollout: 1 if it gave an answer, 0 if
it gave up, was pruned or led nowhere. The prompts are in `train_messages`; if no path was kept, only the query is known.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from tratree_data import ids
from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Item, Options, Problem, Record, Unusable
from tratree_data.importers.turns.chat import Message, record_of_chat
from tratree_data.importers.turns.dialects import read_messages, read_tools

TOOL = "toolbench"
THOUGHT, ACTION, INPUT = "Thought", "Action", "Action Input"
ANSWERED, GAVE_UP = 3, 4
WRONG_CALLS = (1, 2)
"""Codes of observations: unknown function, and unreadable arguments."""
TAKEN = ("node_type", "description", "observation", "children", "depth", "child_count")
PROMPTS = ("system", "user")
Node = dict[str, Any]
Path = list[Node]


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(_paths(file), lambda where, item: _parse(file, options, where, *item))


def _paths(file: LogFile) -> Iterator[Item]:
    """(answer, its number, the path to it) of each leaf."""
    for where, value in json_records(file):
        tree, tries = log_records.at(value, "tree", "tree"), log_records.at(value, "trys")
        if isinstance(value, Problem):
            yield where, value
        elif isinstance(tree, dict) and tree.get("node_type") == INPUT:
            yield from ((f"{where}[{i}]", (value, i, path)) for i, path in enumerate(_leaves(tree)))
        elif isinstance(tries, list) and isinstance(value.get("answer_generation"), dict):
            yield from ((f"{where}[{i}]", (value, i, log_records.at(tried, "chain"))) for i, tried in enumerate(tries))
        else:
            yield where, Problem(where, "missing_field", "it contains neither a search tree of ToolBench nor tries")


def _leaves(root: Node) -> Iterator[Path]:
    """The path to each node without children, in the order of the search; the root is the question."""
    waiting: list[tuple[Node, int]] = [(root, 0)]
    path: Path = []
    while waiting:
        node, depth = waiting.pop()
        path[depth:] = [node]
        children = node.get("children")
        below = [child for child in children if isinstance(child, dict)] if isinstance(children, list) else []
        waiting += [(child, depth + 1) for child in reversed(below)]
        if not below:
            yield path[1:]


def _parse(file: LogFile, options: Options, where: str, answer: dict[str, Any], number: int, path: Any) -> Record:
    nodes = log_records.mappings(path, "the path")
    if not nodes:
        raise Unusable("empty_steps", "the search has no step")
    about = log_records.mapping(answer.get("answer_generation") or {}, "answer_generation")
    query = log_records.optional_text(about.get("query"), "query").strip()
    prompts = _prompts(about) or ([{"role": "user", "content": query}] if query else [])
    asked = query or next((said["content"] or "" for said in prompts if said["role"] == "user"), "").strip()
    leaf = nodes[-1]
    has_answered = leaf.get("observation_code") == ANSWERED and leaf.get("pruned") is not True
    record = record_of_chat(
        [*prompts, *_messages(nodes)],
        source=where,
        environment=options.environment or TOOL,
        task_id=ids.content_id(asked) if asked else file.stem,
        instruction=asked,
        trajectory_id=f"{file.stem}:{number}",
        agent=TOOL,
        tools=read_tools(about.get("function")),
        reward=1.0 if has_answered else 0.0,
        success=has_answered,
        end_reason=_end_reason(answer, nodes),
        react=False,
        metadata={"leaf": {key: value for key, value in leaf.items() if key not in TAKEN}}
        | {key: answer[key] for key in ("win", "forward_args", "try_count") if answer.get(key) is not None}
        | {key: value for key in ("query_count", "total_tokens", "finish_type") if (value := about.get(key)) is not None},
    )
    for step in record.steps:
        code = log_records.at(step.metadata, "observation_code")
        step.valid = None if code is None else code not in WRONG_CALLS
    return record


def _prompts(about: dict[str, Any]) -> list[Message]:
    """What the model read before its first turn, from a path that ToolBench kept for training."""
    kept = about.get("train_messages")
    first = kept[0] if isinstance(kept, list) and kept and isinstance(kept[0], list) else []
    said = [message for i, entry in enumerate(first) for message in read_messages(entry, f"train_messages[0][{i}]")]
    start = next((i for i, message in enumerate(said) if message["role"] not in PROMPTS), len(said))
    return said[: min(start, len(PROMPTS))]


def _messages(nodes: Sequence[Node]) -> Iterator[Message]:
    thoughts: list[Node] = []
    called: Node = {}
    for i, node in enumerate(nodes):
        kind = node.get("node_type")
        text = log_records.optional_text(node.get("description"), f"node {i}")
        if kind == THOUGHT:
            if thoughts:
                yield _turn(thoughts)
            thoughts = [node]
            if node.get("expand_num"):  # the search continued from here, so the message ended here
                yield _turn(thoughts)
                thoughts = []
        elif kind == ACTION:
            called = node
        elif kind == INPUT:
            name = log_records.identifier(called.get("description"), f"node {i}.name")
            yield _turn([*thoughts, node]) | {"tool_calls": [{"id": None, "name": name, "arguments": text}]}
            if node.get("observation") is not None:
                yield {"role": "tool", "content": log_records.text(node["observation"], f"node {i}.observation"), "name": name}
            thoughts, called = [], {}
        else:
            raise Unusable("unknown_role", f"node {i} is of type {str(kind)[:40]!r}")
    if thoughts:
        yield _turn(thoughts)


def _turn(nodes: Sequence[Node]) -> Message:
    """A message: its thought, if it has one, is what the model said."""
    said = next((log_records.optional_text(node.get("description"), "Thought") for node in nodes if node.get("node_type") == THOUGHT), None)
    about = {key: value for key, value in nodes[-1].items() if key not in TAKEN and value not in ({}, None)}
    return {"role": "assistant", "content": said, "metadata": about}


def _end_reason(answer: dict[str, Any], nodes: Sequence[Node]) -> str:
    code, most = nodes[-1].get("observation_code"), log_records.at(answer, "forward_args", "single_chain_max_step")
    if code in (ANSWERED, GAVE_UP):
        return "done" if code == ANSWERED else "agent_stopped"
    is_deep = isinstance(most, int) and not isinstance(most, bool) and len(nodes) >= most > 0
    return "max_steps" if is_deep else "unknown"
