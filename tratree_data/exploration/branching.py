"""New attempts from chosen nodes: spends a budget where it is most informative.

Nodes are chosen by SQL (sql/branch_from_*.sql, or the user's own query) and share the budget by priority. The steps of a rollout that
passed through the node are repeated in the environment and must show the same observations; then the agent acts. A branch's rollout
includes the repeated steps, so the tree stays lossless.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from tratree_data.agents import Step
from tratree_data.errors import BadInputError
from tratree_data.exploration.attempt import Branch
from tratree_data.files import file_names
from tratree_data.store.queries.named_queries import query, query_or_text
from tratree_data.store.reader import Store

PREFIX = "branch_from_"


@dataclass(frozen=True)
class BranchPoint:
    """A chosen node, with the numbers from which its new attempts continue."""

    branch: Branch
    tree_id: str
    task_id: str
    attempts: int
    first_attempt: int
    """One more than the last attempt in the tree."""
    first_branch: int
    """How many branches from this node the tree already has."""


def choose_nodes(store: Store, branch_from: str, environment: str, split: str) -> list[tuple[str, float]]:
    """(node, priority), most promising first. The user's own query returns node_id, and priority if nodes differ."""
    store.need("nodes", "step_nodes")
    if branch_from in branch_query_names():
        if branch_from == "uncertain":
            store.need("node_values")
        table = query(store, PREFIX + branch_from, environment=environment, split=split)
    else:
        table = query_or_text(store, branch_from)
    if "node_id" not in table.column_names:
        raise BadInputError(
            f"The query returns {', '.join(table.column_names)}, but branching needs node_id.\n"
            f"Next: --branch-from {', '.join(branch_query_names())}, or a SELECT of node_id and priority"
        )
    priorities = table.column("priority").to_pylist() if "priority" in table.column_names else [1.0] * table.num_rows
    nodes = list(zip(table.column("node_id").to_pylist(), (float(priority or 0) for priority in priorities), strict=True))
    for node, priority in nodes:
        if not 0 <= priority < math.inf:
            raise BadInputError(
                f"Node {node} has priority {priority}, and the budget is shared in proportion to priorities.\n"
                "Next: give every node a finite priority of 0 or more"
            )
    return nodes


def branch_query_names() -> list[str]:
    return [name.removeprefix(PREFIX) for name in file_names("sql", ".sql") if name.startswith(PREFIX)]


def share_budget(priorities: Sequence[float], budget: int, most: int) -> list[int]:
    """How many attempts each node gets, in proportion to its priority (finite, at least 0).

    No node gets more than `most`. The remainder goes to the first nodes, one attempt each per round.
    """
    counts = [0] * len(priorities)
    exponent = math.frexp(max(priorities, default=0.0))[1]
    scaled = [math.ldexp(priority, -exponent) for priority in priorities]  # exact, and sums of huge priorities stay finite
    total = sum(scaled)
    left = budget
    for i, priority in enumerate(scaled if total > 0 else []):
        counts[i] = min(most, int(budget * priority / total), left)
        left -= counts[i]
    while left > 0 and any(count < most for count in counts):
        for i, count in enumerate(counts):
            if left and count < most:
                counts[i] += 1
                left -= 1
    return counts


def branch_points(store: Store, branch_from: str, environment: str, split: str, *, budget: int, most: int) -> list[BranchPoint]:
    """The nodes that get attempts, with everything needed to reach them."""
    chosen = choose_nodes(store, branch_from, environment, split)[:budget]
    return points_of_nodes(store, chosen, environment, split, budget=budget, most=most)


def points_of_nodes(
    store: Store, chosen: Sequence[tuple[str, float]], environment: str, split: str, *, budget: int, most: int
) -> list[BranchPoint]:
    """The same for nodes that were chosen already: (node, priority)."""
    found = {
        row["node_id"]: row
        for row in query(store, "branch_nodes", node_ids=[n for n, _ in chosen], environment=environment, split=split).to_pylist()
    }
    usable = [(node, priority) for node, priority in chosen if node in found]
    counts = share_budget([priority for _, priority in usable], budget, most)
    funded = [(found[node], count) for (node, _), count in zip(usable, counts, strict=True) if count]
    prefixes = _prefixes(store, [row for row, _ in funded])
    points, given = [], Counter[str]()
    for row, count in funded:
        branch = Branch(row["node_id"], prefixes[row["node_id"]], row["observation"], row["environment_seed"])
        first = row["last_attempt"] + 1 + given[row["tree_id"]]
        points.append(BranchPoint(branch, row["tree_id"], row["task_id"], count, first, row["branches"]))
        given[row["tree_id"]] += count
    return points


def _prefixes(store: Store, rows: Sequence[dict[str, Any]]) -> dict[str, tuple[Step, ...]]:
    """node → the steps that lead to it."""
    rollouts = pa.array(sorted({row["rollout_id"] for row in rows}), pa.string())
    columns = ["rollout_id", "step", "observation", "thought", "action"]
    steps: dict[str, dict[int, Step]] = {}
    for step in store.read("steps", columns, filter=ds.field("rollout_id").isin(rollouts)).to_pylist():
        steps.setdefault(step["rollout_id"], {})[step["step"]] = Step(step["observation"], step["thought"], step["action"])
    return {row["node_id"]: tuple(steps[row["rollout_id"]][i] for i in range(row["length"])) for row in rows}
