"""Search: the compiled kernel against the plain reference number by number, on golden, random and degenerate trees."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest
from helpers.sample_trees import arrays_of, chain_tables, lucky_tree, rollout, tasks, wide_arrays
from helpers.tree_tables import ENVIRONMENT, make_tables, make_tree, node_id
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reference import (
    Node,
    Rollout,
    advantage_in_state,
    best_end,
    best_path,
    discounted_value,
    search_tree,
    subtree,
    wilson,
)
from tratree_data import build, delete, import_log
from tratree_data.errors import BadInputError
from tratree_data.ids import content_id, tree_id
from tratree_data.store.checks import check as check_dataset
from tratree_data.store.chunks.tree_arrays import TreeArrays
from tratree_data.store.reader import open_store
from tratree_data.store.schemas import check
from tratree_data.store.writing.writer import commit, create_store, writing
from tratree_data.tree_search.search import SearchSettings, search, search_trees


def values_by_node(
    arrays: TreeArrays, options: SearchSettings, threads: int = 1
) -> tuple[dict[str, dict[str, object]], list[dict[str, object]]]:
    found = search_trees(arrays, options, threads)
    return {row["node_id"]: row for row in found["node_values"].to_pylist()}, found["paths"].to_pylist()


def scores_through(root: Node, placed: dict, rollouts: list[Rollout]) -> dict[int, list[float]]:
    through: dict[int, list[float]] = {}
    for one in rollouts:
        for step in range(len(one.steps)):
            if one.score is not None:
                through.setdefault(id(placed[one.rollout_id, step].node), []).append(one.score)
    return through


@pytest.mark.parametrize("chance", ["optimistic", "expected"])
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    rollouts=tasks(),
    simulations=st.integers(1, 60),
    exploration=st.sampled_from([0.0, 0.5, 1.41]),
    seed=st.integers(0, 3),
    extract=st.sampled_from(["mean", "lower"]),
    min_support=st.integers(1, 2),
)
def test_simulations_and_extraction_equal_the_reference(
    chance: str, rollouts: list[Rollout], simulations: int, exploration: float, seed: int, extract: str, min_support: int
) -> None:
    root, _ = make_tree(rollouts)
    start = int(content_id("walk", seed, tree_id(ENVIRONMENT, "task")), 16)
    expected = search_tree(root, simulations, exploration, chance, start)
    options = SearchSettings(
        simulations=simulations, exploration=exploration, chance=chance, seed=seed, extract=extract, min_support=min_support
    )
    values, paths = values_by_node(arrays_of(make_tables([rollouts])), options)
    for node in subtree(root):
        row = values[node_id(node, "task")]
        assert (row["visits"], row["value_sum"]) == (expected.visits.get(id(node), 0), expected.value_sum.get(id(node), 0.0))
        assert row["value"] == (row["value_sum"] / row["visits"] if row["visits"] else None)
    if any(node.scored_ends >= min_support for node in subtree(root)):
        path = best_path(root, expected, chance, min_support, extract)
        if not path:
            assert paths == [], "to do nothing scored best"
            return
        assert [path["node_ids"] for path in paths] == [[node_id(node, "task") for node in path]]
        assert paths[0]["value"] == path[-1].end_score_sum / path[-1].scored_ends
        assert paths[0]["support"] == path[-1].scored_ends == len(paths[0]["rollout_ids"])
    else:
        assert paths == []


@pytest.mark.parametrize("chance", ["optimistic", "expected"])
@settings(max_examples=100, deadline=None, derandomize=True)
@given(rollouts=tasks(), discount=st.sampled_from([1.0, 0.9, 0.5]))
def test_exact_values_equal_the_reference(chance: str, rollouts: list[Rollout], discount: float) -> None:
    root, placed = make_tree(rollouts)
    through = scores_through(root, placed, rollouts)
    values, _ = values_by_node(arrays_of(make_tables([rollouts])), SearchSettings(simulations=1, chance=chance, discount=discount))
    for node in subtree(root):
        row = values[node_id(node, "task")]
        assert row["best_end_score"] == best_end(node)
        assert row["q"] == (discounted_value(node, chance, discount) if node.scored_visits else None)
        relative = advantage_in_state(node, through)
        assert (row["advantage"] is None) == (relative is None)
        if relative is not None:
            assert (row["advantage"], row["relative_advantage"]) == (pytest.approx(relative[0]), pytest.approx(relative[1]))
        if node.scored_visits:
            mean = node.score_sum / node.scored_visits
            assert row["mean"] == mean
            assert (row["low"], row["high"]) == (
                pytest.approx(wilson(mean, node.scored_visits)[0]),
                pytest.approx(wilson(mean, node.scored_visits)[1]),
            )
        else:
            assert row["mean"] is row["low"] is row["high"] is None


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rollouts=tasks())
def test_one_state_makes_no_difference(rollouts: list[Rollout]) -> None:
    """In a deterministic environment choosing and averaging are the same search."""
    blind = [rollout("task", one.attempt, "".join(action for _, _, action in one.steps), one.score) for one in rollouts]
    arrays = arrays_of(make_tables([blind]))
    assert search_trees(arrays, SearchSettings(chance="optimistic"))["node_values"].equals(
        search_trees(arrays, SearchSettings(chance="expected"))["node_values"]
    )


@settings(max_examples=30, deadline=None, derandomize=True)
@given(data=st.data())
def test_neither_row_order_nor_neighbours_nor_threads_matter(data: st.DataObject) -> None:
    trees = [data.draw(tasks(f"task-{i}")) for i in range(data.draw(st.integers(1, 4)))]
    options = SearchSettings(simulations=30, chance="expected", paths=3)
    values, paths = values_by_node(arrays_of(make_tables(trees)), options)
    orders = {name: pa.array(data.draw(st.permutations(range(table.num_rows))), pa.int64()) for name, table in make_tables(trees).items()}
    shuffled = {name: table.take(orders[name]) for name, table in make_tables(trees).items()}
    assert values_by_node(arrays_of(shuffled), options, threads=3) == (values, paths)
    alone = [values_by_node(arrays_of(make_tables([tree])), options) for tree in trees]
    assert {name: row for part, _ in alone for name, row in part.items()} == values
    assert sorted((path for _, part in alone for path in part), key=lambda path: (path["tree_id"], path["rank"])) == paths


def test_golden_tree() -> None:
    """abc earned 1, abd 0, ab (stopped half-way) 0.5, xy 0.4: by hand, with four simulations every option of the root's side is tried."""
    attempts = [rollout("t", 0, "abc", 1.0), rollout("t", 1, "abd", 0.0), rollout("t", 2, "ab", 0.5), rollout("t", 3, "xy", 0.4)]
    root, _ = make_tree(attempts)
    values, paths = values_by_node(arrays_of(make_tables([attempts])), SearchSettings(simulations=5, exploration=0.0, paths=9))
    first, other = root.children
    inner = first.children[0]
    # 1: a, b, stop (0.5). 2: x, y (0.4). 3: a beats x; b, then c (1.0). 4: a; b, then d (0.0). 5: a has 0.5, above 0.4; b, then c (1.0).
    assert values[node_id(root, "t")]["visits"] == 5
    assert (values[node_id(first, "t")]["visits"], values[node_id(first, "t")]["value_sum"]) == (4, 2.5)
    assert (values[node_id(inner, "t")]["visits"], values[node_id(other, "t")]["visits"]) == (4, 1)
    assert [values[node_id(child, "t")]["visits"] for child in inner.children] == [2, 1]
    assert [(path["rank"], path["value"], path["rollout_ids"]) for path in paths] == [
        (1, 1.0, ["t-0"]),
        (2, 0.5, ["t-2"]),
        (3, 0.4, ["t-3"]),
        (4, 0.0, ["t-1"]),
    ]


