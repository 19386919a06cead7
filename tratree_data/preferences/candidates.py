"""Which two continuations could make a pair, kind by kind, before any filter leaves some out; the kind `anchor` is in anchors.py.

The work is linear in children and rollouts, except for `siblings` of all children, which looks only at a state's most visited children.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from tratree_data.ids import content_id
from tratree_data.preferences.settings import PAIR_KINDS
from tratree_data.store.chunks.tree_arrays import NO_NODE, Flags, Floats, Ints, TreeArrays, sibling_groups

KINDS = PAIR_KINDS
SIBLINGS_PER_STATE = 64
NO_ROLLOUT = -1


@dataclass(frozen=True)
class Candidates:
    """C candidates; the chosen side is never worse than the rejected one, except for experts, who may fail."""

    kind: Ints  # [C] position in KINDS
    node: Ints  # [C] where the two diverge
    founder: Ints  # [C] first node of the state that both are in
    chosen_node: Ints  # [C]
    rejected_node: Ints  # [C]
    chosen_rollout: Ints  # [C]
    rejected_rollout: Ints  # [C]
    chosen_score: Floats  # [C]
    rejected_score: Floats  # [C]
    chosen_visits: Ints  # [C] scored rollouts behind each score
    rejected_visits: Ints  # [C]
    chosen_squares: Floats  # [C] sum of the squares of these scores
    rejected_squares: Floats  # [C]

    @property
    def margin(self) -> Floats:
        return self.chosen_score - self.rejected_score

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, rows: Ints) -> "Candidates":
        return Candidates(*(getattr(self, field.name)[rows] for field in fields(self)))


def join(parts: list[Candidates]) -> Candidates:
    return Candidates(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Candidates)))


@dataclass(frozen=True)
class States:
    """The states of a chunk, and what is in them."""

    group: Ints  # [N] number of each node's (parent, state); NO_NODE for roots
    founder: Ints  # [G] first node of each state
    ranked: Ints  # scored children by (state, mean from the best, visits from the most, founding order)
    start: Ints  # first position in `ranked` of each state that has a scored child
    size: Ints  # how many it has
    best_rollout: Ints  # [N] through each node, by score, then shortness, then attempt; NO_ROLLOUT if none has a score
    worst_rollout: Ints  # [N]


def read_states(arrays: TreeArrays) -> States:
    group = sibling_groups(arrays)
    child = np.flatnonzero(group != NO_NODE)
    founder = np.full(int(group.max(initial=NO_NODE)) + 1, NO_NODE, dtype=np.int64)
    founder[group[child[::-1]]] = child[::-1]
    scored = np.flatnonzero((group != NO_NODE) & (arrays.free_visits > 0))
    ranked = scored[np.lexsort((scored, -arrays.free_visits[scored], -arrays.free_mean[scored], group[scored]))]
    start = np.flatnonzero(np.diff(group[ranked], prepend=NO_NODE))
    return States(
        group,
        founder,
        ranked,
        start,
        np.diff(np.append(start, len(ranked))),
        extreme_rollouts(arrays, best=True),
        extreme_rollouts(arrays, best=False),
    )


def extreme_rollouts(arrays: TreeArrays, best: bool) -> Ints:
    """The best or the worst rollout through each node; the shorter, then the earlier attempt on a tie."""
    steps = np.diff(arrays.step_start)
    scored = np.flatnonzero(~np.isnan(arrays.score))
    order = scored[np.lexsort((scored, steps[scored], -arrays.score[scored] if best else arrays.score[scored]))]
    rank = np.full(len(steps), NO_ROLLOUT, dtype=np.int64)
    rank[order] = np.arange(len(order))
    step_rank = rank[arrays.step_rollout]
    found = np.full(len(arrays.parent), len(order), dtype=np.int64)
    inside = step_rank != NO_ROLLOUT
    np.minimum.at(found, arrays.step_node[inside], step_rank[inside])
    return np.append(order, NO_ROLLOUT)[found]


def best_against_each(states: States) -> tuple[Ints, Ints]:
    first = np.repeat(states.start, states.size)
    position = np.arange(len(states.ranked))
    worse = position[position != first]
    return states.ranked[first[worse]], states.ranked[worse]


def neighbours(states: States) -> tuple[Ints, Ints]:
    position = np.setdiff1d(np.arange(len(states.ranked)), states.start, assume_unique=True)
    return states.ranked[position - 1], states.ranked[position]


def all_siblings(arrays: TreeArrays, states: States) -> tuple[Ints, Ints]:
    better, worse = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for size in np.unique(states.size[states.size > 1]).tolist():
        start = states.start[states.size == size]
        children = states.ranked[start[:, None] + np.arange(size)]
        if size > SIBLINGS_PER_STATE:
            most_visited = np.argsort(-arrays.free_visits[children], axis=1, kind="stable")[:, :SIBLINGS_PER_STATE]
            children = np.take_along_axis(children, np.sort(most_visited, axis=1), axis=1)
        one, other = np.triu_indices(children.shape[1], 1)
        better.append(children[:, one].ravel())
        worse.append(children[:, other].ravel())
    return np.concatenate(better), np.concatenate(worse)


def of_nodes(arrays: TreeArrays, states: States, kind: str, better: Ints, worse: Ints) -> Candidates:
    mean = arrays.free_mean
    return Candidates(
        kind=np.full(len(better), KINDS.index(kind)),
        node=arrays.parent[better],
        founder=states.founder[states.group[better]],
        chosen_node=better,
        rejected_node=worse,
        chosen_rollout=states.best_rollout[better],
        rejected_rollout=states.worst_rollout[worse],
        chosen_score=mean[better],
        rejected_score=mean[worse],
        chosen_visits=arrays.free_visits[better],
        rejected_visits=arrays.free_visits[worse],
        chosen_squares=arrays.free_score_squares[better],
        rejected_squares=arrays.free_score_squares[worse],
    )


def of_rollouts(arrays: TreeArrays, states: States, kind: str, better: Ints, worse: Ints) -> Candidates:
    first_node = arrays.step_node[arrays.step_start[:-1]]
    return Candidates(
        kind=np.full(len(better), KINDS.index(kind)),
        node=arrays.parent[first_node[better]],
        founder=states.founder[states.group[first_node[better]]],
        chosen_node=first_node[better],
        rejected_node=first_node[worse],
        chosen_rollout=better,
        rejected_rollout=worse,
        chosen_score=arrays.score[better],
        rejected_score=arrays.score[worse],
        chosen_visits=np.ones_like(better),
        rejected_visits=np.ones_like(worse),
        chosen_squares=arrays.score[better] ** 2,
        rejected_squares=arrays.score[worse] ** 2,
    )


def random_rollouts(arrays: TreeArrays, states: States, seed: int, is_expert: Flags) -> tuple[Ints, Ints]:
    """Each scored rollout that is not the task's best against a random one that scored higher from the same first state."""
    scored = np.flatnonzero(~np.isnan(arrays.score))
    state = states.group[arrays.step_node[arrays.step_start[:-1]]]
    order = scored[np.lexsort((scored, -arrays.score[scored], state[scored]))]
    fresh_state = np.diff(state[order], prepend=NO_NODE) != 0
    fresh_score = fresh_state | (np.diff(arrays.score[order], prepend=np.nan) != 0)
    position = np.arange(len(order))
    first = np.maximum.accumulate(np.where(fresh_state, position, 0))
    better_count = np.maximum.accumulate(np.where(fresh_score, position, 0)) - first
    worse = position[better_count > 0]
    names = arrays.rollout_ids.take(pa.array(order[worse])).to_pylist()
    draws = np.array([int(content_id("unstructured", seed, name), 16) for name in names], dtype=np.uint64)
    picked = first[worse] + (draws % better_count[worse].astype(np.uint64)).astype(np.int64)
    return order[picked], order[worse]


