"""Rules learned in the worlds of benchmarks/noise.py: noise is merged, alone and with everything else at once, and traps are left alone."""

import pytest

from benchmarks.noise import WORLDS, measure
from benchmarks.noisy_worlds.game import GAME

KINDS = [
    ("operations", "dates of ls -l"), ("operations", "journal times"), ("operations", "commit dates"), ("operations", "date headers"),
    ("operations", "load averages"), ("operations", "free blocks"), ("operations", "start times"), ("operations", "ages"),
    ("news", "order of filters"), ("news", "times of updates"), ("news", "customers also bought"), ("testing", "index lines"),
    ("news", "recommendations"), ("news", "banners"), ("service", "sensor readings"), ("testing", "times of tests"),
]  # fmt: skip


@pytest.mark.parametrize(("world", "kind"), KINDS)
def test_a_kind_of_noise_is_merged(world: str, kind: str) -> None:
    found = measure(WORLDS[world], [kind], seed=1)
    assert found["wanted"] > 50
    assert found["recall"] >= 0.95, found
    assert found["precision"] >= 0.99, found


@pytest.mark.parametrize(("world", "recall"), [("operations", 0.95), ("news", 0.7)])
def test_noise_is_merged_although_all_kinds_hide_each_other(world: str, recall: float) -> None:
    """No next observation is equal to another before all noise is known, so nothing was learned."""
    found = measure(WORLDS[world], WORLDS[world].kinds(), seed=1)
    assert found["recall"] >= recall, found
    assert found["precision"] >= 0.99, found


@pytest.mark.parametrize("world", WORLDS)
def test_traps_are_not_merged_where_there_is_no_noise(world: str) -> None:
    found = measure(WORLDS[world], [], seed=1)
    assert not found["false"], found


def test_each_world_has_many_kinds_and_the_same_log_for_the_same_seed() -> None:
    assert all(len(world.kinds()) >= 20 for world in WORLDS.values())
    assert all(ours == theirs for ours, theirs in zip(GAME.log(["weather"], 3), GAME.log(["weather"], 3), strict=True))
