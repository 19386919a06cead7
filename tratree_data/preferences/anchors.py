"""Pairs of kind `anchor`: one state of the graph, reached with different histories, and followed by actions that scored differently.

Which steps are in one state is read from the tables of `states`. A tree has no such pairs, because its states hold the whole history. The
prompt of both sides is the history of the chosen one, so what the better rollout did is in its own context, and the worse answer is what
another rollout gave to the same observation.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import NotFoundError, quoted
from tratree_data.preferences.candidates import KINDS, Candidates, States
from tratree_data.store.chunks.tree_arrays import NO_NODE, Ints, TreeArrays, as_array, numbers, positions
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store

ANCHOR = "anchor"
TABLES = ("states", "step_credits")
CREDIT_COLUMNS = ("tree_id", "rollout_id", "step", "method", "state_id")
NO_STATE = -1


def anchor_method(store: Store, history: str) -> str:
    """A method whose rows say in which state of this history each scored step is."""
    found = query(store, "anchor_methods", history=history)["method"].to_pylist() if all(map(store.has, TABLES)) else []
    if not found:
        raise NotFoundError(
            f"{store.path} has no step credits of states with history {history}, which pairs of kind anchor need.\n"
            f"Next: tratree states {quoted(store.path)} --history {history} --method gigpo"
        )
    return str(found[0])


def with_credits(columns: Mapping[str, Sequence[str]], method: str | None) -> Mapping[str, Sequence[str]]:
    """What a chunk reads, with the states of its steps if there are anchor pairs to make."""
    return columns if method is None else {**columns, "step_credits": CREDIT_COLUMNS}


def anchors_of(arrays: TreeArrays, credits: pa.Table | None, method: str | None) -> Ints:
    """[S] number of the state that each step of a chunk is in, as the rows of this method have it, or NO_STATE."""
    found = np.full(len(arrays.step_node), NO_STATE, dtype=np.int64)
    if credits is not None:
        rows = credits.filter((pc.field("method") == method) & pc.field("state_id").is_valid())
        rollout = positions(rows["rollout_id"], arrays.rollout_ids)
        known = rollout != NO_NODE
        state = numbers(as_array(rows["state_id"]).dictionary_encode().indices)
        found[arrays.step_start[rollout[known]] + numbers(rows["step"])[known]] = state[known]
    return found


def anchor_candidates(arrays: TreeArrays, states: States, action: Ints, anchor: Ints) -> Candidates:
    """In each state the best action against each other one, with all rollouts that took it there, whatever came before.

    A rollout counts once for each action, where it first took it. Of equally good actions the one with most rollouts is the best, then the
    older. The sides are the best rollout through the better action and the worst through the worse one; sides with one history are left
    out, because `divergence` and `step` compare those.
    """
    rows = np.flatnonzero((anchor != NO_STATE) & ~np.isnan(arrays.score)[arrays.step_rollout])
    rollout, did = arrays.step_rollout[rows], action[arrays.step_node[rows]]
    key = anchor[rows] * (int(action.max(initial=0)) + 1) + did
    order = np.lexsort((rows, rollout, key))
    first = (np.diff(key[order], prepend=-1) != 0) | (np.diff(rollout[order], prepend=-1) != 0)
    rows, rollout, key = rows[order[first]], rollout[order[first]], key[order[first]]
    _, group, visits = np.unique(key, return_inverse=True, return_counts=True)
    score, length = arrays.score[rollout], np.diff(arrays.step_start)[rollout]
    mean = np.bincount(group, weights=score, minlength=len(visits)) / np.maximum(visits, 1)
    squares = np.bincount(group, weights=score**2, minlength=len(visits)).astype(np.float64)
    best = _first_of_each(group, np.lexsort((rollout, length, -score, group)))
    worst = _first_of_each(group, np.lexsort((rollout, length, score, group)))
    state = anchor[rows[best]] if len(rows) else rows
    oldest = np.full(len(visits), len(anchor))
    np.minimum.at(oldest, group, rows)
    ranked = np.lexsort((oldest, -visits, -mean, state))
    start = np.maximum.accumulate(np.where(np.diff(state[ranked], prepend=-1) != 0, np.arange(len(ranked)), 0))
    other = np.flatnonzero(start != np.arange(len(ranked)))
    better, worse = ranked[start[other]], ranked[other]
    chosen, rejected = rows[best[better]], rows[worst[worse]]
    chosen_node, rejected_node = arrays.step_node[chosen], arrays.step_node[rejected]
    found = Candidates(
        kind=np.full(len(better), KINDS.index(ANCHOR)),
        node=arrays.parent[chosen_node],
        founder=states.founder[states.group[chosen_node]],
        chosen_node=chosen_node,
        rejected_node=rejected_node,
        chosen_rollout=arrays.step_rollout[chosen],
        rejected_rollout=arrays.step_rollout[rejected],
        chosen_score=mean[better],
        rejected_score=mean[worse],
        chosen_visits=visits[better],
        rejected_visits=visits[worse],
        chosen_squares=squares[better],
        rejected_squares=squares[worse],
    )
    return found.take(np.flatnonzero(states.group[chosen_node] != states.group[rejected_node]))


def _first_of_each(group: Ints, order: Ints) -> Ints:
    """The first of each group in this order."""
    return np.asarray(order[np.diff(group[order], prepend=-1) != 0])
