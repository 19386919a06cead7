"""Replay: paths replayed in real environments, and every way in which that can go wrong."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from helpers.installed import needs_alfworld, needs_express, needs_java, needs_scienceworld
from helpers.shared_data import SHARED, needs_shared
from helpers.shop import import_rows
from typer.testing import CliRunner

from tratree_data.cli import app
from tratree_data.editing.derive import delete
from tratree_data.environments import Environment, make_environment
from tratree_data.environments.exploration_options import ExplorationOptions, exploration_options
from tratree_data.errors import BadInputError, MissingPackageError, NotFoundError
from tratree_data.ids import content_id, tree_id
from tratree_data.store.reader import Store, open_store
from tratree_data.store.schemas import table_from_rows
from tratree_data.store.writing.writer import commit, create_store, writing
from tratree_data.tree_search.replay import replay
from tratree_data.tree_search.replay_path import PathStep, PlannedPath, replay_path

COUNTER = "helpers.plug_ins:Counter"
replay_counter = partial(replay, environments=[COUNTER])


@dataclass(frozen=True)
class Told:
    """A rollout as it is told to the store, and what a second rollout saw at the same nodes (None: the same)."""

    environment: str
    task_id: str
    steps: Sequence[tuple[str, str]]
    end_observation: str = ""
    score: float | None = 1.0
    version: str = ""
    others: Sequence[str | None] = ()

    @property
    def path_id(self) -> str:
        return content_id(*self.nodes())

    @property
    def tree_id(self) -> str:
        return tree_id(self.environment, self.task_id)

    def nodes(self) -> list[str]:
        found = [content_id("node", self.tree_id)]
        for observation, action in self.steps:
            found.append(content_id("node", found[-1], observation, action))
        return found[1:]


def play(environment: Environment, task_id: str, actions: list[str]) -> Told:
    """A real rollout."""
    observation, steps = environment.reset(task_id).observation, []
    for action in actions:
        steps.append((observation, action))
        outcome = environment.step(action)
        observation = outcome.observation
        if outcome.done:
            break
    return Told(environment.name, task_id, steps, observation, environment.score(), environment.version)


def count(task_id: str, *actions: str) -> Told:
    """What the counting environment would show, told without playing it."""
    steps, seen = [], 0
    for action in actions:
        steps.append((str(seen), action))
        seen += action == "count"
    return Told(COUNTER, task_id, steps, str(seen), seen / 3)


def make_store(folder: Path, rollouts: list[Told]) -> Path:
    """The tables that explore, build and search would have written: one tree and one path a rollout."""
    rows: dict[str, list[dict[str, object]]] = {"rollouts": [], "nodes": [], "step_nodes": [], "paths": []}
    for told in rollouts:
        rollout_id = content_id("rollout", told.path_id)
        rows["rollouts"].append(
            {
                "rollout_id": rollout_id,
                "tree_id": told.tree_id,
                "environment": told.environment,
                "environment_version": told.version,
                "split": "train",
                "task_id": told.task_id,
                "attempt": 0,
                "prompt": "",
                "instruction": "",
                "agent": "told",
                "score": told.score,
                "success": None,
                "end_reason": "done",
                "end_observation": told.end_observation,
                "step_count": len(told.steps),
                "source": "test",
            }
        )
        parent = content_id("node", told.tree_id)
        for number, ((observation, action), node_id) in enumerate(zip(told.steps, told.nodes(), strict=True)):
            numbers = dict.fromkeys(("visits", "scored_visits", "ends", "scored_ends"), 1)
            rows["nodes"].append(
                {
                    **numbers,
                    "tree_id": told.tree_id,
                    "node_id": node_id,
                    "parent_id": parent,
                    "depth": number + 1,
                    "state": 0,
                    "observation": observation,
                    "thought": "",
                    "action": action,
                    "score_sum": 0.0,
                    "end_score_sum": 0.0,
                }
            )
            seen = [None, *told.others[number : number + 1]]
            rows["step_nodes"] += [
                {
                    "tree_id": told.tree_id,
                    "rollout_id": content_id(rollout_id, other),
                    "step": number,
                    "node_id": node_id,
                    "similarity": 1.0,
                    "observation": text,
                    "thought": None,
                }
                for other, text in enumerate(seen)
            ]
            parent = node_id
        rows["paths"].append(
            {
                "path_id": told.path_id,
                "tree_id": told.tree_id,
                "rank": 1,
                "node_ids": told.nodes(),
                "value": told.score,
                "support": 1,
                "rollout_ids": [rollout_id],
            }
        )
    rows["nodes"] = list({row["node_id"]: row for row in rows["nodes"]}.values())
    create_store(folder)
    with writing(folder):
        tables = {name: table_from_rows(name, table) for name, table in rows.items()}
        commit(folder, "search", tables, settings={}, reads={})
    return folder


def results(store: Store) -> dict[str, tuple[bool | None, float | None]]:
    """Of every path; (None, None) where no replay was made."""
    made = store.read("replays").to_pylist() if store.has("replays") else []
    found = {row["path_id"]: (row["replayed"], row["replay_score"]) for row in made}
    return {path_id: found.get(path_id, (None, None)) for path_id in store.read("paths")["path_id"].to_pylist()}


def reasons(store: Store) -> dict[str, tuple[str, str]]:
    """Why paths differ, and why others could not be replayed."""
    dropped = [(row["subject"], row) for row in store.read("dropped").to_pylist() if row["stage"] == "replay"]
    differing = [(row["path_id"], row) for row in store.read("replays").to_pylist() if row["reason"]]
    return {subject: (row["reason"], row["detail"]) for subject, row in [*dropped, *differing]}


def test_a_path_holds_if_every_observation_comes_back(tmp_path: Path) -> None:
    good = count("up", "count", "jump", "count", "count")
    merged = Told(COUNTER, "down", [("nought", "count"), ("1", "count")], "2", others=["0", None])
    folder = make_store(tmp_path / "d", [good, merged])
    report = replay_counter(folder)
    assert report.counts == {"paths": 2, "replayed": 2, "different": 0, "not replayed": 0}
    assert results(open_store(folder)) == {good.path_id: (True, 1.0), merged.path_id: (True, 2 / 3)}
    assert reasons(open_store(folder)) == {}
    assert not replay_counter(folder).changed, "nothing is left to try"
    assert replay_counter(folder, environment_options={COUNTER: {"goal": 4}}).changed, "other options are another replay"


def test_what_differs_is_recorded_with_the_place(tmp_path: Path) -> None:
    middle = Told(COUNTER, "up", [("0", "count"), ("2", "count")], "2")
    end = Told(COUNTER, "down", [("0", "count")], "7")
    early = Told(COUNTER, "up", [("0", "count"), ("1", "count"), ("2", "count"), ("3", "count")], "")
    folder = make_store(tmp_path / "d", [end, middle])
    searched = open_store(folder).version("paths")
    assert replay_counter(folder).counts["different"] == 2
    store = open_store(folder)
    assert results(store) == {middle.path_id: (False, 2 / 3), end.path_id: (False, 1 / 3)}
    places = {row["path_id"]: row["differs_at"] for row in store.read("replays").to_pylist()}
    assert places == {middle.path_id: 1, end.path_id: 1}, "after the last action is the place after the last step"
    assert store.version("paths") == searched, "replay does not write what search wrote"
    assert reasons(store)[middle.path_id] == ("observation_differs", "step 1: the environment showed '1', the tree says '2'")
    assert reasons(store)[end.path_id] == ("observation_differs", "the end: the environment showed '1', the tree says '7'")
    folder = make_store(tmp_path / "early", [early])
    replay_counter(folder)
    assert reasons(open_store(folder))[early.path_id] == ("ended_early", "the episode was over before step 3")
    assert results(open_store(folder))[early.path_id] == (False, 1.0)


def test_what_was_never_replayed_is_said_when_nothing_is_left_to_do(tmp_path: Path) -> None:
    folder = make_store(tmp_path / "d", [count("up", "count"), Told("hotpotqa", "q1", [("Who?", "search[x]")])])
    assert replay_counter(folder).counts == {"paths": 2, "replayed": 1, "different": 0, "not replayed": 1}
    result = CliRunner().invoke(app, ["replay", str(folder)])
    assert result.exit_code == 0
    assert "nothing to do (2 paths, 1 not replayed)" in result.stderr
    assert "not replayed: No environment is called 'hotpotqa'." in result.stderr


def test_failures_stay_untried_and_only_they_are_tried_again(tmp_path: Path) -> None:
    rollouts = [count("up", "count"), count("down", "count", "die"), count("nowhere", "count")]
    rollouts.append(Told("hotpotqa", "q1", [("Who?", "search[x]")]))
    folder = make_store(tmp_path / "d", rollouts)
    report = replay_counter(folder, workers=2, time_out_seconds=20)
    assert report.counts == {"paths": 4, "replayed": 1, "different": 0, "not replayed": 3}
    store = open_store(folder)
    assert [results(store)[told.path_id] for told in rollouts] == [(True, 1 / 3), (None, None), (None, None), (None, None)]
    found = reasons(store)
    assert found[rollouts[1].path_id][0] == "environment_error"
    assert "out of memory, says the simulator" in found[rollouts[1].path_id][1]
    assert found[rollouts[2].path_id] == ("unknown_task", "There is no task 'nowhere'.")
    assert found[rollouts[3].path_id][0] == "unknown_environment"
    again = replay_counter(folder)
    assert again.counts == {"paths": 3, "replayed": 0, "different": 0, "not replayed": 3}
    assert results(open_store(folder)) == results(store)
    assert reasons(open_store(folder)) == found


def test_a_hanging_environment_is_a_time_out(tmp_path: Path) -> None:
    told = [count("up", "count", "sleep"), count("down", "count")]
    folder = make_store(tmp_path / "d", told)
    replay_counter(folder, workers=1, time_out_seconds=2)
    store = open_store(folder)
    assert reasons(store)[told[0].path_id][0] == "time_out"
    assert results(store)[told[1].path_id] == (True, 1 / 3), "the worker was replaced"


def test_errors_that_the_user_must_fix(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="No such folder"):
        replay_counter(tmp_path / "nothing")
    folder = make_store(tmp_path / "foreign", [Told("hotpotqa", "q1", [("Who?", "search[x]")])])
    with pytest.raises(NotFoundError, match="No environment is called 'hotpotqa'"):
        replay_counter(folder)
    assert results(open_store(folder)).popitem()[1] == (None, None)
    folder = make_store(tmp_path / "d", [count("up", "count")])
    with pytest.raises(BadInputError, match=f"--environment-data {COUNTER}=FOLDER"):
        replay_counter(folder, environment_data=["webshop="])
    with pytest.raises(BadInputError, match="does not accept its options"):
        replay_counter(folder, environment_data=["somewhere"])
    with writing(folder):
        store = open_store(folder)
        commit(folder, "build", {"nodes": table_from_rows("nodes", [])}, settings={}, reads={})
    assert store.count("paths") == 1
    with pytest.raises(BadInputError, match="Next: tratree search"):
        replay_counter(folder)


def test_control_c_keeps_what_is_finished(tmp_path: Path) -> None:
    told = [*(count("up", *["jump"] * number, "count") for number in range(3)), count("up", "count", "sleep")]
    folder = make_store(tmp_path / "d", told)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [
        sys.executable,
        "-c",
        f"from tratree_data import replay; replay({str(folder)!r}, workers=2, environments={[COUNTER]!r}, commit_seconds=0)",
    ]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until and sum(replayed is True for replayed, _ in results(open_store(folder)).values()) < 3:
        time.sleep(0.2)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    store = open_store(folder)
    assert [results(store)[one.path_id][0] for one in told] == [True, True, True, None]


@needs_java
@needs_express
def test_a_gold_path_holds_in_the_real_game(tmp_path: Path) -> None:
    environment = make_environment("textworldexpress")
    try:
        tasks = [f"{game}/train/{number}" for game in ("coin", "twc", "cookingworld") for number in (1, 2)]
        rollouts = [play(environment, task, environment.expert_actions(task) or []) for task in tasks]
        steps = tuple(PathStep(frozenset([seen]), action) for seen, action in rollouts[0].steps)
        path = PlannedPath("p", "t", environment.name, tasks[0], steps)
        assert replay_path(environment, path).replayed
    finally:
        environment.close()
    folder = make_store(tmp_path / "d", rollouts)
    report = replay(folder, workers=1)
    assert report.counts["replayed"] == 6, reasons(open_store(folder))
    assert report.notes == ()
    assert set(results(open_store(folder)).values()) == {(True, 1.0)}


@pytest.mark.slow
@needs_java
@needs_scienceworld
@needs_shared
def test_scienceworld_holds_in_a_fresh_jvm(tmp_path: Path) -> None:
    """Random actions, the simulator's own randomness at work: a fresh process gives all of it back."""
    seed = 7
    print(f"seed {seed}")
    chance = random.Random(seed)
    environment = make_environment("scienceworld", data=SHARED / "scienceworld", exact=True)
    try:
        actions = [
            "teleport to greenhouse",
            *chance.choices(["wait", "look around", "teleport to outside", "inventory"], k=8),
            "look around",
        ]
        told = play(environment, "find-animal/0", actions)
    finally:
        environment.close()
    folder = make_store(tmp_path / "d", [told])
    assert replay(folder, environment_data=[str(SHARED / "scienceworld")]).counts["replayed"] == 1
    assert results(open_store(folder)) == {told.path_id: (True, told.score)}


