"""AgentTraj (AgentGym): a JSON list for each environment, ShareGPT conversations that begin with the instruction and 'OK'.

`loss` marks what a model learns from. An item_id ends in a number, so tasks are numbered in order, with their own ids beside.
"""

import re
from typing import Any

from tratree_data.exporters.trajectories import Trajectory

AGREES = "OK. I'll follow your instructions and try my best to solve the task."
NUMBERED = re.compile(r"[a-z0-9]+_\d+")
UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


class Items:
    """Numbers for tasks without one, by environment, in order of appearance."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, int]] = {}

    def name(self, environment: str, task_id: str) -> str:
        if NUMBERED.fullmatch(task_id) and task_id.startswith(f"{environment}_"):
            return task_id
        tasks = self.tasks.setdefault(environment, {})
        return f"{environment}_{tasks.setdefault(task_id, len(tasks))}"


def file_name(trajectory: Trajectory) -> str:
    rollout = trajectory.rollout
    return UNSAFE.sub("-", rollout["environment"]) + "_" + UNSAFE.sub("-", rollout["split"]) + ".json"


def render(trajectory: Trajectory, items: Items) -> dict[str, Any]:
    rollout, opening = trajectory.rollout, trajectory.opening
    said: list[dict[str, Any]] = [_said("human", rollout["prompt"] or "You are an agent.", None), _said("gpt", AGREES, False)]
    for number, step in enumerate(trajectory.steps):
        said.append(_said("human", (opening if number == 0 else "") + step["observation"], None))
        said.append(_said("gpt", answer(step["thought"], step["action"]), True))
    if rollout["end_observation"]:
        said.append(_said("human", rollout["end_observation"], None))
    line = {"item_id": items.name(rollout["environment"], rollout["task_id"]), "conversations": said}
    score = {} if rollout["score"] is None else {"reward": rollout["score"]}
    success = {} if rollout["success"] is None else {"success": int(rollout["success"])}
    facts = [{"thought_characters": len(step["thought"])} | trajectory.step_facts(number) for number, step in enumerate(trajectory.steps)]
    return line | score | success | {"tratree": trajectory.facts(opening) | {"prompt": rollout["prompt"], "steps": facts}}


def answer(thought: str, action: str) -> str:
    """A turn in AgentGym's format."""
    return f"Thought:\n{thought}\n\nAction:\n{action}"


def _said(speaker: str, value: str, loss: bool | None) -> dict[str, Any]:
    return {"from": speaker, "loss": loss, "value": value}
