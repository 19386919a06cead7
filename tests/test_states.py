"""States and credit: equal to the plain reference on random logs, and what people may rely on."""

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from helpers.small import Vector, lookup_of, make_store, similarity_of, tables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import reference
from tratree_data import build, check, export, open_store, states
from tratree_data.cli import app
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.ids import tree_id
from tratree_data.state_graphs.compared import Comparing
from tratree_data.state_graphs.settings import ALL, METHODS, StatesSettings
from tratree_data.state_graphs.states import graph_of_steps
from tratree_data.store.queries.named_queries import query_text

SILENT = "Nothing happens."
ATTEMPTS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(["a", "b", "c", SILENT, " "]), st.sampled_from("xyz")), min_size=1, max_size=7),
        st.sampled_from([None, 0.0, 0.25, 0.5, 1.0]),
    ),
    min_size=1,
    max_size=6,
)


def silent(text: str) -> bool:
    return text == SILENT or not text.strip()


def graph(attempts: list[tuple[Any, Any]], vector: Vector | None = None, **chosen: Any) -> dict[str, pa.Table]:
    """The tables of a task; another one beside it must not change them."""
    log = [("t", i, score, [(seen, "", did) for seen, did in steps]) for i, (steps, score) in enumerate(attempts)]
    log += [("u", i, score, [("a", "", did), ("b", "", "y"), ("c", "", "z")]) for i, (did, score) in enumerate([("x", 0.75), ("y", 1.0)])]
    rollouts, steps = tables(log)
    comparing = Comparing((), (), pa.array([SILENT]), chosen.get("min_similarity"))
    made = graph_of_steps(rollouts, steps, StatesSettings(**chosen), comparing, lookup_of(vector) if vector else None)
    return {name: table.filter(pc.field("tree_id") == tree_id("test", "t")) for name, table in made.items() if name != "dropped"}


def by_place(table: pa.Table, attempts: int, method: str, column: str = "advantage") -> dict[tuple[int, int], Any]:
    """Attempts are in the order of their rollouts' numbers."""
    names = {name: number for number, name in enumerate(dict.fromkeys(row["rollout_id"] for row in table.to_pylist()))}
    assert len(names) <= attempts
    return {(names[row["rollout_id"]], row["step"]): row[column] for row in table.to_pylist() if row["method"].startswith(f"{method}(")}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ATTEMPTS, st.sampled_from(["0", "1", "3", ALL]), st.sampled_from([1.0, 0.9]))
def test_states_and_credits_are_the_references(log: list[tuple[Any, Any]], history: str, discount: float) -> None:
    made = graph(log, history=(history,), method=METHODS, discount=discount, omega=0.5, beta=0.7, decay=0.3)
    deep = math.inf if history == ALL else int(history)
    attempts = [reference.Attempt(steps, score, score == 1.0) for steps, score in log]
    expected = reference.states_of(attempts, deep, silent)
    assert sorted(made["states"]["visits"].to_pylist()) == sorted(map(len, expected.values()))
    assert sorted(made["states"]["rollouts"].to_pylist()) == sorted(len({number for number, _ in places}) for places in expected.values())
    _, far = reference.graph_of(attempts, deep, silent)
    assert sorted(d or math.inf for d in made["states"]["distance"].to_pylist()) == sorted(far.values())
    assert sum(made["transitions"]["visits"].to_pylist()) == sum(map(len, expected.values()))
    # only scored attempts have credits, numbered as they come
    scored = [number for number, attempt in enumerate(attempts) if attempt.score is not None]
    oracles = {
        "gigpo": reference.gigpo(attempts, deep, silent, discount, 0.5),
        "gigpo-mean": reference.gigpo(attempts, deep, silent, discount, 0.5, scale=False),
        "loo": reference.leave_one_out(attempts, deep, silent, discount),
        "progress": reference.progress(attempts, deep, silent),
        "td": reference.temporal_difference(attempts, deep, silent),
        "tree-grpo": reference.tree_grpo(attempts),
        "g2po": reference.g2po(attempts, deep, silent, discount, 0.5),
        "graphgpo": reference.graphgpo(attempts, deep, silent, 0.3, 0.5),
    }
    for method, oracle in oracles.items():
        found = by_place(made["step_credits"], len(scored), method)
        wanted = {(scored.index(number), step): value for (number, step), value in oracle.items()}
        assert found == {place: None if value is None else pytest.approx(value, abs=1e-6) for place, value in wanted.items()}, method
    returned = by_place(made["step_credits"], len(scored), "return", "return_to_go")
    assert returned == {(scored.index(n), s): pytest.approx(v) for (n, s), v in reference.returns_of(attempts, discount).items()}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ATTEMPTS, st.sampled_from([(0, 1), (0, 2, 4)]))
