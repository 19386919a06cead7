"""Which candidates become pairs: filters in a fixed order, each with the reason under which `dropped` counts what it left out.

A candidate is left out by the first filter that it fails:
same_action, equal_score, expert_not_better, small_margin, few_visits, overlapping_intervals, no_score, too_long, same_words, duplicate,
node_cap, task_cap.
"""

import numpy as np
import numpy.typing as npt

from tratree_data.preferences.candidates import NO_ROLLOUT, ONE_STEP_KINDS, POOLED_KINDS, Candidates
from tratree_data.preferences.settings import PairSettings
from tratree_data.store.chunks.tree_arrays import Flags, Floats, Ints, TreeArrays
from tratree_data.system.intervals import wilson_interval

SAME_SCORE = 1e-9
KEPT = ""
NO_GROUP = -1
CERTAIN = 1.96
"""Standard errors from which on a margin is called verified; sql/branch_from_sides.sql has the same."""


def judge(arrays: TreeArrays, action: Ints, candidates: Candidates, settings: PairSettings) -> npt.NDArray[np.str_]:
    """For each candidate the first rule that it breaks alone, or KEPT."""
    pooled = np.isin(candidates.kind, POOLED_KINDS)
    better, worse = candidates.chosen_node, candidates.rejected_node
    low, _ = wilson_interval(candidates.chosen_score, candidates.chosen_visits)
    _, high = wilson_interval(candidates.rejected_score, candidates.rejected_visits)
    visits = np.minimum(candidates.chosen_visits, candidates.rejected_visits)
    steps = np.maximum(*(continuation_steps(arrays, side, candidates.kind) for side in sides(candidates)))
    rules = {
        "same_action": pooled & (action[better] == action[worse]),
        "equal_score": np.abs(candidates.margin) < SAME_SCORE,
        "expert_not_better": candidates.margin < 0,
        "small_margin": candidates.margin < settings.min_margin - SAME_SCORE,
        "few_visits": pooled & (visits < settings.min_visits),
        "overlapping_intervals": pooled & settings.separated_only & ~(low > high),
        "no_score": (candidates.chosen_rollout == NO_ROLLOUT) | (candidates.rejected_rollout == NO_ROLLOUT),
        "too_long": steps > (settings.max_steps or np.inf),
    }
    return np.select(list(rules.values()), list(rules), KEPT)


def sides(candidates: Candidates) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
    return (candidates.chosen_rollout, candidates.chosen_node), (candidates.rejected_rollout, candidates.rejected_node)


def first_steps(arrays: TreeArrays, side: tuple[Ints, Ints]) -> Ints:
    """The step with which each continuation begins: a node at depth d holds step d − 1 of the rollouts through it."""
    rollout, node = side
    return arrays.step_start[rollout] + arrays.depth[node] - 1


def continuation_steps(arrays: TreeArrays, side: tuple[Ints, Ints], kind: Ints) -> Ints:
    """How many steps each continuation has: one in pairs of kinds step and anchor, else all until the rollout ends."""
    return np.where(np.isin(kind, ONE_STEP_KINDS), 1, arrays.step_start[side[0] + 1] - first_steps(arrays, side))


def by_priority(candidates: Candidates) -> Ints:
    """Order in which caps are filled: kind, then z-score, then margin, then what diverges earlier, then founding order."""
    z = np.nan_to_num(margin_z(candidates))
    keys = (candidates.rejected_rollout, candidates.chosen_rollout, candidates.rejected_node, candidates.chosen_node)
    return np.lexsort((*keys, -candidates.margin, -np.round(z, 9), candidates.kind))


def margin_z(candidates: Candidates) -> Floats:
    """The margin in standard errors, with the noise of both sides; NaN if each side is one whole rollout.

    One failure and one success join each side's scores, so that 1 of 1 against 0 of 1 is not certain; for scores of 0 and 1 this is the
    posterior Beta(1 + successes, 1 + failures). The z-score is negative where the few rollouts of the better side prove nothing.
    """
    chosen = posterior(candidates.chosen_score, candidates.chosen_visits, candidates.chosen_squares)
    rejected = posterior(candidates.rejected_score, candidates.rejected_visits, candidates.rejected_squares)
    z = (chosen[0] - rejected[0]) / np.sqrt(chosen[1] + rejected[1])
    return np.where(np.isin(candidates.kind, POOLED_KINDS), z, np.nan)


def posterior(score: Floats, count: Ints, squares: Floats) -> tuple[Floats, Floats]:
    """(mean, its variance) of scores with this mean, number and sum of squares, one failure and one success added (beliefs.sql)."""
    mean = (score * count + 1) / (count + 2)
    return mean, ((squares + 1) / (count + 2) - mean**2) / (count + 3)


def cap(groups: Ints, kind: Ints, largest: int | Ints | None) -> Flags:
    """Which candidates, in order, come after the first `largest` of their group and kind; it may differ from kind to kind."""
    if largest is None or not len(groups):
        return np.zeros(len(groups), dtype=bool)
    order = np.lexsort((np.arange(len(groups)), kind, groups))
    fresh = (np.diff(groups[order], prepend=NO_GROUP) != 0) | (np.diff(kind[order], prepend=NO_GROUP) != 0)
    position = np.arange(len(groups))
    late = np.zeros(len(groups), dtype=bool)
    limit = largest if isinstance(largest, int) else largest[kind[order]]
    late[order] = position - np.maximum.accumulate(np.where(fresh, position, 0)) >= limit
    return late


def repeats(groups: Ints, fingerprint: npt.NDArray[np.uint64]) -> Flags:
    """Which candidates, in order, say the same as an earlier one of their group."""
    order = np.lexsort((np.arange(len(groups)), fingerprint, groups))
    same = np.zeros(len(groups), dtype=bool)
    same[order[1:]] = (np.diff(groups[order]) == 0) & (fingerprint[order][1:] == fingerprint[order][:-1])
    return same
