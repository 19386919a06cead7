"""Other libraries' environments behind adapters, each played for real where its package is installed, and short ones of the user's own."""

import importlib.util
import json
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from helpers.pages import snippets

from tratree_data import build, evaluate, explore, open_store, pairs, replay, search
from tratree_data.environments import (
    ADAPTERS,
    EnvironmentFailure,
    Outcome,
    Start,
    TextEnvironment,
    environment_class,
    list_environments,
    make_environment,
    requirements,
)
from tratree_data.environments.task_files import read_task_file, same_answer
from tratree_data.environments.tools import FunctionTool, action_of_call, call_of_action
from tratree_data.errors import BadInputError, MissingPackageError, NotFoundError, TratreeError
from tratree_data.importers.turns.chat import action_text

ROOT = Path(__file__).parents[1]
FROZEN = "gymnasium:FrozenLake-v1"
FROZEN_OPTIONS = {"is_slippery": False, "actions": "left|down|right|up"}
WAY = ("down", "down", "right", "right", "down", "right")


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


def walk(messages: list[dict[str, str]]) -> str:
    """The way over the ice."""
    turn = len(messages) // 2
    return f"Thought: Step {turn}.\nAction: {WAY[turn]}"


def stray(messages: list[dict[str, str]]) -> str:
    """A step of the way, then into a hole."""
    return f"Thought: Step.\nAction: {('down', 'right')[len(messages) // 2]}"


def test_every_adapter_is_listed_with_what_it_needs() -> None:
    listed = {status.name: status for status in list_environments()}
    for adapter, (target, _) in ADAPTERS.items():
        status = listed[f"{adapter}:{target}"]
        assert status.ready or all(command for _, command in status.missing)
    with pytest.raises(NotFoundError, match="write gymnasium:…"):
        environment_class("gymnasium")


