"""What each step of a scored rollout contributed: one function per method, over groups of steps. docs/states.md has the formulas.

Steps of unscored rollouts take part in nothing here. A step in no state, or alone in its state, has no step advantage: 0.
"""

from dataclasses import dataclass

import numpy as np

from tratree_data.state_graphs.grouping import NONE, Flags, Floats, Ints

TINY = 1e-6
"""Added to standard deviations, as GiGPO's released code does."""
LARGEST_WEIGHT = 20.0


@dataclass(frozen=True)
class Outcome:
    """How the rollouts of some steps ended, spread over their steps."""

    rollout: Ints  # [steps]
    tree: Ints  # [steps]
    tree_of_rollout: Ints  # [rollouts]
    score: Floats  # [rollouts] NaN without one
    left: Ints  # [steps] steps that follow

    @property
    def scored(self) -> Flags:
        return ~np.isnan(self.score)[self.rollout]

    def returns(self, discount: float) -> Floats:
        return np.asarray(self.score[self.rollout] * discount**self.left)


def group_means(values: Floats, group: Ints, kept: Flags, groups: int) -> tuple[Floats, Ints]:
    """(mean, count) of the kept values of each group; NaN for a group without any."""
    rows = kept & (group >= 0)
    counts = np.bincount(group[rows], minlength=groups)
    sums = np.bincount(group[rows], weights=values[rows], minlength=groups)
    return np.divide(sums, counts, out=np.full(groups, np.nan), where=counts > 0), counts.astype(np.int64)


def relative(values: Floats, group: Ints, kept: Flags, groups: int, *, scale: bool = True, sample: bool = True) -> tuple[Floats, Ints]:
    """(value minus the group's mean, divided by its standard deviation if `scale`; size of the group), by row; alone: 0.

    The deviation is the sample's, or with `sample=False` the population's.
    """
    means, counts = group_means(values, group, kept, groups)
    inside = kept & (group >= 0)
    at = np.where(inside, group, 0)
    deviation = np.where(inside, values - means[at] if groups else 0.0, 0.0)
    size = np.where(inside, counts[at] if groups else 0, 0)
    deviation = np.where(size > 1, deviation, 0.0)
    if scale:
        squares = np.bincount(group[inside], weights=deviation[inside] ** 2, minlength=groups)
        spread = np.sqrt(np.divide(squares, counts - sample, out=np.zeros(groups), where=counts > 1))
        deviation = np.divide(deviation, spread[at] + TINY, out=np.zeros(len(values)), where=size > 1)
    return deviation, size


def episode_advantage(outcome: Outcome, *, scale: bool = True) -> Floats:
    """The rollout's score relative to the attempts at its task, for each of its steps."""
    trees = int(outcome.tree_of_rollout.max(initial=NONE)) + 1
    by_rollout, _ = relative(outcome.score, outcome.tree_of_rollout, ~np.isnan(outcome.score), trees, scale=scale)
    return np.asarray(by_rollout[outcome.rollout])


def leave_one_out(returns: Floats, state: Ints, kept: Flags, states: int) -> Floats:
    """The return minus the mean of the other steps' in the state."""
    deviation, size = relative(returns, state, kept, states, scale=False)
    return np.divide(deviation * size, size - 1, out=np.zeros(len(returns)), where=size > 1)


def nested(advantages: list[Floats], sizes: list[Ints], histories: list[int], alpha: float) -> Floats:
    """HGPO: step advantages of several histories, longer ones weighted more, over those in which the step is not alone."""
    total, weights = np.zeros_like(advantages[0]), np.zeros_like(advantages[0])
    for advantage, size, history in zip(advantages, sizes, histories, strict=True):
        weight = np.where(size > 1, float(history + 1) ** alpha, 0.0)
        total, weights = total + weight * advantage, weights + weight
    return np.divide(total, weights, out=np.zeros_like(total), where=weights > 0)


def temporal_difference(mean: Floats, state: Ints, following: Ints, ended: Flags, score: Floats) -> Floats:
    """G2PO: the mean score of the next state minus that of this one; at an end the score itself. NaN where a state is unknown."""
    if not len(mean):
        return np.full(len(state), np.nan)
    here = np.where(state >= 0, mean[np.maximum(state, 0)], np.nan)
    there = np.where(ended, score, np.where(following >= 0, mean[np.maximum(following, 0)], np.nan))
    return np.asarray(there - here)


def progress(distance: Ints, state: Ints, following: Ints, solved: Flags) -> Floats:
    """GraphGPO: how much nearer to a solved end the step led; NaN where it is not known from both sides."""
    if not len(distance):
        return np.full(len(state), np.nan)
    known = np.where(distance >= 0, distance.astype(np.float64), np.nan)
    here = np.where(state >= 0, known[np.maximum(state, 0)], np.nan)
    there = np.where(solved, 0.0, np.where(following >= 0, known[np.maximum(following, 0)], np.nan))
    return np.asarray(here - there)


def weights_of(advantage: Floats, beta: float) -> Floats:
    """exp(advantage / β), at most LARGEST_WEIGHT."""
    return np.asarray(np.exp(np.minimum(advantage / beta, np.log(LARGEST_WEIGHT))))
