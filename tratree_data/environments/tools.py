"""The tools of an environment, for agents that call tools instead of writing 'Action: …'.

A call becomes the action that an agent would have written, so both kinds of agents share a tree, and a replay needs no calls. An
environment that lists its `tools` may be called several times in one turn: each line of such an action is an action.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tratree_data.environments import Environment, Outcome

FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Tool:
    """A tool with text parameters; `action` is what a call does, such as "search[{keywords}]"."""

    name: str
    description: str
    parameters: Mapping[str, str]
    """Each parameter's name and meaning."""
    action: str

    @property
    def required(self) -> list[str]:
        return list(self.parameters)

    def schema(self) -> dict[str, Any]:
        """The tool's schema as servers and chat templates expect it."""
        properties = {name: {"type": "string", "description": meaning} for name, meaning in self.parameters.items()}
        parameters = {"type": "object", "properties": properties, "required": list(self.parameters)}
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": parameters}}

    def act(self, arguments: Mapping[str, Any]) -> str:
        """The action of a call: one line, whatever the arguments contain."""
        return FIELD.sub(lambda match: " ".join(str(arguments[match[1]]).split()), self.action)

    def arguments_of(self, action: str) -> dict[str, str] | None:
        """The arguments of the call that does this action; None if this tool cannot do it."""
        pattern = "".join(f"(?P<{part}>.*)" if number % 2 else re.escape(part) for number, part in enumerate(FIELD.split(self.action)))
        match = re.fullmatch(pattern, action)
        return match.groupdict() if match else None


@dataclass(frozen=True)
class FunctionTool:
    """A tool whose parameters have a JSON Schema. An action is `name {sorted arguments}`, as in imported logs."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """The schema of its arguments, an object."""
    takes_text: bool = False
    """Whether a message without a call is a call of this tool with the message's text."""

    @property
    def required(self) -> list[str]:
        return list(self.parameters.get("required") or ())

    def schema(self) -> dict[str, Any]:
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}}

    def act(self, arguments: Mapping[str, Any]) -> str:
        return f"{self.name} {json.dumps(arguments, ensure_ascii=False, sort_keys=True)}" if arguments else self.name

    def arguments_of(self, action: str) -> dict[str, Any] | None:
        """Also for an action written by hand: with any white space, and with brackets around the object, as in a call."""
        name, rest = action[: len(self.name)], action[len(self.name) :].strip()
        if name != self.name:
            return None
        if rest[:1] in ("(", "[") and rest[-1:] in (")", "]"):
            rest = rest[1:-1].strip()
        try:
            given = json.loads(rest or "{}")
        except (ValueError, RecursionError):
            return None
        return given if isinstance(given, dict) else None


AnyTool = Tool | FunctionTool

ACT = Tool("act", "Takes one action.", {"action": "The action, written as the instructions describe it."}, "{action}")
"""For an environment whose actions are lines of text."""


def tools_of(environment: "Environment") -> tuple[AnyTool, ...]:
    return tuple(getattr(environment, "tools", (ACT,)))


def tool_prompt(environment: "Environment") -> str:
    """The instructions for agents that call tools: the environment's own, else its prompt with one sentence more."""
    own: str | None = getattr(environment, "tool_prompt", None)
    if own is not None:
        return own
    return f"{environment.prompt}\n\nInstead of writing an action, call a tool.".strip()


def action_of_call(tools: Sequence[AnyTool], name: str, arguments: str | None) -> tuple[str | None, str]:
    """(the action, ''), or (None, why the call cannot be carried out)."""
    tool = next((tool for tool in tools if tool.name == name), None)
    if tool is None:
        return None, f"There is no tool {name!r}. Tools: {', '.join(tool.name for tool in tools)}."
    try:
        given = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return None, f"The arguments of {name} are not JSON."
    missing = [parameter for parameter in tool.required if not isinstance(given, dict) or parameter not in given]
    if missing:
        return None, f"{name} needs {', '.join(missing)}."
    return (tool.act(given), "") if isinstance(given, dict) else (None, f"The arguments of {name} are not a JSON object.")


def describe_tools(tools: Sequence[AnyTool]) -> str:
    """The actions that agents can write, for those that do not call tools."""
    lines = ["Available actions, one per turn, each as a name and a JSON object with its arguments:"]
    for tool in tools:
        schema = tool.schema()["function"]
        lines.append(f"- {tool.name} {json.dumps(schema['parameters'].get('properties') or {}, ensure_ascii=False)}: {tool.description}")
    return "\n".join([*lines, "", "Thought: your thoughts.", "", "Action: your next action."])


def call_of_action(tools: Sequence[AnyTool], action: str) -> tuple[str, str] | None:
    """(name, arguments as JSON) of the call that does this action."""
    for tool in tools:
        arguments = tool.arguments_of(action)
        if arguments is not None:
            return tool.name, json.dumps(arguments, ensure_ascii=False)
    return None


def take_action(environment: "Environment", action: str) -> "Outcome":
    """Carries out one action, or those of several calls, one per line, until one ends the episode."""
    from tratree_data.environments import Outcome

    if "\n" not in action or not hasattr(environment, "tools"):
        return environment.step(action)
    outcomes: list[Outcome] = []
    for line in action.split("\n"):
        outcomes.append(environment.step(line))
        if outcomes[-1].done:
            break
    return combine(outcomes)


def combine(outcomes: "Sequence[Outcome]") -> "Outcome":
    """What several actions of one turn led to: all observations, the last reward; valid if any was."""
    from tratree_data.environments import Outcome

    verdicts = [outcome.valid for outcome in outcomes if outcome.valid is not None]
    return Outcome(
        "\n\n".join(outcome.observation for outcome in outcomes),
        outcomes[-1].done,
        outcomes[-1].reward,
        any(verdicts) if verdicts else None,
    )
