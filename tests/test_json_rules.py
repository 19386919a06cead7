"""Noise within JSON, between two values, and in logs whose attempts share little: found where it is noise, and left where it matters."""

import json
import random

import pyarrow as pa
import pytest
from helpers.small import tables

from tratree_data.trees.rules.json_differences import text_differences
from tratree_data.trees.rules.learning import learn_both
from tratree_data.trees.rules.normalise import normalise, parse_rules

Rolled = tuple[str, int, float, list[tuple[str, str, str]]]


def desk(seed: int) -> list[Rolled]:
    """Calls whose reason and time limit are noise; results in which the order of tags and a cache flag are, and a ranking is not."""
    found = []
    for task in range(12):
        for attempt in range(12):
            rng = random.Random(f"{seed} {task} {attempt}")
            express = rng.random() < 0.5
            tags = rng.sample(["gold", "new", "vip", "late"], 4)
            ranking = ["express", "standard"] if express else ["standard", "express"]
            user = {"id": task, "tags": tags, "cached": rng.random() < 0.5}
            order = {"order": task + 50, "ranking": ranking}
            plan = rng.choice([["get_user", "get_order"], ["get_order"], ["get_user", "get_order", "get_order"]])
            seen, steps = f"A request about order {task + 50}.", []
            for name in [*plan, "ship"]:
                why = f"{rng.choice(['To check', 'I need', 'Look at'])} {rng.choice(['it', 'this', 'that'])} {rng.randint(1, 99)}"
                call = {"of": task, "reason": why, "timeout": rng.choice([30, 30, 30, 60])}
                steps.append((seen, "", f"{name} {json.dumps(call, sort_keys=True)}"))
                seen = json.dumps(user if name == "get_user" else order)
            steps.append((json.dumps({"shipped": express}), "", "done"))
            found.append((f"task {task}", attempt, float(express), steps))
    return found


def test_noise_in_json_is_found_key_by_key_and_an_order_that_matters_is_kept() -> None:
    seen, done = learn_both(*tables(desk(1)), observations=True, actions=True)
    accepted = [[suggestion.rule for suggestion in found if not suggestion.rejected] for found in (seen, done)]
    assert sorted(accepted[0]) == ["ignore-key:cached", "list-order:tags"]
    assert sorted(accepted[1]) == ["ignore-key:reason", "ignore-key:timeout"]
    assert any(suggestion.rule == "list-order:ranking" and suggestion.rejected for suggestion in seen)


def shell(seed: int, *, is_state: bool) -> list[Rolled]:
    """Attempts that share their first step only; one line is noise, or says in which of two worlds an attempt is."""
    found = []
    for task in range(20):
        for attempt in range(6):
            rng = random.Random(f"{seed} {task} {attempt}")
            is_locked, steps, seen = rng.random() < 0.5, [], f"Count files of kind {task}."
            for n in range(6):
                action = (
                    f"find -name '*.{task}'"
                    if n == 0
                    else f"{rng.choice(['ls', 'cat', 'wc', 'du', 'grep x'])} {rng.choice(['', 'a', 'b'])}{n}"
                )
                steps.append((seen, "", action))
                with_line = is_locked if is_state else rng.random() < 0.4
                seen = ("" if n % 2 else f"{task} {action}") + ("\nYou have mail in /var/mail" if with_line else "")
            found.append((f"task {task}", attempt, float(is_state and is_locked), [*steps, (seen, "", "submit")]))
    return found


@pytest.mark.parametrize("is_state", [False, True])
def test_a_log_whose_attempts_share_little_shows_noise_by_repeated_actions(is_state: bool) -> None:
    rollouts, steps = tables(shell(1, is_state=is_state))
    (seen, _) = learn_both(rollouts, steps, observations=True, actions=False)
    rules = [suggestion.rule for suggestion in seen if not suggestion.rejected]
    assert bool(rules) is not is_state, seen
    if not is_state:
        text = pa.array(["5 ls a1\nYou have mail in /var/mail", "5 ls a1"], pa.large_string())
        assert len(set(normalise(text, parse_rules(rules)).to_pylist())) == 1


@pytest.mark.parametrize(
    ("rule", "a", "b", "equal"),
    [
        ("ignore-key:id", 'find {"id": 1, "name": "x"}', 'find {"name": "x"}', True),
        ("ignore-key:id", 'find {"user": {"id": 1}}', 'find {"user": {"id": 2}}', False),
        ("ignore-key:user.id", '[{"user": {"id": 1}}]\ndone', '[{"user": {"id": 2}}]\ndone', True),
        ("list-order:tags", '{"rank": [1, 2], "tags": ["a", "b"]}', '{"tags": ["b", "a"], "rank": [1, 2]}', True),
        ("list-order:tags", '{"rank": [1, 2], "tags": ["a", "b"]}', '{"tags": ["b", "a"], "rank": [2, 1]}', False),
        ("list-order:$", '["a", "b"]', '["b", "a"]', True),
        ("list-order", '{"rank": ["a", "b"]}', '{"rank": ["b", "a"]}', False),
        ("comment-lines", "# look first\nls", "ls", True),
        ("comment-lines", "#!/bin/sh\nls", "ls", False),
    ],
)
def test_rules_for_json_change_one_path_only(rule: str, a: str, b: str, equal: bool) -> None:
    one, other = normalise(pa.array([a, b], pa.large_string()), parse_rules([rule])).to_pylist()
    assert (one == other) is equal


def test_items_of_shuffled_lists_are_compared_with_their_like() -> None:
    a = json.dumps({"items": [{"sku": "A", "price": 3, "at": 1}, {"sku": "B", "price": 4, "at": 2}]})
    b = json.dumps({"items": [{"sku": "B", "price": 4, "at": 7}, {"sku": "A", "price": 3, "at": 9}]})
    causes = {(cause.kind, cause.path) for place in text_differences(a, b) or () for cause in place.causes}  # type: ignore[union-attr]
    assert causes == {("list-order", "items"), ("ignore-key", "items.at")}
