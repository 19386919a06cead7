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

    @property
    def step_score(self) -> Floats:
        """[steps]"""
        return self.score[self.rollout]

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


def tree_advantage(outcome: Outcome, first_move: Ints) -> Floats:
    """Tree-GRPO: the score relative to the rollouts of the task, plus relative to those that made the same first move."""
    within, _ = relative(outcome.score, first_move, ~np.isnan(outcome.score), int(first_move.max(initial=NONE)) + 1)
    return np.asarray(episode_advantage(outcome) + within[outcome.rollout])


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


def both_sides(value: Floats, state: Ints, following: Ints) -> tuple[Floats, Floats]:
    """[steps] the value of the step's state and of the next one; NaN where a step is in none."""
    padded = np.append(value, np.nan)  # NONE is the last
    return padded[state], padded[following]


def edge_advantage(value: Floats, state: Ints, following: Ints, ended: Flags, outcome: Outcome) -> Floats:
    """G2PO: what the step led to, relative to the state's steps, plus what it gained, relative to the task's; 0 where that is unknown."""
    here, there = both_sides(value, state, following)
    there = np.where(ended, outcome.step_score, there)
    known = outcome.scored & ~np.isnan(here + there)
    towards, _ = relative(there, state, known, len(value))
    gained, _ = relative(there - here, outcome.tree, known, int(outcome.tree.max(initial=NONE)) + 1)
    return towards + gained


def nearness(
    distance: Ints, tree: Ints, state: Ints, following: Ints, ended: Flags, solved: Flags, outcome: Outcome, decay: float
) -> Floats:
    """GraphGPO: decay to the power of the distance after the step; NaN where the next state is unknown, or no attempt solved the task.

    From where no solved end can be reached, it is one more than the task's largest distance; `tree` is the task of each state.
    """
    largest = np.zeros(int(outcome.tree.max(initial=NONE)) + 1)
    np.maximum.at(largest, tree, distance)
    far = np.where(distance == NONE, largest[tree] + 1, distance) if len(distance) else np.zeros(0)
    _, there = both_sides(far, state, following)
    beyond = largest[outcome.tree]
    there = np.where(ended, np.where(solved, 0.0, beyond + 1), there)
    return np.where(beyond > 0, decay**there, np.nan)


def progress(distance: Ints, state: Ints, following: Ints, solved: Flags) -> Floats:
    """GraphGPO: how much nearer to a solved end the step led; NaN where it is not known from both sides."""
    here, there = both_sides(np.where(distance == NONE, np.nan, distance), state, following)
    return np.asarray(here - np.where(solved, 0.0, there))


def weights_of(advantage: Floats, beta: float) -> Floats:
    """exp(advantage / β), at most LARGEST_WEIGHT."""
    return np.asarray(np.exp(np.minimum(advantage / beta, np.log(LARGEST_WEIGHT))))