@needs("gymnasium")
def test_gymnasium_from_exploration_to_pairs_and_replay(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert explore(data, FROZEN, [walk, stray], 1, tasks=2, options=FROZEN_OPTIONS, concurrent=1).counts["rollouts"] == 4
    store = open_store(data)
    rows = store.sql("SELECT agent, task_id, score, success, end_reason, environment FROM rollouts ORDER BY ALL").to_pylist()
    assert [(row["agent"], row["task_id"], row["score"]) for row in rows] == [
        (agent, task, score) for agent, score in (("stray", 0.0), ("walk", 1.0)) for task in ("seed-0", "seed-1")
    ]
    assert {row["environment"] for row in rows} == {FROZEN}
    assert (
        store.sql("SELECT observation FROM steps WHERE step = 1 LIMIT 1").to_pylist()[0]["observation"].startswith("(Down)\nSFFF\n[F]HFH")
    )
    with pytest.raises(BadInputError, match=r"max_steps left to the environment.*\nNext: leave out --max-steps"):
        explore(data, FROZEN, [walk, stray], 1, tasks=2, options=FROZEN_OPTIONS, max_steps=5)
    with pytest.raises(BadInputError, match="another version"):
        explore(data, FROZEN, walk, 1, tasks=2, options={**FROZEN_OPTIONS, "map_name": "8x8"})
    build(data, embedder="exact")
    search(data)
    assert pairs(data).counts["pairs"] == 2
    with pytest.raises(NotFoundError, match=f"--environment {FROZEN}"):
        replay(data, workers=1)
    assert replay(data, workers=1, environments=[FROZEN]).counts["replayed"] == 2


@needs("gymnasium")
def test_gymnasium_says_what_cannot_be_scored_or_written() -> None:
    taxi = make_environment("gymnasium:Taxi-v4")
    taxi.reset("seed-0")
    assert taxi.step("north-west").observation.startswith("This action is not possible. Possible: 0, 1,")
    taxi.step("0")
    with pytest.raises(BadInputError, match="--option low=-100"):
        taxi.score()
    paid = make_environment("gymnasium:Taxi-v4", low=-200, high=20)
    paid.reset("seed-0")
    paid.step("0")
    assert paid.score() == pytest.approx(199 / 220)
    for target, message in (("NoSuch-v0", "cannot make 'NoSuch-v0'"), ("Pendulum-v1", "Actions of Box cannot be written as text")):
        with pytest.raises((NotFoundError, BadInputError), match=message):
            make_environment(f"gymnasium:{target}")
    with pytest.raises(BadInputError, match="4 actions, but 2 names"):
        make_environment(FROZEN, actions="left|right")
    with pytest.raises(NotFoundError, match="no task 'seed-x'"):
        paid.reset("seed-x")


ECHO = '''
import gymnasium
from gymnasium.spaces import Dict, Text


class Echo(gymnasium.Env):
    """Repeat the word; written as Gymnasium's own pages teach it."""

    def __init__(self):
        self.action_space = Text(min_length=1, max_length=12)
        self.observation_space = Dict({"mission": Text(max_length=80), "heard": Text(max_length=80)})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.word = str(self.np_random.choice(["red", "green", "blue"]))
        return {"mission": f"Say {self.word}", "heard": ""}, {"admissible_commands": ["red", "green", "blue"]}

    def step(self, action):
        won = action == self.word
        return {"mission": f"Say {self.word}", "heard": action}, float(won), won, False, {}


gymnasium.register("Echo-v0", entry_point=Echo, max_episode_steps=3)
'''


@needs("gymnasium")
def test_a_gymnasium_environment_of_texts_in_a_module_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "echo_game.py").write_text(ECHO, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    echo = make_environment("gymnasium:echo_game:Echo-v0")
    start = echo.reset("seed-1")
    word = start.instruction.removeprefix("Say ")
    assert start == Start(f"Say {word}", f"mission: Say {word}\nheard:")
    assert echo.admissible_actions() == ["blue", "green", "red"]
    assert echo.max_steps == 3
    assert echo.reset("seed-1") == start, "the same seed"
    assert echo.step("much too long to say").valid is False
    assert echo.step(word) == Outcome(f"mission: Say {word}\nheard: {word}", True, 1.0, True)
    assert (echo.score(), echo.success()) == (1.0, True)


@needs("textarena")
def test_textarena_shows_only_what_is_new_and_scores_the_end(tmp_path: Path) -> None:
    game = make_environment("textarena:GuessTheNumber-v0")
    start = game.reset("seed-0")
    assert "between 1 and 20" in start.instruction
    low, high, seen = 1, 20, []
    while True:
        guess = (low + high) // 2
        outcome = game.step(f"[{guess}]")
        if outcome.done:
            break
        seen.append(outcome.observation)
        low, high = (guess + 1, high) if "higher" in outcome.observation else (low, guess - 1)
    assert (game.score(), game.success()) == (1.0, True)
    assert set(seen) <= {"The target number is higher.", "The target number is lower."}
    assert game.reset("seed-0") == start
    assert game.step("seven").valid is False
    with pytest.raises(BadInputError, match="cannot be played by one agent"):
        make_environment("textarena:TicTacToe-v0").reset("seed-0")
    with pytest.raises(NotFoundError, match="Did you mean 'Sudoku-v0"):
        make_environment("textarena:Sudoko-v0")

    def tower(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        moves = ["[A C]", "[A B]", "[C B]", "[A C]", "[B A]", "[B C]", "[A C]"]
        move = {"name": "act", "arguments": json.dumps({"action": moves[len(messages) // 2 - 1]})}
        return {"tool_calls": [{"id": str(len(messages)), "function": move}]}

    explore(tmp_path / "data", "textarena:TowerOfHanoi-v0", tower, 1, tasks=1, concurrent=1)
    rollout = open_store(tmp_path / "data").read("rollouts").to_pylist()[0]
    assert (rollout["score"], rollout["end_reason"], rollout["step_count"]) == (1.0, "done", 7)


LEDGER = '''
"""A server as the SDK's own pages teach it."""
import os

from mcp.server.mcpserver import MCPServer

server = MCPServer("ledger", instructions="A small ledger.")
total = 0


@server.tool()
def add(amount: int, note: str = "") -> str:
    """Adds an amount to the ledger."""
    global total
    total += amount
    return f"The total is {total}."


@server.tool()
def variable(name: str) -> str:
    """Tells a variable."""
    return os.environ.get(name, "not set")


@server.tool()
def leave() -> str:
    """Ends the server."""
    os._exit(3)


server.run()
'''


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    (tmp_path / "ledger.py").write_text(LEDGER, encoding="utf-8")
    tasks = [{"task_id": "five", "instruction": "Add 2 and 3, then give the total.", "answer": 5}, {"instruction": "Add 1."}]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks), encoding="utf-8")
    return f"mcp:{sys.executable} {tmp_path / 'ledger.py'}"


def caller(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
    assert [tool["function"]["name"] for tool in tools] == ["add", "variable", "leave", "final_answer"]
    turn = sum(message["role"] == "assistant" for message in messages)
    calls = [{"id": str(n), "function": {"name": "add", "arguments": {"amount": n}}} for n in (2, 3)]
    return {"content": "Both at once.", "tool_calls": calls} if turn == 0 else {"content": messages[-1]["content"][-2:]}


def writer(messages: list[dict[str, str]]) -> str:
    said = ['add {"amount": 2}', 'add({"amount": 4})', "add four", 'final_answer {"text": "6"}']
    return f"Thought: I think.\nAction: {said[len(messages) // 2]}"


@needs("mcp")
def test_tools_of_an_mcp_server_are_an_environment(ledger: str, tmp_path: Path) -> None:
    data, tasks = tmp_path / "data", str(tmp_path / "tasks.jsonl")
    explore(data, ledger, [caller, writer], 1, data=tasks, concurrent=1)
    store = open_store(data)
    rows = store.sql("SELECT agent, score, success, end_reason, environment, task_id FROM rollouts ORDER BY agent, score").to_pylist()
    assert [(row["agent"], row["score"], row["success"]) for row in rows] == [
        ("caller", 1.0, True), ("caller", None, None), ("writer", 0.0, False), ("writer", None, None)
    ]  # fmt: skip
    assert {(row["environment"], row["end_reason"]) for row in rows} == {("mcp:ledger", "done")}
    steps = store.sql(
        "SELECT action, valid, observation FROM steps JOIN rollouts USING (rollout_id) WHERE task_id = 'five' ORDER BY agent, step"
    ).to_pylist()
    assert steps[0]["action"] == 'add {"amount": 2}\nadd {"amount": 3}'
    assert steps[1]["observation"] == "The total is 2.\n\nThe total is 5."
    assert steps[1]["action"] == 'final_answer {"text": "5."}', "a message without a call is the answer"
    assert [step["valid"] for step in steps[2:]] == [True, True, False, True]
    assert "ledger.py" not in "".join(path.read_text(encoding="utf-8") for path in data.rglob("*.json")), "the command is not recorded"
    build(data, embedder="exact")
    search(data)
    with pytest.raises(NotFoundError, match="no module is imported because data names it"):
        replay(data, workers=1)
    assert replay(data, workers=1, environments=[ledger], environment_data=[tasks]).counts["different"] == 0


@needs("mcp")
def test_an_mcp_server_that_ends_or_never_starts_is_said_plainly(ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_KEY", "k-1")
    monkeypatch.setenv("OTHER_KEY", "k-2")
    server = make_environment(ledger, instruction="Look.", variables="LEDGER_KEY")
    try:
        server.reset(*server.tasks("train"))
        seen = [server.step(f'variable {{"name": "{name}"}}').observation for name in ("LEDGER_KEY", "OTHER_KEY")]
        assert seen == ["k-1", "not set"], "the server sees only the variables that were named"
        assert server.step('add {"amount": "many"}').valid is False
        with pytest.raises(EnvironmentFailure, match="failed during leave"):
            server.step("leave")
    finally:
        server.close()
    for target, options, message in (
        ("no-such-program x", {"instruction": "a"}, "'no-such-program x' did not start"),
        ("python", {}, "has no tasks.*\nNext: --data"),
        ("", {"instruction": "a"}, "needs the command"),
        ("python", {"instruction": "a", "variables": "NOT_SET_HERE"}, "NOT_SET_HERE is not set"),
    ):
        with pytest.raises(TratreeError, match=message):
            make_environment(f"mcp:{target}", **options)


def test_a_file_of_tasks_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    for text, message in (("{}", "line 1 is not a task: 'instruction'"), ("[]", "line 1 is not"), ('{"instruction": "a"}\n' * 2, "again")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(BadInputError, match=message):
            read_task_file(path)
    same = [("5", "5.0"), (" Paris. ", "paris"), ("1,000", "1000"), ("a\nb", "A b")]
    assert [same_answer(*pair) for pair in [*same, ("5", "6"), ("no", "not")]] == [True] * 4 + [False] * 2


def test_a_function_tool_writes_actions_as_imported_logs_do() -> None:
    schema = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "string"}}, "required": ["b"]}
    tools = (FunctionTool("add", "Adds.", schema), FunctionTool("add_all", "Adds all.", {"type": "object"}))
    for arguments in ('{"b": 2, "a": "é\\n[x]"}', '{"b": [1, {"z": null, "y": true}]}'):
        action, problem = action_of_call(tools, "add", arguments)
        assert (action, problem) == (action_text({"name": "add", "arguments": arguments}), "")
        name, again = call_of_action(tools, action or "") or ("", "")
        assert (name, json.loads(again)) == ("add", json.loads(arguments))
    assert action_of_call(tools, "add_all", None) == (action_text({"name": "add_all", "arguments": "{}"}), "")
    assert call_of_action(tools, "add_all") == ("add_all", "{}")
    assert call_of_action(tools, 'add({"b": 1})') == ("add", '{"b": 1}'), "as people write it"
    assert action_of_call(tools, "add", '{"a": 1}') == (None, "add needs b.")
    assert action_of_call(tools, "add_all", "[1]") == (None, "The arguments of add_all are not a JSON object.")


class Doors(TextEnvironment):
    """Open the right door."""

    def tasks(self, split: str) -> list[str]:
        return ["0", "1"]


def test_a_short_environment_says_which_method_it_lacks(tmp_path: Path) -> None:
    doors = Doors()
    assert (doors.name, doors.prompt, doors.splits()) == ("Doors", "Open the right door.", {"train": 2})
    for call, method in ((lambda: doors.reset("0"), "reset"), (lambda: doors.step("x"), "step"), (doors.score, "score")):
        with pytest.raises(NotImplementedError, match=f"Doors has no method {method}"):
            call()


def test_the_short_examples_of_the_pages_work_from_a_file_a_class_and_an_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/environments.md and docs/exploration.md: in Python, from a file, and in `evaluate`."""
    monkeypatch.chdir(tmp_path)
    spaces: dict[str, dict[str, Any]] = {"my_env.py": {}, "my_agent.py": {}}
    for page, name in (("environments.md", "my_env.py"), ("exploration.md", "my_agent.py")):
        code = next(code for code in snippets((ROOT / "docs" / page).read_text(encoding="utf-8")) if code.startswith(f'"""{name}"""'))
        assert len([line for line in code.splitlines() if line.strip()]) <= 15
        (tmp_path / name).write_text(code, encoding="utf-8")
        exec(code, spaces[name])
    doors, act = spaces["my_env.py"]["Doors"], spaces["my_agent.py"]["act"]

    def opener(messages: list[dict[str, str]]) -> str:
        return f"Action: open {messages[0]['content'].partition('behind door ')[2][0]}"

    for number, where in enumerate(["my_env.py:Doors", doors, doors()]):
        assert explore(f"doors-{number}", where, opener, 2).counts["rollouts"] == 6
        rows = open_store(f"doors-{number}").sql("SELECT DISTINCT environment, agent, score FROM rollouts").to_pylist()
        assert [(row["environment"], row["score"]) for row in rows] == [("Doors", 1.0)]
    for number, who in enumerate(["my_agent.py:act", act]):
        explore(f"shop-{number}", "webshop", who, 1, tasks=2, max_steps=3)
        steps = open_store(f"shop-{number}").sql("SELECT action FROM steps WHERE step < 2 ORDER BY step, action").to_pylist()
        assert [step["action"].startswith(("search[", "click[")[i // 2]) for i, step in enumerate(steps)] == [True] * 4
    assert evaluate("my_agent.py:act", "my_env.py:Doors", "scores", split="train", seeds=1).counts["tasks"] == 3


@pytest.mark.parametrize(
    ("target", "package", "command"),
    [
        ("inspect:tasks.py:mine", "inspect-ai", "inspect-ai openai"),
        ("verifiers:gsm8k", "verifiers", "verifiers uv"),
        ("openenv:http://127.0.0.1:9", "openenv-core", "openenv-core"),
        ("browsergym:miniwob.click-test", "browsergym-miniwob", "browsergym-miniwob miniwob"),
    ],
)
def test_a_missing_library_is_named_with_everything_to_install(
    target: str, package: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(requirements, "version", missing)
    with pytest.raises(MissingPackageError) as error:
        make_environment(target)
    assert str(error.value) == f"{package} is needed here, but not installed.\nNext: pip install {command}"
