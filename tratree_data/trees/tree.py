"""rollouts, steps → nodes, edges, step_nodes: trajectory trees by merging equal actions from similar observations.

`build_tree` is the pure function over Arrow tables that build.py runs chunk after chunk; what merges with what is decided in
merging.py, and defined in docs/trees.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError
from tratree_data.store.schemas import arrow_schema
from tratree_data.system.compiling import compiled
from tratree_data.system.hashing import Hashes, count_distinct, hash_texts, hex_column, xxh64
from tratree_data.trees.comparing import NONE, Ints, Lookup
from tratree_data.trees.merging import Merged, Steps, merge_steps
from tratree_data.trees.rules.normalise import Rule, normalise
from tratree_data.trees.texts import NO_TEXT, one_array, take_texts, where_different

ROLLOUT_COLUMNS = ["rollout_id", "tree_id", "attempt", "instruction", "score"]
BRANCHED = "branch_node_id"
"""A further column of rollouts, for those that repeat what led to a node."""
STEP_COLUMNS = ["rollout_id", "step", "observation", "thought", "action"]
TEXTS = ("observation", "thought", "action")


@dataclass(frozen=True)
class Trees:
    nodes: pa.Table
    edges: pa.Table
    step_nodes: pa.Table
    distinct_observations: int


def build_tree(
    rollouts: pa.Table,
    steps: pa.Table,
    *,
    lookup: Lookup | None = None,
    min_similarity: float = 1.0,
    rules: Sequence[Rule] = (),
    action_rules: Sequence[Rule] = (),
) -> Trees:
    """All trees of these rollouts. Without `lookup` only equal texts merge; the rules rewrite observations and actions to compare them."""
    rollouts, steps, first, tree = in_order(rollouts, steps)
    observations = one_array(steps["observation"])
    compared = normalise(observations, rules)
    actions = one_array(steps["action"])
    merged = merge_steps(Steps(first, tree, compared, normalise(actions, action_rules)), lookup, min_similarity)
    hashes = hash_texts(observations) if rules else merged.observation_hash
    action_hashes = hash_texts(actions) if action_rules else merged.action_hash
    founder = merged.founder[merged.node]
    own = where_different(observations, founder) if lookup is not None or rules else pa.nulls(len(steps), pa.string())
    own_action = where_different(actions, founder) if action_rules else pa.nulls(len(steps), pa.string())
    merged_by = pc.if_else(pc.and_(pc.is_null(own), pc.is_null(own_action)), "verbatim", "normalised")
    if lookup is not None:
        merged_by = pc.if_else(pc.is_null(where_different(compared, founder)), merged_by, "similarity")
    return _tables(rollouts, steps, first, tree, merged, (hashes, action_hashes), own, own_action, merged_by)


def in_order(rollouts: pa.Table, steps: pa.Table) -> tuple[pa.Table, pa.Table, Ints, Ints]:
    """Rollouts by (tree, attempt, rollout_id), their steps in that order, where each begins, and the number of its tree.

    Trees are numbered in the order of their steps in the table, so that steps stored in order are not copied.
    """
    row = pc.index_in(steps["rollout_id"], rollouts["rollout_id"].combine_chunks()).combine_chunks()
    if row.null_count:
        steps, row = steps.filter(row.is_valid()), row.drop_null()
    names = [name for name in STEP_COLUMNS if name in steps.column_names]
    steps = pa.table([one_array(steps[name]) if name in TEXTS else steps[name] for name in names], names=names)
    codes = pc.dictionary_encode(rollouts["tree_id"]).combine_chunks()
    tree_of_row = codes.indices.to_numpy().astype(np.int64)
    order_of_tree = _by_appearance(tree_of_row[row.to_numpy()], len(codes.dictionary))
    tree_number = order_of_tree[tree_of_row]
    keys = pa.table({"tree": tree_number, "attempt": rollouts["attempt"], "rollout_id": rollouts["rollout_id"]})
    order = pc.sort_indices(keys, [(name, "ascending") for name in keys.column_names]).to_numpy()
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    rollout = place[row.to_numpy()]
    step = steps["step"].to_numpy().astype(np.int64)
    key = rollout * (1 << 31) + step
    if (np.diff(key) <= 0).any():
        by_key = np.argsort(key, kind="stable")
        steps, rollout, step = steps.take(pa.array(by_key)), rollout[by_key], step[by_key]
    counts = np.bincount(rollout, minlength=len(order))
    first = np.zeros(len(order) + 1, np.int64)
    np.cumsum(counts, out=first[1:])
    wrong = np.flatnonzero(step != np.arange(len(step)) - first[rollout])
    if len(wrong):
        name = rollouts["rollout_id"][int(order[rollout[wrong[0]]])].as_py()
        raise BadInputError(f"The steps of rollout {name} are not numbered 0, 1, 2, ….\nNext: correct the log, then import it again")
    return rollouts.take(pa.array(order)), steps, first, tree_number[order]


def _by_appearance(codes: Ints, count: int) -> Ints:
    """code → its place in order of first appearance; codes that never appear come last."""
    found, at = np.unique(codes, return_index=True)
    first = np.full(count, len(codes), np.int64)
    first[found] = at
    number = np.empty(count, np.int64)
    number[np.argsort(first, kind="stable")] = np.arange(count)
    return number


def _tables(
    rollouts: pa.Table,
    steps: pa.Table,
    first: Ints,
    tree: Ints,
    merged: Merged,
    hashes: tuple[Hashes, Hashes],
    own: pa.Array | pa.ChunkedArray,
    own_action: pa.Array | pa.ChunkedArray,
    merged_by: pa.Array | pa.ChunkedArray,
) -> Trees:
    """The three tables; `hashes` are those of observations and actions as stored, `own…` the texts where they differ from the node's."""
    is_root = merged.parent == NONE
    head = pa.array(np.searchsorted(tree, np.arange(np.count_nonzero(is_root))))
    tree_ids = rollouts["tree_id"].take(head).combine_chunks()
    observations, thoughts, actions = (one_array(steps[name]) for name in TEXTS)
    ids = _node_ids(merged.parent, hash_texts(tree_ids), merged.tree, merged.founder, *hashes)
    _refuse_equal_ids(ids, merged, tree_ids)
    scores = rollouts["score"].to_numpy(zero_copy_only=False).astype(np.float64)
    free_from = _free_from(rollouts, ids, merged.depth)
    columns = [
        tree_ids.take(pa.array(merged.tree)),
        hex_column(ids),
        pc.if_else(pa.array(is_root), pa.scalar(None, pa.string()), hex_column(ids[merged.parent])),
        merged.depth.astype(np.int32),
        merged.state.astype(np.int32),
        take_texts(observations, merged.founder, one_array(rollouts["instruction"].take(head)), merged.tree),
        take_texts(thoughts, merged.founder, NO_TEXT),
        take_texts(actions, merged.founder),
        *_count(len(ids), merged.node, first, tree, np.flatnonzero(is_root), scores, free_from),
    ]
    nodes = pa.table(columns, schema=arrow_schema("nodes"))
    edges = nodes.select(["tree_id", "parent_id", "node_id", "action", "visits", "scored_visits", "score_sum"]).filter(pa.array(~is_root))
    founder = merged.founder[merged.node]
    tree_of_step = pa.array(np.repeat(tree, np.diff(first)))
    step_columns = [
        tree_ids.take(tree_of_step),
        steps["rollout_id"],
        steps["step"],
        hex_column(ids[merged.node]),
        merged.similarity,
        merged_by,
        own,
        where_different(thoughts, founder),
        own_action,
    ]
    return Trees(
        nodes=nodes,
        edges=edges.rename_columns(arrow_schema("edges").names).cast(arrow_schema("edges")),
        step_nodes=pa.table(step_columns, names=arrow_schema("step_nodes").names).cast(arrow_schema("step_nodes")),
        distinct_observations=merged.distinct,
    )