@needs_alfworld
@needs_shared
def test_alfworld_s_expert_holds_and_another_version_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = make_environment("alfworld", data=SHARED / "alfworld")
    task = next(task for task in environment.tasks("train") if task.startswith("look_at_obj"))
    told = play(environment, task, environment.expert_actions(task) or [])
    folder = make_store(
        tmp_path / "d", [Told(told.environment, task, told.steps, told.end_observation, 1.0, "alfworld 0.3, grammar of old")]
    )
    monkeypatch.delenv("TRATREE_ALFWORLD_DATA", raising=False)
    with pytest.raises(NotFoundError, match="ALFWorld needs its games"):
        replay(folder)
    report = replay(folder, environment_data=[f"alfworld={SHARED / 'alfworld'}"])
    assert report.counts["replayed"] == 1
    assert "alfworld 0.3, grammar of old" in report.notes[0]


def test_replay_meets_the_environment_as_it_was_explored(tmp_path: Path) -> None:
    """Its options stand in the lineage: with another goal the very same actions would earn another score."""
    from tratree_data import build, explore, search

    for goal in (2, 4):
        folder = tmp_path / f"goal-{goal}"
        explore(folder, COUNTER, "scripted", 2, tasks=2, concurrent=1, processes=1, options={"goal": goal})
        build(folder, embedder="exact")
        search(folder)
        report = replay_counter(folder, workers=1)
        assert report.counts["replayed"] == 2, report
        scores = open_store(folder).sql("SELECT replay_score, value FROM paths JOIN replays USING (path_id)").to_pylist()
        assert all(row["replay_score"] == row["value"] for row in scores), scores


