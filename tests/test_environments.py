"""The paper's environments, played for real; each is skipped, with the reason, where its package, Java or data is not installed."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.command_line import tratree
from helpers.installed import needs_alfworld, needs_express, needs_java, needs_scienceworld
from helpers.pages import snippets
from helpers.shared_data import SHARED, needs_shared

from tratree_data.agents import AgentHooks
from tratree_data.environments import (
    Environment,
    EnvironmentFailure,
    EnvironmentHooks,
    Outcome,
    environment_class,
    environment_names,
    list_environments,
    make_environment,
)
from tratree_data.environments.requirements import package_version
from tratree_data.environments.scienceworld import teleport
from tratree_data.environments.worker import Worker
from tratree_data.errors import BadInputError, MissingPackageError, NotFoundError
from tratree_data.store.reader import open_store


def play(environment: Environment, task_id: str, actions: list[str]) -> list[Outcome]:
    environment.reset(task_id)
    return [environment.step(action) for action in actions]


@pytest.fixture(scope="module")
def alfworld() -> Iterator[Environment]:
    environment = make_environment("alfworld", data=SHARED / "alfworld")
    yield environment
    environment.close()


@pytest.fixture(scope="module")
def scienceworld() -> Iterator[Environment]:
    environment = make_environment("scienceworld", data=SHARED / "scienceworld")
    yield environment
    environment.close()


@pytest.fixture(scope="module")
def express() -> Iterator[Environment]:
    environment = make_environment("textworldexpress")
    yield environment
    environment.close()


TRANSCRIPT = """
import json, random, sys, time
from tratree_data.environments import alfworld
if sys.argv[2] == "plain":
    alfworld.quicken = lambda: None
world = alfworld.ALFWorld(sys.argv[1] + "/alfworld")
chance, transcript, seconds = random.Random(7), [], 0.0
for task in world.tasks("train")[:3]:
    transcript.append(world.reset(task).observation)
    for action in world.expert_actions(task):
        possible = world.admissible_actions()
        started = time.process_time()
        outcome = world.step(chance.choice(possible) if chance.random() < 1 / 3 else action)
        seconds += time.process_time() - started
        transcript += [possible, outcome.observation, outcome.reward]
        if outcome.done:
            break
