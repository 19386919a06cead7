"""Pairs of kind anchor: equal to the plain reference, and made, checked and published from a dataset in both forms."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from helpers.small import make_store, tables
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from benchmarks import reference
from tratree_data import build, check, open_store, pairs, publish, states
from tratree_data.errors import NotFoundError
from tratree_data.preferences.pair_selection import make_pair_chunk
from tratree_data.preferences.pairs import pair_trees
from tratree_data.preferences.settings import PairSettings
from tratree_data.state_graphs.compared import Comparing
from tratree_data.state_graphs.settings import StatesSettings
from tratree_data.state_graphs.states import graph_of_steps
from tratree_data.store.published.release import open_dataset
from tratree_data.trees.stats import graph_advice
from tratree_data.trees.tree import build_tree

ATTEMPTS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz")), min_size=1, max_size=6),
        st.sampled_from([None, 0.0, 0.25, 0.5, 1.0]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ATTEMPTS, st.sampled_from(["0", "1"]))
@example([([("a", "x")], None), ([("a", "y")], 0.0), ([("a", "z"), ("a", "x")], 0.25)], "0")
def test_anchor_pairs_equal_the_reference(log: list[tuple[Any, Any]], history: str) -> None:
    attempts = [reference.Attempt(steps, score, score == 1.0) for steps, score in log]
    rollouts, steps = tables(
        [("t", i, score, [(seen, f"thought {i}", did) for seen, did in taken]) for i, (taken, score) in enumerate(log)]
    )
    tree = build_tree(rollouts, steps)
    graph = graph_of_steps(
        rollouts, steps, StatesSettings(history=(history,), method=("loo",)), Comparing((), (), pa.array([], pa.string()))
    )
    (method,) = graph["step_credits"]["method"].unique().to_pylist() or [None]
    chunk = make_pair_chunk(tree.nodes, tree.step_nodes, rollouts, step_credits=graph["step_credits"], anchored=method)
    chosen = PairSettings(kinds=("anchor",), keep_duplicates=True)
    found = [row for name, table in pair_trees(chunk, chosen, Counter()) if name == "pairs" for row in table.to_pylist()]
    expected = reference.anchor_pairs(attempts, int(history), lambda text: not text.strip())
    scores = Counter(tuple(round(value, 9) for value in row) for row in expected.values())
    measured = Counter(
        (round(row["chosen_score"], 9), round(row["rejected_score"], 9), row["chosen_visits"], row["rejected_visits"]) for row in found
    )
    assert measured == scores
    for row in found:
        assert [len(row["chosen"]), len(row["rejected"])] == [1, 1]
        ours, theirs = (attempts[int(row[f"{side}_rollout_id"][-5:])] for side in ("chosen", "rejected"))
        step = (len(row["prompt"]) - 1) // 2
        seen = row["prompt"][-1]["content"].split("\n\n")[-1]
        assert ours.steps[step][0] == seen
        assert row["chosen"][0]["content"].endswith(f"Action: {ours.steps[step][1]}")
        assert any(observation == seen and row["rejected"][0]["content"].endswith(f"Action: {did}") for observation, did in theirs.steps)
        assert [message["role"] for message in row["prompt"]] == (["user", "assistant"] * len(row["prompt"]))[: len(row["prompt"])]
        assert math.isclose(row["margin"], row["chosen_score"] - row["rejected_score"])


LOG = [
    ("t", 0, 1.0, [("door", "", "in"), ("room", "", "out")]),
    ("t", 1, 0.0, [("porch", "", "in"), ("room", "", "sleep")]),
    ("t", 2, 1.0, [("door", "", "in"), ("room", "", "out")]),
]


@pytest.mark.parametrize("form", ["react", "chat"])
def test_the_verb_makes_them_from_the_tables_of_states(tmp_path: Path, form: str) -> None:
    make_store(tmp_path, *tables(LOG))
    build(tmp_path, embedder="exact")
    with pytest.raises(NotFoundError, match="tratree states"):
        pairs(tmp_path, kinds=("anchor",))
    states(tmp_path, history=("0", "1"))
    with pytest.raises(NotFoundError, match="--history 2 --method gigpo"):
        pairs(tmp_path, kinds=("anchor",), anchor_history="2")
    assert pairs(tmp_path, kinds=("divergence", "anchor"), form=form).counts["pairs"] == 1
    (row,) = open_store(tmp_path).read("pairs").to_pylist()
    assert (row["kind"], row["form"], row["chosen_visits"], row["rejected_visits"], row["verified"]) == ("anchor", form, 2, 1, False)
    assert [message["content"] for message in row["prompt"]][-1] == "room"
    assert [row[side][0]["content"].split("Action: ")[-1] for side in ("chosen", "rejected")] == ["out", "sleep"]
    assert not any(rule["offending_rows"] for rule in check(tmp_path).to_pylist())
    assert not pairs(tmp_path, kinds=("divergence", "anchor"), form=form).changed
    if form == "react":
        release = tmp_path.with_name(f"{tmp_path.name}-release")
        publish(tmp_path, release, version="1.0.0", license="mit")
        card = (release / "README.md").read_text(encoding="utf-8")
        assert "Pairs here: 1 of kind `anchor`." in card
        assert 'row["kind"] in ("step", "anchor")' in card
        assert open_dataset(release).read("pairs").to_pylist() == [row]
    assert pairs(tmp_path, kinds=("anchor",), anchor_history="1", form=form).counts["pairs"] == 0, "what came before differs"
    states(tmp_path, history=("0",))
    assert pairs(tmp_path, kinds=("anchor",), form=form).changed, "its states are new"


def test_advice_says_when_only_states_show_the_divergences(tmp_path: Path) -> None:
    ends = [("t", "the order", "cancel", "refund"), ("u", "the seat", "keep", "change"), ("v", "the bag", "add", "remove")]
    talks = [
        (task, i, float(i % 2), [(f"hello {i}", "", f"yes {i}"), (seen, "", good if i % 2 else bad)])
        for task, seen, good, bad in ends
        for i in range(4)
    ]
    same = [(task, i, score, [("hello", "", "yes"), *steps[1:]]) for task, i, score, steps in talks]
    for name, attempts, expected in (("talks", talks, 1), ("same", same, 0)):
        make_store(tmp_path / name, *tables(attempts))
        build(tmp_path / name, embedder="exact")
        assert graph_advice(open_dataset(tmp_path / name)) == []
        states(tmp_path / name)
        found = graph_advice(open_dataset(tmp_path / name))
        assert len(found) == expected
    pairs(tmp_path / "talks", kinds=("divergence", "anchor"))
    assert open_store(tmp_path / "talks").count("pairs")
    assert graph_advice(open_dataset(tmp_path / "talks")) == []