def test_choosing_is_fooled_by_luck_and_averaging_is_not() -> None:
    tables = make_tables([lucky_tree()])
    _, fooled = values_by_node(arrays_of(tables), SearchSettings(chance="optimistic"))
    values, honest = values_by_node(arrays_of(tables), SearchSettings(chance="expected"))
    assert (fooled[0]["value"], honest[0]["value"]) == (1.0, pytest.approx(0.6))
    assert fooled[0]["rollout_ids"] == ["t-10"]
    root, _ = make_tree(lucky_tree())
    safe, gamble = root.children
    assert values[node_id(gamble, "t")]["q"] == pytest.approx(0.1)
    assert values[node_id(gamble, "t")]["best_end_score"] == 1.0
    assert values[node_id(safe, "t")]["q"] == pytest.approx(0.6)


def detour_tree() -> list[Rollout]:
    """One attempt of ten takes a pointless detour to a full score; four go straight there, and five go wrong on the straight way."""
    ends = [("detour", 1.0), *[("go", 1.0)] * 4, *[("gx", 0.0)] * 5]
    return [rollout("t", attempt, actions, score) for attempt, (actions, score) in enumerate(ends)]


@pytest.mark.parametrize("chance", ["optimistic", "expected"])
@pytest.mark.parametrize("extract", ["mean", "lower"])
def test_a_pointless_detour_does_not_beat_four_plain_successes(chance: str, extract: str) -> None:
    _, paths = values_by_node(arrays_of(make_tables([detour_tree()])), SearchSettings(chance=chance, extract=extract, paths=2))
    assert [(path["value"], path["support"], len(path["node_ids"])) for path in paths] == [(1.0, 4, 2), (1.0, 1, 6)]


