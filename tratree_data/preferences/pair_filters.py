"""Which candidates become pairs: controls in a fixed order, each with the word under which `dropped` counts what it left out.

A candidate is left out by the first control that it fails:
same_action, equal_score, expert_not_better, small_margin, few_visits, overlapping_intervals, no_score, too_long, same_words, duplicate,
node_cap, task_cap.
"""

from dataclasses import dataclass
from math import isfinite

import numpy as np
import numpy.typing as npt

from tratree_data.errors import BadInputError, suggest
from tratree_data.preferences.candidates import KINDS, NO_ROLLOUT, NODE_KIND_NUMBERS, Candidates
from tratree_data.store.tree_arrays import Flags, Ints, TreeArrays
from tratree_data.system.intervals import wilson_interval

SIBLING_CHOICES = ("adjacent", "all")
LABEL_CHOICES = ("contrast", "all", "none")
SAME_SCORE = 1e-9
KEPT = ""


@dataclass(frozen=True)
class PairSettings:
    """What pairs depend on besides the trees."""

    kinds: tuple[str, ...] = ("divergence",)
    siblings: str = "adjacent"
    min_margin: float = 0.0
    min_visits: int = 1
    separated_only: bool = False
    max_steps: int | None = None
    max_pairs_per_node: int | None = None
    max_pairs_per_task: int | None = None
    balance: bool = False
    keep_duplicates: bool = False
    labels: str = "contrast"
    expert: str = "expert"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.kinds:
            raise BadInputError(f"At least one kind of pair is needed: {', '.join(KINDS)}.\nNext: --kind divergence")
        for kind in self.kinds:
            if kind not in KINDS:
                raise BadInputError(f"No kind of pair is called {kind!r}.{suggest(kind, KINDS)}\nNext: --kind divergence")
        for name, choices in (("siblings", SIBLING_CHOICES), ("labels", LABEL_CHOICES)):
            if getattr(self, name) not in choices:
                raise BadInputError(f"{name} is one of {', '.join(choices)}, not {getattr(self, name)!r}.\nNext: --{name} {choices[0]}")
        if not isfinite(self.min_margin) or not 0 <= self.min_margin <= 1:
            raise BadInputError(f"min_margin must lie between 0 and 1, not {self.min_margin}: scores do.\nNext: --min-margin 0.1")
        for name in ("min_visits", "max_steps", "max_pairs_per_node", "max_pairs_per_task"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise BadInputError(
                    f"{name} must be 1 or more, not {getattr(self, name)}.\nNext: leave it out, or --{name.replace('_', '-')} 1"
                )


def judge(forest: TreeArrays, action: Ints, candidates: Candidates, settings: PairSettings) -> npt.NDArray[np.str_]:
    """For each candidate the first rule that it breaks alone, or KEPT."""
    of_nodes = np.isin(candidates.kind, NODE_KIND_NUMBERS)
    better, worse = candidates.chosen_node, candidates.rejected_node
    low, high = wilson_interval(forest.mean, forest.scored_visits)
    visits = np.minimum(forest.scored_visits[better], forest.scored_visits[worse])
    steps = np.maximum(*(continuation_steps(forest, side, candidates.kind) for side in sides(candidates)))
    rules = {
        "same_action": of_nodes & (action[better] == action[worse]),
        "equal_score": np.abs(candidates.margin) < SAME_SCORE,
        "expert_not_better": candidates.margin < 0,
        "small_margin": candidates.margin < settings.min_margin - SAME_SCORE,
        "few_visits": of_nodes & (visits < settings.min_visits),
        "overlapping_intervals": of_nodes & settings.separated_only & ~(low[better] > high[worse]),
        "no_score": (candidates.chosen_rollout == NO_ROLLOUT) | (candidates.rejected_rollout == NO_ROLLOUT),
        "too_long": steps > (settings.max_steps or np.inf),
    }
    return np.select(list(rules.values()), list(rules), KEPT)


def sides(candidates: Candidates) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
    return (candidates.chosen_rollout, candidates.chosen_node), (candidates.rejected_rollout, candidates.rejected_node)


def first_steps(forest: TreeArrays, side: tuple[Ints, Ints]) -> Ints:
    """The step with which each continuation begins: a node at depth d holds step d − 1 of the rollouts through it."""
    rollout, node = side
    return forest.step_start[rollout] + forest.depth[node] - 1


def continuation_steps(forest: TreeArrays, side: tuple[Ints, Ints], kind: Ints) -> Ints:
    """How many steps each continuation has: one in pairs of kind step, else all until the rollout ends."""
    return np.where(kind == KINDS.index("step"), 1, forest.step_start[side[0] + 1] - first_steps(forest, side))


def by_priority(candidates: Candidates) -> Ints:
    """Order in which caps are filled: kind, then margin, then what parts earlier, then founding order."""
    keys = (candidates.rejected_rollout, candidates.chosen_rollout, candidates.rejected_node, candidates.chosen_node, -candidates.margin)
    return np.lexsort((*keys, candidates.kind))


def cap(groups: Ints, kind: Ints, largest: int | Ints | None) -> Flags:
    """Which candidates, in order, come after the first `largest` of their group and kind; it may differ from kind to kind."""
    if largest is None or not len(groups):
        return np.zeros(len(groups), dtype=bool)
    order = np.lexsort((np.arange(len(groups)), kind, groups))
    fresh = (np.diff(groups[order], prepend=-1) != 0) | (np.diff(kind[order], prepend=-1) != 0)
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
