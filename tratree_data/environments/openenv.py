"""The environment of an OpenEnv server, as `openenv:URL`, through the library's own client.

How an agent acts depends on what the server accepts: a single text field is written as it is, several fields are one tool, and a server of
tools offers its tools. The address is what the user typed in this command line; a dataset holds only the environment's name.
"""

import json
from contextlib import suppress
from typing import Any
from urllib.request import urlopen

from tratree_data.environments import EnvironmentFailure, Outcome, Start, TextEnvironment
from tratree_data.environments.requirements import Requirement, met, package_version, seed_of_task, seed_splits, seed_tasks
from tratree_data.environments.returns import scaled_return
from tratree_data.environments.tools import ACT, AnyTool, FunctionTool, call_of_action, describe_tools
from tratree_data.errors import BadInputError
from tratree_data.ids import content_id

SECONDS = 30.0
OF_THE_PROTOCOL = ("done", "reward", "metadata")


class OpenEnvEnvironment(TextEnvironment):
    def __init__(self, target: str, low: float = 0.0, high: float = 1.0, seeds: int = 100, steps: int = 50, **options: Any) -> None:
        met(self.requirements()[0])
        if not target.startswith(("http://", "https://")):
            raise BadInputError(f"{target!r} is not an address.\nNext: start the server, and name it: openenv:http://127.0.0.1:8000")
        self.url, self.low, self.high, self.seeds, self.max_steps, self.options = target, low, high, seeds, steps, options
        facts, self.schema = _get(target, "metadata"), _get(target, "schema")["action"]
        self.name = f"openenv:{facts['name']}"
        self.session: Any = None
        self.earned, self.of_tools = 0.0, "tool_name" in self.schema.get("properties", {}) or "tool_name" in json.dumps(self.schema)
        self.tools: tuple[AnyTool, ...] = self._tools()
        given = "".join(f", {key}={value}" for key, value in {"low": low, "high": high, **options}.items())
        shape = content_id(json.dumps([tool.schema() for tool in self.tools], sort_keys=True))[:8]
        self.version = (
            f"openenv-core {package_version('openenv-core')}, {facts['name']} {facts.get('version') or ''}, actions {shape}{given}"
        )
        self.tool_prompt = str(facts.get("description") or facts["name"]).strip()
        written = "An action is one line of text.\n\nThought: your thoughts.\n\nAction: your next action."
        self.prompt = f"{self.tool_prompt}\n\n{written if self.tools == (ACT,) else describe_tools(self.tools)}"

    @classmethod
    def requirements(cls) -> list[Requirement]:
        return [Requirement("openenv-core", package_version("openenv-core"), "pip install openenv-core")]

    def splits(self) -> dict[str, int]:
        return seed_splits(self.seeds)

    def tasks(self, split: str) -> list[str]:
        return seed_tasks(self.name, split, self.seeds)

    def reset(self, task_id: str, seed: int = 0) -> Start:
        number = seed_of_task(self.name, task_id)
        self.earned = 0.0
        self._open()
        result = self._ask(lambda session: session.reset(seed=number, **self.options))
        return Start("", _shown(result.observation))

    def step(self, action: str) -> Outcome:
        if self.session is None:
            raise EnvironmentFailure("environment_error", f"{self.name} has no episode: call reset first")
        payload, problem = self._payload(action)
        if problem:
            return Outcome(problem, False, 0.0, valid=False)
        result = self._ask(lambda session: session.step(payload))
        self.earned += float(result.reward or 0.0)
        failed = bool(result.observation.get("error"))
        return Outcome(_shown(result.observation), bool(result.done), result.reward, valid=False if failed else None)

    def score(self) -> float:
        return scaled_return(self.name, self.earned, self.low, self.high)

    def close(self) -> None:
        if self.session is not None:
            with suppress(Exception):  # the server may be gone
                self.session.close()
            self.session = None

    def _open(self) -> None:
        """A separate session for every episode."""
        from openenv.core import GenericEnvClient

        self.close()
        try:
            self.session = GenericEnvClient(base_url=self.url).sync()
            self.session.connect()
        except Exception as error:
            self.session = None
            raise EnvironmentFailure("environment_error", f"{self.url} accepts no session: {error}") from error

    def _ask(self, call: Any) -> Any:
        try:
            return call(self.session)
        except Exception as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            advice = ". Its sessions are limited: --concurrent 1" if "capacity" in said.lower() else ""
            raise EnvironmentFailure("environment_error", f"{self.name} failed: {said}{advice}") from error

    def _tools(self) -> tuple[AnyTool, ...]:
        if self.of_tools:
            self._open()
            listed = self._ask(lambda session: session.step({"type": "list_tools"})).observation["tools"]
            self.close()
            schemas = [tool.get("input_schema") or tool.get("inputSchema") or {"type": "object"} for tool in listed]
            return tuple(
                FunctionTool(tool["name"], tool.get("description") or "", schema) for tool, schema in zip(listed, schemas, strict=True)
            )
        fields = self._fields()
        if len(fields) == 1 and next(iter(fields.values())).get("type") == "string":
            return (ACT,)
        return (FunctionTool("step", "Takes an action.", {**self.schema, "properties": fields}),)

    def _fields(self) -> dict[str, Any]:
        return {name: field for name, field in self.schema.get("properties", {}).items() if name not in OF_THE_PROTOCOL}

    def _payload(self, action: str) -> tuple[dict[str, Any], str]:
        if self.tools == (ACT,):
            return {next(iter(self._fields())): action}, ""
        call = call_of_action(self.tools, action)
        if call is None:
            return {}, f"This is not one of {', '.join(tool.name for tool in self.tools)} with a JSON object."
        arguments = json.loads(call[1])
        return ({"type": "call_tool", "tool_name": call[0], "arguments": arguments} if self.of_tools else arguments), ""


def _shown(observation: dict[str, Any]) -> str:
    """A single text as it is, else a line per field; of a tool's result, its text."""
    fields = {name: value for name, value in observation.items() if name not in OF_THE_PROTOCOL and value not in (None, "", [], {})}
    fields.pop("tool_name", None)
    if isinstance(result := fields.get("result"), dict) and "data" in result:
        fields["result"] = result["data"]
    if len(fields) == 1:
        (value,) = fields.values()
        return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "\n".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()
    )


def _get(url: str, page: str) -> Any:
    try:
        with urlopen(f"{url.rstrip('/')}/{page}", timeout=SECONDS) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        raise EnvironmentFailure(
            "environment_error", f"No OpenEnv server answers at {url}: {error}.\nNext: start it, and name its address"
        ) from error