def _refuse_equal_ids(ids: Hashes, merged: Merged, tree_ids: pa.Array) -> None:
    """Different texts stay different nodes whatever their hashes, but two nodes with one hash would share an id."""
    if count_distinct(ids) == len(ids):
        return
    order = np.argsort(ids, kind="stable")
    node = int(order[1:][np.diff(ids[order]) == 0][0])
    raise BadInputError(
        f"Two nodes of tree {tree_ids[int(merged.tree[node])].as_py()} would have one node_id: their texts differ, "
        "but their hashes are equal, which is very rare by chance and easy on purpose.\n"
        'Next: tratree sql DIR "SELECT DISTINCT tree_id, task_id FROM rollouts" names the task; then tratree delete DIR --task TASK'
    )


@compiled()
def _node_ids(parent: Ints, roots: Hashes, tree: Ints, founder: Ints, observations: Hashes, actions: Hashes) -> Any:
    """XXH64 of the 24 bytes (parent's id, observation's hash, action's hash); a root's is the hash of its tree_id."""
    ids = np.empty(len(parent), np.uint64)
    packed = np.empty(24, np.uint8)
    for node in range(len(parent)):
        if parent[node] == NONE:
            ids[node] = roots[tree[node]]
            continue
        for part, value in enumerate((ids[parent[node]], observations[founder[node]], actions[founder[node]])):
            for byte in range(8):
                packed[8 * part + byte] = (value >> np.uint64(8 * byte)) & np.uint64(255)
        ids[node] = xxh64(packed, 0, 24)
    return ids


def _free_from(rollouts: pa.Table, ids: Hashes, depth: Ints) -> Ints:
    """[rollouts] depth of the node from which each acted: the root's, or that of the node where it was branched."""
    free_from = np.zeros(rollouts.num_rows, np.int64)
    if BRANCHED not in rollouts.column_names or rollouts[BRANCHED].null_count == rollouts.num_rows:
        return free_from
    branched = pc.index_in(one_array(rollouts[BRANCHED]), hex_column(ids), skip_nulls=True)
    rows = np.flatnonzero(branched.is_valid())
    free_from[rows] = depth[branched.take(pa.array(rows)).to_numpy()]
    return free_from


@compiled()
def _count(size: int, node: Ints, first: Ints, tree: Ints, roots: Ints, scores: npt.NDArray[np.float64], free_from: Ints) -> Any:
    """Visits and ends of each node, those with a score, and the sums of their scores; NaN means no score.

    Then the scored rollouts that acted freely after the node, with the sums of their scores and of the squares.
    """
    visits, scored, ends, scored_ends = (
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
    )
    score_sum, end_score_sum = np.zeros(size), np.zeros(size)
    free, free_sum, free_squares = np.zeros(size, np.int64), np.zeros(size), np.zeros(size)
    for rollout in range(len(tree)):
        score = scores[rollout]
        has_score = not np.isnan(score)
        last = roots[tree[rollout]]
        for position in range(first[rollout] - 1, first[rollout + 1]):
            if position >= first[rollout]:
                last = node[position]
            visits[last] += 1
            if has_score:
                scored[last] += 1
                score_sum[last] += score
            if has_score and position - first[rollout] + 1 >= free_from[rollout]:
                free[last] += 1
                free_sum[last] += score
                free_squares[last] += score * score
        ends[last] += 1
        if has_score:
            scored_ends[last] += 1
            end_score_sum[last] += score
    return visits, scored, score_sum, ends, scored_ends, end_score_sum, free, free_sum, free_squares
