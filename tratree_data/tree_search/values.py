"""Exact values of nodes, from the ends beneath them, without search."""

import numpy as np

from tratree_data.store.chunks.tree_arrays import NO_NODE, Floats, TreeArrays
from tratree_data.system.compiling import compiled
from tratree_data.tree_search.mcts import Decisions


def best_ends(arrays: TreeArrays) -> Floats:
    """The highest mean score of any place to end in the subtree; NaN where there is none."""
    best: Floats = arrays.end_mean
    back_up_best(arrays.parent, best)
    return best


def discounted_values(arrays: TreeArrays, decisions: Decisions, discount: float) -> Floats:
    """q: in each decision the better of stopping and discount × the best child; decisions weighted by how often they occurred."""
    q: Floats = arrays.end_mean
    back_up_q(decisions, discount, q)
    return q


@compiled()
def back_up_best(parent, best):  # type: ignore[no-untyped-def]
    """`best` [N] of every node, from its end to those of its subtree. Children come after their parents."""
    for node in range(len(parent) - 1, -1, -1):
        above = parent[node]
        if above != NO_NODE and not np.isnan(best[node]) and not best[above] >= best[node]:
            best[above] = best[node]


@compiled()
def back_up_q(decisions, discount, q):  # type: ignore[no-untyped-def]
    """`q` [N], from the mean score of stopping to the values below."""
    first, start = decisions.first, decisions.start
    for node in range(len(q) - 1, -1, -1):
        if first[node] == first[node + 1]:
            continue
        total, weights = 0.0, 0
        for decision in range(first[node], first[node + 1]):
            best = q[node]
            for i in range(start[decision], start[decision + 1]):
                value = discount * q[decisions.children[i]]
                if not best >= value:
                    best = value
            total += decisions.weight[decision] * best
            weights += decisions.weight[decision]
        q[node] = total / weights