def test_nested_groups_are_the_references(log: list[tuple[Any, Any]], histories: tuple[int, ...]) -> None:
    made = graph(log, history=tuple(map(str, histories)), method=("hgpo",), discount=0.9, alpha=2.0)
    attempts = [reference.Attempt(steps, score, score == 1.0) for steps, score in log]
    scored = [number for number, attempt in enumerate(attempts) if attempt.score is not None]
    wanted = reference.hgpo(attempts, histories, silent, 0.9, 2.0)
    found = by_place(made["step_credits"], len(scored), "hgpo")
    assert found == {(scored.index(n), s): pytest.approx(v, abs=1e-6) for (n, s), v in wanted.items()}


ANGLES = {"a": 0, "b": 9, "c": 17, "d": 24, "e": 60, "f": 60.5, SILENT: 1, " ": 61}


def on_a_circle(text: str) -> tuple[float, float]:
    angle = math.radians(ANGLES[text])
    return math.cos(angle), math.sin(angle)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.sampled_from([*ANGLES]), st.sampled_from("xy")), min_size=1, max_size=6),
            st.sampled_from([None, 0.0, 0.5, 1.0]),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["0", "1", "2", ALL]),
    st.sampled_from([math.cos(math.radians(degrees)) for degrees in (0.1, 8.5, 12, 30)]),
)
def test_similar_observations_join_as_in_the_reference(log: list[tuple[Any, Any]], history: str, threshold: float) -> None:
    made = graph(log, on_a_circle, history=(history,), method=("gigpo", "progress"), discount=0.9, min_similarity=threshold)
    deep = math.inf if history == ALL else int(history)
    attempts = [reference.Attempt(steps, score, score == 1.0) for steps, score in log]
    similarity = similarity_of(on_a_circle)
    joined, counts_as = reference.join_similar(attempts, silent, similarity, threshold)
    expected = reference.states_of(joined, deep, silent)
    assert sorted(made["states"]["visits"].to_pylist()) == sorted(map(len, expected.values()))
    scored = [number for number, attempt in enumerate(attempts) if attempt.score is not None]
    for method, oracle in {
        "gigpo": reference.gigpo(joined, deep, silent, 0.9, 1.0),
        "progress": reference.progress(joined, deep, silent),
    }.items():
        found = by_place(made["step_credits"], len(scored), method)
        wanted = {(scored.index(number), step): value for (number, step), value in oracle.items()}
        assert found == {place: None if value is None else pytest.approx(value, abs=1e-6) for place, value in wanted.items()}, method
    rows = made["state_merges"].to_pylist()
    assert {row["observation"]: row["joined"] for row in rows} == counts_as
    led: dict[tuple[str, str], set[str]] = {}
    for attempt, replaced in zip(attempts, joined, strict=True):
        for (seen, did), (following, _) in zip(attempt.steps, replaced.steps[1:], strict=False):
            led.setdefault((seen, did), set()).add(following)
    for row in rows:
        both = [did for did in "xy" if (row["observation"], did) in led and (row["joined"], did) in led]
        assert row["judged"] == len(both)
        assert row["contradicted"] == sum(led[row["observation"], did].isdisjoint(led[row["joined"], did]) for did in both)
        assert row["visits"] == sum(seen == row["observation"] for attempt in attempts for seen, _ in attempt.steps)
        assert row["similarity"] == pytest.approx(similarity(row["observation"], row["joined"]), abs=1e-6)


LOG = [
    ("t", 0, 1.0, [("hall", "", "left"), ("kitchen", "", "take")]),
    ("t", 1, 0.0, [("hall", "", "right"), ("cellar", "", "back"), ("hall", "", "right"), ("cellar", "", "stay")]),
    ("t", 2, 1.0, [("hall", "", "right"), ("cellar", "", "back"), ("hall", "", "left"), ("kitchen", "", "take")]),
]


