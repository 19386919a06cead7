"""Pairs and step labels: against the plain reference word by word, and each filter by what it leaves out."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from helpers.sample_trees import chain_tables, lucky_tree, rollout, tasks, wide_arrays
from helpers.shared_data import SHARED, needs_shared
from helpers.tree_tables import ENVIRONMENT, make_tables, make_tree, node_id
from hypothesis import given, settings

from benchmarks.reference import Rollout, advantage_in_state, divergence_pairs, subtree
from tratree_data import import_log, states
from tratree_data.errors import BadInputError, TratreeError
from tratree_data.ids import tree_id
from tratree_data.messages import conversation, row_messages
from tratree_data.preferences.anchors import anchors_of
from tratree_data.preferences.candidates import KINDS, find_candidates, read_states
from tratree_data.preferences.pair_selection import PairChunk, make_pair_chunk, select
from tratree_data.preferences.pairs import pair_trees, pairs
from tratree_data.preferences.settings import PairSettings
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import open_store
from tratree_data.store.schemas import check, empty_table
from tratree_data.store.writing.writer import commit, create_store, writing
from tratree_data.trees.build import build

Rows = list[dict[str, object]]


def extract(tables: dict[str, pa.Table], **options: object) -> tuple[Rows, Rows, Rows, Counter[str]]:
    """(pairs, step labels, dropped, counts by reason)"""
    left_out: Counter[str] = Counter()
    found = {name: [empty_table(name)] for name in ("pairs", "step_labels", "dropped")}
    for name, table in pair_trees(
        make_pair_chunk(tables["nodes"], tables["step_nodes"], tables["rollouts"]), PairSettings(**options), left_out
    ):
        found[name].append(table)
    rows = [pa.concat_tables(parts).to_pylist() for parts in found.values()]
    return rows[0], rows[1], rows[2], left_out


def contents(messages: object) -> list[str]:
    return [message["content"] for message in messages]


def roles(row: dict[str, object]) -> list[str]:
    return [message["role"] for message in row["prompt"] + row["chosen"]]


@pytest.mark.parametrize(("kind", "siblings"), [("divergence", ""), ("step", ""), ("siblings", "adjacent"), ("siblings", "all")])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(rollouts=tasks())
def test_pairs_equal_the_reference(kind: str, siblings: str, rollouts: list[Rollout]) -> None:
    root, placed = make_tree(rollouts)
    expected = divergence_pairs(root, placed, rollouts, siblings, one_step=kind == "step")
    found, _, _, _ = extract(make_tables([rollouts]), kinds=(kind,), siblings=siblings or "adjacent", keep_duplicates=True)
    by_nodes = {(row["chosen_node_id"], row["rejected_node_id"]): row for row in found}
    assert len(by_nodes) == len(found) == len(expected)
    for pair in expected:
        row = by_nodes[node_id(pair.better, "task"), node_id(pair.worse, "task")]
        assert row["node_id"] == node_id(pair.better.parent, "task")
        assert (row["chosen_rollout_id"], row["rejected_rollout_id"]) == (pair.chosen.rollout_id, pair.rejected.rollout_id)
        assert row["chosen_score"] == pair.better.score_sum / pair.better.scored_visits
        assert row["margin"] == row["chosen_score"] - row["rejected_score"] > 0
        opening = f"You act in a test.\n\nDo it.\n\n{pair.prompt[0]}"
        assert contents(row["prompt"]) == [opening, *pair.prompt[1:]]
        assert (contents(row["chosen"]), contents(row["rejected"])) == (pair.chosen_texts, pair.rejected_texts)
        assert roles(row) == ["user", "assistant"] * (len(roles(row)) // 2), "user and assistant take turns"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rollouts=tasks())
def test_step_labels_equal_the_reference(rollouts: list[Rollout]) -> None:
    root, placed = make_tree(rollouts)
    through: dict[int, list[float]] = {}
    for one in rollouts:
        for step in range(len(one.steps)):
            if one.score is not None:
                through.setdefault(id(placed[one.rollout_id, step].node), []).append(one.score)
    _, labels, _, _ = extract(make_tables([rollouts]), labels="all")
    _, contrast, _, _ = extract(make_tables([rollouts]), labels="contrast")
    by_node = {row["node_id"]: row for row in labels}
    scored = [node for node in subtree(root) if node.parent and node.scored_visits]
    assert set(by_node) == {node_id(node, "task") for node in scored}
    contrasting = set()
    for node in scored:
        row = by_node[node_id(node, "task")]
        advantage, _ = advantage_in_state(node, through)
        assert row["advantage"] == pytest.approx(advantage)
        assert row["label"] == (row["advantage"] > 0)
        assert row["low"] <= row["value"] <= row["high"]
        assert row["completion"][0]["content"].endswith(f"Action: {node.action}")
        assert row["prompt"][-1]["role"] == "user"
        siblings = [child for child in node.parent.children if child.state == node.state and child.scored_visits]
        if len({child.score_sum / child.scored_visits for child in siblings}) > 1:
            contrasting.add(node_id(node, "task"))
    assert {row["node_id"] for row in contrast} == contrasting


def test_golden_pair() -> None:
    attempts = [rollout("t", 0, "ab", 1.0), rollout("t", 1, "ac", 0.0)]
    (row,), _, dropped, _ = extract(make_tables([attempts]))
    opening = conversation("You act in a test.", "Do it.", [("after ", "thought 0", "a")])
    assert row_messages(row["prompt"]) == [*opening, {"role": "user", "content": "after a"}]
    assert row_messages(row["chosen"]) == [{"role": "assistant", "content": "Thought: thought 0\nAction: b"}]
    assert row_messages(row["rejected"]) == [{"role": "assistant", "content": "Thought: thought 1\nAction: c"}]
    assert (row["task_id"], row["split"], row["environment"], row["margin"]) == ("t", "train", ENVIRONMENT, 1.0)
    assert dropped == []


def test_different_states_make_no_pair() -> None:
    """After 'g' the environment answered 'w' or 'l': what the agent did in one says nothing about the other."""
    found, _, _, _ = extract(make_tables([lucky_tree()]), kinds=("divergence", "step", "siblings"), siblings="all")
    assert {row["node_id"] for row in found} == {node_id(make_tree(lucky_tree())[0], "t")}


def test_stopping_is_no_side_of_a_pair() -> None:
    """To stop half-way has no action to prefer or reject."""
    found, _, dropped, _ = extract(make_tables([[rollout("t", 0, "ab", 0.0), rollout("t", 1, "a", 1.0)]]))
    assert found == []
    assert [(row["subject"], row["reason"]) for row in dropped] == [(tree_id(ENVIRONMENT, "t"), "no_alternatives")]


def test_unstructured_pairs_go_by_score_only() -> None:
    attempts = [rollout("t", i, actions, score) for i, (actions, score) in enumerate([("a", 1.0), ("bc", 0.5), ("bd", 0.0), ("a", None)])]
    found, _, _, _ = extract(make_tables([attempts]), kinds=("unstructured",), seed=3)
    assert len(found) == 2
    assert {row["rejected_rollout_id"] for row in found} == {"t-1", "t-2"}
    assert all(row["chosen_score"] > row["rejected_score"] and len(row["prompt"]) == 1 for row in found)
    picks = {extract(make_tables([attempts]), kinds=("unstructured",), seed=seed)[0][-1]["chosen_rollout_id"] for seed in range(20)}
    assert picks == {"t-0", "t-1"}, "any better rollout may be the partner"


def test_unstructured_partners_are_strictly_better_attempts_at_the_task() -> None:
    scores = [1.0, 1.0, 0.5, 0.5, 0.0]
    attempts = [[rollout(task, i, "abcde"[i], score) for i, score in enumerate(scores)] for task in ("s", "t")]
    found, _, _, left_out = extract(make_tables(attempts), kinds=("unstructured",), keep_duplicates=True)
    assert left_out == Counter()
    assert sorted(row["rejected_rollout_id"] for row in found) == ["s-2", "s-3", "s-4", "t-2", "t-3", "t-4"]
    assert all(row["chosen_score"] > row["rejected_score"] for row in found)
    assert all(row["chosen_rollout_id"][0] == row["rejected_rollout_id"][0] for row in found)


def test_expert_pairs() -> None:
    attempts = [rollout("t", 0, "a", 0.5), rollout("t", 1, "b", 1.0), rollout("t", 2, "cd", 1.0), rollout("t", 3, "c", 0.9)]
    agents = {"t-2": "expert", "t-3": "expert"}
    found, _, dropped, left_out = extract(make_tables([attempts], agents), kinds=("expert",))
    assert [(row["chosen_rollout_id"], row["rejected_rollout_id"], row["margin"]) for row in found] == [("t-2", "t-0", 0.5)]
    assert left_out == Counter({"equal_score": 1})
    worse = [rollout("t", 0, "a", 0.5), rollout("t", 1, "b", 0.2)]
    found, _, _, left_out = extract(make_tables([worse], {"t-1": "expert"}), kinds=("expert",))
    assert (found, left_out) == ([], Counter({"expert_not_better": 1}))
    assert dropped[0]["detail"] == "expert: 1 pair"


def spread(name: str = "t") -> list[Rollout]:
    """Five actions at the root with scores 0, 0.1, … 0.4, each taken once, 'e' three times."""
    return [rollout(name, i, "abcdeee"[i], [0.0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.4][i]) for i in range(7)]


@pytest.mark.parametrize(
    ("options", "kept", "reason", "count"),
    [
        ({}, 4, "", 0),
        ({"min_margin": 0.25}, 2, "small_margin", 2),
        ({"min_visits": 2}, 0, "few_visits", 4),
        ({"separated_only": True}, 0, "overlapping_intervals", 4),
        ({"max_pairs_per_node": 3}, 3, "node_cap", 1),
        ({"max_pairs_per_task": 1}, 1, "task_cap", 3),
        ({"kinds": ("siblings",)}, 4, "", 0),
        ({"kinds": ("siblings",), "siblings": "all"}, 10, "", 0),
        ({"kinds": ("siblings",), "siblings": "all", "max_pairs_per_node": 4}, 4, "node_cap", 6),
    ],
)
def test_filters_leave_out_with_a_reason(options: dict[str, object], kept: int, reason: str, count: int) -> None:
    found, _, dropped, left_out = extract(make_tables([spread()]), **options)
    assert len(found) == kept
    assert left_out == Counter({reason: count} if reason else {})
    assert {row["reason"] for row in dropped} == ({reason} if reason else set())
    if kept and options.get("kinds") is None:
        assert max(row["margin"] for row in found) == pytest.approx(0.4), "caps keep the widest margins"


def test_caps_keep_supported_margins_before_lucky_ones() -> None:
    """One 1.0 against one 0.0 is the widest margin, and eight against eight at 0.9 to 0.1 the one that is not luck."""
    lucky = [rollout("t", 0, "al", 1.0), rollout("t", 1, "am", 0.0)]
    sure = [rollout("t", 2 + i, "b" + "xy"[i % 2], [0.9, 0.1][i % 2]) for i in range(16)]
    tables = make_tables([[*lucky, *sure]])
    (kept,), _, _, _ = extract(tables, min_margin=0.5, max_pairs_per_task=1)
    assert (kept["margin"], kept["chosen_rollout_id"]) == (pytest.approx(0.8), "t-2")
    widest = max(extract(tables)[0], key=lambda row: row["margin"])
    assert (widest["margin"], widest["margin_z"]) == (1.0, pytest.approx(1.0)), "(2/3 - 1/3) / sqrt(2 x (2/9) / 4)"
    assert kept["margin_z"] > 3
    assert (widest["verified"], widest["chosen_visits"], widest["rejected_visits"]) == (False, 1, 1)
    assert kept["verified"] is True
    assert min(kept["chosen_visits"], kept["rejected_visits"]) > 1


def test_a_margin_in_standard_errors_needs_two_means() -> None:
    found, _, _, _ = extract(make_tables([spread()]), kinds=("divergence", "unstructured"))
    assert {row["kind"]: row["chosen_visits"] is None for row in found} == {"divergence": False, "unstructured": True}
    assert {row["kind"]: row["margin_z"] is None for row in found} == {"divergence": False, "unstructured": True}


def test_rows_of_one_preference_share_its_id() -> None:
    found, _, _, _ = extract(make_tables([spread()]), kinds=("divergence", "step", "unstructured"))
    by_kind = {kind: [row["preference_id"] for row in found if row["kind"] == kind] for kind in ("divergence", "step", "unstructured")}
    assert sorted(by_kind["divergence"]) == sorted(by_kind["step"])
    assert len(set(by_kind["divergence"])) == 4
    assert not set(by_kind["unstructured"]) & set(by_kind["step"])


def test_longest_continuation() -> None:
    attempts = [rollout("t", 0, "abcd", 1.0), rollout("t", 1, "x", 0.0)]
    assert len(extract(make_tables([attempts]), max_steps=4)[0]) == 1
    assert extract(make_tables([attempts]), max_steps=3)[3] == Counter({"too_long": 1})
    assert len(extract(make_tables([attempts]), max_steps=3, kinds=("step",))[0]) == 1, "a step is a step however long the rest is"


def test_same_text_twice_is_a_duplicate_unless_wanted() -> None:
    attempts = [
        Rollout("t", i, f"t-{i}", score, [("here", "", action)]) for i, (action, score) in enumerate([("a", 1.0), ("b", 0.0), ("b", 0.0)])
    ]
    found, _, _, left_out = extract(make_tables([attempts]), kinds=("unstructured",))
    assert (len(found), left_out) == (1, Counter({"duplicate": 1}))
    assert len(extract(make_tables([attempts]), kinds=("unstructured",), keep_duplicates=True)[0]) == 2


def test_same_words_with_other_scores_are_no_preference() -> None:
    """In a stochastic environment two equal trajectories may earn 1 and 0."""
    attempts = [Rollout("t", i, f"t-{i}", score, [("here", "", "a"), ("there", "", "b")]) for i, score in enumerate([1.0, 0.0])]
    found, _, _, left_out = extract(make_tables([attempts]), kinds=("unstructured",), keep_duplicates=True)
    assert (found, left_out) == ([], Counter({"same_words": 1}))


def test_separated_intervals_need_many_visits() -> None:
    attempts = [rollout("t", i, "a" if i < 10 else "b", float(i < 10)) for i in range(20)]
    assert len(extract(make_tables([attempts]), separated_only=True)[0]) == 1


@pytest.mark.parametrize("scores", [[0.5] * 6, [None] * 6], ids=["all scores equal", "no scores"])
def test_nothing_to_prefer(scores: list[float | None]) -> None:
    attempts = [rollout("t", i, "abc"[i % 3] + "x", score) for i, score in enumerate(scores)]
    found, labels, dropped, _ = extract(make_tables([attempts]), kinds=KINDS, siblings="all")
    assert (found, labels) == ([], [])
    assert {row["reason"] for row in dropped} == {"equal_score" if scores[0] else "no_alternatives"}


def test_one_child_everywhere_and_depth_of_two_thousand() -> None:
    tables = chain_tables(2_000)
    rest = {"observation": "o", "thought": "", "action": "go"}
    for name, text in rest.items():
        tables["nodes"] = tables["nodes"].append_column(name, pa.array([text] * 2_001))
    for name in ("observation", "thought"):
        tables["step_nodes"] = tables["step_nodes"].append_column(name, pa.nulls(2_000, pa.string()))
    for name in ("environment", "task_id", "split", "prompt", "instruction", "agent"):
        tables["rollouts"] = tables["rollouts"].append_column(name, pa.array(["x"]))
    chunk = make_pair_chunk(tables["nodes"], tables["step_nodes"], tables["rollouts"])
    found: dict[str, list[pa.Table]] = {}
    for name, table in pair_trees(chunk, PairSettings(labels="all"), Counter()):
        found.setdefault(name, []).append(table)
    labels = pa.concat_tables(found["step_labels"])
    assert pc.max(pc.list_value_length(labels["prompt"])).as_py() == 2 * 1_999 + 1
    assert (labels.num_rows, sum(table.num_rows for table in found.get("pairs", []))) == (2_000, 0)
    assert found["dropped"][0]["reason"].to_pylist() == ["no_alternatives"]


def test_a_million_children_make_linear_work() -> None:
    arrays = wide_arrays(1_000_000)
    chunk = PairChunk(
        arrays,
        read_states(arrays),
        np.arange(1_000_001),
        pa.table({"agent": pa.array([""] * 1_000_000)}),
        (empty_table("nodes"),) * 3,
        anchors_of(arrays, None, None),
    )
    candidates, counts = select(chunk, PairSettings(max_pairs_per_node=5), None, [])
    assert len(candidates) == 5
    assert counts == Counter({"node_cap": 899_995, "equal_score": 99_999})
    everyone = find_candidates(arrays, chunk.states, "siblings", "all", 0, np.zeros(1_000_000, dtype=bool))
    assert len(everyone) == 64 * 63 // 2, "of very many siblings only the most visited are compared with each other"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kinds": ("divergences",)},
        {"kinds": ()},
        {"siblings": "some"},
        {"labels": "few"},
        {"min_margin": float("nan")},
        {"min_margin": -0.1},
        {"min_visits": 0},
        {"max_steps": 0},
        {"max_pairs_per_node": 0},
        {"max_pairs_per_task": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInputError, match="Next:"):
        PairSettings(**wrong)


@pytest.fixture
def dataset(tmp_path):
    trees = [
        spread("few"),
        spread("few too"),
        [rollout("many", i, f"{chr(97 + i)}x", i / 20) for i in range(12)],
        [rollout("one", 0, "a", 1.0)],
    ]
    tables = make_tables(trees)
    create_store(tmp_path)
    with writing(tmp_path):
        commit(tmp_path, "build", {name: tables[name] for name in ("rollouts", "step_nodes", "nodes")}, settings={}, reads={})
    return tmp_path


def test_pairs_verb(dataset) -> None:
    report = pairs(dataset, kinds=("divergence", "step"))
    assert report.counts["pairs"] == 2 * (4 + 4 + 11)
    assert [note.split() for note in report.notes] == [["1", "left", "out:", "no_alternatives", "(trees)"]]
    assert not pairs(dataset, kinds=("divergence", "step")).changed
    store = open_store(dataset)
    assert check("pairs", store.read("pairs")).num_rows == store.sql("SELECT count(DISTINCT pair_id) AS n FROM pairs")["n"][0].as_py() == 38
    assert check("step_labels", store.read("step_labels")).num_rows == 5 + 5 + 12
    assert store.read("dropped")["subject"].to_pylist() == [tree_id(ENVIRONMENT, "one")]


def test_balance_caps_every_task_at_the_median(dataset) -> None:
    report = pairs(dataset, balance=True)
    counts = open_store(dataset).sql("SELECT task_id, count(*) AS n FROM pairs GROUP BY ALL ORDER BY task_id")
    assert counts["n"].to_pylist() == [4, 4, 4]
    assert "7 left out: task_cap" in report.notes[0]


def test_balance_is_for_each_kind_by_itself(dataset) -> None:
    """Which pairs there are of one kind does not depend on the others that are asked for."""
    kinds = ("divergence", "siblings")
    query = "SELECT * FROM pairs WHERE kind = $kind ORDER BY pair_id"
    alone = {}
    for kind in kinds:
        pairs(dataset, kinds=(kind,), siblings="all", balance=True)
        alone[kind] = open_store(dataset).sql(query, {"kind": kind})
    pairs(dataset, kinds=kinds, siblings="all", balance=True)
    assert all(open_store(dataset).sql(query, {"kind": kind}).equals(alone[kind]) for kind in kinds)
    assert len({table.num_rows for table in alone.values()}) == 2, "or one cap for both would have done"


def test_pairs_before_build_name_the_verb(tmp_path) -> None:
    tables = make_tables([spread()])
    create_store(tmp_path)
    with writing(tmp_path):
        commit(tmp_path, "import", {"rollouts": tables["rollouts"]}, settings={}, reads={})
    with pytest.raises(TratreeError, match="tratree build"):
        pairs(tmp_path)


def test_one_query_resolves_where_a_pair_comes_from(dataset) -> None:
    pairs(dataset)
    store = open_store(dataset)
    pair = store.sql("SELECT * FROM pairs WHERE task_id = 'few' ORDER BY margin DESC, pair_id LIMIT 1").to_pylist()[0]
    rows = query(store, "pair_lineage", pair_id=pair["pair_id"]).to_pylist()
    sides = {side: [row for row in rows if row["side"] == side] for side in ("chosen", "rejected")}
    assert {row["rollout_id"] for row in sides["chosen"]} == {"few-4", "few-5", "few-6"}, "all rollouts through the better node"
    assert {row["rollout_id"] for row in sides["rejected"]} == {"few-0"}
    assert [row["rollout_id"] for row in rows if row["shown"]] == [pair["chosen_rollout_id"], pair["rejected_rollout_id"]]
    assert {row["action"] for row in sides["chosen"]} == {"e"}
    assert query(store, "pair_lineage", pair_id="'; DROP TABLE pairs; --").num_rows == 0


def test_command_line(dataset, capsys) -> None:
    from tratree_data.cli import app

    for words in (["search", "--paths", "2"], ["pairs", "--kind", "step", "--min-margin", "0.3"], ["demonstrations", "--kind", "best"]):
        app([words[0], str(dataset), *words[1:]], standalone_mode=False)
    said = capsys.readouterr().err
    assert "search: 39 nodes, 7 paths" in said
    assert "small_margin" in said
    assert "demonstrations: 4 demonstrations" in said


@needs_shared
@pytest.mark.parametrize("log", ["knowagent_alfworld", "intercode_bash"])
def test_real_pairs_are_what_two_rollouts_said(log: str, tmp_path) -> None:
    """Observations merge when equal here, so both sides' prompts are what both rollouts saw, and continuations are what they said."""
    import_log(tmp_path, SHARED / "trajectories" / log / "normalized.jsonl", "jsonl")
    build(tmp_path, embedder="exact")
    states(tmp_path)
    assert pairs(tmp_path, kinds=KINDS).counts["pairs"] > 5
    store = open_store(tmp_path)
    said: dict[str, list[dict[str, object]]] = {}
    for row in store.sql("SELECT * FROM steps ORDER BY rollout_id, step").to_pylist():
        said.setdefault(row["rollout_id"], []).append(row)
    begun = {row["rollout_id"]: (row["prompt"], row["instruction"]) for row in store.read("rollouts").to_pylist()}
    for pair in store.read("pairs").to_pylist():
        for side in ("chosen", "rejected"):
            rollout_id = pair[f"{side}_rollout_id"]
            whole = conversation(*begun[rollout_id], [(row["observation"], row["thought"], row["action"]) for row in said[rollout_id]])
            start = len(pair["prompt"])
            if (pair["kind"], side) == ("anchor", "rejected"):  # another history: the same was seen, not at the same step
                found = [before["content"] for before, message in pairwise(whole) if row_messages([message]) == row_messages(pair[side])]
                assert any(text.endswith(pair["prompt"][-1]["content"]) or pair["prompt"][-1]["content"].endswith(text) for text in found)
                continue
            assert row_messages(pair[side]) == (whole[start:] if pair["kind"] not in ("step", "anchor") else whole[start : start + 1])
            assert contents(pair["prompt"])[::2] == contents(whole)[:start:2], "both saw the prompt's observations"