def test_of_equally_supported_ends_the_shorter_then_the_older_wins() -> None:
    attempts = [rollout("t", 0, "long", 0.5), rollout("t", 1, "be", 0.5), rollout("t", 2, "an", 0.5)]
    _, paths = values_by_node(arrays_of(make_tables([attempts])), SearchSettings(paths=3))
    assert [path["rollout_ids"] for path in paths] == [["t-1"], ["t-2"], ["t-0"]]


def test_the_lower_bound_prefers_what_many_rollouts_did() -> None:
    """One lucky 1.0 against nine times 0.9: the refined mean follows luck, its lower bound follows the evidence."""
    attempts = [rollout("t", 0, "lu", 1.0), *(rollout("t", i, "ok", 0.9) for i in range(1, 10))]
    arrays = arrays_of(make_tables([attempts]))
    _, lucky = values_by_node(arrays, SearchSettings())
    _, sure = values_by_node(arrays, SearchSettings(extract="lower"))
    assert [(path["value"], path["support"]) for path in (*lucky, *sure)] == [(1.0, 1), (pytest.approx(0.9), 9)]


def test_search_warns_when_luck_may_have_chosen_most_paths(tmp_path) -> None:
    tables = make_tables([[rollout(name, 0, "a", 1.0), rollout(name, 1, "b", 0.0)] for name in ("t", "u")])
    create_store(tmp_path)
    with writing(tmp_path):
        commit(tmp_path, "build", {name: tables[name] for name in ("rollouts", "step_nodes", "nodes")}, settings={}, reads={})
    notes = search(tmp_path).notes
    assert notes[0] == "2 of 2 e* rest on one rollout, so they may be luck."
    assert "--min-support 2" in notes[1]


def test_seed_decides_which_states_are_drawn() -> None:
    arrays = arrays_of(make_tables([lucky_tree()]))
    sums = [
        search_trees(arrays, SearchSettings(chance="expected", seed=seed))["node_values"]["value_sum"].to_pylist() for seed in (0, 0, 1)
    ]
    assert sums[0] == sums[1] != sums[2]


def test_min_support_passes_over_rare_ends() -> None:
    attempts = [rollout("t", 0, "a", 1.0), rollout("t", 1, "bc", 0.6), rollout("t", 2, "bc", 0.8), rollout("t", 3, "bd", 0.9)]
    _, paths = values_by_node(arrays_of(make_tables([attempts])), SearchSettings(min_support=2, paths=5))
    assert [(path["value"], path["support"]) for path in paths] == [(0.7, 2)]
    found = search_trees(arrays_of(make_tables([attempts])), SearchSettings(min_support=3))
    assert found["paths"].num_rows == 0
    assert found["dropped"]["reason"].to_pylist() == ["low_support"]


def test_trees_without_scores_are_dropped_with_a_reason() -> None:
    tables = make_tables([[rollout("none", 0, "ab", None)], [rollout("some", 0, "ab", 0.5)]])
    found = search_trees(arrays_of(tables), SearchSettings())
    assert found["paths"]["tree_id"].to_pylist() == [tree_id(ENVIRONMENT, "some")]
    assert [(row["subject"], row["reason"]) for row in found["dropped"].to_pylist()] == [(tree_id(ENVIRONMENT, "none"), "no_score")]
    silent = [row for row in found["node_values"].to_pylist() if row["tree_id"] == tree_id(ENVIRONMENT, "none")]
    assert all(row["visits"] == 0 and row["value"] is row["mean"] is row["q"] is row["advantage"] is None for row in silent)


def test_doing_nothing_is_no_path() -> None:
    found = search_trees(arrays_of(make_tables([[rollout("t", 0, "", 1.0), rollout("t", 1, "a", 0.5)]])), SearchSettings(paths=3))
    assert found["paths"].num_rows == 0
    assert found["dropped"]["reason"].to_pylist() == ["empty_path"]


