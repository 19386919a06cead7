"""Normalisers learned from logs whose true trees are known: noise is found, and what matters is left alone."""

import itertools
import random
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from helpers.noisy_logs import DEVELOPED_ON, FOUND_LATER, HELD_BACK, TRAPS, make_log, make_trap, precision_and_recall
from helpers.small import make_store, tables

from tratree_data.cli import main
from tratree_data.store.reader import open_store
from tratree_data.trees.build import build
from tratree_data.trees.built_with import last_settings
from tratree_data.trees.rules.differences import Segment, Slot, differences
from tratree_data.trees.rules.learned_rules import learn
from tratree_data.trees.rules.normalise import normalise, parse_rules
from tratree_data.trees.rules.siblings import Log
from tratree_data.trees.rules.slots import segment_rule, slot_rule
from tratree_data.trees.rules.suggest import suggest

LATER = [("desk", (noise,)) for noise in FOUND_LATER] + [("shell", ("login", "ago", "bars")), ("house", ("colours", "ago"))]
WORLDS = {**DEVELOPED_ON, **HELD_BACK}
ONE_NOISE = [(world, (noise,)) for world, (_, noises) in WORLDS.items() for noise in noises]
ALL_NOISES = [(world, tuple(noises)) for world, (_, noises) in WORLDS.items()]


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """What is compiled once per machine is not what the tests time."""
    walk, known = WORLDS["desk"]
    learn(Log(*make_log(walk, [known["polite"]], seed=0)[::2]))


@pytest.mark.parametrize(
    ("world", "noises"), [*ONE_NOISE, *ALL_NOISES, *LATER], ids=lambda value: value if isinstance(value, str) else "+".join(value)
)
def test_noise_is_found_and_merged(world: str, noises: tuple[str, ...]) -> None:
    walk, known = WORLDS[world]
    rollouts, clean, seen = make_log(walk, [{**known, **FOUND_LATER}[name] for name in noises], seed=11)
    started = time.process_time()
    found = learn(Log(rollouts, seen))
    assert time.process_time() - started < 5
    precision, recall = precision_and_recall(rollouts, clean, seen, [suggestion.rule for suggestion in found if not suggestion.rejected])
    assert precision >= 0.99, found
    assert recall >= 0.95, found


@pytest.mark.parametrize(("trap", "seed"), list(itertools.product(TRAPS, range(2))))
def test_what_matters_is_never_suggested(trap: str, seed: int) -> None:
    found = learn(Log(*make_trap(TRAPS[trap], seed=seed)))
    assert found, "the trap's difference is at least considered"
    assert [suggestion.rule for suggestion in found if not suggestion.rejected] == []
    assert all(suggestion.rejected for suggestion in found)


def test_learning_is_deterministic() -> None:
    walk, known = WORLDS["desk"]
    rollouts, _, seen = make_log(walk, list(known.values()), seed=3)
    shuffled = seen.take(random.Random(0).sample(range(len(seen)), len(seen)))
    assert learn(Log(rollouts, seen)) == learn(Log(rollouts, shuffled))


def tickets() -> list[tuple[str, int, float, list[tuple[str, str, str]]]]:
    """30 trajectories of a help desk, as in the README: every attempt has a ticket number of its own."""
    found = []
    for task in range(3):
        for attempt in range(10):
            rng = random.Random(f"{task} {attempt}")
            number = rng.randint(100, 999)
            actions = [rng.choice(["read policy", "ask customer"]), rng.choice(["refund", "refuse"]), "close"]
            texts = [f"Ticket {number}: order {task} arrived broken.", f"Ticket {number}: noted.", f"Ticket {number}: waiting for you."]
            steps = [(text, "", action) for text, action in zip(texts, actions, strict=True)]
            found.append((f"task {task}", attempt, float(actions[:2] == ["read policy", "refund"]), steps))
    return found


def test_auto_applies_what_was_learned_and_says_so(tmp_path: Path) -> None:
    make_store(tmp_path, *tables(tickets()))
    plain = build(tmp_path, embedder="exact")
    learned = build(tmp_path, embedder="exact", normalise=["auto"])
    assert plain.counts["nodes"] == 93
    assert any("--normalise auto" in note for note in plain.notes)
    assert not any("--normalise auto" in note for note in learned.notes)
    assert learned.counts["nodes"] < 40
    assert any("learned 1 normaliser:" in note for note in learned.notes)
    (rule,) = last_settings(open_store(tmp_path)).normalise
    assert "Ticket" in rule or r"\d+" in rule
    assert not build(tmp_path, embedder="exact", normalise=["auto"]).changed
    assert not build(tmp_path, normalise=["auto"]).changed, "learned rules need no embedder"
    merged = open_store(tmp_path).sql("SELECT DISTINCT merged_by FROM merges").to_pylist()
    assert merged == [{"merged_by": "normalised"}]


