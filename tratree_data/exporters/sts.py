"""STS, the Hub's Session Trace Simple Format: a file for each trajectory, a header line and a line for each message.

The Hub's viewer renders only sessions of harnesses that it knows, so we name one of those; the agent's name is beside it.
"""

from typing import Any

from tratree_data.exporters.trajectories import Trajectory
from tratree_data.importers.log_records import Unusable
from tratree_data.importers.turns.dialects import read_messages
from tratree_data.messages import INSTRUCTING, openai_message

HARNESS = "llama.app"
NAMES = {"reasoning_content": "reasoningContent", "tool_calls": "toolCalls", "tool_call_id": "toolCallId"}


def render(trajectory: Trajectory) -> list[dict[str, Any]]:
    rollout, opening = trajectory.rollout, trajectory.opening
    name = f"{rollout['environment']} {rollout['task_id']}, attempt {rollout['attempt']}"
    lines = [{"type": "session", "harness": HARNESS, "id": rollout["rollout_id"], "name": name} | trajectory.facts(opening)]
    if trajectory.is_chat:
        acts = iter(range(len(trajectory.steps)))
        for message in trajectory.messages():
            facts = trajectory.step_facts(next(acts)) if message["role"] == "assistant" else {}
            lines.append(_message(_chat_message(message) | facts))
        return lines
    if rollout["prompt"]:
        lines.append(_message({"role": "system", "content": rollout["prompt"]}))
    for number, step in enumerate(trajectory.steps):
        lines.append(_message({"role": "user", "content": (opening if number == 0 else "") + step["observation"]}))
        thought = {"reasoningContent": step["thought"]} if step["thought"] else {}
        model = {"model": rollout["model"]} if rollout["model"] else {}
        lines.append(_message({"role": "assistant", "content": step["action"]} | thought | model | trajectory.step_facts(number)))
    if rollout["end_observation"]:
        lines.append(_message({"role": "user", "content": rollout["end_observation"]}))
    return lines


def _chat_message(message: dict[str, Any]) -> dict[str, Any]:
    """The message in STS, where every message has a text; `original` keeps what STS cannot express."""
    said = {NAMES.get(name, name): value for name, value in openai_message(message).items()} | {"content": message["content"] or ""}
    if message["role"] in INSTRUCTING:
        said["role"] = "system"
    same = _says_the_same(said, message)
    return said if same else said | {"original": openai_message(message)}


def _says_the_same(said: dict[str, Any], message: dict[str, Any]) -> bool:
    try:
        return read_messages(said, "message") == [message]
    except Unusable:
        return False


def _message(message: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "message": message}
