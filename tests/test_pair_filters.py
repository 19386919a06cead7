"""The filters of pairs exactly at their limits, on a few candidates and without a dataset."""

from dataclasses import replace

import numpy as np
import pytest

from tratree_data.preferences.candidates import KINDS, NO_ROLLOUT, Candidates
from tratree_data.preferences.pair_filters import cap, judge, margin_z, posterior, repeats
from tratree_data.preferences.settings import PairSettings
from tratree_data.store.chunks.tree_arrays import Ints, TreeArrays


def ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


PAIR = Candidates(
    kind=ints(KINDS.index("divergence")),
    node=ints(0),
    founder=ints(1),
    chosen_node=ints(1),
    rejected_node=ints(2),
    chosen_rollout=ints(0),
    rejected_rollout=ints(1),
    chosen_score=np.array([0.75]),
    rejected_score=np.array([0.25]),
    chosen_visits=ints(4),
    rejected_visits=ints(4),
    chosen_squares=np.array([3.0]),
    rejected_squares=np.array([1.0]),
)
"""Of two rollouts of three steps that differ in the first one."""


def reason(pair: Candidates, action: Ints | None = None, **settings: object) -> str:
    arrays = object.__new__(TreeArrays)  # a frozen table of many columns, of which two are read here
    object.__setattr__(arrays, "step_start", ints(0, 3, 6))
    object.__setattr__(arrays, "depth", ints(0, 1, 1))
    return str(judge(arrays, ints(0, 1, 2) if action is None else action, pair, PairSettings(**settings))[0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("setting", "kept", "left_out", "why"),
    [
        ("min_margin", 0.5, 0.51, "small_margin"),
        ("min_visits", 4, 5, "few_visits"),
        ("max_steps", 3, 2, "too_long"),
    ],
)
def test_a_limit_is_part_of_what_it_allows(setting: str, kept: object, left_out: object, why: str) -> None:
    assert reason(PAIR, **{setting: kept}) == ""
    assert reason(PAIR, **{setting: left_out}) == why


def test_each_side_needs_the_visits() -> None:
    assert reason(replace(PAIR, chosen_visits=ints(3)), min_visits=4) == "few_visits"
    assert reason(replace(PAIR, rejected_visits=ints(3)), min_visits=4) == "few_visits"


def test_the_same_action_the_same_score_and_no_score_make_no_pair() -> None:
    assert reason(PAIR, action=ints(0, 1, 1)) == "same_action"
    assert reason(replace(PAIR, chosen_score=PAIR.rejected_score)) == "equal_score"
    assert reason(replace(PAIR, chosen_score=PAIR.rejected_score + 1e-6)) == ""
    assert reason(replace(PAIR, chosen_rollout=ints(NO_ROLLOUT))) == reason(replace(PAIR, rejected_rollout=ints(NO_ROLLOUT))) == "no_score"


def test_whole_rollouts_are_not_judged_as_pooled_ones() -> None:
    expert = replace(PAIR, kind=ints(KINDS.index("expert")))
    assert reason(expert, action=ints(0, 1, 1), min_visits=9, separated_only=True) == ""
    assert reason(replace(expert, chosen_score=np.array([0.1]))) == "expert_not_better"
    assert np.isnan(margin_z(expert)).all()
    assert reason(replace(PAIR, kind=ints(KINDS.index("step"))), max_steps=1) == "", "one answer is one step"


def test_intervals_that_touch_are_not_separated() -> None:
    many = replace(PAIR, chosen_visits=ints(400), rejected_visits=ints(400))
    assert (reason(PAIR, separated_only=True), reason(many, separated_only=True)) == ("overlapping_intervals", "")


def test_a_cap_keeps_the_first_of_each_group_and_kind() -> None:
    groups, kinds = ints(5, 5, 5, 7, 5), ints(0, 0, 1, 0, 0)
    assert cap(groups, kinds, None).tolist() == [False] * 5
    assert cap(groups, kinds, 1).tolist() == [False, True, False, False, True]
    assert cap(groups, kinds, 2).tolist() == [False, False, False, False, True]
    assert cap(groups, kinds, ints(2, 0)).tolist() == [False, False, True, False, True], "each kind may have its own"
    assert cap(ints(), ints(), 1).tolist() == []
    assert cap(ints(0), ints(0), 1).tolist() == [False], "group 0 is a group"


def test_a_repeat_is_a_later_one_of_the_same_group() -> None:
    prints = np.array([3, 3, 4, 3], dtype=np.uint64)
    assert repeats(ints(1, 1, 1, 2), prints).tolist() == [False, True, False, False]


def test_one_failure_and_one_success_join_each_side() -> None:
    """Beta(1 + 3, 1 + 1) for three successes of four."""
    mean, variance = posterior(np.array([0.75]), ints(4), np.array([3.0]))
    assert mean[0] == pytest.approx(4 / 6)
    assert variance[0] == pytest.approx(4 * 2 / (6**2 * 7))
    other = 4 * 2 / (6**2 * 7)
    assert margin_z(PAIR)[0] == pytest.approx((4 / 6 - 2 / 6) / (variance[0] + other) ** 0.5)
