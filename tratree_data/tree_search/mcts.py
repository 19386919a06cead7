"""Monte Carlo tree search over trees that are already there (equation 7), as a compiled kernel over flat arrays.

A walk starts at the root. At a node the agent faces a decision: stop here, where scored rollouts did, or go on to a child. It takes the
first option nobody tried, else the one with the highest UCB; where the walk ends, the mean score of the rollouts that end there is
backed up to every node on the way.

    chance="optimistic"    one decision a node, over all its children (the paper)
    chance="expected"   one decision for each state of a node: the environment draws the state, as often as it occurred,
                       and the agent decides in it

Options stand in order: stop first, then the children in founding order; ties go to the first. Children without a scored rollout are
no options.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tratree_data.ids import content_id
from tratree_data.store.tree_arrays import NO_NODE, Floats, Ints, TreeArrays, offsets_of
from tratree_data.system.compiling import compiled

UNVISITED = np.inf
NOT_ALLOWED = -np.inf
TREES_PER_TASK = 256


@dataclass(frozen=True)
class Decisions:
    """D decisions: those at node n are first[n] … first[n + 1]; decision d has the children start[d] … start[d + 1] as options."""

    first: Ints  # [N + 1]
    start: Ints  # [D + 1]
    children: Ints
    weight: Ints  # [D] scored rollouts that went on through it


@dataclass(frozen=True)
class Statistics:
    """What the walks left: c_M and r_M of every node, and of the option to stop in every decision."""

    visits: Ints  # [N]
    value_sum: Floats  # [N]
    stop_visits: Ints  # [D]
    stop_sum: Floats  # [D]


def list_decisions(forest: TreeArrays, chance: str) -> Decisions:
    children = np.flatnonzero((forest.parent != NO_NODE) & (forest.scored_visits > 0))
    state = forest.state[children] if chance == "expected" else np.zeros(len(children), dtype=np.int64)
    parent = forest.parent[children]
    order = np.lexsort((children, state, parent))
    children, state, parent = children[order], state[order], parent[order]
    opens = np.ones(len(children), dtype=bool)
    opens[1:] = (np.diff(parent) != 0) | (np.diff(state) != 0)
    starts = np.flatnonzero(opens)
    return Decisions(
        first=offsets_of(np.bincount(parent[starts], minlength=len(forest.parent))),
        start=np.append(starts, len(children)).astype(np.int64),
        children=children,
        weight=np.add.reduceat(forest.scored_visits[children], starts) if len(starts) else np.zeros(0, dtype=np.int64),
    )


def walk_trees(forest: TreeArrays, decisions: Decisions, simulations: int, exploration: float, seed: int, threads: int) -> Statistics:
    """`simulations` walks through every tree that has a scored end. The same statistics whatever the number of threads."""
    statistics = Statistics(
        visits=np.zeros(len(forest.parent), dtype=np.int64),
        value_sum=np.zeros(len(forest.parent)),
        stop_visits=np.zeros(len(decisions.weight), dtype=np.int64),
        stop_sum=np.zeros(len(decisions.weight)),
    )
    shape = (decisions.first, decisions.start, decisions.children, decisions.weight)
    numbers = (statistics.visits, statistics.value_sum, statistics.stop_visits, statistics.stop_sum)
    seeds = (
        tree_seeds(forest, seed)
        if len(decisions.weight) > np.count_nonzero(np.diff(decisions.first))
        else np.zeros(len(forest.tree_ids), np.uint64)
    )
    roots = forest.tree_start[:-1][forest.scored_visits[forest.tree_start[:-1]] > 0]
    seeds = seeds[forest.scored_visits[forest.tree_start[:-1]] > 0]
    longest = int(forest.depth.max(initial=0)) + 1
    end_mean = forest.end_mean

    def walk(start: int) -> None:
        part = slice(start, start + TREES_PER_TASK)
        walk_each(roots[part], seeds[part], *shape, end_mean, simulations, exploration, longest, *numbers)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(walk, range(0, len(roots), TREES_PER_TASK)))
    return statistics


def tree_seeds(forest: TreeArrays, seed: int) -> npt.NDArray[np.uint64]:
    """A start of the random numbers for each tree, so that no tree's walks depend on its neighbours."""
    return np.array([int(content_id("walk", seed, tree_id), 16) for tree_id in forest.tree_ids.to_pylist()], dtype=np.uint64)