def test_suggestions_come_with_counts_examples_and_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(tmp_path, *tables(tickets()))
    found = suggest(tmp_path)
    first = found.rules.to_pylist()[0]
    assert first["accepted"]
    assert first["merges"] > 40
    assert first["one_text"] != first["other_text"]
    assert "--normalise auto" in found.advice
    monkeypatch.setattr("sys.argv", ["tratree", "audit", str(tmp_path), "--suggest"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert first["rule"] in capsys.readouterr().out
    build(tmp_path, embedder="exact", normalise=["auto"])
    assert not any(suggest(tmp_path).rules["accepted"].to_pylist()), "what is applied already is not suggested again"


def test_a_log_without_noise_needs_no_rule(tmp_path: Path) -> None:
    walk, _ = WORLDS["house"]
    rollouts, _, seen = make_log(walk, [], seed=2)
    assert not [suggestion for suggestion in learn(Log(rollouts, seen)) if not suggestion.rejected]
    assert pc.sum(rollouts["step_count"]).as_py() > 300


@pytest.mark.parametrize(
    ("a", "b", "left_and_right"),
    [
        ("Ticket 237 is open", "Ticket 847 is open", [("237", "847")]),
        ("INFO: 3\nHello", "Hello", [("INFO: 3\n", "")]),
        ("Hello [12:33:22]", "Hello", [(" [12:33:22]", "")]),
        ("same", "same", []),
    ],
)
def test_differences_name_what_differs(a: str, b: str, left_and_right: list[tuple[str, str]]) -> None:
    assert [(place.left, place.right) for place in differences(a, b) or []] == left_and_right


def test_an_arrow_in_a_text_is_not_that_of_a_rule() -> None:
    """Progress bars end with one, and a rule's pattern ends at the first."""
    (bar,) = {cause for found in differences("[==> ] 20 percent done\nA hall.", "A hall.") or [] for cause in found.causes}
    assert isinstance(bar, Segment)
    text = pa.array(["[==> ] 40 percent done\nA hall."], pa.large_string())
    assert normalise(text, parse_rules([segment_rule(bar)])).to_pylist() == ["A hall."]
    assert len(parse_rules([slot_rule(Slot("=>", ""), r"\d+")])) == 1


def encyclopedia(tasks: int, attempts: int) -> list[tuple[str, int, float, list[tuple[str, str, str]]]]:
    """Articles in the wording of several editions, which decide what the agent finds next: hundreds of differences, none of them noise."""
    found = []
    words = [f"{first}{last}" for first in ("ba", "ke", "li", "mo", "nu") for last in ("den", "fer", "gis", "lon", "mar")]
    for task in range(tasks):
        article = [random.Random(f"{task} {line}").choices(words, k=10) for line in range(6)]
        for attempt in range(attempts):
            edition = random.Random(f"{task} {attempt}").randrange(6)
            rng = random.Random(f"{task} {edition}")
            text = "\n".join(" ".join(f"{word} {rng.randrange(10**6)}" for word in line) for line in article)
            steps = [(f"Question {task}.", "search"), (text, "read on"), (f"Page {edition}", f"look up {edition}"), ("", "stop")]
            found.append((f"task {task}", attempt, float(edition % 2), [(seen, "", action) for seen, action in steps]))
    return found


def test_texts_with_hundreds_of_differences_are_learned_from_in_seconds() -> None:
    """Candidates were dropped one by one, and everything was compared again after each."""
    log = Log(*tables(encyclopedia(30, 12)))
    started = time.process_time()
    found = learn(log)
    assert time.process_time() - started < 10
    assert len([suggestion for suggestion in found if "what comes next" in suggestion.rejected]) > 5
    assert not [suggestion.rule for suggestion in found if not suggestion.rejected]


def test_a_long_line_without_commas_is_sorted_in_a_moment() -> None:
    """Each of its words could begin a list, and the rest of the line was read again from every one."""
    line = pa.array(["a long story about knives " * 4_000], pa.large_string())
    started = time.process_time()
    assert normalise(line, parse_rules(["list-order"])) == line
    assert time.process_time() - started < 2
