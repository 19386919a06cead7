"""Datasets of any size in the shape of real ones: seven attempts a task that share beginnings and part at some step.

The first attempt of a task founds a trunk; each other one leaves it at a random step and never returns. Tables are made directly, as
`build` would write them, because building is not what these datasets measure.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tratree_data.store.schemas import arrow_schema
from tratree_data.store.writing.parquet_files import new_file, write_parquet
from tratree_data.store.writing.writer import commit, create_store, writing

TABLES = ("rollouts", "step_nodes", "nodes")
WORDS = ["you", "see", "a", "drawer", "shelf", "table", "lamp", "key", "book", "with", "nothing", "on", "it", "closed", "open", "room"]


def write_dataset(directory: str | Path, tasks: int, attempts: int = 7, depth: int = 12, words: int = 30, seed: int = 0) -> None:
    """A dataset that is built but not searched."""
    create_store(directory)
    files: dict[str, list[Path]] = {name: [] for name in TABLES}
    for first in range(0, tasks, 5_000):
        for name, table in make_tables(min(5_000, tasks - first), attempts, depth, words, seed, first).items():
            files[name].append(new_file(directory, name))
            write_parquet(table, name, files[name][-1])
    with writing(directory):
        commit(directory, "build", files, settings={"synthetic": True}, reads={})


def make_tables(tasks: int, attempts: int = 7, depth: int = 12, words: int = 30, seed: int = 0, first: int = 0) -> dict[str, pa.Table]:
    random = np.random.default_rng([seed, first])
    leaves = random.integers(1, depth + 1, size=(tasks, attempts))  # the depth at which each attempt has a node of its own
    leaves[:, 0] = 1
    score = random.choice([0.0, 0.25, 0.5, 1.0], size=(tasks, attempts))
    axes = np.meshgrid(np.arange(tasks), np.arange(attempts), np.arange(1, depth + 1), indexing="ij")
    task, attempt, level = (axis.ravel() for axis in axes)
    own = level >= leaves[task, attempt]
    owner = np.where(own, attempt, 0)
    key = (task * attempts + owner) * (depth + 1) + level
    names = node_names(first * attempts * (depth + 1) + key)
    through = [np.bincount(key, weights=weights, minlength=tasks * attempts * (depth + 1)) for weights in (None, score[task, attempt])]
    tree_names = pa.array([f"{number:016x}" for number in range(first, first + tasks)])
    rollout_names = pa.array([f"r{number:015x}" for number in range(first * attempts, (first + tasks) * attempts)])
    texts = pa.array([" ".join(random.choice(WORDS, words)) for _ in range(2_000)])
    parent_key = np.where(level == 1, -1, (task * attempts + np.where(level > leaves[task, attempt], attempt, 0)) * (depth + 1) + level - 1)
    mine, key_mine = np.flatnonzero(own), key[own]
    ends = level[mine] == depth
    count = len(mine)
    parents = node_names(first * attempts * (depth + 1) + np.maximum(parent_key[mine], 0))
    roots = tree_names.take(pa.array(task[mine]))
    observation = texts.take(pa.array((task * 31 + level * 7 + np.maximum(level - leaves[task, attempt], 0) * attempt)[mine] % 2_000))
    visits = through[0][key_mine]
    root_scores, no_text = score.sum(axis=1), pa.array([""] * tasks)
    nodes = {
        "tree_id": pa.concat_arrays([tree_names, roots]),
        "node_id": pa.concat_arrays([root_names(tree_names), names.take(pa.array(mine))]),
        "parent_id": pa.concat_arrays([pa.nulls(tasks, pa.string()), choose(level[mine] == 1, root_names(roots), parents)]),
        "depth": np.concatenate([np.zeros(tasks), level[mine]]).astype(np.int32),
        "state": np.zeros(tasks + count, dtype=np.int32),
        "observation": pa.concat_arrays([pa.array(["Find the key and open the door."] * tasks), observation]),
        "thought": pa.concat_arrays([no_text, texts.take(pa.array(random.integers(0, 2_000, count)))]),
        "action": pa.concat_arrays([pa.nulls(tasks, pa.string()), actions(level, attempt, mine)]),
        "visits": np.concatenate([np.full(tasks, attempts), visits]).astype(np.int64),
        "scored_visits": np.concatenate([np.full(tasks, attempts), visits]).astype(np.int64),
        "score_sum": np.concatenate([root_scores, through[1][key_mine]]),
        "ends": np.concatenate([np.zeros(tasks), ends]).astype(np.int64),
        "scored_ends": np.concatenate([np.zeros(tasks), ends]).astype(np.int64),
        "end_score_sum": np.concatenate([np.zeros(tasks), ends * score[task, attempt][mine]]),
    }
    steps = {
        "tree_id": tree_names.take(pa.array(task)),
        "rollout_id": rollout_names.take(pa.array(task * attempts + attempt)),
        "step": (level - 1).astype(np.int32),
        "node_id": names,
        "similarity": np.ones(len(task), dtype=np.float32),
        "observation": pa.nulls(len(task), pa.string()),
        "thought": choose(own, pa.nulls(len(task), pa.string()), texts.take(pa.array(random.integers(0, 2_000, len(task))))),
    }
    tables = {"nodes": nodes, "step_nodes": steps, "rollouts": rollout_columns(tree_names, rollout_names, score, depth)}
    return {name: pa.table(columns, schema=arrow_schema(name)) for name, columns in tables.items()}


def rollout_columns(tree_names: pa.Array, rollout_names: pa.Array, score: npt.NDArray[np.float64], depth: int) -> dict[str, object]:
    tasks, attempts = score.shape
    count = tasks * attempts
    trees = tree_names.take(pa.array(np.repeat(np.arange(tasks), attempts)))
    texts = {"environment": "synthetic", "environment_version": "", "split": "train", "prompt": "You act in a house.", "agent": "scripted"}
    texts |= {"instruction": "Find the key and open the door.", "end_reason": "done", "end_observation": "", "source": "synthetic"}
    columns: dict[str, object] = {name: pa.array([text] * count) for name, text in texts.items()}
    columns |= {"rollout_id": rollout_names, "tree_id": trees, "task_id": trees}
    columns |= {"attempt": np.tile(np.arange(attempts), tasks).astype(np.int32), "score": score.ravel()}
    columns |= {"success": pa.array(score.ravel() == 1), "step_count": np.full(count, depth, dtype=np.int32)}
    schema = arrow_schema("rollouts")
    return {name: columns.get(name, pa.nulls(count, schema.field(name).type)) for name in schema.names}


def node_names(keys: npt.NDArray[np.int64]) -> pa.Array:
    return pa.compute.binary_join_element_wise("n", pa.compute.utf8_lpad(pa.array(keys).cast(pa.string()), 15, "0"), "")


def root_names(trees: pa.Array) -> pa.Array:
    return pa.compute.binary_join_element_wise("root", trees, "")


def actions(level: npt.NDArray[np.int64], attempt: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> pa.Array:
    parts = [pa.array(numbers[rows]).cast(pa.string()) for numbers in (level, attempt)]
    return pa.compute.binary_join_element_wise("open drawer", *parts, " ")


def choose(condition: npt.NDArray[np.bool_], yes: pa.Array, no: pa.Array) -> pa.Array:
    return pa.compute.if_else(pa.array(condition), yes, no)