def expert_rollouts(arrays: TreeArrays, states: States, seed: int, is_expert: Flags) -> tuple[Ints, Ints]:
    """The best expert's rollout of each first state against every agent's."""
    state = states.group[arrays.step_node[arrays.step_start[:-1]]]
    scored, steps = ~np.isnan(arrays.score), np.diff(arrays.step_start)
    experts = np.flatnonzero(is_expert & scored)
    experts = experts[np.lexsort((experts, steps[experts], -arrays.score[experts]))][::-1]
    best = np.full(len(states.founder), NO_ROLLOUT, dtype=np.int64)
    best[state[experts]] = experts
    agents = np.flatnonzero(~is_expert & scored)
    agents = agents[best[state[agents]] != NO_ROLLOUT]
    return best[state[agents]], agents


NODE_RULES: dict[str, Callable[[States], tuple[Ints, Ints]]] = {
    "divergence": best_against_each,
    "step": best_against_each,
    "siblings": neighbours,
}
"""(better, worse) nodes of one state, for kinds that compare alternatives in a tree."""
ROLLOUT_RULES: dict[str, Callable[[TreeArrays, States, int, Flags], tuple[Ints, Ints]]] = {
    "unstructured": random_rollouts,
    "expert": expert_rollouts,
}
"""(better, worse) rollouts from one first state, for kinds that compare whole rollouts."""
NODE_KINDS = [KINDS.index(kind) for kind in NODE_RULES]
POOLED_KINDS = [KINDS.index(kind) for kind in KINDS if kind not in ROLLOUT_RULES]
"""Kinds whose sides are all rollouts that took an action, not one rollout each."""
ONE_STEP_KINDS = [KINDS.index(kind) for kind in ("step", "anchor")]
"""Kinds whose sides are one answer, not all that follows."""


def find_candidates(arrays: TreeArrays, states: States, kind: str, siblings: str, seed: int, is_expert: Flags) -> Candidates:
    if kind in ROLLOUT_RULES:
        return of_rollouts(arrays, states, kind, *ROLLOUT_RULES[kind](arrays, states, seed, is_expert))
    if (kind, siblings) == ("siblings", "all"):
        return of_nodes(arrays, states, kind, *all_siblings(arrays, states))
    return of_nodes(arrays, states, kind, *NODE_RULES[kind](states))
