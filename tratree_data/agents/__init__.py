"""Agents: one small protocol for scripts, servers and models in this process.

An agent answers a batch of requests at once. Agents that gain from batching (a model in process) set `batched = True` and receive all
waiting requests; the others are called from many threads with one request each. People name an agent by a specification,
`name:key=value,key=value`; making one is cheap, and a model is loaded when it first has to act.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from types import FunctionType, MethodType
from typing import Any, Protocol

from tratree_data.environments import Environment
from tratree_data.errors import BadInputError, NotFoundError, suggest
from tratree_data.messages import conversation, openai_message, opening
from tratree_data.system.user_code import load_named

Message = Mapping[str, Any]
"""A turn as the tables store it: role, content, reasoning_content, tool_calls ({"id", "name", "arguments" as JSON text}), tool_call_id."""
Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """One finished step of an episode, as the agent experienced it."""

    observation: str
    thought: str
    action: str
    messages: tuple[Message, ...] = ()
    """For an agent that calls tools: what it was answering, and its own message."""


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
    tools: tuple[Message, ...] = ()
    """JSON Schemas of the tools, for an agent that calls them."""
    messages: tuple[Message, ...] = ()
    """For an agent that calls tools: the messages to answer."""


@dataclass(frozen=True)
class Response:
    text: str
    thought: str
    action: str
    """Empty where `message` has calls: the environment's tools decide what they do."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprob: float | None = None
    stop_reason: str | None = None
    """An end_reason of `rollouts` if the agent cannot continue (context_overflow, server_unavailable, …), else None."""
    message: Message | None = None
    """The whole message of an agent that calls tools."""


class Agent(Protocol):
    """What every agent has. `AgentHooks` are optional members."""

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
    """Whether requests list the admissible actions, which are slow to compute in some environments."""
    computed: bool = False
    """Whether `act` only computes and never waits: such agents run in one process per core instead of in threads."""
    calls_tools: bool = False
    """Whether requests offer the environment's tools and answers call them, instead of writing 'Action: …'."""
    most_attempts: int | None = None
    """Number of attempts at a task that can differ; 1 for an expert."""

    def begin(self, environment: Environment, task_id: str, attempt: int) -> Reason | None:
        """Called before each attempt with its environment; returns why it cannot be played, or None."""
        return None

    def keep(self, rollout: dict[str, object]) -> Reason | None:
        """Called after each attempt with its row of `rollouts`; returns why it should be dropped, or None."""
        return None


def chat(request: Request, *, decode: bool = False) -> Messages:
    """The conversation so far as a model reads it: the stored steps' rendering, ending with what is to be answered.

    With `decode`, the arguments of calls are objects, as chat templates expect; servers expect JSON text.
    """
    if request.tools:
        said = [*(message for step in request.history for message in step.messages), *request.messages]
        system = [{"role": "system", "content": request.prompt}] if request.prompt else []
        return [*system, *(openai_message(message, decode=decode) for message in said)]
    messages = conversation(
        request.prompt, request.instruction, ((step.observation, step.thought, step.action) for step in request.history)
    )
    user = request.observation if messages else opening(request.prompt, request.instruction, request.observation)
    return [*messages, {"role": "user", "content": user}]


def needs_tools(form: str) -> bool:
    """Whether an agent's `form` is chat: it calls tools instead of writing 'Action: …'."""
    if form not in ("chat", "react"):
        raise BadInputError(f"form must be chat or react, not {form!r}.\nNext: form=chat for tool calls, form=react for text")
    return form == "chat"


def response_of_message(message: Mapping[str, Any], **facts: Any) -> Response:
    """An assistant's message, in OpenAI's form or ours; `facts` are more fields of Response."""
    calls = [_call(call, number) for number, call in enumerate(message.get("tool_calls") or ())]
    content = message.get("content")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    own: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning:
        own["reasoning_content"] = reasoning
    if calls:
        own["tool_calls"] = calls
    thought = "\n".join(part for part in (reasoning, content) if part and part.strip())
    return Response(content or "", thought, "", message=own, **facts)


def _call(call: Mapping[str, Any], number: int) -> dict[str, Any]:
    function = call.get("function") or call
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return {"id": call.get("id") or f"call_{number}", "name": function["name"], "arguments": text}


def parse_response(text: str) -> tuple[str, str]:
    """'Thought: … Action: …' → (thought, action). The first action counts; a text without 'Action:' has an empty one."""
    before, found, action = text.partition("Action:")
    if not found:
        return text.strip().removeprefix("Thought:").strip(), ""
    return before.partition("Thought:")[2].strip(), action.partition("\n")[0].strip()


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


AgentChoice = str | Agent | Callable[..., Any]
"""How people name an agent: a specification, an instance, or a function from messages (and tools) to a message."""
OWN = re.compile(r"(?P<target>(?:[\w.]+|[^:,]+\.py):[A-Za-z_]\w*)(?:,(?P<rest>.*))?")
"""'module:Name' or 'file.py:Name', and options: the user's own code."""


@dataclass(frozen=True)
class AgentSpecification:
    """'name:key=value,…', parsed; `given` is the agent itself, if one was passed."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, str] = field(default_factory=dict)
    given: Any = None


def parse_specification(choice: AgentChoice) -> AgentSpecification:
    if not isinstance(choice, str):
        return AgentSpecification(name_of(choice), given=choice)
    own = OWN.fullmatch(choice)
    name, _, rest = choice.partition(":")
    if own and name not in agent_names():
        name, rest = own["target"], own["rest"] or ""
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


def name_of(agent: Any) -> str:
    """The agent's name in rollouts if it was passed as an object: its name, or that of the function or class."""
    named = agent if isinstance(agent, FunctionType | MethodType) else type(agent)
    return str(getattr(agent, "name", None) or named.__qualname__)


def agent_class(name: str) -> Callable[..., Agent]:
    """A built-in agent, one that a package adds through the entry point group `tratree.agents`, or the user's "module:Name"."""
    found: Callable[..., Agent]
    if ":" in name:
        return made_by(load_named(name, "agent"))
    if name in AGENTS:
        module, _, attribute = AGENTS[name].partition(":")
        found = getattr(import_module(module), attribute)
        return found
    for point in entry_points(group="tratree.agents"):
        if point.name == name:
            found = point.load()
            return found
    raise NotFoundError(f"No agent is called {name!r}.{suggest(name, agent_names())}")


def made_by(own: Any) -> Callable[..., Agent]:
    """What makes the agent: a class, or a function that is the agent."""
    if isinstance(own, type):
        return own
    from tratree_data.agents.function import FunctionAgent

    return lambda: own if hasattr(own, "act") else FunctionAgent(own)


def make_agent(specification: AgentChoice | AgentSpecification, **options: Any) -> Agent:
    """The agent of a specification; `options` are added to those that it names."""
    parsed = specification if isinstance(specification, AgentSpecification) else parse_specification(specification)
    if parsed.given is not None:
        return made_by(parsed.given)()
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
