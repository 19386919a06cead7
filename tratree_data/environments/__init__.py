"""Environments: what agents act in, and how to get one by name.

An environment is a class with the members of `Environment`; anyone's package can add one through the entry point group
`tratree.environments`, and a class can be named as "module:Class" without one. Other libraries' environments are behind adapters. An
instance plays one episode at a time and is used from one process. docs/environments.md shows how to write one.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Protocol

from tratree_data.environments.requirements import Requirement
from tratree_data.environments.tools import ACT, AnyTool
from tratree_data.errors import BadInputError, MissingPackageError, NotFoundError, TratreeError, suggest
from tratree_data.system.user_code import load_named


class EnvironmentFailure(TratreeError):
    """An environment broke during an episode; `reason` is the end_reason of the rollout: environment_error or time_out.

    Only the episode is over: the next `reset` restarts whatever broke.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Start:
    """What an episode begins with."""

    instruction: str
    observation: str


@dataclass(frozen=True)
class Outcome:
    """What an action led to."""

    observation: str
    done: bool
    reward: float | None = None
    valid: bool | None = None


class Environment(Protocol):
    """What every environment has. `EnvironmentHooks` are optional members of its class."""

    name: str
    version: str
    """Package, data and grammar version, in one line: replays may differ when it changes."""
    prompt: str
    """The general instructions given to the agent before the task."""
    max_steps: int

    def splits(self) -> dict[str, int]:
        """Each split and its number of tasks."""

    def tasks(self, split: str) -> list[str]:
        """The task ids of a split, in an order that never changes."""

    def reset(self, task_id: str, seed: int = 0) -> Start: ...

    def step(self, action: str) -> Outcome: ...

    def score(self) -> float | None:
        """G(e) of the episode so far, from 0 to 1; None if there is no score."""

    def success(self) -> bool | None: ...

    def admissible_actions(self) -> list[str] | None:
        """The actions that would be accepted now; None if the environment does not say."""

    def expert_actions(self, task_id: str) -> list[str] | None:
        """What an expert does in this task; None if there is no expert for it."""

    def close(self) -> None: ...


class TextEnvironment:
    """A short way to write an environment: a subclass has `tasks`, `reset`, `step` and `score`, and may replace the rest.

    Its name is the class's, and its prompt the class's docstring, unless it says otherwise.
    """

    name: str
    version = "1"
    prompt: str
    max_steps = 30

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in vars(cls):
            cls.name = cls.__name__
        if "prompt" not in vars(cls):
            cls.prompt = inspect.cleandoc(cls.__doc__ or "")

    def tasks(self, split: str) -> list[str]:
        raise NotImplementedError(f"{self.name} has no method tasks(split)")

    def reset(self, task_id: str, seed: int = 0) -> Start:
        raise NotImplementedError(f"{self.name} has no method reset(task_id, seed)")

    def step(self, action: str) -> Outcome:
        raise NotImplementedError(f"{self.name} has no method step(action)")

    def score(self) -> float | None:
        raise NotImplementedError(f"{self.name} has no method score()")

    def success(self) -> bool | None:
        score = self.score()
        return None if score is None else score >= 1.0

    def splits(self) -> dict[str, int]:
        return {"train": len(self.tasks("train"))}

    def admissible_actions(self) -> list[str] | None:
        return None

    def expert_actions(self, task_id: str) -> list[str] | None:
        return None

    def close(self) -> None:
        """Nothing to close."""


class EnvironmentHooks(Protocol):
    """Optional members of an environment's class; a class without one behaves as shown here."""

    tools: Sequence[AnyTool] = (ACT,)
    """The tools for agents that call tools; an environment that lists its own may be called several times in one turn."""
    tool_prompt: str | None = None
    """The instructions for agents that call tools; None for `prompt` with a sentence that says so."""
    in_process: bool = False
    """Whether it is cheap and safe enough to run without a child process."""
    replay_options: Mapping[str, Any] = MappingProxyType({})
    """The options under which repeating the same actions shows exactly the same."""

    @classmethod
    def requirements(cls) -> list[Requirement]:
        """What `tratree environments` shows."""
        return []


def environment_names() -> list[str]:
    return sorted({point.name for point in entry_points(group="tratree.environments")})


