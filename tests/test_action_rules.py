"""Rules for actions learned from logs whose true trees are known: wording is seen through, what matters is left alone."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from helpers import noisy_logs
from helpers.noisy_actions import DEVELOPED_ON, HELD_BACK, TRAPS, make_log
from helpers.noisy_logs import make_trap, precision_and_recall
from helpers.small import make_store, tables

from tratree_data.cli import main
from tratree_data.store.reader import open_store
from tratree_data.trees.build import build
from tratree_data.trees.built_with import last_settings
from tratree_data.trees.rules.action_siblings import ActionLog
from tratree_data.trees.rules.argument_order import sort_text
from tratree_data.trees.rules.learned_rules import learn
from tratree_data.trees.rules.learning import learn_both
from tratree_data.trees.rules.suggest import suggest

CASES = [
    (walk, tuple(noises[name] for name in chosen))
    for worlds in (DEVELOPED_ON, HELD_BACK)
    for walk, noises in worlds.values()
    for chosen in (*((name,) for name in noises), tuple(noises))
]


def accepted(found: list[Any]) -> list[str]:
    return [suggestion.rule for suggestion in found if not suggestion.rejected]


@pytest.mark.parametrize(("world", "noises"), CASES, ids=lambda value: getattr(value, "__name__", "") or "".join(n.__name__ for n in value))
def test_wording_of_actions_is_found_and_merged(world: Any, noises: Any) -> None:
    rollouts, clean, done = make_log(world, noises, seed=11)
    found = learn(ActionLog(rollouts, done))
    precision, recall = precision_and_recall(rollouts, clean, done, (), accepted(found))
    assert precision >= 0.99, found
    assert recall >= 0.95, found


@pytest.mark.parametrize("trap", TRAPS)
def test_actions_that_differ_in_earnest_are_never_suggested(trap: str) -> None:
    for seed in range(2):
        found = learn(ActionLog(*make_trap(TRAPS[trap], seed=seed)))
        assert found, "the trap's difference is at least considered"
        assert accepted(found) == []


def test_observations_and_actions_are_learned_in_turn() -> None:
    """Noise on both sides hides each from the other."""
    walk, noises = DEVELOPED_ON["shell"]
    _, lines = noisy_logs.HELD_BACK["desk"]
    rollouts, clean, done = make_log(walk, [noises["prefix"], noises["script"]], seed=5)
    texts = [
        lines["date"](text, random.Random(f"{row} date"), random.Random(0)) for row, text in enumerate(done["observation"].to_pylist())
    ]
    seen = done.set_column(done.schema.get_field_index("observation"), "observation", pa.array(texts))
    observations, actions = learn_both(rollouts, seen, observations=True, actions=True)
    before = precision_and_recall(rollouts, clean, seen, (), ())
    after = precision_and_recall(rollouts, clean, seen, accepted(observations), accepted(actions))
    assert before[1] < 0.1
    assert min(after) > 0.99


def sessions() -> list[tuple[str, int, float, list[tuple[str, str, str]]]]:
    """Each attempt has a session whose number the agent must give back."""
    log = []
    for task in range(4):
        for attempt in range(8):
            rng = random.Random(f"{task} {attempt}")
            session, query = f"{rng.getrandbits(64):016x}", rng.choice(["red", "blue"])
            steps = [(f"Session {session} is open.", f"search {session} {query}"), (f"{query}: {task} results", f"close {session}")]
            log.append((f"task {task}", attempt, float(query == "red"), [(seen, "", did) for seen, did in [*steps, ("Closed.", "stop")]]))
    return log


def test_auto_sees_through_identifiers_that_actions_give_back(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store(tmp_path, *tables(sessions()))
    found = suggest(tmp_path, actions=True)
    rows = [(row["compares"], row["accepted"]) for row in found.rules.to_pylist()]
    assert {("observations", True), ("actions", True)} <= set(rows)
    assert "--normalise auto --normalise-actions auto" in found.advice
    report = build(tmp_path, embedder="exact", normalise=["auto"], normalise_actions=["auto"])
    assert report.counts["nodes"] == 4 * 7
    assert any("normaliser of actions" in note for note in report.notes)
    assert last_settings(open_store(tmp_path)).normalise_actions == ("identifiers",)
    assert not build(tmp_path, embedder="exact", normalise=["auto"], normalise_actions=["auto"]).changed
    monkeypatch.setattr("sys.argv", ["tratree", "audit", str(tmp_path), "--actions"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ("grep -r -n x src", "grep -n -r x src", True),
        ("sed -n -e 3p a.py", "sed -e 3p -n a.py", True),
        ("cd a && ls -l -a", "cd a && ls -a -l", True),
        ("f(a=1, b='x, y')", "f(b='x, y', a=1)", True),
        ('call {"b": [1, 2], "a": 1}', 'call {"a": 1, "b": [1, 2]}', True),
        ("cp a b", "cp b a", False),
        ("grep -A 3 -B 5 x", "grep -B 3 -A 5 x", False),
        ("find . -not -name x -type f", "find . -name x -not -type f", False),
        ("f(1, 2)", "f(2, 1)", False),
        ('call {"a": [1, 2]}', 'call {"a": [2, 1]}', False),
        ("git log -- -a -b", "git log -- -b -a", False),
        ("bash -c 'x; ls -a -b'", "bash -c 'x; ls -b -a'", False),
    ],
)
def test_argument_order_moves_only_what_may_move(a: str, b: str, equal: bool) -> None:
    assert (sort_text(a) == sort_text(b)) is equal
