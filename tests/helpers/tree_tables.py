"""Small trees for the tests: rollouts in plain words → the reference tree and the tables that `build` would write."""

import pyarrow as pa

from benchmarks.reference import Node, Placed, Rollout, build_tree, subtree
from tratree_data.ids import content_id, tree_id
from tratree_data.store.schemas import arrow_schema

ENVIRONMENT = "testing"


def alike(one: str, other: str) -> float:
    """Texts that differ in case only are similar: they merge, and keep their own words."""
    return 1.0 if one == other else 0.95 if one.casefold() == other.casefold() else 0.0


def make_tree(rollouts: list[Rollout]) -> tuple[Node, dict[tuple[str, int], Placed]]:
    return build_tree("Do it.", rollouts, alike, 0.9)


def node_id(node: Node, task_id: str) -> str:
    return content_id("node", task_id, *node.path())


def make_tables(trees: list[list[Rollout]], agents: dict[str, str] | None = None) -> dict[str, pa.Table]:
    """The tables rollouts, nodes and step_nodes of some tasks."""
    rows: dict[str, list[dict[str, object]]] = {"rollouts": [], "nodes": [], "step_nodes": []}
    for rollouts in trees:
        root, placed = make_tree(rollouts)
        task_id = rollouts[0].task_id
        rows["rollouts"] += [rollout_row(rollout, (agents or {}).get(rollout.rollout_id, "scripted")) for rollout in rollouts]
        rows["nodes"] += [node_row(node, task_id) for node in subtree(root)]
        texts = {rollout.rollout_id: rollout.steps for rollout in rollouts}
        for (rollout_id, step), place in placed.items():
            observation, thought, _ = texts[rollout_id][step]
            rows["step_nodes"].append(
                {
                    "tree_id": tree_id(ENVIRONMENT, task_id),
                    "rollout_id": rollout_id,
                    "step": step,
                    "node_id": node_id(place.node, task_id),
                    "similarity": place.similarity,
                    "observation": observation if observation != place.node.observation else None,
                    "thought": thought if thought != place.node.thought else None,
                }
            )
    return {name: pa.Table.from_pylist(table, schema=arrow_schema(name)) for name, table in rows.items()}


def rollout_row(rollout: Rollout, agent: str) -> dict[str, object]:
    return {
        "rollout_id": rollout.rollout_id,
        "tree_id": tree_id(ENVIRONMENT, rollout.task_id),
        "environment": ENVIRONMENT,
        "environment_version": "",
        "split": "train",
        "task_id": rollout.task_id,
        "attempt": rollout.attempt,
        "prompt": "You act in a test.",
        "instruction": "Do it.",
        "agent": agent,
        "score": rollout.score,
        "success": None if rollout.score is None else rollout.score == 1,
        "end_reason": "done",
        "end_observation": "",
        "step_count": len(rollout.steps),
        "source": "test",
    }


def node_row(node: Node, task_id: str) -> dict[str, object]:
    return {
        "tree_id": tree_id(ENVIRONMENT, task_id),
        "node_id": node_id(node, task_id),
        "parent_id": node_id(node.parent, task_id) if node.parent else None,
        **{name: getattr(node, name) for name in ("depth", "state", "observation", "thought", "action", "visits", "scored_visits")},
        **{name: getattr(node, name) for name in ("score_sum", "ends", "scored_ends", "end_score_sum")},
    }
