"""Small rollouts made by hand, and the reference tree beside ours: what the tests of trees share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import reference
from tratree_data.ids import tree_id
from tratree_data.store.reader import Store
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.writing.writer import commit, create_store, writing

Step = tuple[str, str, str]


def tables(attempts: Sequence[tuple[str, int, float | None, Sequence[Step]]]) -> tuple[pa.Table, pa.Table]:
    """(task, attempt, score, [(observation, thought, action)]) → rollouts and steps tables."""
    rollouts: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for number, (task, attempt, score, taken) in enumerate(attempts):
        name = f"rollout-{number:05}"
        rollouts.append(
            {
                "rollout_id": name, "tree_id": tree_id("test", task), "environment": "test", "environment_version": "1", "split": "train",
                "task_id": task, "attempt": attempt, "prompt": "", "instruction": f"Do {task}.", "agent": "test", "score": score,
                "success": None if score is None else score == 1, "end_reason": "done", "end_observation": "", "step_count": len(taken),
                "source": "test",
            }
        )  # fmt: skip
        steps += [
            {"rollout_id": name, "step": i, "observation": observation, "thought": thought, "action": action}
            for i, (observation, thought, action) in enumerate(taken)
        ]
    return pa.Table.from_pylist(rollouts, schema=arrow_schema("rollouts")), pa.Table.from_pylist(steps, schema=arrow_schema("steps"))


def make_store(directory: Any, rollouts: pa.Table, steps: pa.Table) -> Store:
    create_store(directory)
    with writing(directory):
        return commit(directory, "test", {"steps": steps, "rollouts": rollouts}, settings={}, reads={}, append=True)


Vector = Callable[[str], Sequence[float]]


def lookup_of(vector: Vector) -> Callable[[pa.Array], tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """An embedder of one window a text, for merge_steps."""

    def lookup(texts: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        rows = np.array([vector(text) for text in texts.to_pylist()], np.float32)
        return rows, np.arange(len(rows) + 1)

    return lookup


def similarity_of(vector: Vector) -> reference.Similarity:
    """The same, as the reference asks for it, rounded as ours is."""

    def similarity(left: str, right: str) -> float:
        cosine = float(np.float32(np.dot(np.array(vector(left), np.float32), np.array(vector(right), np.float32))))
        return float(np.float32(round(cosine / 1e-5) * 1e-5))

    return similarity


def reference_trees(
    rollouts: pa.Table, steps: pa.Table, similarity: reference.Similarity, threshold: float
) -> tuple[dict[str, reference.Node], dict[tuple[str, int], reference.Placed]]:
    """The reference's root of every tree, and where every step landed."""
    taken: dict[str, list[tuple[int, Step]]] = {}
    for row in steps.to_pylist():
        taken.setdefault(row["rollout_id"], []).append((row["step"], (row["observation"], row["thought"], row["action"])))
    by_tree: dict[str, list[reference.Rollout]] = {}
    instruction: dict[str, str] = {}
    for row in rollouts.to_pylist():
        ordered = [step for _, step in sorted(taken.get(row["rollout_id"], []))]
        by_tree.setdefault(row["tree_id"], []).append(
            reference.Rollout(row["task_id"], row["attempt"], row["rollout_id"], row["score"], ordered)
        )
        instruction[row["tree_id"]] = row["instruction"]
    roots, placed = {}, {}
    for tree, members in by_tree.items():
        roots[tree], where = reference.build_tree(instruction[tree], members, similarity, threshold)
        placed.update(where)
    return roots, placed


def all_nodes(root: reference.Node) -> list[reference.Node]:
    found = [root]
    for node in found:
        found += node.children
    return found
