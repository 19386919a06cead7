"""Imported by the process that workers are forked from: one small tree loads every kernel, so that no worker has to."""

import pyarrow as pa

from tratree_data.store.schemas import arrow_schema
from tratree_data.trees import build
from tratree_data.trees.tree import ROLLOUT_COLUMNS, STEP_COLUMNS, build_tree

ROLLOUT = {"rollout_id": "warm", "tree_id": "warm", "attempt": 0, "instruction": "", "score": 1.0}
STEP = {"rollout_id": "warm", "step": 0, "observation": "a text longer than thirty-two bytes", "thought": "", "action": "go"}

build_tree(
    pa.Table.from_pylist([ROLLOUT], schema=pa.schema([arrow_schema("rollouts").field(name) for name in ROLLOUT_COLUMNS])),
    pa.Table.from_pylist([STEP], schema=pa.schema([arrow_schema("steps").field(name) for name in STEP_COLUMNS])),
)

__all__ = ["build"]
