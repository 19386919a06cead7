"""A turn of an agent that calls tools: its calls carried out, their results, and what the tables keep of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tratree_data.agents import Response
from tratree_data.environments import Environment, Outcome
from tratree_data.environments.tools import AnyTool, action_of_call, call_of_action, combine, tool_prompt

NO_CALL = "No tool was called, so nothing happened. Call one of the tools."
ONE_CALL = "Not carried out: this environment takes one call per turn."
OVER = "Not carried out: the episode is over."

Message = dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """What was said, done and seen."""

    message: Message
    action: str
    outcome: Outcome
    results: list[Message]

    def columns(self, answered: Sequence[Message], observation: str) -> dict[str, Any]:
        """The step's own columns for messages; NULL where they are what its observation says."""
        own = {"content": self.message.get("content"), "reasoning": self.message.get("reasoning_content")}
        return {
            "input_messages": None if answered == [{"role": "user", "content": observation}] else list(answered),
            "output_message": {**own, "tool_calls": self.message.get("tool_calls")},
        }


def take_turn(
    environment: Environment,
    tools: Sequence[AnyTool],
    message: Message,
    guarded: Callable[[Callable[[], Outcome]], Outcome],
    clean: Callable[[str], str],
) -> Turn:
    """Carries out the calls of a message in their order; the result of a call that cannot be carried out says why."""
    calls = message.get("tool_calls") or []
    speaker = next((tool for tool in tools if getattr(tool, "takes_text", False)), None)
    if not calls and speaker and (message.get("content") or "").strip():
        said = clean(speaker.act({"text": message["content"]}))
        outcome = guarded(lambda: environment.step(said))
        return Turn(message, said, outcome, [{"role": "user", "content": clean(outcome.observation)}])
    if not calls:
        return Turn(message, "", Outcome(NO_CALL, False, None, valid=False), [{"role": "user", "content": NO_CALL}])
    actions: list[str] = []
    outcomes: list[Outcome] = []
    results: list[Message] = []
    most = len(calls) if hasattr(environment, "tools") else 1
    for number, call in enumerate(calls):
        action, problem = action_of_call(tools, call["name"], call["arguments"])
        if number >= most or (actions and outcomes[-1].done):
            problem = OVER if outcomes[-1].done else ONE_CALL
        if action is None or problem:
            outcome = Outcome(problem, bool(outcomes) and outcomes[-1].done, None, valid=False)
        else:
            actions.append(clean(action))
            outcome = guarded(lambda done=actions[-1]: environment.step(done))  # type: ignore[misc]
        outcomes.append(outcome)
        results.append({"role": "tool", "content": clean(outcome.observation), "tool_call_id": call["id"]})
    return Turn(message, "\n".join(actions), combine(outcomes), results)


def message_of_action(tools: Sequence[AnyTool], response: Response, number: int) -> Message:
    """The message of an agent that wrote its action: the call that does the same."""
    call = call_of_action(tools, response.action)
    if call is None:
        return {"role": "assistant", "content": response.text or response.action}
    calls = [{"id": f"call_{number}", "name": call[0], "arguments": call[1]}]
    return {"role": "assistant", "content": response.thought or None, "tool_calls": calls}


def end_columns(environment: Environment, tools: Sequence[AnyTool], waiting: Sequence[Message], observation: str) -> Mapping[str, Any]:
    """The rollout's own columns for messages."""
    return {
        "prompt": tool_prompt(environment),
        "tools": json.dumps([tool.schema() for tool in tools], ensure_ascii=False),
        "end_messages": None if waiting == [{"role": "user", "content": observation}] else list(waiting),
    }
