"""Reads what `show`, `view` and `figure` display: the list of tasks, the task that a user named, and the nodes of one tree.

What depends on a table that does not exist yet is left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError, NotFoundError, quoted, suggest
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store
from tratree_data.system.plain_text import one_line


@dataclass(frozen=True, slots=True)
class Node:
    """A row of `nodes`, with its value from search."""

    node_id: str
    parent_id: str | None
    depth: int
    state: int
    observation: str
    thought: str
    action: str | None
    visits: int
    scored_visits: int
    score_sum: float
    ends: int
    scored_ends: int
    end_score_sum: float
    value: float | None = None

    @property
    def mean(self) -> float | None:
        return self.score_sum / self.scored_visits if self.scored_visits else None

    @property
    def end_score(self) -> float | None:
        return self.end_score_sum / self.scored_ends if self.scored_ends else None


@dataclass(frozen=True)
class Tree:
    """One tree, ready to be drawn."""

    task: dict[str, Any]
    """The task's row of `task_scores`."""
    nodes: dict[str, Node]
    children: dict[str, list[list[Node]]]
    """node_id → the states after it, each with its alternatives, best first. Leaves have no entry."""
    root: Node
    best_path: tuple[str, ...] = ()
    """The node_ids of e*, from the child of the root to the end; empty before `tratree search`."""
    support: int = 0
    """Scored rollouts that end where e* ends."""
    searched: bool = field(default=False)

    def below(self, node: Node) -> Iterator[Node]:
        """The descendants of a node, without the node itself."""
        waiting = [node]
        while waiting:
            for state in self.children.get(waiting.pop().node_id, []):
                yield from state
                waiting.extend(state)


def read_tasks(store: Store) -> pa.Table:
    """One row per task, by (environment, task_id): its row of `task_scores`, and that of `tree_quality` if the trees are built."""
    store.need("rollouts")
    tasks = query(store, "task_scores")
    if store.has("nodes"):
        tasks = beside(tasks, store.sql("FROM tree_quality ORDER BY tree_id"))
    if store.has("pairs"):
        counts = store.sql("SELECT tree_id, count(*) AS pairs FROM pairs GROUP BY tree_id ORDER BY tree_id")
        tasks = beside(tasks, counts)
    return tasks.sort_by([("environment", "ascending"), ("task_id", "ascending"), ("tree_id", "ascending")])


def beside(tasks: pa.Table, others: pa.Table) -> pa.Table:
    """Adds the new columns of `others`, NULL for trees that it lacks. Table.join would load pandas, which takes longer than the query."""
    rows = pc.index_in(tasks["tree_id"], others["tree_id"])
    for name in others.column_names:
        if name not in tasks.column_names:
            tasks = tasks.append_column(name, others[name].take(rows))
    return tasks


def most_divergent(tasks: Iterable[dict[str, Any]]) -> list[str]:
    """The tree_ids of built trees: those with most divergences first, then with the widest spread, then the largest."""
    built = [task for task in tasks if task.get("nodes") is not None]
    ranked = sorted(built, key=lambda task: (-(task["divergences"] or 0), -(task["widest_spread"] or 0), -task["nodes"], task["tree_id"]))
    return [task["tree_id"] for task in ranked]


def sample_tree(read: pa.Table, most_nodes: int = 40) -> str | None:
    """The tree_id of the most divergent tree that is small enough for a picture, or else of the most divergent one."""
    tasks = read.to_pylist()
    ranked = most_divergent([task for task in tasks if (task.get("nodes") or 0) <= most_nodes]) or most_divergent(tasks)
    return ranked[0] if ranked else None


def find_tree(store: Store, task: str) -> str:
    """The tree_id for a task_id, a tree_id, or the beginning of one, if only one task matches."""
    store.need("rollouts")
    found = query(store, "find_task", task=task).to_pylist()
    exact = [row for row in found if row["exact"]]
    matches = exact or [row for row in found if row["prefix"]]
    if len(matches) == 1:
        return str(matches[0]["tree_id"])
    if matches:
        shown = ", ".join(f"{one_line(row['environment'])}/{one_line(row['task_id'])} ({row['tree_id']})" for row in matches[:5])
        raise BadInputError(f"{task!r} matches more than one task: {shown}.\nNext: use the id of the tree")
    near = suggest(task, [one_line(row["task_id"]) for row in found[:5]])
    raise NotFoundError(f"{store.path} has no task {task!r}.{near}\nNext: tratree show {quoted(store.path)}")


def read_tree(store: Store, tree_id: str) -> Tree:
    store.need("rollouts", "nodes")
    tasks = query(store, "task_scores")
    task = tasks.filter(pc.equal(tasks.column("tree_id"), tree_id))
    rows = query(store, "tree_nodes", tree_id=tree_id).to_pylist()
    if not rows or not task.num_rows:
        raise NotFoundError(f"{store.path} has no tree {tree_id!r} yet.\nNext: tratree build {quoted(store.path)}")
    roots = sum(row["parent_id"] is None for row in rows)
    if roots != 1:
        raise BadInputError(f"This tree has {roots} roots instead of one.\nNext: tratree check {quoted(store.path)}")
    values: dict[str, float | None] = {}
    if store.has("node_values"):
        found = store.sql("SELECT node_id, value FROM node_values WHERE tree_id = $tree_id ORDER BY node_id", {"tree_id": tree_id})
        values = dict(zip(found.column("node_id").to_pylist(), found.column("value").to_pylist(), strict=True))
    best: tuple[str, ...] = ()
    support = 0
    if store.has("paths"):
        paths = store.sql(
            "SELECT node_ids, support FROM paths WHERE tree_id = $tree_id ORDER BY rank, path_id LIMIT 1", {"tree_id": tree_id}
        ).to_pylist()
        best, support = (tuple(paths[0]["node_ids"]), paths[0]["support"]) if paths else ((), 0)
    nodes = [Node(**row, value=values.get(row["node_id"])) for row in rows]
    return make_tree(task.to_pylist()[0], nodes, best, support, searched=bool(values))


def make_tree(task: dict[str, Any], nodes: list[Node], best_path: tuple[str, ...] = (), support: int = 0, searched: bool = False) -> Tree:
    by_id = {node.node_id: node for node in nodes}
    (root,) = (node for node in nodes if node.parent_id is None)
    states: dict[str, dict[int, list[Node]]] = {}
    for node in sorted(nodes, key=_best_first):
        if node.parent_id is not None:
            states.setdefault(node.parent_id, {}).setdefault(node.state, []).append(node)
    children = {parent: [found[state] for state in sorted(found)] for parent, found in states.items()}
    return Tree(task, by_id, children, root, best_path, support, searched)


def _best_first(node: Node) -> tuple[float, int, str, str]:
    return (-(node.mean if node.mean is not None else -1.0), -node.visits, node.action or "", node.node_id)
