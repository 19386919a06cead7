"""Every quantity has one definition: page, card, figures, terminal, `stats` and SQL agree on one dataset."""

from pathlib import Path

import pyarrow as pa
import pytest
from helpers.small import make_store, tables

from tratree_data.errors import NotFoundError
from tratree_data.releases.publish import publish
from tratree_data.store.queries.named_queries import query, query_or_text
from tratree_data.store.reader import Store, open_store
from tratree_data.trees.build import build
from tratree_data.trees.stats import stats, stats_by_attempts
from tratree_data.viewing.figures import make_table
from tratree_data.viewing.page_data import overview_data
from tratree_data.viewing.show import show

Attempt = tuple[float | None, bool | None, str]
"""A score, what the environment reported, and the actions as letters."""
ATTEMPTS: dict[str, list[Attempt]] = {
    "reported": [(0.4, True, "abc"), (1.0, False, "abd"), (0.0, False, "xy")],
    "scores-only": [(1.0, None, "ab"), (0.5, None, "ac"), (None, None, "ad"), (1.0, None, "ab")],
    "failed": [(0.2, None, "a"), (0.2, False, "b")],
    "always": [(1.0, None, "abcd"), (1.0, True, "abcd")],
}
SOLVED = {"reported": 1, "scores-only": 2, "failed": 0, "always": 2}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantities") / "d"
    numbered = [(task, i, *attempt) for task, attempts in ATTEMPTS.items() for i, attempt in enumerate(attempts)]
    rollouts, steps = tables(
        [
            (task, i, score, [("You see a door." + actions[:j], "", action) for j, action in enumerate(actions)])
            for task, i, score, _, actions in numbered
        ]
    )
    place = rollouts.column_names.index("success")
    success = pa.chunked_array([pa.array([word for _, _, _, word, _ in numbered], pa.bool_())])
    make_store(folder, rollouts.set_column(place, rollouts.schema.field("success"), success), steps)
    build(folder, embedder="exact")
    return folder


def test_solved_is_what_the_environment_reported_or_a_full_score(dataset: Path) -> None:
    store = open_store(dataset)
    found = store.sql("SELECT task_id, count(*) FILTER (solved) AS solved FROM outcomes GROUP BY task_id")
    assert dict(zip(*found.to_pydict().values(), strict=True)) == SOLVED
    assert {row["task_id"]: row["solved"] for row in query(store, "task_scores").to_pylist()} == SOLVED
    assert query(store, "never_solved")["task_id"].to_pylist() == ["failed"]
    pass_at_1 = query(store, "solved_within").to_pylist()[0]
    assert pass_at_1["solved"] == pytest.approx(sum(SOLVED[task] / len(attempts) for task, attempts in ATTEMPTS.items()) / len(ATTEMPTS))


def test_page_card_terminal_and_sql_agree_on_what_was_solved(dataset: Path, tmp_path: Path) -> None:
    rollouts, solved = sum(map(len, ATTEMPTS.values())), sum(SOLVED.values())
    assert publish(dataset, tmp_path / "release", "0.1.0").changed
    card = (tmp_path / "release" / "README.md").read_text(encoding="utf-8")
    assert f" scored rollouts; {solved} of {rollouts} rollouts solved their task." in card
    scores = [score for attempts in ATTEMPTS.values() for score, _, _ in attempts if score is not None]
    assert f"| {rollouts} | {sum(scores) / len(scores):.2f} | {solved} |" in card, "the card's example questions count as the card does"
    whole = overview_data(open_store(dataset))["whole"]
    assert (whole["solved"], whole["rollouts"]) == (solved, rollouts)
    page = overview_data(open_store(dataset))["tasks"]
    assert dict(zip(page["task_id"], page["solved"], strict=True)) == SOLVED
    text = str(show(dataset))
    assert "1 never solved · 2 sometimes · 1 always" in text
    assert f"solved {SOLVED['reported']} of 3" in str(show(dataset, "reported"))


def test_page_card_figures_stats_and_sql_agree_on_the_quality_of_trees(dataset: Path, tmp_path: Path) -> None:
    (quality,) = stats(dataset).to_pylist()
    trees = query(open_store(dataset), "tree_quality").to_pylist()
    for name, of_trees in {
        "breadth": "breadth",
        "depth": "depth",
        "divergences_per_tree": "divergences",
        "attempts_per_tree": "attempts",
    }.items():
        assert quality[name] == pytest.approx(sum(tree[of_trees] for tree in trees) / len(trees)), name
    assert quality["divergences"] == open_store(dataset).sql("FROM divergences").num_rows == 3
    assert (quality["share_never_solved"], quality["share_always_solved"]) == (0.25, 0.25)
    page = overview_data(open_store(dataset))["quality"]
    assert page == {name: pytest.approx(value, abs=1e-5) for name, value in quality.items()}
    most = max(map(len, ATTEMPTS.values()))
    assert make_table(dataset, "quality").slice(most - 1).to_pylist()[0] == {"attempts": most, **quality}
    assert stats_by_attempts(dataset, [most]).to_pylist()[0] == {"attempts": most, **quality}
    publish(dataset, tmp_path / "release", "0.1.0")
    card = (tmp_path / "release" / "README.md").read_text(encoding="utf-8")
    assert f"| breadth (diversity) | {quality['breadth']:.2f} |" in card
    assert f"| divergences per tree (informativeness) | {quality['divergences_per_tree']:.2f} |" in card


