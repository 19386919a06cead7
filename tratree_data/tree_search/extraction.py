"""Where extracted paths end: greedy descent decides what e* is worth, and evidence decides between ends that are worth the same.

    extract="mean"   in each decision the option with the highest refined mean r_M / c_M (the paper)
    extract="lower"  the option whose refined mean has the highest lower bound: Wilson's, over the scored rollouts that took the option

The end that the descent finds has a value. Of all ends with that value that can be reached through the states that extraction follows, e*
is the one in which most scored rollouts ended, then the shorter, then the older. One lucky detour does not beat four plain successes.
"""

from typing import NamedTuple

import numpy as np

from tratree_data.store.chunks.tree_arrays import NO_NODE, Flags, Floats, Ints, TreeArrays, divide
from tratree_data.system.compiling import compiled
from tratree_data.system.intervals import wilson_interval
from tratree_data.tree_search.mcts import NO_DECISION, STOP, Decisions, Statistics
from tratree_data.tree_search.settings import SearchSettings

DECIMALS = 9
"""Values that differ by less are equal: sums of equal scores differ in their last digits."""
UNTRIED = -1.0
Reason = tuple[str, str, str]


class Worth(NamedTuple):
    """What extraction compares in a decision: each child, and stopping."""

    child: Floats  # [N]
    stop: Floats  # [D]


class Ends(NamedTuple):
    """Where a path may end, and how good a place that is."""

    may_stop: Flags  # [N]
    allowed: Flags  # [N] whether the subtree holds a place to stop
    value: Floats  # [N]
    support: Ints  # [N]
    depth: Ints  # [N]


def extract_ends(
    arrays: TreeArrays, decisions: Decisions, statistics: Statistics, settings: SearchSettings
) -> tuple[Ints, Ints, list[Reason]]:
    """Where the extracted paths end, their ranks, and (subject, reason, detail) of the trees without one."""
    may_stop = (arrays.scored_ends >= settings.min_support) & (arrays.scored_ends > 0)
    ends = Ends(may_stop, reaches(arrays, may_stop), np.round(arrays.end_mean, DECIMALS), arrays.scored_ends, arrays.depth)
    trees = np.flatnonzero(ends.allowed[arrays.tree_start[:-1]])
    best = np.empty(len(trees), dtype=np.int64)
    find_ends(arrays.tree_start, trees, decisions, compare_by(arrays, decisions, statistics, settings.extract), ends, best)
    roots = arrays.tree_start[:-1]
    idle = roots[trees[arrays.depth[best] == 0]]
    listed = may_stop & ~np.isin(arrays.tree, arrays.tree[idle])
    found, ranks = rank_ends(arrays, best[arrays.depth[best] > 0], listed, settings.paths)
    unscored = roots[arrays.scored_visits[roots] == 0]
    rare = roots[~ends.allowed[roots] & (arrays.scored_visits[roots] > 0)]
    reasons = [
        *give_reason(arrays, unscored, "no_score", "none of its rollouts has a score"),
        *give_reason(arrays, rare, "low_support", f"fewer than {settings.min_support} scored rollouts end at any of its nodes"),
        *give_reason(arrays, idle, "empty_path", "stopping at once scored best, and a path without steps shows nothing"),
    ]
    return found, ranks, reasons


def compare_by(arrays: TreeArrays, decisions: Decisions, statistics: Statistics, extract: str) -> Worth:
    child = divide(statistics.value_sum, statistics.visits)
    stop = divide(statistics.stop_sum, statistics.stop_visits)
    if extract == "lower":
        node = np.repeat(np.arange(len(arrays.parent)), np.diff(decisions.first))
        child, _ = wilson_interval(child, arrays.scored_visits)
        stop, _ = wilson_interval(stop, arrays.scored_ends[node])
    return Worth(*(np.where(np.isnan(values), UNTRIED, np.round(values, DECIMALS)) for values in (child, stop)))


