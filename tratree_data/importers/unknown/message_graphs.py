"""Conversations as graphs, in which every message names its parent (ChatGPT's exports, Open WebUI's histories): one for each leaf."""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers.log_records import Item, Problem
from tratree_data.importers.unknown.json_columns import unpacked

PARENTS = ("parent", "parentId", "parent_id", "parent_message_id")
MOST_BRANCHES = 1_000


def is_graph(value: Any) -> bool:
    """Messages by their ids, most of which name the id of another as their parent."""
    if not isinstance(value, dict) or len(value) < 2 or not all(isinstance(node, dict) for node in value.values()):
        return False
    linked = sum(_parent(node) in value for node in value.values())
    return linked >= len(value) / 2 and any(_message(node) is not None for node in value.values())


def branches_of(graph: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    """(the leaf's id, the messages from the root to it), in the order of the leaves; the last written comes last."""
    parents = {name: _parent(node) for name, node in graph.items()}
    inner = {*parents.values()}
    found = []
    for leaf in [name for name in graph if name not in inner][:MOST_BRANCHES]:
        path: list[str] = []
        name: Any = leaf
        while name in graph and name not in path:
            path.append(name)
            name = parents[name]
        said = [message for name in reversed(path) if (message := _message(graph[name])) is not None]
        found.append((leaf, said))
    return [(leaf, said) for leaf, said in found if said] or [("", [])]


def graph_rows(rows: Iterator[Item]) -> Iterator[Item]:
    """Rows whose messages are a list: one for each branch of those that hold a graph."""
    for where, row in rows:
        graph = None if isinstance(row, Problem) or not isinstance(row, dict) else unpacked(row.get("messages"))
        if not isinstance(graph, dict) or not is_graph(graph):
            yield where, row
            continue
        branches = branches_of(graph)
        for leaf, said in branches:
            name = row.get("trajectory_id")
            branch = {"trajectory_id": f"{name}/{leaf}" if name is not None else leaf} if len(branches) > 1 else {}
            yield where, row | {"messages": said} | branch


def _parent(node: dict[str, Any]) -> Any:
    found = next((node[name] for name in PARENTS if node.get(name) is not None), None)
    return found if isinstance(found, str | int) else None


def _message(node: dict[str, Any]) -> Any:
    """The message at the node; None if there is none, or only one of the program (ChatGPT's empty system messages)."""
    inner = node.get("message", node if "role" in node else None)
    content = inner.get("content") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or content in (None, "", []):
        return None
    parts = content.get("parts") if isinstance(content, dict) else None
    if isinstance(parts, list):
        texts = [part for part in parts if part not in ("", None)]
        return {**{name: item for name, item in inner.items() if name != "content"}, "content": _content(texts)} if texts else None
    if isinstance(content, dict):
        text = content.get("text", content.get("result"))
        return {**inner, "content": text} if isinstance(text, str) and text else None
    return inner


def _content(parts: list[Any]) -> Any:
    if all(isinstance(part, str) for part in parts):
        return "\n".join(parts)
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
