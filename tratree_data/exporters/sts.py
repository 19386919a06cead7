"""STS, the Hub's Session Trace Simple Format: a file for each trajectory, a header line and a line for each message."""

from typing import Any

from tratree_data.exporters.trajectories import Trajectory
from tratree_data.messages import openai_message

HARNESS = "tratree"


def render(trajectory: Trajectory) -> list[dict[str, Any]]:
    rollout, opening = trajectory.rollout, trajectory.opening
    name = f"{rollout['environment']} {rollout['task_id']}, attempt {rollout['attempt']}"
    lines = [{"type": "session", "harness": HARNESS, "id": rollout["rollout_id"], "name": name} | trajectory.facts(opening)]
    if trajectory.is_chat:
        acts = iter(range(len(trajectory.steps)))
        for message in trajectory.messages():
            facts = trajectory.step_facts(next(acts)) if message["role"] == "assistant" else {}
            lines.append(_message(openai_message(message) | facts))
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


def _message(message: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "message": message}