@pytest.mark.slow
def test_datasets_of_datasets_know_how_their_environments_were_explored(tmp_path: Path) -> None:
    """Filtered, split, merged, published: a path is replayed with the options that it was found with."""
    from tratree_data import build, explore, filter, merge, publish, search, split

    explore(tmp_path / "a", COUNTER, "scripted", 2, tasks=2, concurrent=1, processes=1, options={"goal": 4})
    build(tmp_path / "a", embedder="exact")
    search(tmp_path / "a")
    publish(tmp_path / "a", str(tmp_path / "release"), version="1.0.0", license="cc0-1.0")
    filter(tmp_path / "a", tmp_path / "up", "task_id = 'up'")
    filter(tmp_path / "release", tmp_path / "down", "task_id = 'down'")
    merge(tmp_path / "up", tmp_path / "down", tmp_path / "both")
    split(tmp_path / "both", tmp_path / "parted", {"train": 0.5, "test": 0.5})
    delete(tmp_path / "parted", ["up"])
    for name, paths in (("up", 1), ("down", 1), ("both", 2), ("parted", 1)):
        assert replay_counter(tmp_path / name, workers=1).counts["replayed"] == paths, name


def test_logs_of_an_environment_do_not_hide_how_others_explored_it(tmp_path: Path) -> None:
    """What was only imported knows no options, and so is no word against those of an exploration merged with it."""
    from tratree_data import explore, merge

    explore(tmp_path / "explored", COUNTER, "scripted", 1, tasks=1, concurrent=1, processes=1, options={"goal": 4})
    name = open_store(tmp_path / "explored").read("rollouts", ["environment"])["environment"][0].as_py()
    step = {"observation": "0", "thought": "", "action": "count"}
    import_rows(tmp_path / "imported", [{"task_id": "else", "env": name, "instruction": "", "reward": 1.0, "steps": [step]}])
    assert exploration_options(open_store(tmp_path / "imported")) == {name: ExplorationOptions(name, {}, name)}
    merge(tmp_path / "imported", tmp_path / "explored", tmp_path / "both")
    assert exploration_options(open_store(tmp_path / "both"))[name].options == {"goal": 4}


@needs_java
@needs_express
def test_from_exploration_to_replay(tmp_path: Path) -> None:
    """The verbs together: what is explored, built and searched can be replayed, and search stays up to date."""
    try:
        from tratree_data import build, explore, search
    except MissingPackageError as error:
        pytest.skip(str(error))
    folder = tmp_path / "d"
    explore(folder, "textworldexpress", "expert", 1, tasks=3, concurrent=1, processes=1)
    build(folder, embedder="exact")
    search(folder)
    assert replay(folder, workers=1).counts["replayed"] == 3
    assert not search(folder).changed
    result = CliRunner().invoke(app, ["replay", str(folder), "--workers", "1"])
    assert result.exit_code == 0
    assert "nothing to do (3 paths)" in result.stderr
