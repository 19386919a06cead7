"""The loops of merging.py, compiled: a step joins a child of its parent, or founds one."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tratree_data.system.compiling import compiled
from tratree_data.system.hashing import Bytes, Hashes, Offsets, equal_slices
from tratree_data.trees.comparing import NONE, Comparisons, Floats, Ints

BORROWED: Any = {"forceinline": True, "_nrt": False}
"""For kernels that neither make nor keep arrays. Numba would count references to all twenty at every call: ten times the work itself."""
BELOW_ANY_COSINE = np.float32(-2)
"""Where a search for the most similar child begins."""


class Table(NamedTuple):
    """What the kernels share. Children are found by (parent, observation, action), states by (parent, observation)."""

    observations: Bytes
    observation_offsets: Offsets
    observation_hash: Hashes  # [steps]
    actions: Bytes
    action_offsets: Offsets
    action_hash: Hashes  # [steps]
    tree: Ints  # [nodes]
    parent: Ints  # [nodes]
    founder: Ints  # [nodes]
    depth: Ints  # [nodes]
    state: Ints  # [nodes]
    states: Ints  # [nodes] number of states among its children
    shown: Ints  # [nodes] a step that one of its children shows
    differs: npt.NDArray[np.bool_]  # [nodes] whether its children's texts differ
    size: Ints  # [1] number of nodes
    slots: Ints  # [1] how much of the two hash tables is in use, a power of two
    children: Ints  # hash table of nodes
    elders: Ints  # hash table of the first node with a text below a parent
    node: Ints  # [steps]
    similarity: Floats  # [steps]


@compiled(**BORROWED)
def _start(parent: int, text: np.uint64, action: np.uint64, slots: int) -> Any:
    """Where a search in a hash table begins."""
    h = (np.uint64(parent) + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ text) * np.uint64(0x94D049BB133111EB)
    h = (h ^ (h >> np.uint64(31)) ^ action) * np.uint64(0xBF58476D1CE4E5B9)
    return np.int64((h ^ (h >> np.uint64(29))) & np.uint64(slots - 1))


@compiled(**BORROWED)
def _find_child(table: Table, parent: int, shows: int, acts: int) -> Any:
    """(node, place): the child of `parent` with the text that step `shows` shows and the action of step `acts`, else NONE."""
    slots = table.slots[0]
    at = _start(parent, table.observation_hash[shows], table.action_hash[acts], slots)
    while table.children[at] != NONE:
        node = table.children[at]
        founder = table.founder[node]
        if (
            table.parent[node] == parent
            and table.observation_hash[founder] == table.observation_hash[shows]
            and table.action_hash[founder] == table.action_hash[acts]
            and equal_slices(table.observations, table.observation_offsets, founder, shows)
            and equal_slices(table.actions, table.action_offsets, founder, acts)
        ):
            return node, at
        at = (at + 1) & (slots - 1)
    return NONE, at


@compiled(**BORROWED)
def _find_elder(table: Table, parent: int, shows: int) -> Any:
    """(node, place): the oldest child of `parent` with the text that step `shows` shows, else NONE."""
    slots = table.slots[0]
    at = _start(parent, table.observation_hash[shows], np.uint64(0), slots)
    while table.elders[at] != NONE:
        node = table.elders[at]
        founder = table.founder[node]
        if (
            table.parent[node] == parent
            and table.observation_hash[founder] == table.observation_hash[shows]
            and equal_slices(table.observations, table.observation_offsets, founder, shows)
        ):
            return node, at
        at = (at + 1) & (slots - 1)
    return NONE, at


@compiled()
def insert_trees(table: Table, first: Ints, roots: Ints, compared: Comparisons) -> None:
    """Tree after tree; `roots` says where the rollouts of each begin. The hash tables are used as far as each tree needs."""
    current = np.empty(len(first) - 1, np.int64)
    for tree in range(len(roots) - 1):
        begin, end = roots[tree], roots[tree + 1]
        slots = 16
        while slots < 2 * (first[end] - first[begin]):
            slots *= 2
        table.slots[0] = slots
        table.children[:slots] = NONE
        table.elders[:slots] = NONE
        current[begin:end] = found_root(table, tree)
        level = 0
        inserted = True
        while inserted:
            inserted = False
            for rollout in range(begin, end):
                step = first[rollout] + level
                if step < first[rollout + 1]:
                    current[rollout] = _insert(table, current[rollout], step, NONE, compared)
                    inserted = True
            level += 1


@compiled()
def insert_level(table: Table, current: Ints, rollouts: Ints, at: Ints, compared: Comparisons) -> None:
    """One step of each rollout."""
    for i in range(len(rollouts)):
        current[rollouts[i]] = _insert(table, current[rollouts[i]], at[i], compared.slot[at[i]], compared)


@compiled(**BORROWED)
def _insert(table: Table, parent: int, step: int, slot: int, compared: Comparisons) -> Any:
    """The step joins the most similar child with the same action, or founds a new one."""
    node, place = _find_child(table, parent, step, step)
    similarity = np.float32(1)
    if node == NONE and slot != NONE:
        best = BELOW_ANY_COSINE
        for pair in range(compared.first[slot], compared.first[slot + 1]):
            child, _ = _find_child(table, parent, compared.neighbour[pair], step)
            if child != NONE and (compared.similarity[pair] > best or (compared.similarity[pair] == best and child < node)):
                node, best = child, compared.similarity[pair]
        if node != NONE:
            similarity = best
    if node == NONE:
        node = _found(table, parent, step, slot, place, compared)
    table.node[step] = node
    table.similarity[step] = similarity
    return node


@compiled(**BORROWED)
def found_root(table: Table, tree: int) -> Any:
    """The root of a tree: it has no parent, and no step founded it."""
    node = table.size[0]
    table.size[0] += 1
    table.tree[node] = tree
    table.parent[node] = NONE
    table.founder[node] = NONE
    return node


@compiled(**BORROWED)
def _found(table: Table, parent: int, step: int, slot: int, place: int, compared: Comparisons) -> Any:
    """A new child, in the state of the most similar elder sibling, or in a new state."""
    elder, elder_place = _find_elder(table, parent, step)
    is_new_text = elder == NONE
    if is_new_text and slot != NONE:
        best = BELOW_ANY_COSINE
        for pair in range(compared.first[slot], compared.first[slot + 1]):
            other, _ = _find_elder(table, parent, compared.neighbour[pair])
            if other != NONE and (compared.similarity[pair] > best or (compared.similarity[pair] == best and other < elder)):
                elder, best = other, compared.similarity[pair]
    node = table.size[0]
    table.size[0] += 1
    table.tree[node] = table.tree[parent]
    table.parent[node] = parent
    table.founder[node] = step
    table.depth[node] = table.depth[parent] + 1
    if elder == NONE:
        table.state[node] = table.states[parent]
        table.states[parent] += 1
    else:
        table.state[node] = table.state[elder]
    table.children[place] = node
    if is_new_text:
        table.elders[elder_place] = node
    return node


@compiled()
def mark_differing(table: Table, parents: Ints, at: Ints) -> None:
    """Notes parents whose children show different texts; step `at[i]` is a child of `parents[i]`."""
    for i in range(len(at)):
        parent, step = parents[i], at[i]
        if table.shown[parent] == NONE:
            table.shown[parent] = step
        elif not table.differs[parent]:
            other = table.shown[parent]
            table.differs[parent] = table.observation_hash[other] != table.observation_hash[step] or not equal_slices(
                table.observations, table.observation_offsets, other, step
            )
