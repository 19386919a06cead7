"""Exact values of nodes: no search, only what the ends beneath them earned."""

import numpy as np

from tratree_data.store.tree_arrays import Floats, TreeArrays
from tratree_data.system.compiling import compiled
from tratree_data.tree_search.mcts import Decisions


def best_ends(forest: TreeArrays) -> Floats:
    """The highest mean score of any place to end in the subtree; NaN where there is none."""
    best: Floats = forest.end_mean
    back_up_best(forest.parent, best)
    return best


def discounted_values(forest: TreeArrays, decisions: Decisions, discount: float) -> Floats:
    """q: in each decision the better of stopping and discount × the best child; decisions weighted by how often they occurred."""
    q: Floats = forest.end_mean
    back_up_q(decisions.first, decisions.start, decisions.children, decisions.weight, discount, q)
    return q


@compiled()
def back_up_best(parent, best):  # type: ignore[no-untyped-def]
    for node in range(len(parent) - 1, -1, -1):
        above = parent[node]
        if above >= 0 and not np.isnan(best[node]) and not best[above] >= best[node]:
            best[above] = best[node]


@compiled()
def back_up_q(first, start, children, weight, discount, q):  # type: ignore[no-untyped-def]
    for node in range(len(q) - 1, -1, -1):
        if first[node] == first[node + 1]:
            continue
        total, weights = 0.0, 0
        for decision in range(first[node], first[node + 1]):
            best = q[node]
            for i in range(start[decision], start[decision + 1]):
                value = discount * q[children[i]]
                if not best >= value:
                    best = value
            total += weight[decision] * best
            weights += weight[decision]
        q[node] = total / weights