def give_reason(arrays: TreeArrays, roots: Ints, reason: str, detail: str) -> list[Reason]:
    return [(name, reason, detail) for name in arrays.tree_ids.take(arrays.tree[roots]).to_pylist()]


def rank_ends(arrays: TreeArrays, best: Ints, may_stop: Flags, count: int) -> tuple[Ints, Ints]:
    """e* first, then the other places to stop by value, support, shortness and founding order: at most `count` per tree."""
    is_best = np.zeros(len(arrays.parent), dtype=bool)
    is_best[best] = True
    ends = best if count == 1 else np.flatnonzero(is_best | (may_stop & (arrays.depth > 0)))
    value = np.round(arrays.end_mean[ends], DECIMALS)
    ends = ends[np.lexsort((ends, arrays.depth[ends], -arrays.scored_ends[ends], -value, ~is_best[ends], arrays.tree[ends]))]
    starts = np.searchsorted(arrays.tree[ends], arrays.tree[ends])
    ranks = np.arange(len(ends)) - starts + 1
    return ends[ranks <= count], ranks[ranks <= count]


def reaches(arrays: TreeArrays, may_stop: Flags) -> Flags:
    """Whether each node's subtree holds a place to stop."""
    allowed = may_stop.copy()
    node = np.flatnonzero(may_stop)
    while len(node):
        node = np.unique(arrays.parent[node])
        node = node[node != NO_NODE]
        node = node[~allowed[node]]
        allowed[node] = True
    return allowed


@compiled()
def find_ends(tree_start, trees, decisions, worth, ends, best):  # type: ignore[no-untyped-def]
    """Fills in the end of each tree's e*."""
    followed = np.zeros(len(ends.allowed), dtype=np.bool_)
    for i in range(len(trees)):
        root, after = tree_start[trees[i]], tree_start[trees[i] + 1]
        value = ends.value[descend(root, decisions, worth, ends)]
        best[i] = best_supported(root, after, value, decisions, ends, followed)


@compiled()
def descend(root, decisions, worth, ends):  # type: ignore[no-untyped-def]
    """Greedy descent from the root to an end, the first option on a tie. Options that lead to no allowed end are passed over."""
    node = root
    while True:
        decision = heaviest(node, decisions, ends)
        if decision == NO_DECISION:
            return node
        best, best_worth = STOP, -np.inf
        if ends.may_stop[node]:
            best_worth = worth.stop[decision]
        for i in range(decisions.start[decision], decisions.start[decision + 1]):
            child = decisions.children[i]
            if ends.allowed[child] and worth.child[child] > best_worth:
                best, best_worth = child, worth.child[child]
        if best == STOP:
            return node
        node = best


@compiled()
def best_supported(root, after, value, decisions, ends, followed):  # type: ignore[no-untyped-def]
    """Of the ends with this value beneath the states that extraction follows: the best supported, then the shortest, then the oldest."""
    best = NO_NODE
    followed[root] = True
    for node in range(root, after):
        if not followed[node]:
            continue
        if ends.may_stop[node] and ends.value[node] == value:
            gain = 1 if best == NO_NODE else ends.support[node] - ends.support[best]
            if gain > 0 or (gain == 0 and ends.depth[node] < ends.depth[best]):
                best = node
        decision = heaviest(node, decisions, ends)
        if decision != NO_DECISION:
            for i in range(decisions.start[decision], decisions.start[decision + 1]):
                followed[decisions.children[i]] = ends.allowed[decisions.children[i]]
    return best


@compiled()
def heaviest(node, decisions, ends):  # type: ignore[no-untyped-def]
    """The node's most frequent state with an allowed option, the first on a tie; NO_DECISION if none has one."""
    best, best_weight = NO_DECISION, 0
    for decision in range(decisions.first[node], decisions.first[node + 1]):
        usable = ends.may_stop[node]
        for i in range(decisions.start[decision], decisions.start[decision + 1]):
            usable = usable or ends.allowed[decisions.children[i]]
        if usable and decisions.weight[decision] > best_weight:
            best, best_weight = decision, decisions.weight[decision]
    return best