ADAPTERS = {
    "mcp": ("COMMAND", "tratree_data.environments.mcp_tools:MCPEnvironment"),
    "browsergym": ("TASK", "tratree_data.environments.browsergym:BrowserGymEnvironment"),
    "gymnasium": ("ENV_ID", "tratree_data.environments.gymnasium:GymnasiumEnvironment"),
    "inspect": ("module:task", "tratree_data.environments.inspect_tasks:InspectEnvironment"),
    "openenv": ("URL", "tratree_data.environments.openenv:OpenEnvEnvironment"),
    "verifiers": ("ID", "tratree_data.environments.verifiers:VerifiersEnvironment"),
    "textarena": ("GAME", "tratree_data.environments.textarena:TextArenaEnvironment"),
}
"""Other libraries' environments, named as "adapter:target": an adapter is an environment whose first argument is the target."""

EnvironmentChoice = str | type[Environment] | Environment
"""How people name an environment: by name, as "module:Class", "file.py:Class" or "adapter:target", or as a class or an instance."""


def is_adapted(choice: EnvironmentChoice) -> bool:
    """Whether a name is "adapter:target"."""
    return isinstance(choice, str) and ":" in choice and choice.partition(":")[0] in ADAPTERS


def environment_class(choice: EnvironmentChoice) -> type[Environment]:
    """The class that the user chose."""
    if not isinstance(choice, str):
        return choice if isinstance(choice, type) else type(choice)
    if ":" not in choice:
        return installed_environment_class(choice)
    found: type[Environment] = load_named(ADAPTERS[choice.partition(":")[0]][1] if is_adapted(choice) else choice, "environment")
    return found


def is_environment(name: str) -> bool:
    """Whether an installed environment has this name, or an adapter plays it."""
    return is_adapted(name) or name in environment_names()


def installed_environment_class(name: str) -> type[Environment]:
    """The class behind a name found in data: built in or an installed entry point. Data never decides which module is imported."""
    for point in entry_points(group="tratree.environments"):
        if point.name == name:
            try:
                found: type[Environment] = point.load()
            except (ImportError, AttributeError) as error:
                raise MissingPackageError(
                    f"The environment {name!r} ({point.value}) cannot be loaded: {error}.\nNext: install or fix its package"
                ) from error
            return found
    advice = f"write {name}:…, as in `tratree environments`" if name in ADAPTERS else "tratree environments"
    raise NotFoundError(f"No environment is called {name!r}.{suggest(name, environment_names())}\nNext: {advice}")


def make_environment(choice: EnvironmentChoice, **options: Any) -> Environment:
    """`options` are the class's own, e.g. data="…" for a folder of data."""
    if not isinstance(choice, str | type):
        return choice
    found = environment_class(choice)
    target = (str(choice).partition(":")[2],) if is_adapted(choice) else ()
    try:
        return found(*target, **options)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise BadInputError(
            f"The environment {found.__name__} does not accept its options: {error}.\nNext: pass only options of {found.__name__}"
        ) from error


@dataclass(frozen=True)
class EnvironmentStatus:
    """Whether an environment can run here, what was found, and what is missing with the command that installs it."""

    name: str
    ready: bool
    found: tuple[str, ...]
    missing: tuple[tuple[str, str], ...]


def list_environments() -> list[EnvironmentStatus]:
    """Every installed environment and every adapter; nothing is started."""
    return [*map(_status, environment_names()), *(_status(f"{name}:{target}") for name, (target, _) in ADAPTERS.items())]


def _status(name: str) -> EnvironmentStatus:
    try:
        found = environment_class(name)
    except TratreeError as error:
        problem, _, command = str(error).partition("\nNext: ")
        return EnvironmentStatus(name, False, (), ((problem, command or "install or fix its package"),))
    requirements: list[Requirement] = getattr(found, "requirements", EnvironmentHooks.requirements)()
    missing = [item for item in requirements if not item.found]
    return EnvironmentStatus(
        name,
        all(item.optional for item in missing),
        tuple(f"{item.what} {item.found}" for item in requirements if item.found),
        tuple((f"{item.what} (optional)" if item.optional else item.what, item.command) for item in missing),
    )
