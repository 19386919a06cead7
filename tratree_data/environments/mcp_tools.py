"""The tools of a Model Context Protocol server as an environment, as `mcp:COMMAND`: any server that talks over stdin and stdout.

The command is what the user typed in this command line; it is never recorded in a dataset, and no dataset can start one. Every episode
gets a server process of its own. The server sees only the variables that the SDK passes on, and those that `variables` names.
"""

import os
import shlex
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from tratree_data.environments import EnvironmentFailure, Outcome, Start, TextEnvironment
from tratree_data.environments.requirements import Requirement, package_version, split_tasks, unknown_task
from tratree_data.environments.task_files import FileTask, read_task_file, same_answer
from tratree_data.environments.tools import FunctionTool, call_of_action, describe_tools
from tratree_data.errors import BadInputError, missing_package
from tratree_data.ids import content_id

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
ANSWER = FunctionTool("final_answer", "Ends the task with your answer.", TEXT, takes_text=True)


class MCPEnvironment(TextEnvironment):
    def __init__(self, target: str, data: str | Path = "", instruction: str = "", variables: str = "", steps: int = 30) -> None:
        if not package_version("mcp"):
            raise missing_package("mcp", "mcp")
        self.command, self.max_steps = shlex.split(target), steps
        if not self.command:
            raise BadInputError("mcp: needs the command that starts a server.\nNext: tratree explore 'mcp:python my_server.py' …")
        self.variables = _variables(variables)
        self.all_tasks = _tasks(data, instruction)
        self.server: _Server | None = None
        self.task: FileTask | None = None
        self.answered: str | None = None
        with _Server(self.command, self.variables) as server:
            self.name = f"mcp:{server.name}"
            self.tools = (*server.tools, ANSWER)
            schemas = content_id(*(str(tool.schema()) for tool in server.tools))
            self.version = f"{server.name} {server.version}, tools {schemas[:8]}, mcp {package_version('mcp')}"
            self.tool_prompt = "\n\n".join(filter(None, [server.instructions, "Solve the task with the tools, then answer."]))
        if any(tool.name == ANSWER.name for tool in self.tools[:-1]):
            raise BadInputError(
                f"{self.name} has a tool {ANSWER.name!r}, the name that agents use to answer.\nNext: rename the server's tool"
            )
        self.prompt = f"{self.tool_prompt}\n\n{describe_tools(self.tools)}"

    @classmethod
    def requirements(cls) -> list[Requirement]:
        return [Requirement("mcp", package_version("mcp"), "pip install 'tratree-data[mcp]'")]

    def splits(self) -> dict[str, int]:
        return {split: len(tasks) for split, tasks in self._by_split().items()}

    def tasks(self, split: str) -> list[str]:
        return split_tasks(self.name, split, self._by_split())

    def reset(self, task_id: str, seed: int = 0) -> Start:
        if task_id not in self.all_tasks:
            raise unknown_task(self.name, task_id, next(iter(self.all_tasks)))
        self.close()
        self.task, self.answered = self.all_tasks[task_id], None
        self.server = _Server(self.command, self.variables)
        self.server.__enter__()
        return Start(self.task.instruction, "")

    def step(self, action: str) -> Outcome:
        if self.server is None or self.answered is not None:
            raise EnvironmentFailure("environment_error", f"{self.name} has no episode: call reset first")
        call = call_of_action(self.tools, action)
        if call is None:
            return Outcome(
                f"This is not a call of a tool with a JSON object. Tools: {', '.join(t.name for t in self.tools)}.", False, None, False
            )
        if call[0] == ANSWER.name:
            self.answered = str((ANSWER.arguments_of(action) or {}).get("text", ""))
            return Outcome("", True, self.score(), True)
        return self.server.call(*call)

    def score(self) -> float | None:
        """None if the task has no answer to compare with."""
        if self.task is None or self.task.answer is None:
            return None
        return float(self.answered is not None and same_answer(self.answered, self.task.answer))

    def close(self) -> None:
        if self.server is not None:
            self.server.__exit__(None, None, None)
            self.server = None

    def _by_split(self) -> dict[str, list[str]]:
        splits: dict[str, list[str]] = {}
        for task in self.all_tasks.values():
            splits.setdefault(task.split, []).append(task.task_id)
        return splits


class _Server(AbstractContextManager["_Server"]):
    """One process of the server, through the SDK's client; asynchronous code runs in a separate thread."""

    def __init__(self, command: list[str], variables: dict[str, str]) -> None:
        self.command, self.variables = command, variables
        self.stack = ExitStack()

    def __enter__(self) -> "_Server":
        import mcp
        from anyio.from_thread import start_blocking_portal

        parameters = mcp.StdioServerParameters(command=self.command[0], args=self.command[1:], env=self.variables or None)
        try:
            self.portal = self.stack.enter_context(start_blocking_portal())
            self.client: Any = self.stack.enter_context(self.portal.wrap_async_context_manager(mcp.Client(parameters)))
            self.tools = tuple(self.portal.call(self._list_tools))
        except Exception as error:
            self.stack.close()
            raise EnvironmentFailure(
                "environment_error",
                f"The MCP server {shlex.join(self.command)!r} did not start: {_cause(error)}.\n"
                "Next: run that command yourself, and fix what it reports",
            ) from error
        self.name, self.version = self.client.server_info.name, self.client.server_info.version
        self.instructions = (self.client.instructions or "").strip()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def call(self, name: str, arguments: str) -> Outcome:
        import json

        try:
            result = self.portal.call(self.client.call_tool, name, json.loads(arguments))
        except Exception as error:  # the protocol's errors, such as wrong arguments, are answers; a dead server is not
            if _is_answer(error):
                return Outcome(_cause(error), False, None, valid=False)
            raise EnvironmentFailure("environment_error", f"The MCP server failed during {name}: {_cause(error)}") from error
        text = "\n".join(_block_text(block) for block in result.content)
        return Outcome(text.strip(), False, None, valid=not result.is_error)

    async def _list_tools(self) -> list[FunctionTool]:
        tools: list[FunctionTool] = []
        cursor: str | None = None
        while True:
            page = await self.client.list_tools(cursor=cursor)
            tools += [FunctionTool(tool.name, (tool.description or "").strip(), dict(tool.input_schema)) for tool in page.tools]
            cursor = page.next_cursor
            if not cursor:
                return tools


def _tasks(data: str | Path, instruction: str) -> dict[str, FileTask]:
    if data:
        return read_task_file(data)
    if instruction:
        task = FileTask(content_id(instruction)[:12], instruction)
        return {task.task_id: task}
    raise BadInputError("A server of tools has no tasks.\nNext: --data tasks.jsonl, or --option instruction='…' for a single task")


def _variables(names: str) -> dict[str, str]:
    chosen = [name.strip() for name in names.split("|") if name.strip()]
    missing = [name for name in chosen if name not in os.environ]
    if missing:
        raise BadInputError(f"The variable {missing[0]} is not set.\nNext: export {missing[0]}=…")
    return {name: os.environ[name] for name in chosen}


def _block_text(block: Any) -> str:
    text = getattr(block, "text", None)
    return (
        str(text)
        if text is not None
        else f"[{block.type} {getattr(block, 'mime_type', '') or getattr(block, 'uri', '')}]".replace(" ]", "]")
    )


def _is_answer(error: BaseException) -> bool:
    from mcp.shared.exceptions import MCPError

    return isinstance(error, MCPError) and "closed" not in str(error).lower()


def _cause(error: BaseException) -> str:
    """The first error of a group, in one line."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