def test_views_can_be_queried_beside_the_tables(dataset: Path) -> None:
    store = open_store(dataset)
    joined = store.sql("SELECT task_id, spread FROM divergences JOIN task_scores USING (tree_id) ORDER BY spread DESC, task_id")
    assert joined.num_rows == query_or_text(store, "divergences").num_rows == 3
    assert joined["spread"].to_pylist() == sorted(joined["spread"].to_pylist(), reverse=True)
    decisions = store.sql("SELECT count(*) AS n, count(*) FILTER (is_divergence) AS divergences FROM decisions").to_pylist()[0]
    assert decisions == {"n": 4, "divergences": 3}, "the unscored action of scores-only and the tie of failed are not divergences"
    assert {"merges", "outcomes"} <= {name for (name,) in store.connection.sql("SELECT view_name FROM duckdb_views()").fetchall()}


def test_a_query_creates_only_the_views_that_it_names(dataset: Path) -> None:
    store = open_store(dataset)
    store.sql("SELECT count(*) AS n FROM task_scores")
    views = store.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal")["view_name"].to_pylist()
    assert {"task_scores", "outcomes"} <= set(views)
    assert "merges" not in views


def test_a_view_without_its_tables_names_the_command_that_makes_them(tmp_path: Path) -> None:
    store = make_store(tmp_path / "d", *tables([("t", 0, 1.0, [("a", "", "b")])]))
    with pytest.raises(NotFoundError, match=r"has no nodes yet.\nNext: tratree build"):
        store.sql("FROM divergences")
    with pytest.raises(NotFoundError, match=r"Available: .*divergences"):
        store.sql("FROM divergencies")


def test_merges_are_complete_and_show_where_texts_differ(tmp_path: Path) -> None:
    beginning = "You are in a long corridor with many doors. " * 10
    attempts = [("t", i, 1.0, [(f"{beginning} The clock shows {i} minutes past noon.", "", "go")]) for i in range(70)]
    make_store(tmp_path / "d", *tables(attempts))
    build(tmp_path / "d", embedder="lexical", min_similarity=0.8)
    store: Store = open_store(tmp_path / "d")
    merges = store.sql("FROM merges").to_pylist()
    assert len(merges) == store.sql("SELECT count(*) AS n FROM step_nodes WHERE similarity < 1").to_pylist()[0]["n"] > 60
    for row in merges:
        minute = int(row["rollout_id"].removeprefix("rollout-"))
        assert row["step_saw"] == f"… shows {minute} …"
        assert row["node_saw"] == "… shows 0 …"


def test_of_equally_good_actions_a_decision_names_the_best_supported(tmp_path: Path) -> None:
    scores = {"a": [1.0], "b": [1.0, 1.0], "c": [0.0], "d": [0.0, 0.0, 0.0], "e": [0.0, 0.0]}
    acted = [(action, score) for action, each in scores.items() for score in each]
    make_store(tmp_path / "d", *tables([("t", i, score, [("start", "", action)]) for i, (action, score) in enumerate(acted)]))
    build(tmp_path / "d", embedder="exact")
    found = open_store(tmp_path / "d").sql("SELECT best_action, best_rollouts, worst_action, worst_rollouts FROM decisions").to_pylist()
    assert found == [{"best_action": "b", "best_rollouts": 2, "worst_action": "d", "worst_rollouts": 3}]


def test_divergences_show_where_long_actions_differ(tmp_path: Path) -> None:
    same = "send message with a very long text that is the same "
    attempts = [("t", i, float(i), [("start", "", f"{same}to {name} now")]) for i, name in enumerate(["Omar", "Mia"])]
    attempts += [("u", 0, 0.0, [("start", "", "go")]), ("u", 1, 1.0, [("start", "", "go on")])]
    calls = [f'Read {{"file_path": "/home/me/work/ferry/src/{name}.rs"}}' for name in ("main", "cache")]
    attempts += [("v", i, float(i), [("start", "", call)]) for i, call in enumerate(calls)]
    make_store(tmp_path / "d", *tables(attempts))
    build(tmp_path / "d", embedder="exact")
    found = open_store(tmp_path / "d").sql("SELECT best_action, worst_action FROM divergences").to_pylist()
    assert {"best_action": "send … to Mia …", "worst_action": "send … to Omar …"} in found
    assert {"best_action": "go on", "worst_action": "go"} in found
    assert {"best_action": 'Read … src/cache.rs"}', "worst_action": 'Read … src/main.rs"}'} in found
    full = open_store(tmp_path / "d").sql("SELECT best_action FROM decisions")["best_action"].to_pylist()
    assert f"{same}to Mia now" in full
