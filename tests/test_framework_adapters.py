"""Adapters whose packages exclude others of ours: each test runs where its package is installed (`make test-adapters`)."""

import importlib.util
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tratree_data import explore, open_store
from tratree_data.environments import EnvironmentFailure, Outcome, Start, make_environment
from tratree_data.environments.called_model import MODEL, SAY, CallingEnvironment


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def adder(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
    """Calls the framework's own tool, then answers in words."""
    add = next((tool["function"]["name"] for tool in tools if tool["function"]["name"].endswith("add")), "")
    if messages[-1]["role"] == "tool":
        return {"content": f"The sum is {messages[-1]['content']}."}
    x, y = re.findall(r"\d+", messages[-1]["content"])[:2]
    return {"content": None, "tool_calls": [{"id": "1", "function": {"name": add, "arguments": {"x": int(x), "y": int(y)}}}]}


def played(data: Path, environment: str, agent: Any, **settings: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    explore(data, environment, agent, 1, concurrent=1, **settings)
    store = open_store(data)
    return store.sql("SELECT * FROM rollouts ORDER BY task_id").to_pylist(), store.sql(
        "SELECT * FROM steps ORDER BY rollout_id, step"
    ).to_pylist()


class Framework(CallingEnvironment):
    """A framework in three lines: it asks over HTTP, as all do, and pays for the right answer."""

    name, prompt, version = "framework", "", "1"

    def tasks(self, split: str) -> list[str]:
        return ["say-yes", "fail", "give-up", "silent"]

    async def run_task(self, task_id: str, seed: int, url: str, key: str) -> float | None:
        if task_id == "silent":
            return 1.0
        tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
        asked: list[dict[str, Any]] = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Yes?"}]},
        ]
        while True:
            message = await self.loop.run_in_executor(None, self.ask, url, key, {"messages": asked, "tools": [tool]})
            if task_id == "fail":
                raise ValueError("broken\nmore")
            if task_id == "give-up":
                raise SystemExit("log in first")
            if not message.get("tool_calls"):
                return float(message["content"] == "yes\nyes")
            call = message["tool_calls"][0]
            assert call["function"] == {"name": "look", "arguments": '{"far": true}'}
            asked += [message, {"role": "tool", "tool_call_id": call["id"], "content": "A door."}]

    @staticmethod
    def ask(url: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        request = Request(f"{url}/chat/completions", json.dumps({"model": MODEL, **body}).encode(), {"Authorization": f"Bearer {key}"})
        with urlopen(request, timeout=60) as answer:
            return dict(json.load(answer)["choices"][0]["message"])


def test_a_framework_that_asks_a_model_asks_the_agent() -> None:
    framework = Framework()
    try:
        assert framework.reset("say-yes") == Start("Yes?", "")
        assert (framework.tool_prompt, [tool.name for tool in framework.tools]) == ("Be brief.", ["look", SAY.name])
        assert framework.step('look {"far": true}') == Outcome("A door.", False, None, None)
        assert framework.score() == 0.0
        assert framework.step('say {"text": "yes\\nyes"}') == Outcome("", True, 1.0, None)
        assert (framework.score(), framework.success()) == (1.0, True)
        framework.reset("say-yes")
        framework.reset("say-yes")
        assert framework.step("no").reward == 0.0
        for task, message in (("fail", "ValueError: broken"), ("give-up", "log in first")):
            framework.reset(task)
            with pytest.raises(EnvironmentFailure, match=message):
                framework.step("yes")
        with pytest.raises(EnvironmentFailure, match="without asking the model"):
            framework.reset("silent")
        framework.reset("say-yes")
        assert framework.endpoint is not None
        with pytest.raises(OSError, match="403"):
            framework.ask(framework.endpoint.url, "another key", {"messages": []})
    finally:
        framework.close()


INSPECT = '''
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, system_message, use_tools
from inspect_ai.tool import tool


@tool
def add():
    async def execute(x: int, y: int) -> str:
        """Adds two numbers.

        Args:
            x: First number.
            y: Second number.
        """
        return str(x + y)

    return execute


@task
def sums(more: int = 0):
    samples = [Sample(input=f"What is {n} + {n + more}?", target=str(2 * n + more)) for n in (2, 3)]
    return Task(dataset=samples, solver=[system_message("Be exact."), use_tools(add()), generate()], scorer=includes())
'''


@needs("inspect_ai")
def test_a_task_of_inspect(tmp_path: Path) -> None:
    (tmp_path / "my_task.py").write_text(INSPECT, encoding="utf-8")
    where = f"inspect:{tmp_path / 'my_task.py'}:sums"
    rollouts, steps = played(tmp_path / "data", where, adder, split="test", options={"more": 5})
    assert [(row["task_id"], row["score"], row["success"], row["prompt"]) for row in rollouts] == [
        ("1", 1.0, True, "Be exact."), ("2", 1.0, True, "Be exact.")
    ]  # fmt: skip
    assert {step["action"] for step in steps} == {
        'add {"x": 2, "y": 7}', 'add {"x": 3, "y": 8}', 'say {"text": "The sum is 9."}', 'say {"text": "The sum is 11."}'
    }  # fmt: skip
    environment = make_environment(where)
    try:
        environment.reset("2")
        assert environment.step("seven\nor so").reward == 0.0
        environment.reset("1")
        environment.reset("2")  # Inspect plays one task at a time, so the unfinished one is ended
    finally:
        environment.close()


VERIFIERS = {
    "__init__.py": "from sums_env.taskset import SumsTaskset\n\n__all__ = ['SumsTaskset']\n",
    "tool.py": '''
import verifiers.v1 as vf


class SumsToolset(vf.Toolset[vf.ToolsetConfig]):
    TOOL_PREFIX = "sums"

    @vf.tool
    def add(self, x: int, y: int) -> str:
        """Adds two numbers."""
        return str(x + y)


if __name__ == "__main__":
    SumsToolset.run()
''',
    "taskset.py": """
import verifiers.v1 as vf

from sums_env.tool import SumsToolset


class SumsData(vf.TaskData):
    answer: str = ""


class SumsTaskConfig(vf.TaskConfig):
    tools: vf.ToolsetConfig = vf.ToolsetConfig()


class SumsTask(vf.Task[SumsData, vf.State, SumsTaskConfig]):
    @classmethod
    def toolsets(cls, config):
        return [SumsToolset(config.tools)]

    @vf.reward(weight=1.0)
    async def reward(self, trace: vf.Trace) -> float:
        return float(self.data.answer in (trace.last_reply or ""))


class SumsConfig(vf.TasksetConfig):
    num_tasks: int = 3
    task: SumsTaskConfig = SumsTaskConfig()


class SumsTaskset(vf.Taskset[SumsTask, SumsConfig]):
    def load(self):
        rows = [SumsData(idx=n, prompt=f"What is {n} + 2?", answer=str(n + 2)) for n in range(self.config.num_tasks)]
        return [SumsTask(row, self.config.task) for row in rows]
""",
}


@needs("verifiers")
@pytest.mark.slow
def test_an_environment_of_verifiers_with_tools_and_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Laid out as `vf-init` does it; its harness and its tool server are real processes."""
    (tmp_path / "sums_env").mkdir()
    for name, text in VERIFIERS.items():
        (tmp_path / "sums_env" / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    rollouts, steps = played(tmp_path / "data", "verifiers:sums_env", adder, tasks=1, options={"num_tasks": 2}, time_out=300)
    assert [(row["task_id"], row["score"], row["end_reason"]) for row in rollouts] == [("0", 1.0, "done")]
    assert [step["action"] for step in steps] == ['sums_add {"x": 0, "y": 2}', 'say {"text": "The sum is 2."}']


OPENENV = '''
import sys

import uvicorn
from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation
from openenv.core.env_server.types import Action, Observation, State


class Say(Action):
    message: str


class Heard(Observation):
    text: str = ""


class Parrot(Environment):
    """Say the word that the parrot wants."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed=None, **options):
        self.word = ["red", "green", "blue"][(seed or 0) % 3]
        return Heard(text=f"The parrot wants to hear {self.word}.")

    def step(self, action: Say, **options):
        won = action.message == self.word
        return Heard(text="Squawk!" if won else "No.", done=won, reward=float(won))

    @property
    def state(self):
        return State(episode_id="1", step_count=0)


class Sums(MCPEnvironment):
    """Tools that add."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        from fastmcp import FastMCP

        server = FastMCP("sums")

        @server.tool
        def add(x: int, y: int) -> int:
            """Adds two numbers."""
            return x + y

        super().__init__(server)

    def reset(self, seed=None, **options):
        return Observation(done=False, reward=0.0)

    def _step_impl(self, action, timeout_s=None, **options):
        return Observation(done=False, reward=0.0)

    @property
    def state(self):
        return State(episode_id="1", step_count=0)


kinds = {"parrot": (Parrot, Say, Heard), "sums": (Sums, CallToolAction, CallToolObservation)}
uvicorn.run(create_app(*kinds[sys.argv[1]], env_name=sys.argv[1], max_concurrent_envs=4), host="127.0.0.1", port=int(sys.argv[2]))
'''


@pytest.fixture
def openenv_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    (tmp_path / "server.py").write_text(OPENENV, encoding="utf-8")
    port = free_port()
    command = [sys.executable, str(tmp_path / "server.py"), request.param, str(port)]
    with (tmp_path / "server.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            for _ in range(600):
                try:
                    urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def listener(messages: list[dict[str, str]]) -> str:
    wanted = re.findall(r"hear (\w+)", messages[0]["content"])[0]
    return f"Action: {'hello' if len(messages) == 1 else wanted}"


@needs("openenv")
@pytest.mark.parametrize("openenv_server", ["parrot"], indirect=True)
def test_a_server_of_openenv_that_takes_text(openenv_server: str, tmp_path: Path) -> None:
    rollouts, steps = played(tmp_path / "data", f"openenv:{openenv_server}", listener, tasks=2)
    assert [(row["task_id"], row["score"], row["environment"]) for row in rollouts] == [
        ("seed-0", 1.0, "openenv:Parrot"), ("seed-1", 1.0, "openenv:Parrot")
    ]  # fmt: skip
    assert sorted(step["action"] for step in steps) == ["green", "hello", "hello", "red"]
    assert openenv_server not in "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "data").rglob("*.json"))


@needs("openenv")
@pytest.mark.parametrize("openenv_server", ["sums"], indirect=True)
def test_a_server_of_openenv_that_offers_tools(openenv_server: str) -> None:
    sums = make_environment(f"openenv:{openenv_server}")
    try:
        assert [tool.name for tool in sums.tools] == ["add"]
        assert sums.reset("seed-0") == Start("", "")
        assert sums.step('add {"x": 1, "y": 2}').observation == "3"
        assert sums.step('add {"x": 1}').valid is False
        assert sums.step("add two").valid is False
    finally:
        sums.close()


def test_a_server_of_openenv_that_does_not_answer_is_said_plainly() -> None:
    with pytest.raises(Exception, match=r"No OpenEnv server answers|openenv-core is needed"):
        make_environment(f"openenv:http://127.0.0.1:{free_port()}")


@needs("browsergym")
@pytest.mark.skipif(not (shutil.which("chromium") or shutil.which("google-chrome")), reason="Chromium is not installed")
def test_a_page_of_miniwob_in_the_system_s_browser(tmp_path: Path) -> None:
    page = make_environment("browsergym:miniwob.click-test")
    try:
        start = page.reset("seed-0")
        assert start.instruction == "Click the button."
        assert "url='miniwob/click-test.html'" in start.observation, "no path of this machine"
        missed = page.step("click('999')")
        assert (missed.valid, missed.observation.splitlines()[0]) == (False, 'ValueError: Could not find element with bid "999"')
        button = re.search(r"\[(\d+)\] button", start.observation)
        assert button
        assert page.step(f"click('{button[1]}')").done
        assert (page.score(), page.success()) == (1.0, True)
        assert page.reset("seed-0") == start
    finally:
        page.close()
