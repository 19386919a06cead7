"""The merge itself: all rollouts of a chunk of trees → which node each step belongs to.

Steps are inserted level by level, within a level in the order of rollouts; a decision depends only on earlier steps at the same
parent, so this gives the tree that inserting rollout after rollout gives. Texts are compared as hashes, verified byte by byte.
Where only equal texts merge, one tree is finished after the other, within the processor's cache. Else the trees grow together, so
that the texts of a whole level are embedded and compared in one batch; only below a parent whose steps saw different texts is that needed.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tratree_data.system.hashing import Hashes, count_distinct, hash_slices, text_buffers
from tratree_data.trees.comparing import NONE, Floats, Ints, Lookup, compare, gather, nothing_similar
from tratree_data.trees.kernels import Table, found_root, insert_level, insert_trees, mark_differing


@dataclass(frozen=True)
class Steps:
    """Steps of a chunk in the order of insertion: rollout after rollout, grouped by tree."""

    first: Ints  # [rollouts + 1] where each rollout's steps begin
    tree: Ints  # [rollouts] number of its tree, ascending from 0
    observations: pa.Array  # [steps] texts as compared
    actions: pa.Array  # [steps]


@dataclass(frozen=True)
class Merged:
    """Nodes tree by tree, each with its root first, then level by level in order of founding."""

    tree: Ints  # [nodes]
    parent: Ints  # [nodes] NONE for roots
    founder: Ints  # [nodes] the step that founded it, NONE for roots
    depth: Ints  # [nodes]
    state: Ints  # [nodes]
    node: Ints  # [steps] where each step landed
    similarity: Floats  # [steps]
    observation_hash: Hashes  # [steps] as compared
    action_hash: Hashes  # [steps]
    distinct: int  # different observations, as compared


def merge_steps(steps: Steps, lookup: Lookup | None, min_similarity: float) -> Merged:
    """Without `lookup` only equal texts merge."""
    roots = np.searchsorted(steps.tree, np.arange(int(steps.tree[-1]) + 2 if len(steps.tree) else 1))
    table = _new_table(steps, len(roots) - 1)
    if lookup is None:
        slot = np.full(1, NONE, np.int64)
        insert_trees(table, steps.first, roots, nothing_similar(slot))
    else:
        _insert_levels(table, steps, lookup, min_similarity)
        table = _tree_by_tree(table)
    size = int(table.size[0])
    return Merged(
        tree=table.tree[:size],
        parent=table.parent[:size],
        founder=table.founder[:size],
        depth=table.depth[:size],
        state=table.state[:size],
        node=table.node,
        similarity=table.similarity,
        observation_hash=table.observation_hash,
        action_hash=table.action_hash,
        distinct=int(count_distinct(table.observation_hash)),
    )


def _new_table(steps: Steps, trees: int) -> Table:
    observations, observation_offsets = text_buffers(steps.observations)
    actions, action_offsets = text_buffers(steps.actions)
    count = int(steps.first[-1])
    slots = 1 << max(4, (2 * count).bit_length())
    return Table(
        observations,
        observation_offsets,
        hash_slices(observations, observation_offsets),
        actions,
        action_offsets,
        hash_slices(actions, action_offsets),
        tree=np.empty(count + trees, np.int64),
        parent=np.empty(count + trees, np.int64),
        founder=np.empty(count + trees, np.int64),
        depth=np.zeros(count + trees, np.int64),
        state=np.zeros(count + trees, np.int64),
        states=np.zeros(count + trees, np.int64),
        shown=np.full(count + trees, NONE, np.int64),
        differs=np.zeros(count + trees, np.bool_),
        size=np.zeros(1, np.int64),
        slots=np.array([slots]),
        children=np.full(slots, NONE, np.int64),
        elders=np.full(slots, NONE, np.int64),
        node=np.full(count, NONE, np.int64),
        similarity=np.ones(count, np.float32),
    )


def _insert_levels(table: Table, steps: Steps, lookup: Lookup, min_similarity: float) -> None:
    """The trees grow together: the roots of all come first, then the first level of all."""
    lengths = np.diff(steps.first)
    current = steps.tree.copy()
    for tree in range(int(steps.tree[-1]) + 1 if len(steps.tree) else 0):
        found_root(table, tree)
    slot = np.full(int(steps.first[-1]), NONE, np.int64)
    for level in range(int(lengths.max(initial=0))):
        rollouts = np.flatnonzero(lengths > level)
        at = steps.first[rollouts] + level
        parents = current[rollouts]
        mark_differing(table, parents, at)
        chosen = table.differs[parents]
        insert_level(table, current, rollouts[~chosen], at[~chosen], nothing_similar(slot))
        if chosen.any():
            rollouts, at = rollouts[chosen], at[chosen]
            gathered = gather(table.observation_hash, steps.observations, parents[chosen], at, lookup, min_similarity)
            for chunk, compared in compare(gathered, slot, table.node, table.founder):
                insert_level(table, current, rollouts[chunk], at[chunk], compared)


def _tree_by_tree(table: Table) -> Table:
    """The same nodes in the order that `Merged` promises."""
    size = int(table.size[0])
    order = np.lexsort((table.founder[:size], table.depth[:size], table.tree[:size]))
    place = np.full(size + 1, NONE, np.int64)  # the last slot is for NONE
    place[order] = np.arange(size)
    return table._replace(
        tree=table.tree[order],
        parent=place[table.parent[order]],
        founder=table.founder[order],
        depth=table.depth[order],
        state=table.state[order],
        node=place[table.node],
    )
