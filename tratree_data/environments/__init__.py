"""What an agent acts in, and how to get one by name.

An environment is a class with the members of `Environment`; anyone's package can add one through the entry point group
`tratree.environments`, and a class can be named as "module:Class" without one. An instance plays one episode at a time and is
used from one process. docs/environments.md shows how to write one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Protocol

from tratree_data.environments.requirements import Requirement
from tratree_data.environments.tools import ACT, Tool
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
    """What every environment has. `EnvironmentHooks` are the members that its class may have as well."""

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

    def score(self) -> float:
        """G(e) of the episode so far, from 0 to 1."""

    def success(self) -> bool: ...

    def admissible_actions(self) -> list[str] | None:
        """The actions that would be accepted now; None if the environment does not say."""

    def expert_actions(self, task_id: str) -> list[str] | None:
        """What an expert does in this task; None if there is no expert for it."""

    def close(self) -> None: ...


class EnvironmentHooks(Protocol):
    """Optional members of an environment's class; a class without one behaves as shown here."""

    tools: Sequence[Tool] = (ACT,)
    """What agents that call tools are offered; an environment that lists its own may be called several times in one turn."""
    tool_prompt: str | None = None
    """The instructions for agents that call tools; None for `prompt` with a sentence that says so."""
    in_process: bool = False
    """Whether it is cheap and safe enough to run without a child process of its own."""
    replay_options: Mapping[str, Any] = MappingProxyType({})
    """The options under which repeating the same actions shows exactly the same."""

    @classmethod
    def requirements(cls) -> list[Requirement]:
        """What `tratree environments` shows."""
        return []


def environment_names() -> list[str]:
    return sorted({point.name for point in entry_points(group="tratree.environments")})


EnvironmentChoice = str | type[Environment] | Environment
"""How people name an environment: by name, as "module:Class" or "file.py:Class", or as a class or an instance of theirs."""


def environment_class(choice: EnvironmentChoice) -> type[Environment]:
    """The class that the user chose."""
    if not isinstance(choice, str):
        return choice if isinstance(choice, type) else type(choice)
    if ":" not in choice:
        return installed_environment_class(choice)
    found: type[Environment] = load_named(choice, "environment")
    return found


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
    raise NotFoundError(f"No environment is called {name!r}.{suggest(name, environment_names())}\nNext: tratree environments")


def make_environment(choice: EnvironmentChoice, **options: Any) -> Environment:
    """`options` are the class's own, e.g. data="…" for a folder of data."""
    if not isinstance(choice, str | type):
        return choice
    found = environment_class(choice)
    try:
        return found(**options)
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
    """Every installed environment; nothing is started."""
    return [_status(name) for name in environment_names()]


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
