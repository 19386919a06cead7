"""Monte Carlo tree search over trees that already exist (equation 7), as compiled kernels over flat arrays.

A simulation starts at the root and selects until it stops. At a node the agent faces a decision: stop here, where scored rollouts did, or
continue to a child. It takes the first option that has not been tried, else the one with the highest UCB; then the mean score of the
rollouts that end where it stopped is backed up to every node on the way.

    chance="optimistic"  one decision per node, over all its children (the paper)
    chance="expected"    one decision per state of a node: the environment draws the state, as often as it occurred,
                         and the agent decides in it

Options are ordered: stop first, then the children in founding order; ties go to the first. Children without a scored rollout are not
options.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tratree_data.ids import content_id
from tratree_data.store.chunks.tree_arrays import NO_NODE, Floats, Ints, TreeArrays, offsets_of
from tratree_data.system.compiling import compiled

STOP = NO_NODE
"""The option to stop, where a child's number would be."""
NO_DECISION = -1
TREES_PER_TASK = 256


class Decisions(NamedTuple):
    """D decisions: those at node n are first[n] … first[n + 1]; decision d has the children start[d] … start[d + 1] as options."""

    first: Ints  # [N + 1]
    start: Ints  # [D + 1]
    children: Ints
    weight: Ints  # [D] scored rollouts that continued through it


class Statistics(NamedTuple):
    """What the simulations left: c_M and r_M of every node, and of the option to stop in every decision."""

    visits: Ints  # [N]
    value_sum: Floats  # [N]
    stop_visits: Ints  # [D]
    stop_sum: Floats  # [D]


class Budget(NamedTuple):
    """How much to simulate per tree, and γ of equation 7."""

    simulations: int
    exploration: float
    longest_path: int


def list_decisions(arrays: TreeArrays, chance: str) -> Decisions:
    children = np.flatnonzero((arrays.parent != NO_NODE) & (arrays.scored_visits > 0))
    state = arrays.state[children] if chance == "expected" else np.zeros(len(children), dtype=np.int64)
    parent = arrays.parent[children]
    order = np.lexsort((children, state, parent))
    children, state, parent = children[order], state[order], parent[order]
    opens = np.ones(len(children), dtype=bool)
    opens[1:] = (np.diff(parent) != 0) | (np.diff(state) != 0)
    starts = np.flatnonzero(opens)
    return Decisions(
        first=offsets_of(np.bincount(parent[starts], minlength=len(arrays.parent))),
        start=np.append(starts, len(children)).astype(np.int64),
        children=children,
        weight=np.add.reduceat(arrays.scored_visits[children], starts) if len(starts) else np.zeros(0, dtype=np.int64),
    )


def simulate_trees(arrays: TreeArrays, decisions: Decisions, simulations: int, exploration: float, seed: int, threads: int) -> Statistics:
    """`simulations` through every tree that has a scored end. The statistics do not depend on the number of threads."""
    nodes, count = len(arrays.parent), len(decisions.weight)
    statistics = Statistics(np.zeros(nodes, dtype=np.int64), np.zeros(nodes), np.zeros(count, dtype=np.int64), np.zeros(count))
    has_chance = count > np.count_nonzero(np.diff(decisions.first))
    seeds = tree_seeds(arrays, seed) if has_chance else np.zeros(len(arrays.tree_ids), np.uint64)
    roots = arrays.tree_start[:-1]
    scored = arrays.scored_visits[roots] > 0
    roots, seeds = roots[scored], seeds[scored]
    budget = Budget(simulations, float(exploration), int(arrays.depth.max(initial=0)) + 1)
    end_mean = arrays.end_mean

    def simulate_some(start: int) -> None:
        some = slice(start, start + TREES_PER_TASK)
        simulate_each(roots[some], seeds[some], decisions, end_mean, budget, statistics)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(simulate_some, range(0, len(roots), TREES_PER_TASK)))
    return statistics


def tree_seeds(arrays: TreeArrays, seed: int) -> npt.NDArray[np.uint64]:
    """Where each tree's random numbers start, so that no tree's simulations depend on its neighbours."""
    return np.array([int(content_id("walk", seed, tree_id), 16) for tree_id in arrays.tree_ids.to_pylist()], dtype=np.uint64)


@compiled()
def simulate_each(roots, seeds, decisions, end_mean, budget, statistics):  # type: ignore[no-untyped-def]
    path = np.empty(budget.longest_path, dtype=np.int64)
    for tree in range(len(roots)):
        random = seeds[tree]
        for _ in range(budget.simulations):
            random, length, stopped_at = select(roots[tree], random, decisions, end_mean, budget.exploration, statistics, path)
            back_up(path, length, stopped_at, end_mean[path[length - 1]], statistics)


@compiled()
def select(root, random, decisions, end_mean, exploration, statistics, path):  # type: ignore[no-untyped-def]
    """Fills in the path from the root to where the simulation ends: (random state, path length, the decision in which it stopped)."""
    node, length = root, 0
    while True:
        path[length] = node
        length += 1
        decision, after = decisions.first[node], decisions.first[node + 1]
        if decision == after:
            return random, length, NO_DECISION
        if after - decision > 1:
            random, decision = draw_state(random, decisions.weight, decision, after)
        option = choose(decision, end_mean[node], decisions, exploration, statistics)
        if option == STOP:
            return random, length, decision
        node = option


@compiled()
def back_up(path, length, stopped_at, score, statistics):  # type: ignore[no-untyped-def]
    if stopped_at != NO_DECISION:
        statistics.stop_visits[stopped_at] += 1
        statistics.stop_sum[stopped_at] += score
    for i in range(length):
        statistics.visits[path[i]] += 1
        statistics.value_sum[path[i]] += score


@compiled()
def choose(decision, end_mean, decisions, exploration, statistics):  # type: ignore[no-untyped-def]
    """The option with the highest UCB, the first of those not yet tried: a child, or STOP."""
    visits, value_sum = statistics.visits, statistics.value_sum
    stop_visits, stop_sum = statistics.stop_visits[decision], statistics.stop_sum[decision]
    can_stop = not np.isnan(end_mean)
    if can_stop and stop_visits == 0:
        return STOP
    total = stop_visits
    for i in range(decisions.start[decision], decisions.start[decision + 1]):
        child = decisions.children[i]
        if visits[child] == 0:
            return child
        total += visits[child]
    log_total = np.log(total)
    best, best_bound = STOP, -np.inf
    if can_stop:
        best_bound = stop_sum / stop_visits + exploration * np.sqrt(log_total / stop_visits)
    for i in range(decisions.start[decision], decisions.start[decision + 1]):
        child = decisions.children[i]
        bound = value_sum[child] / visits[child] + exploration * np.sqrt(log_total / visits[child])
        if bound > best_bound:
            best, best_bound = child, bound
    return best


@compiled()
def draw_state(random, weight, begin, end):  # type: ignore[no-untyped-def]
    """SplitMix64: draws one of the decisions begin … end, each as likely as it is heavy."""
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