@compiled()
def walk_each(  # type: ignore[no-untyped-def]
    roots, seeds, first, start, children, weight, end_mean, simulations, exploration, longest, visits, value_sum, stop_visits, stop_sum
):
    path = np.empty(longest, dtype=np.int64)
    for tree in range(len(roots)):
        random = seeds[tree]
        for _ in range(simulations):
            node, length, stopped = roots[tree], 0, -1
            while True:
                path[length] = node
                length += 1
                decision = first[node]
                if decision == first[node + 1]:
                    break
                if first[node + 1] - decision > 1:
                    random, decision = draw_state(random, weight, decision, first[node + 1])
                option = choose(decision, start, children, end_mean[node], exploration, visits, value_sum, stop_visits, stop_sum)
                if option < 0:
                    stopped = decision
                    break
                node = option
            score = end_mean[node]
            if stopped >= 0:
                stop_visits[stopped] += 1
                stop_sum[stopped] += score
            for i in range(length):
                visits[path[i]] += 1
                value_sum[path[i]] += score


@compiled()
def choose(decision, start, children, end_mean, exploration, visits, value_sum, stop_visits, stop_sum):  # type: ignore[no-untyped-def]
    """The option of the highest UCB, the first of those untried; NO_NODE means to stop."""
    can_stop = not np.isnan(end_mean)
    if can_stop and stop_visits[decision] == 0:
        return -1
    total = stop_visits[decision]
    for i in range(start[decision], start[decision + 1]):
        if visits[children[i]] == 0:
            return children[i]
        total += visits[children[i]]
    log_total = np.log(total)
    best, best_bound = -1, -np.inf
    if can_stop:
        best_bound = stop_sum[decision] / stop_visits[decision] + exploration * np.sqrt(log_total / stop_visits[decision])
    for i in range(start[decision], start[decision + 1]):
        child = children[i]
        bound = value_sum[child] / visits[child] + exploration * np.sqrt(log_total / visits[child])
        if bound > best_bound:
            best, best_bound = child, bound
    return best


@compiled()
def draw_state(random, weight, begin, end):  # type: ignore[no-untyped-def]
    """SplitMix64: a draw among the decisions begin … end, each as likely as it is heavy."""
    random += np.uint64(0x9E3779B97F4A7C15)
    mixed = random
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    total = 0
    for decision in range(begin, end):
        total += weight[decision]
    left = np.int64(mixed % np.uint64(total))
    for decision in range(begin, end):
        left -= weight[decision]
        if left < 0:
            return random, decision
    return random, end - 1


@compiled()
def descend(roots, first, start, children, weight, end_mean, allowed, may_stop, visits, value_sum, stop_visits, stop_sum, ends):  # type: ignore[no-untyped-def]
    """Greedy extraction: from each root to where e* ends. Options that lead to no allowed end are passed over."""
    for tree in range(len(roots)):
        node = roots[tree]
        while True:
            decision = heaviest(first[node], first[node + 1], start, children, weight, allowed, may_stop[node])
            if decision < 0:
                break
            best, best_mean = -1, -np.inf
            if may_stop[node]:
                best_mean = stop_sum[decision] / stop_visits[decision] if stop_visits[decision] > 0 else -1.0
            for i in range(start[decision], start[decision + 1]):
                child = children[i]
                if allowed[child]:
                    mean = value_sum[child] / visits[child] if visits[child] > 0 else -1.0
                    if mean > best_mean:
                        best, best_mean = child, mean
            if best < 0:
                break
            node = best
        ends[tree] = node


@compiled()
def heaviest(begin, end, start, children, weight, allowed, may_stop):  # type: ignore[no-untyped-def]
    """The most frequent state that has an allowed option, the first on a tie; -1 if none has."""
    best, best_weight = -1, 0
    for decision in range(begin, end):
        usable = may_stop
        for i in range(start[decision], start[decision + 1]):
            usable = usable or allowed[children[i]]
        if usable and weight[decision] > best_weight:
            best, best_weight = decision, weight[decision]
    return best