def test_equal_scores_have_no_advantage_whatever_the_rounding() -> None:
    attempts = [rollout("t", i, "ab"[i % 2] + "c", 0.1) for i in range(7)]
    values, paths = values_by_node(arrays_of(make_tables([attempts])), SearchSettings())
    assert {row["advantage"] for row in values.values()} == {None, 0.0}
    assert {row["relative_advantage"] for row in values.values()} == {None, 0.0}
    even = [rollout("t", i, "ab"[i % 2] + "c", 0.5) for i in range(7)]
    _, paths = values_by_node(arrays_of(make_tables([even])), SearchSettings())
    assert paths[0]["rollout_ids"] == ["t-0", "t-2", "t-4", "t-6"], "ties go to the child that appeared first"


def test_depth_of_two_thousand() -> None:
    values, paths = values_by_node(arrays_of(chain_tables(2_000)), SearchSettings(simulations=10, discount=0.5))
    assert len(paths[0]["node_ids"]) == 2_000
    assert values["n0"]["visits"] == 10
    assert values["n1999"]["q"] == 0.25
    assert values["n0"]["advantage"] is None
    assert values["n1"]["advantage"] == 0.0


def test_a_million_children_under_one_node() -> None:
    found = search_trees(wide_arrays(1_000_000), SearchSettings(simulations=100))
    for name, table in found.items():
        check(name, table)
    assert found["node_values"]["visits"].to_numpy().sum() == 200
    assert found["paths"].to_pylist()[0]["value"] == 0.9


@pytest.mark.parametrize(
    "wrong",
    [
        {"exploration": math.nan},
        {"exploration": math.inf},
        {"exploration": -1.0},
        {"discount": math.nan},
        {"discount": 0.0},
        {"discount": 1.5},
        {"chance": "exected"},
        {"extract": "upper"},
        {"simulations": 0},
        {"paths": 0},
        {"min_support": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInputError) as refusal:
        SearchSettings(**wrong)
    assert next(iter(wrong)) in str(refusal.value)


def test_search_verb_writes_once_and_then_only_what_changed(tmp_path) -> None:
    tables = make_tables([lucky_tree(), [rollout("none", 0, "ab", None)]])
    create_store(tmp_path)
    with writing(tmp_path):
        commit(tmp_path, "build", {name: tables[name] for name in ("rollouts", "step_nodes", "nodes")}, settings={}, reads={})
    first = search(tmp_path, simulations=20)
    assert (first.changed, first.counts["paths"], first.counts["dropped trees"]) == (True, 1, 1)
    version = open_store(tmp_path).version("paths")
    assert not search(tmp_path, simulations=20).changed
    assert search(tmp_path, simulations=20, chance="expected").changed
    store = open_store(tmp_path)
    assert store.version("paths") == version + 1
    assert store.count("node_values") == store.count("nodes") == tables["nodes"].num_rows
    assert store.read("dropped")["reason"].to_pylist() == ["no_score"]


def grow(directory: Path, log: Path, tasks: range) -> None:
    lines = [
        {
            "task_id": f"t{task}",
            "env": "e",
            "instruction": "Go.",
            "reward": None if task % 7 == 3 else float((task + i) % 2),
            "steps": [
                {"observation": f"room {task % 5}", "action": f"door {i % (1 + task % 3)}"},
                {"observation": "end", "action": "stop"},
            ],
        }
        for task in tasks
        for i in range(3)
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_log(directory, log)
    build(directory, embedder="exact")


def test_a_grown_dataset_has_only_its_new_trees_searched(tmp_path: Path) -> None:
    grow(tmp_path / "d", tmp_path / "first.jsonl", range(40))
    search(tmp_path / "d")
    grow(tmp_path / "d", tmp_path / "second.jsonl", range(40, 44))
    grown = search(tmp_path / "d")
    assert "4 trees new or changed, the others kept" in grown.notes
    grow(tmp_path / "whole", tmp_path / "first.jsonl", range(40))
    grow(tmp_path / "whole", tmp_path / "second.jsonl", range(40, 44))
    whole = search(tmp_path / "whole")
    assert grown.counts == whole.counts
    for name in ("node_values", "paths", "dropped"):
        rows = [sorted(map(repr, open_store(tmp_path / place).read(name).to_pylist())) for place in ("d", "whole")]
        assert rows[0] == rows[1], name
    assert not search(tmp_path / "d").changed
    assert not any("kept" in note for note in search(tmp_path / "d", paths=2).notes), "other settings, other values"
    delete(tmp_path / "d", ["t5"])
    search(tmp_path / "d", paths=2)
    assert open_store(tmp_path / "d").sql("SELECT count(DISTINCT tree_id) AS n FROM node_values").to_pylist() == [{"n": 43}]
    assert not [row for row in check_dataset(tmp_path / "d").to_pylist() if row["offending_rows"]]