print(json.dumps({"transcript": transcript, "seconds": seconds}))
"""


@needs_alfworld
@needs_shared
class TestALFWorld:
    def test_splits_are_the_release_s(self, alfworld: Environment) -> None:
        """The paper's table 9 says 3,119 training games; the release holds 3,554 that can be solved."""
        assert alfworld.splits() == {"train": 3554, "valid_seen": 140, "valid_unseen": 134}
        kinds = {task.split("-")[0] for task in alfworld.tasks("train")[:20]}
        assert len(kinds) >= 4
        assert alfworld.tasks("train") == alfworld.tasks("train")
        with pytest.raises(BadInputError, match="valid_seen"):
            alfworld.tasks("test")

    def test_expert_wins_with_the_old_grammar(self, alfworld: Environment) -> None:
        task = next(task for task in alfworld.tasks("train") if task.startswith("pick_and_place"))
        expert = alfworld.expert_actions(task)
        assert expert is not None
        assert any(action.startswith("put ") and " in/on " in action for action in expert)
        assert "grammar put X in/on Y" in alfworld.version
        outcomes = play(alfworld, task, expert)
        assert outcomes[-1].done
        assert (alfworld.score(), alfworld.success(), outcomes[-1].reward) == (1.0, True, 1.0)
        assert not any("arrive at loc" in outcome.observation for outcome in outcomes)
        assert outcomes == play(alfworld, task, expert), "the same game again, already loaded"

    def test_invalid_actions_change_nothing(self, alfworld: Environment) -> None:
        task = alfworld.tasks("valid_unseen")[0]
        start = alfworld.reset(task)
        assert start.instruction.startswith("Your task is to: ")
        assert start.instruction in start.observation
        assert not start.observation.startswith("-=")
        before = alfworld.admissible_actions()
        for action in ("fly to the moon", "", "move mug 1 to desk 1", "go to nowhere 1\nlook", "' OR 1 --", "[red]look[/red]"):
            assert alfworld.step(action) == Outcome("Nothing happens.", False, 0.0, False), action
        assert alfworld.admissible_actions() == before
        assert alfworld.expert_actions(task) is None

    @pytest.mark.slow
    def test_quickened_it_says_what_textworld_says(self) -> None:
        """Three games, a third of the expert's actions replaced by other possible ones: all texts and possible actions are the same."""
        quick, plain = (
            json.loads(subprocess.check_output([sys.executable, "-c", TRANSCRIPT, str(SHARED), how])) for how in ("quick", "plain")
        )
        assert quick["transcript"] == plain["transcript"]
        assert len(quick["transcript"]) > 30
        assert quick["seconds"] < plain["seconds"] / 3, "processor time; measured: a fourteenth"

    def test_limits_prompt_and_errors(self, alfworld: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        assert alfworld.max_steps == 40
        assert "3. put obj in/on recep" in alfworld.prompt
        with pytest.raises(NotFoundError, match="no task 'nowhere'"):
            alfworld.reset("nowhere")
        monkeypatch.delenv("TRATREE_ALFWORLD_DATA", raising=False)
        with pytest.raises(NotFoundError, match=r"alfworld-download.*\nNext: .*TRATREE_ALFWORLD_DATA"):
            make_environment("alfworld")
        with pytest.raises(NotFoundError, match="has neither"):
            make_environment("alfworld", data=tmp_path)
        (tmp_path / "games.jsonl.xz").write_bytes(b"no games")
        with pytest.raises(BadInputError, match="is not a file of ALFWorld games"):
            make_environment("alfworld", data=tmp_path)

    def test_released_folders_are_read_too(self, alfworld: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """alfworld-download makes SPLIT/TASK/TRIAL/game.tw-pddl; a game's newer grammar changes prompt and version."""
        task = alfworld.tasks("train")[0]
        game = environment_games(alfworld).game(task)
        expert = alfworld.expert_actions(task)
        for name, extra in ((task, {}), ("pick-movable-1/trial_1", {}), ("pick-unsolvable-1/trial_1", {"solvable": False})):
            folder = tmp_path / "json_2.1.1" / "train" / name
            folder.mkdir(parents=True)
            (folder / "game.tw-pddl").write_text(json.dumps({**game, "walkthrough": expert, **extra}))
        monkeypatch.setenv("TRATREE_ALFWORLD_DATA", str(tmp_path))
        released = make_environment("alfworld")
        assert released.splits() == {"train": 1}
        assert expert is not None
        assert play(released, task, released.expert_actions(task) or [])[-1].done
        (tmp_path / "json_2.1.1" / "train" / task / "game.tw-pddl").write_text(
            json.dumps({**game, "grammar": game["grammar"].replace("in/on", "to")})
        )
        newer = make_environment("alfworld")
        assert "grammar move X to Y" in newer.version
        assert "3. move obj to recep" in newer.prompt


def environment_games(environment: Environment):
    return environment.games  # type: ignore[attr-defined]


@needs_java
@needs_scienceworld
class TestScienceWorld:
    @needs_shared
    def test_splits_and_limits_are_the_paper_s(self, scienceworld: Environment) -> None:
        assert scienceworld.splits() == {"train": 1483, "dev": 194, "test": 211}
        assert scienceworld.tasks("train")[:2] == ["test-conductivity/412", "find-animal/0"]
        assert scienceworld.max_steps == 120, "before an episode, the longest of all tasks"
        scienceworld.reset("find-animal/0")
        assert scienceworld.max_steps == 15
        scienceworld.reset("task-2-power-component-(renewable-vs-nonrenewable-energy)/3")
        assert scienceworld.max_steps == 30, "the old name of a task finds it, too"
        assert "wait1: task no action for a step" in scienceworld.prompt

    @needs_shared
    def test_gold_path_reaches_one(self, scienceworld: Environment) -> None:
        gold = scienceworld.expert_actions("test-conductivity/412")
        assert gold is not None
        outcomes = play(scienceworld, "test-conductivity/412", gold)
        assert outcomes[-1].done
        assert (scienceworld.score(), scienceworld.success()) == (1.0, True)
        assert sum(outcome.reward or 0 for outcome in outcomes) == pytest.approx(1.0)
        assert all(outcome.valid for outcome in outcomes)
        assert len(gold) <= scienceworld.max_steps
        assert not any(action.startswith("go to") for action in gold)

    def test_gold_paths_teleport_instead_of_walking(self) -> None:
        walked = ["open door to a", "go to a", "look around", "open door to b", "go to b", "go to c", "open door to d", "wait", "go to e"]
        assert teleport(walked) == ["teleport to a", "look around", "teleport to c", "wait", "teleport to e"]
        assert teleport(["open door to a", "wait"]) == ["open door to a", "wait"]
        assert teleport([]) == []

    @needs_shared
    def test_a_wrong_focus_ends_the_episode_and_keeps_what_was_reached(self, scienceworld: Environment) -> None:
        scienceworld.reset("find-animal/0")
        assert scienceworld.score() == 0.0
        scienceworld.step("look around")
        reached = scienceworld.score()
        assert 0 < reached < 1
        outcome = scienceworld.step("focus on agent")
        assert (outcome.done, outcome.reward) == (True, 0.0)
        assert scienceworld.java.getScore() == -1.0  # type: ignore[attr-defined]
        assert scienceworld.score() == reached
        assert not scienceworld.success()

    @needs_shared
    def test_prompt_tells_the_truth(self, scienceworld: Environment) -> None:
        """Teleporting works and containers are open, as the prompt says."""
        start = scienceworld.reset("find-animal/0")
        assert start.instruction.startswith("Your task is to find a(n) animal")
        assert scienceworld.step("teleport to kitchen").observation == "You teleport to the kitchen."
        kitchen = scienceworld.step("look around").observation
        assert "This room is called the kitchen" in kitchen
        assert "The fridge door is open" in kitchen
        actions = scienceworld.admissible_actions()
        assert actions is not None
        assert "teleport to greenhouse" in actions
        for action in ("flurb", "", "open moon", "connect x to y"):
            assert scienceworld.step(action).valid is False, action
        with pytest.raises(NotFoundError, match="boil/0"):
            scienceworld.reset("boil/30")
        with pytest.raises(NotFoundError, match="no task 'boil'"):
            scienceworld.reset("boil")

    @needs_shared
    def test_a_killed_jvm_is_a_failure_and_the_next_reset_repairs_it(self, scienceworld: Environment) -> None:
        scienceworld.reset("find-animal/0")
        os.kill(scienceworld.java.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        with pytest.raises(EnvironmentFailure, match="Java process has died") as caught:
            scienceworld.step("look around")
        assert caught.value.reason == "environment_error"
        assert scienceworld.reset("find-animal/0").observation.startswith("This ")

    def test_works_without_a_data_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The package's own split, by the rule that its jar follows."""
        monkeypatch.delenv("TRATREE_SCIENCEWORLD_DATA", raising=False)
        with pytest.raises(BadInputError, match="not a ScienceWorld data folder"):
            make_environment("scienceworld", data=tmp_path)
        environment = make_environment("scienceworld", exact=True)
        try:
            assert environment.splits() == {"train": 3592, "dev": 1796, "test": 1819}
            assert "the package's splits" in environment.version
            before = environment.java  # type: ignore[attr-defined]
            start = environment.reset("grow-fruit/3")
            java = environment.java  # type: ignore[attr-defined]
            assert java is not before, "every episode has a fresh process; test_replay.py shows what that is good for"
            assert before.pid is None
            for split, numbers in zip(
                ("train", "dev", "test"), (java.getVariationsTrain(), java.getVariationsDev(), java.getVariationsTest()), strict=True
            ):
                ours = sorted(int(task.split("/")[1]) for task in environment.tasks(split) if task.startswith("grow-fruit/"))
                assert ours == sorted(numbers), split
            assert start.instruction.startswith("Your task is to grow")
        finally:
            environment.close()


@needs_java
@needs_express
class TestTextWorldExpress:
    def test_gold_paths_win_all_games(self, express: Environment) -> None:
        assert express.splits() == {"train": 8000, "dev": 8000, "test": 8000}
        assert express.max_steps == 50
        tasks = express.tasks("train")[:8]
        assert len({task.split("/")[0] for task in tasks}) == 8, "games take turns"
        for task in tasks:
            gold = express.expert_actions(task)
            assert gold is not None
            outcomes = play(express, task, gold)
            assert outcomes[-1].done, task
            assert (express.score(), express.success()) == (1.0, True), task
            assert sum(outcome.reward or 0 for outcome in outcomes) == pytest.approx(1.0)
            assert play(express, task, gold) == outcomes, "the same seed gives the same game"

    def test_asking_the_expert_does_not_disturb_the_episode(self, express: Environment) -> None:
        task = "cookingworld/train/3"
        gold = express.expert_actions(task) or []
        undisturbed = play(express, task, gold)
        express.reset(task)
        disturbed = []
        for number, action in enumerate(gold):
            if number == 5:
                express.expert_actions("coin/dev/10007")
            disturbed.append(express.step(action))
        assert disturbed == undisturbed

    def test_invalid_actions_and_unknown_tasks(self, express: Environment) -> None:
        express.reset("coin/test/20001")
        assert express.step("fly").valid is False
        assert express.step("look around").valid
        assert express.admissible_actions() == sorted(express.admissible_actions() or [])
        for task in ("coin/train/10000", "coin/train/x", "chess/train/0", "coin", ""):
            with pytest.raises(NotFoundError, match="coin/train/0"):
                express.reset(task)
        with pytest.raises(BadInputError, match=r"no game 'coins'\. Did you mean 'coin'"):
            make_environment("textworldexpress", games="coins")
        assert make_environment("textworldexpress", games="twc,coin").tasks("dev")[:3] == [
            "coin/dev/10000",
            "twc/dev/10000",
            "coin/dev/10001",
        ]

    def test_a_jar_that_crashes_is_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        environment = make_environment("textworldexpress")
        monkeypatch.setattr("tratree_data.environments.java.OPTIONS", ["-XX:+NoSuchOption"])
        with pytest.raises(EnvironmentFailure, match="NoSuchOption") as caught:
            environment.reset("coin/train/0")
        assert caught.value.reason == "environment_error"


def test_versions_name_package_grammar_and_data() -> None:
    for name, words in {
        "alfworld": ["alfworld 0.", "textworld 1.", "grammar put X in/on Y", "games 5645ee75"],
        "scienceworld": ["scienceworld 1.", "teleportAction,openContainers,openDoors,selfWateringFlowerPots", "ETO splits d207ad8e"],
        "textworldexpress": ["textworld-express 1."],
    }.items():
        status = {status.name: status for status in list_environments()}[name]
        if (SHARED / name).is_dir() or name == "textworldexpress":
            options = {"data": SHARED / name} if name != "textworldexpress" else {}
            try:
                environment = make_environment(name, **options)
            except MissingPackageError as error:
                pytest.skip(str(error))
            assert all(word in environment.version for word in words), environment.version
            assert status.found


def test_what_is_missing_is_listed_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("TRATREE_ALFWORLD_DATA", "TRATREE_SCIENCEWORLD_DATA", "JAVA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    listed = {status.name: status for status in list_environments()}
    assert not listed["alfworld"].ready
    assert ("data in $TRATREE_ALFWORLD_DATA", "alfworld-download --data-dir FOLDER; export TRATREE_ALFWORLD_DATA=FOLDER") in listed[
        "alfworld"
    ].missing
    assert ("Java", "apt-get install default-jre-headless") in listed["scienceworld"].missing
    assert not listed["scienceworld"].ready
    assert listed["webshop"].ready
    if package_version("textworld-express"):
        with pytest.raises(MissingPackageError, match=r"Java is not installed.*\nNext: apt-get"):
            make_environment("textworldexpress")


def test_plug_ins_are_found_by_name_or_by_module_and_class(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"alfworld", "scienceworld", "textworldexpress", "webshop"} <= set(environment_names())
    assert environment_class("helpers.plug_ins:Counter").name == "helpers.plug_ins:Counter"
    with pytest.raises(NotFoundError, match="Did you mean 'scienceworld'"):
        environment_class("scienseworld")
    for name in ("helpers.plug_ins:Nothing", "no_such_module:Class", ":", "helpers.plug_ins:", "a..b:C", ".x:C"):
        with pytest.raises(NotFoundError, match="module:Name"):
            environment_class(name)
    with pytest.raises(BadInputError, match="does not accept its options"):
        make_environment("helpers.plug_ins:Counter", goals=4)


def test_the_command_lists_environments() -> None:
    result = tratree("environments")
    assert result.stdout.splitlines()[0].startswith("alfworld")
    ready = re.findall(r"^(\S+) +(?:ready|missing)", result.stdout, re.MULTILINE)
    assert {"webshop", "inspect:module:task"} <= set(ready)


def test_the_page_s_own_environment_works_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of docs/environments.md: its class, its entry point and its commands, in fewer than 60 lines."""
    page = (Path(__file__).parents[1] / "docs" / "environments.md").read_text()
    example = next(code for code in snippets(page) if "class Guessing" in code)
    entry_point = page.split("```toml\n")[1].split("```")[0]
    assert len(example.splitlines()) < 60
    (tmp_path / "guessing.py").write_text(example)
    distribution = tmp_path / "guessing-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: guessing\nVersion: 1.0\n")
    (group, points), *_ = tomllib.loads(entry_point)["project"]["entry-points"].items()
    (distribution / "entry_points.txt").write_text("\n".join([f"[{group}]", *(f"{name} = {where}" for name, where in points.items())]))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tratree_data.cli", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)

    assert re.search(r"^guessing +ready", run("environments").stdout, re.MULTILINE)
    run("explore", "guessing", "my-dataset", "--agent", "expert", "--attempts", "1", "--tasks", "3", "--option", "most=50")
    rollouts = open_store(tmp_path / "my-dataset").read("rollouts").to_pylist()
    assert [(row["task_id"], row["score"], row["end_observation"]) for row in sorted(rollouts, key=lambda row: row["task_id"])] == [
        (f"secret-{number}", 1.0, "Found!") for number in range(3)
    ]
    monkeypatch.syspath_prepend(tmp_path)
    worker = Worker("guessing:Guessing", {"most": 10})
    try:
        assert worker.tasks("test") == [f"secret-{number}" for number in range(5, 10)]
        assert worker.reset("secret-7").observation == "It is between 0 and 9."
        assert [worker.step(f"guess {number}").observation for number in (5, 8)] == ["It is between 6 and 9.", "It is between 6 and 7."]
        assert worker.admissible_actions() == ["guess 6", "guess 7"]
        assert worker.step("guess 7").done
    finally:
        worker.close()


@needs_java
def test_half_a_surrogate_is_an_invalid_action(express: Environment) -> None:
    """Models write such things, and they cannot be sent as UTF-8."""
    express.reset("coin/train/0")
    for action in ("\ud800", "look \udfff around", "x\x00y", "a\nb", "x" * 100_000, "é→😀"):
        assert express.step(action).valid is False, action[:20]
    assert express.step("look around").valid


@pytest.mark.parametrize(("hooks", "page"), [(AgentHooks, "exploration.md"), (EnvironmentHooks, "environments.md")])
def test_every_optional_member_is_typed_and_documented(hooks: type, page: str) -> None:
    names = {name for name in vars(hooks) if not name.startswith("_")}
    text = (Path(__file__).parents[1] / "docs" / page).read_text(encoding="utf-8")
    assert names == {name for name in names if re.search(rf"^\| `{name}\b", text, re.MULTILINE)}


@pytest.mark.slow
def test_code_reads_no_other_optional_member() -> None:
    known = {name for hooks in (AgentHooks, EnvironmentHooks) for name in vars(hooks) if not name.startswith("_")}
    subject = r"(?:agent|named|found|environment|(?:agent|environment)_class\([^()]*\))"
    reads: set[str] = set()
    for path in (Path(__file__).parents[1] / "tratree_data").rglob("*.py"):
        reads |= set(re.findall(rf'(?:get|has)attr\({subject}, "(\w+)"', path.read_text(encoding="utf-8")))
    assert {"begin", "keep", "in_process", "wants_actions"} <= reads
    assert reads <= known | {"name"}