def test_the_verb_writes_a_graph_that_sql_reads(tmp_path: Path) -> None:
    make_store(tmp_path, *tables(LOG))
    report = states(tmp_path, history=("0", "all"))
    assert report.changed
    assert not states(tmp_path, history=["all", "0"]).changed, "the order of histories does not matter"
    store = open_store(tmp_path)
    rows = store.sql("SELECT observation, visits, rollouts, actions, ends, distance FROM states WHERE history = '0' ORDER BY 1").to_pylist()
    assert [tuple(row.values()) for row in rows] == [("cellar", 3, 2, 2, 1, 3), ("hall", 5, 3, 2, 0, 2), ("kitchen", 2, 2, 1, 2, 1)]
    loops = store.sql("SELECT count(*) AS n FROM transitions WHERE history = '0' AND ends = 0 AND next_state_id IS NULL")
    assert loops.to_pylist() == [{"n": 0}]
    credits = store.sql("SELECT DISTINCT method FROM step_credits ORDER BY 1")["method"].to_pylist()
    assert credits == ["gigpo(history=0,discount=0.95,omega=1)", "gigpo(history=all,discount=0.95,omega=1)", "return(discount=0.95)"]
    assert not any(row["offending_rows"] for row in check(tmp_path).to_pylist())


def test_histories_and_methods_of_several_runs_are_side_by_side(tmp_path: Path) -> None:
    for name in ("at once", "one by one"):
        make_store(tmp_path / name, *tables(LOG))
    states(tmp_path / "at once", history=("0", "1"), method=("gigpo",))
    states(tmp_path / "one by one", history="0", method=("gigpo",))
    alone = open_store(tmp_path / "one by one").count("states")
    states(tmp_path / "one by one", history="1", method=("gigpo",))
    both = [open_store(tmp_path / name) for name in ("at once", "one by one")]
    for table, key in (("states", "state_id"), ("transitions", "transition_id"), ("step_credits", "rollout_id, step, method")):
        assert both[0].sql(f"SELECT * FROM {table} ORDER BY {key}") == both[1].sql(f"SELECT * FROM {table} ORDER BY {key}")
    assert both[1].count("states") > alone
    assert not states(tmp_path / "one by one", history="0", method=("gigpo",)).changed, "it is there already"
    states(tmp_path / "one by one", history="0", method=("loo",))
    query = "SELECT DISTINCT method FROM step_credits ORDER BY 1"
    assert open_store(tmp_path / "one by one").sql(query)["method"].to_pylist() == [
        "gigpo(history=0,discount=0.95,omega=1)",
        "gigpo(history=1,discount=0.95,omega=1)",
        "loo(history=0,discount=0.95)",
        "loo(history=1,discount=0.95)",
    ]
    for other in ({"replace": True}, {"history": "2", "discount": 0.5}, {"history": "all", "normalise": ("letter-case",), "discount": 0.5}):
        states(tmp_path / "one by one", **{"history": "0", "method": ("return",), **other})
        found = open_store(tmp_path / "one by one").sql("SELECT DISTINCT history FROM states")["history"].to_pylist()
        assert found == [other.get("history", "0")], "other settings replace the tables"


def test_the_whole_history_gives_the_trees_states(tmp_path: Path) -> None:
    make_store(tmp_path, *tables(LOG))
    build(tmp_path, embedder="exact")
    states(tmp_path, history="all")
    store = open_store(tmp_path)
    tree = store.sql("SELECT count(DISTINCT (parent_id, state)) AS n FROM nodes WHERE depth > 0").to_pylist()
    assert store.count("states") == tree[0]["n"]


def test_observations_that_answer_everything_are_no_state(tmp_path: Path) -> None:
    said = [(f"room {i}", "", f"do {i}") for i in range(6)]
    steps = [pair for step in said for pair in (step, (SILENT, "", "wait"))]
    make_store(tmp_path, *tables([("t", 0, 1.0, steps), ("t", 1, None, steps[:4])]))
    report = states(tmp_path)
    store = open_store(tmp_path)
    assert SILENT not in store.read("states")["observation"].to_pylist()
    dropped = store.sql("SELECT reason, detail FROM dropped WHERE stage = 'states'").to_pylist()
    assert dropped == [{"reason": "uninformative", "detail": f"8 steps with an uninformative observation, such as {SILENT!r}"}]
    assert any("1 rollout without a score" in note for note in report.notes)
    assert store.sql("SELECT count(*) AS n FROM step_credits WHERE state_id IS NULL AND method LIKE 'gigpo%'").to_pylist() == [{"n": 6}]


