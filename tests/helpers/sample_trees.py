"""Trees that several tests search and pair: random, lucky, very deep and very wide ones."""

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from benchmarks.reference import Rollout
from tratree_data.store.chunks.tree_arrays import NO_NODE, TreeArrays, read_tree_arrays

SCORES = [None, 0.0, 0.1, 0.3, 0.5, 0.7, 1.0]


def rollout(task: str, attempt: int, actions: str, score: float | None, seen: str = "") -> Rollout:
    """One letter per action; the observation before step k is the actions so far, and the k-th letter of `seen` where there is one."""
    steps = [(f"after {actions[:k]}{seen[k : k + 1]}", f"thought {attempt}", action) for k, action in enumerate(actions)]
    return Rollout(task, attempt, f"{task}-{attempt}", score, steps)


@st.composite
def tasks(draw: st.DrawFn, name: str = "task") -> list[Rollout]:
    """Up to eight attempts with few actions and few observations, so that paths merge, diverge, stop half-way and reach several states."""
    count = draw(st.integers(1, 8))
    attempts = []
    for attempt in range(count):
        actions = draw(st.text("abc", max_size=6))
        seen = draw(st.text("xyXY", min_size=len(actions), max_size=len(actions)))
        attempts.append(rollout(name, attempt, actions, draw(st.sampled_from(SCORES)), seen))
    return attempts


def arrays_of(tables: dict[str, pa.Table]) -> TreeArrays:
    return read_tree_arrays(tables["nodes"], tables["step_nodes"], tables["rollouts"])


def lucky_tree() -> list[Rollout]:
    """'safe' always earns 0.6. 'gamble' wins a room where 1.0 can be had once in ten times; else there is nothing to earn."""
    attempts = [rollout("t", i, "so", 0.6, "-") for i in range(10)]
    for i in range(10):
        attempts.append(rollout("t", 10 + i, "go", 1.0 if i == 0 else 0.0, "-w" if i == 0 else "-l"))
    return attempts


def chain_tables(depth: int) -> dict[str, pa.Table]:
    """One tree of one rollout, made without the (recursive) reference."""
    names = [f"n{i}" for i in range(depth + 1)]
    count = len(names)
    nodes = pa.table(
        {
            "tree_id": ["t"] * count,
            "node_id": names,
            "parent_id": [None, *names[:-1]],
            "depth": pa.array(range(count), pa.int32()),
            "state": pa.array([0] * count, pa.int32()),
            "scored_visits": [1] * count,
            "score_sum": [0.5] * count,
            "scored_ends": [0] * depth + [1],
            "end_score_sum": [0.0] * depth + [0.5],
        }
    )
    steps = pa.table({"tree_id": ["t"] * depth, "rollout_id": ["r"] * depth, "step": range(depth), "node_id": names[1:]})
    return {
        "nodes": nodes,
        "step_nodes": steps,
        "rollouts": pa.table({"tree_id": ["t"], "rollout_id": ["r"], "attempt": [0], "score": [0.5]}),
    }


def wide_arrays(children: int) -> TreeArrays:
    scores = (np.arange(children) % 10) / 10
    ids = pa.array([f"n{i:07d}" for i in range(children)])
    parent = np.zeros(children + 1, dtype=np.int64)
    parent[0] = NO_NODE
    one = np.concatenate([[0], np.ones(children, dtype=np.int64)])
    visits = one.copy()
    visits[0] = children
    return TreeArrays(
        tree_ids=pa.array(["t"]),
        tree_start=np.array([0, children + 1]),
        node_ids=pa.concat_arrays([pa.array(["root"]), ids]),
        node_row=np.arange(children + 1),
        tree=np.zeros(children + 1, dtype=np.int64),
        parent=parent,
        depth=one,
        state=np.zeros(children + 1, dtype=np.int64),
        scored_visits=visits,
        score_sum=np.concatenate([[scores.sum()], scores]),
        scored_ends=one,
        end_score_sum=np.concatenate([[0.0], scores]),
        free_visits=visits,
        free_score_sum=np.concatenate([[scores.sum()], scores]),
        free_score_squares=np.concatenate([[(scores**2).sum()], scores**2]),
        rollout_ids=ids,
        rollout_row=np.arange(children),
        rollout_tree=np.zeros(children, dtype=np.int64),
        score=scores,
        step_start=np.arange(children + 1),
        step_node=np.arange(1, children + 1),
        step_row=np.arange(children),
    )
