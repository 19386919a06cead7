"""What acts: one small protocol for scripts, servers and models in this process.

An agent answers a batch of requests at once. Agents that gain from batching (a model in process) set `batched = True` and receive all
waiting requests; the others are called from many threads with one request each. People name an agent by a specification,
`name:key=value,key=value`; making one is cheap, and a model is loaded when it first has to act.
"""

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

from tratree_data.environments import Environment
from tratree_data.errors import BadInputError, NotFoundError, suggest
from tratree_data.messages import conversation, opening

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Step:
    """One finished step of an episode, as the agent experienced it."""

    observation: str
    thought: str
    action: str


@dataclass(frozen=True)
class Request:
    """Everything that an agent may base its next action on."""

    environment: str
    task_id: str
    attempt: int
    prompt: str
    instruction: str
    history: tuple[Step, ...]
    observation: str
    admissible_actions: list[str] | None = None
    sampling: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    text: str
    thought: str
    action: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprob: float | None = None
    stop_reason: str | None = None
    """An end_reason of `rollouts` where the agent cannot continue (context_overflow, server_unavailable, …), else None."""


class Agent(Protocol):
    """What every agent has. `AgentHooks` are the members that it may have as well."""

    name: str
    model: str | None
    batched: bool
    """Whether `act` is given the requests of all waiting episodes at once."""

    def act(self, requests: list[Request]) -> list[Response]: ...

    def close(self) -> None: ...


Reason = tuple[str, str]
"""The reason and the detail that the table `dropped` records."""


class AgentHooks(Protocol):
    """Optional members of an agent; an agent without one behaves as shown here."""

    wants_actions: bool = True
    """Whether requests list the admissible actions, which some environments take long to compute."""
    computed: bool = False
    """Whether `act` only computes and waits for nothing: such agents are played in one process per core instead of in threads."""
    most_attempts: int | None = None
    """Attempts at a task after which all further ones would be the same; 1 for an expert."""

    def begin(self, environment: Environment, task_id: str, attempt: int) -> Reason | None:
        """Called before each attempt with its environment; returns why it cannot be played, or None."""
        return None

    def keep(self, rollout: dict[str, object]) -> Reason | None:
        """Called after each attempt with its row of `rollouts`; returns why it should be dropped, or None."""
        return None


def chat(request: Request) -> Messages:
    """The conversation so far as a model reads it: the stored steps' rendering, ending with the observation to answer."""
    messages = conversation(
        request.prompt, request.instruction, ((step.observation, step.thought, step.action) for step in request.history)
    )
    user = request.observation if messages else opening(request.prompt, request.instruction, request.observation)
    return [*messages, {"role": "user", "content": user}]


RESPONSE = re.compile(r"(?:Thought:\s*(?P<thought>.*?))?\s*Action:[ \t]*(?P<action>[^\n]*)", re.DOTALL)


def parse_response(text: str) -> tuple[str, str]:
    """'Thought: … Action: …' → (thought, action). The first action counts; a text without 'Action:' has an empty one."""
    match = RESPONSE.search(text)
    if match is None:
        return text.strip().removeprefix("Thought:").strip(), ""
    return (match["thought"] or "").strip(), match["action"].strip()


AGENTS = {
    "cached": "tratree_data.agents.cached:CachedAgent",
    "expert": "tratree_data.agents.expert:ExpertAgent",
    "openai": "tratree_data.agents.openai_server:OpenAIAgent",
    "scripted": "tratree_data.agents.scripted:ScriptedAgent",
    "transcript": "tratree_data.agents.transcript:TranscriptAgent",
    "transformers": "tratree_data.agents.transformers:TransformersAgent",
    "vllm": "tratree_data.agents.vllm:VLLMAgent",
}
SAMPLING = ("temperature", "top_p", "top_k", "max_tokens")
"""Options of a specification that decide how a model samples; they override the run's schedule for that agent."""


@dataclass(frozen=True)
class AgentSpecification:
    """'name:key=value,…', parsed."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, str] = field(default_factory=dict)


def parse_specification(text: str) -> AgentSpecification:
    name, _, rest = text.partition(":")
    parts = read_options(filter(None, rest.split(",")), f"--agent {name}:", plain=False)
    secret = sorted({"api_key", "token", "password"} & set(parts))
    if secret:
        raise BadInputError(
            f"{secret[0]} must not be written on the command line: it would be kept in the shell's history.\n"
            "Next: export OPENAI_API_KEY=…, or name another variable with api_key_variable=NAME"
        )
    sampling = {key: parts.pop(key) for key in SAMPLING if key in parts}
    return AgentSpecification(name, {key: _plain_value(value) for key, value in parts.items()}, sampling)


def read_options(parts: Iterable[str], where: str, plain: bool = True) -> dict[str, Any]:
    """'key=value' of each part; numbers, true and false become values of their types."""
    options: dict[str, Any] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not key.isidentifier():
            raise BadInputError(f"{part.split('=')[0]!r} is not key=value.\nNext: write {where} key=value")
        options[key] = _plain_value(value) if plain else value
    return options


def _plain_value(text: str) -> Any:
    if text in {"true", "false"}:
        return text == "true"
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def agent_names() -> list[str]:
    return sorted({*AGENTS, *(point.name for point in entry_points(group="tratree.agents"))})


def agent_class(name: str) -> type[Agent]:
    """A built-in agent, or one that a package adds through the entry point group `tratree.agents`."""
    found: type[Agent]
    if name in AGENTS:
        module, _, attribute = AGENTS[name].partition(":")
        found = getattr(import_module(module), attribute)
        return found
    for point in entry_points(group="tratree.agents"):
        if point.name == name:
            found = point.load()
            return found
    raise NotFoundError(f"No agent is called {name!r}.{suggest(name, agent_names())}")


def make_agent(specification: str | AgentSpecification, **options: Any) -> Agent:
    """The agent of a specification; `options` are added to those that it names."""
    parsed = parse_specification(specification) if isinstance(specification, str) else specification
    chosen = {**parsed.options, **options}
    found = agent_class(parsed.name)
    accepted = inspect.signature(found).parameters
    for name in chosen:
        if name not in accepted and not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
            raise BadInputError(f"The agent {parsed.name!r} has no option {name!r}.{suggest(name, accepted)}")
    for name, parameter in accepted.items():
        if name not in chosen and parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            raise BadInputError(f"The agent {parsed.name!r} needs {name}.\nNext: --agent {parsed.name}:{name}=…")
    return found(**chosen)