def test_logs_without_scores_have_states_and_no_credit(tmp_path: Path) -> None:
    make_store(tmp_path, *tables([("t", i, None, steps) for i, (_, _, _, steps) in enumerate(LOG)]))
    states(tmp_path)
    store = open_store(tmp_path)
    assert (store.count("states"), store.count("step_credits")) == (3, 0)
    assert set(store.read("states")["mean"].to_pylist()) == {None}


def test_normalisers_are_those_of_the_trees_unless_named(tmp_path: Path) -> None:
    log = [("t", i, float(i), [(f"Page {i}", "", "go"), (f"shop {i}", "", "buy")]) for i in range(2)]
    make_store(tmp_path, *tables(log))
    build(tmp_path, embedder="exact", normalise="numbers")
    states(tmp_path)
    assert open_store(tmp_path).count("states") == 2
    states(tmp_path, normalise="letter-case")
    assert open_store(tmp_path).count("states") == 4


def test_a_crowd_in_one_state_is_bounded(tmp_path: Path) -> None:
    make_store(tmp_path, *tables([("t", 0, 1.0, [("same", "", f"do {i % 3}") for i in range(20_000)]), ("t", 1, 0.0, [("same", "", "x")])]))
    notes = states(tmp_path, history=("0", "2"), method=METHODS).notes
    assert notes == ("in 1 task most steps are in one state, up to 20,001: --history 1 separates them",)
    assert open_store(tmp_path).sql("SELECT max(visits) AS n FROM states WHERE history = '0'").to_pylist() == [{"n": 20_001}]


def test_cycles_self_loops_and_lonely_attempts_are_reported(tmp_path: Path) -> None:
    loop = [("a", "", "stay"), ("a", "", "stay"), ("b", "", "back"), ("a", "", "go"), ("b", "", "end")]
    make_store(tmp_path, *tables([("t", 0, 1.0, loop)]))
    notes = states(tmp_path, method=METHODS).notes
    assert notes == ("1 task with one attempt, whose steps are compared with nothing but each other",)
    store = open_store(tmp_path)
    rows = store.sql("SELECT observation, visits, distance FROM states ORDER BY 1").to_pylist()
    assert [tuple(row.values()) for row in rows] == [("a", 3, 2), ("b", 2, 1)]
    assert not any(row["offending_rows"] for row in check(tmp_path).to_pylist())


