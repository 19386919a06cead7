"""One attempt, from reset to its end, and every reason for which it can end.

A problem inside an attempt never raises: a crashed environment or a failing agent ends it with a typed reason, and its row is kept.
Only what the user must change (`TratreeError`) is raised.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tratree_data.agents import AgentHooks, Request, Response, Step
from tratree_data.environments import Environment, Start
from tratree_data.environments.tools import AnyTool, take_action, tool_prompt, tools_of
from tratree_data.errors import TratreeError
from tratree_data.exploration.attempt import ENDS, FAILURES, Attempt, Branch, Finished, Limits
from tratree_data.exploration.tool_turns import Turn, end_columns, message_of_action, take_turn
from tratree_data.ids import content_id, tree_id
from tratree_data.messages import opening
from tratree_data.store.writing.storable_text import replace_unstorable

ROUNDING = 1e-9

Act = Callable[[Request], Response]


class _Ended(Exception):
    """A failure: the attempt ends here, without a score."""

    def __init__(self, reason: str, trouble: str = "") -> None:
        super().__init__(reason)
        self.reason, self.trouble = reason, trouble


@dataclass
class _Episode:
    environment: Environment
    attempt: Attempt
    history: list[Step] = field(default_factory=list)
    steps: list[dict[str, object]] = field(default_factory=list)
    observation: str = ""
    done: bool = False
    invalid_in_a_row: int = 0
    replaced: int = 0
    """Number of characters that no table can hold."""
    tokens: dict[str, int] = field(default_factory=dict)
    tools: tuple[AnyTool, ...] = ()
    """What the agent can call; empty for one that writes its actions."""
    waiting: list[dict[str, Any]] = field(default_factory=list)
    """For an agent that calls tools: the messages to answer."""

    def clean(self, text: str) -> str:
        """Replaces them before a text is used or compared, so that a replay sees the same."""
        text, count = replace_unstorable(text)
        self.replaced += count
        return text

    def reset(self) -> Start:
        start: Start = _guarded(lambda: self.environment.reset(self.attempt.task_id, self.attempt.environment_seed))
        self.observation = self.clean(start.observation)
        start = replace(start, instruction=self.clean(start.instruction))
        self.waiting = [{"role": "user", "content": opening("", start.instruction, self.observation)}]
        return start

    def take(self, response: Response) -> None:
        """Carries out an action, or the calls of a turn, and records the step."""
        text, thought, action = (self.clean(text) for text in (response.text, response.thought, response.action))
        response = replace(response, text=text, thought=thought, action=action)
        turn = self._called(response) if self.tools else None
        if turn is None:
            outcome = _guarded(lambda: take_action(self.environment, response.action))
        else:
            response, outcome = replace(response, action=turn.action, text=""), turn.outcome
        answered = [*self.waiting, turn.message] if turn else []
        self.history.append(Step(self.observation, response.thought, response.action, tuple(answered)))
        self.steps.append(
            {
                "observation": self.observation,
                "thought": response.thought,
                "action": response.action,
                "response": response.text or None,
                "reward": outcome.reward,
                "valid": outcome.valid,
                "logprob": response.logprob,
                **(turn.columns(self.waiting, self.observation) if turn else {}),
            }
        )
        self.count(response)
        self.invalid_in_a_row = self.invalid_in_a_row + 1 if outcome.valid is False or not response.action else 0
        self.observation, self.done = self.clean(outcome.observation), outcome.done
        if turn:
            self.waiting = turn.results

    def _called(self, response: Response) -> Turn:
        """The turn of an agent that calls tools; an action without a message, as in a repeated prefix, becomes a call."""
        message = response.message or message_of_action(self.tools, response, len(self.steps))
        message = {key: self._cleaned(value) for key, value in message.items()}
        return take_turn(self.environment, self.tools, message, _guarded, self.clean)

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.clean(value)
        return [{key: self._cleaned(item) for key, item in call.items()} for call in value] if isinstance(value, list) else value

    def count(self, response: Response) -> None:
        for name, number in (("prompt_tokens", response.prompt_tokens), ("completion_tokens", response.completion_tokens)):
            if number is not None:
                self.tokens[name] = self.tokens.get(name, 0) + number


def play(environment: Environment, agent: Any, act: Act, attempt: Attempt, limits: Limits) -> Finished:
    """One attempt; `agent` names itself and its model for the row, `act` answers."""
    started = time.monotonic()
    episode = _Episode(environment, attempt)
    start = Start("", "")
    score: float | None = None
    success: bool | None = None
    trouble = ""
    try:
        start = episode.reset()
        if getattr(agent, "calls_tools", AgentHooks.calls_tools):
            episode.tools = tools_of(environment)
        if attempt.branch is not None:
            changed = _replay(episode, attempt.branch)
            if changed:
                return Finished(attempt, dropped=("prefix_changed", changed))
        reason = _live(episode, agent, act, start, limits)
        score, success = _earned(environment)
    except _Ended as end:
        reason, trouble = end.reason, end.trouble
    rollout = {
        **rollout_row(environment, agent, attempt, limits, reason),
        "instruction": start.instruction,
        "score": score,
        "success": success,
        "end_observation": episode.observation if episode.steps else "",
        "step_count": len(episode.steps),
        "seconds": time.monotonic() - started,
        **episode.tokens,
        **(end_columns(environment, episode.tools, episode.waiting, episode.observation) if episode.tools and episode.steps else {}),
    }
    return Finished(attempt, rollout, episode.steps, replaced=episode.replaced, trouble=trouble)


def rollout_row(environment: Environment, agent: Any, attempt: Attempt, limits: Limits, end_reason: str) -> dict[str, object]:
    """The row of an attempt of which only its plan and its end are known."""
    return {
        "rollout_id": attempt.rollout_id,
        "tree_id": tree_id(environment.name, attempt.task_id),
        "environment": environment.name,
        "environment_version": environment.version,
        "split": limits.split,
        "task_id": attempt.task_id,
        "attempt": attempt.attempt,
        "prompt": environment.prompt,
        "instruction": "",
        "agent": agent.name,
        "model": agent.model,
        "sampling": attempt.sampling,
        "branch_node_id": attempt.branch.node_id if attempt.branch else None,
        "end_reason": end_reason,
        "end_observation": "",
        "step_count": 0,
        "source": "explore",
    }


def _live(episode: _Episode, agent: Any, act: Act, start: Start, limits: Limits) -> str:
    """Acts until there is a reason to end, and returns it."""
    attempt, environment = episode.attempt, episode.environment
    sampling = json.loads(attempt.sampling)
    most = min(environment.max_steps, limits.max_steps or environment.max_steps)
    wants_actions = getattr(agent, "wants_actions", AgentHooks.wants_actions)
    while not episode.done:
        if len(episode.steps) >= most:
            return "max_steps"
        request = Request(
            environment.name,
            attempt.task_id,
            attempt.attempt,
            tool_prompt(environment) if episode.tools else environment.prompt,
            start.instruction,
            tuple(episode.history),
            episode.observation,
            _guarded(environment.admissible_actions) if wants_actions else None,
            {**sampling, "seed": request_seed(attempt.rollout_id, len(episode.steps))},
            tuple(tool.schema() for tool in episode.tools),
            tuple(episode.waiting) if episode.tools else (),
        )
        response = _answer(act, request)
        if response.stop_reason is not None:
            episode.count(response)
            return _agents_end(response)
        episode.take(response)
        if episode.invalid_in_a_row >= limits.max_invalid_actions and not episode.done:
            return "invalid_actions"
    return "done"


def _agents_end(response: Response) -> str:
    if response.stop_reason in FAILURES:
        raise _Ended(response.stop_reason, response.text)
    if response.stop_reason not in ENDS:
        raise _Ended("agent_error", f"the agent stopped with {response.stop_reason!r}, which is not an end_reason")
    return response.stop_reason


def request_seed(rollout_id: str, step: int) -> int:
    """The seed of one request, from 0 to 2**31 − 1; the rollout's id already depends on the run's seed, through its sampling."""
    return int(content_id("seed", rollout_id, step), 16) % 2**31


def _replay(episode: _Episode, branch: Branch) -> str:
    """Repeats the prefix; returns what came back differently, or ''."""
    for number, step in enumerate(branch.steps):
        if episode.observation != step.observation or episode.done:
            return f"step {number}: the environment showed {episode.observation[:200]!r}, the tree says {step.observation[:200]!r}"
        episode.take(Response("", step.thought, step.action))
    if episode.observation != branch.observation:
        return f"after the prefix: the environment showed {episode.observation[:200]!r}, the tree says {branch.observation[:200]!r}"
    if episode.done:
        return "the episode was over after the prefix"
    episode.invalid_in_a_row = 0
    return ""


def _answer(act: Act, request: Request) -> Response:
    try:
        return act(request)
    except TratreeError:
        raise
    except Exception as error:
        raise _Ended("agent_error", f"{type(error).__name__}: {error}") from error


def _guarded(call: Callable[[], Any]) -> Any:
    """The environment's answer; its failure ends the attempt with the reason it names."""
    try:
        return call()
    except Exception as error:
        reason = getattr(error, "reason", None)
        if reason is None and isinstance(error, TratreeError):
            raise
        raise _Ended(reason if reason in FAILURES else "environment_error", f"{type(error).__name__}: {error}") from error


def _earned(environment: Environment) -> tuple[float | None, bool | None]:
    """The score, which the tables require from 0 to 1, and whether the task was solved; None where nothing says so."""
    score, success = _guarded(environment.score), _guarded(environment.success)
    if score is None:
        return None, success
    if not -ROUNDING <= score <= 1 + ROUNDING:
        raise _Ended("environment_error", f"{environment.name}.score() is {score!r}, but must be from 0 to 1")
    return min(1.0, max(0.0, float(score))), bool(success)