def test_credits_are_exported_as_process_rewards_and_groups(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    make_store(tmp_path / "d", *tables([*LOG, ("t", 3, 0.0, [("hall", "", "right"), ("pit", "think", "die")])]))
    states(tmp_path / "d", method=("gigpo", "progress"))
    assert export(tmp_path / "d", tmp_path / "out", "credits").counts == {"rollouts": 8, "process rewards": 7}

    def load(name: str) -> list[dict[str, Any]]:
        file = str(tmp_path / "out" / f"{name}.jsonl")
        return list(datasets.load_dataset("json", data_files=file, split="train", cache_dir=str(tmp_path / "cache")))

    plain, observed, whole = load("process_rewards"), load("process_rewards_with_observations"), load("rollouts")
    nearer = [row for row in plain if row["method"] == "progress(history=0)"]
    # from the hall (distance 2) right into the cellar (3), back into the hall, left into the kitchen (1), and out
    assert nearer[-1]["prompt"] == "Do t.\n\nhall"
    assert nearer[-1]["completions"] == ["Action: right", "Action: back", "Action: left", "Action: take"]
    assert nearer[-1]["labels"] == [False, True, True, True]
    # the second attempt ended in the cellar, so its last step is not labelled; nothing is known of the last attempt's first step
    assert [len(row["labels"]) for row in nearer] == [2, 3, 4]
    assert observed[0]["completions"][0] == f"{plain[0]['completions'][0]}\nObservation: kitchen"
    assert {row["group_id"] for row in whole} == set(open_store(tmp_path / "d").read("rollouts")["tree_id"].to_pylist())
    for row in whole:
        turns = sum(message["role"] == "assistant" for message in row["messages"])
        assert turns == len(row["returns"]) == len(row["advantages"]) == len(row["weights"]) == len(row["states"])


def test_credits_of_logs_without_scores_cannot_be_exported(tmp_path: Path) -> None:
    make_store(tmp_path / "d", *tables([("t", 0, None, [("hall", "", "left")])]))
    with pytest.raises(NotFoundError, match="tratree states"):
        export(tmp_path / "d", tmp_path / "out", "credits")
    states(tmp_path / "d")
    with pytest.raises(NotFoundError, match="no rollout has a score"):
        export(tmp_path / "d", tmp_path / "out", "credits")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"history": "-1"}, "history must be"),
        ({"history": "x"}, "history must be"),
        ({"method": "ppo"}, "Unknown method 'ppo'"),
        ({"discount": 0.0}, "discount must be"),
        ({"beta": 0.0}, "beta must be"),
        ({"decay": 1.0}, "decay must be"),
        ({"omega": math.nan}, "omega must be"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        StatesSettings(**wrong)


def test_stitched_paths_join_pieces_of_rollouts(tmp_path: Path) -> None:
    """Three attempts through one room: the short way in and the short way out were never taken together."""
    attempts = [
        ("t", 0, 0.0, [("door", "", "in"), ("room", "", "sleep")]),
        ("t", 1, 1.0, [("door", "", "wait"), ("porch", "", "in"), ("room", "", "out")]),
        ("t", 2, 0.0, [("door", "", "in"), ("room", "", "sleep")]),
        ("lost", 0, 0.0, [("door", "", "in")]),
    ]
    make_store(tmp_path, *tables(attempts))
    states(tmp_path, history=("0", "1"))
    (short,) = open_store(tmp_path).sql(query_text("stitched_paths"), {"history": "0"}).to_pylist()
    assert [step["action"] for step in short["steps"]] == ["in", "out"]
    assert (short["task_id"], short["length"], short["fewest"], short["executed"]) == ("t", 2, 3, False)
    (whole,) = open_store(tmp_path).sql(query_text("stitched_paths"), {"history": "1"}).to_pylist()
    assert [step["action"] for step in whole["steps"]] == ["wait", "in", "out"]
    assert whole["executed"] is True


def test_similarity_on_request_is_recorded_and_audited(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hall = "You are in the great hall. Doors lead north, east and south; a stair leads down to the cellar. "
    log = [("t", n, float(n % 2), [(f"{hall}Tick {n}.", "", "left" if n % 2 else "down"), ("kitchen", "", "take")]) for n in range(4)]
    make_store(tmp_path, *tables(log))
    assert states(tmp_path).counts["states"] == 5, "only equal observations by default"
    report = states(tmp_path, min_similarity=0.8, embedder="lexical", history=("0", "1"))
    assert report.counts == {"states": 2 + 3, "transitions": 3 + 4, "state merges": 3, "step credits": 16 + 8}
    assert any("3 observations count as a similar one" in note for note in report.notes)
    assert not states(tmp_path, min_similarity=0.8, embedder="lexical").changed
    states(tmp_path, min_similarity=0.8, embedder="lexical", workers=2, history="0", replace=True)
    rows = open_store(tmp_path).sql("FROM state_merges ORDER BY observation").to_pylist()
    assert [(row["observation"], row["joined"], row["visits"]) for row in rows] == [
        (f"{hall}Tick {n}.", f"{hall}Tick 0.", 1) for n in (1, 2, 3)
    ]
    assert sorted(row["judged"] for row in rows) == [0, 0, 1], "both went down"
    app(["audit", str(tmp_path), "--embedder", "lexical"], standalone_mode=False)
    assert "one state, 1 steps: 0 of 1 actions after both led elsewhere" in capfd.readouterr().out
    assert not any(row["offending_rows"] for row in check(tmp_path).to_pylist())
    with pytest.raises(BadInputError, match="exact embedder finds no similar observations"):
        states(tmp_path, min_similarity=0.8, embedder="exact")
