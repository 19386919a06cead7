"""verifiers: `traces.jsonl`, with one episode per line, which has one trace, whose nodes are a chain; actions are the messages that a model
sampled.
"""

from typing import Any

from tratree_data.exporters.trajectories import Trajectory
from tratree_data.messages import openai_message


def render(trajectory: Trajectory) -> dict[str, Any]:
    rollout, opening = trajectory.rollout, trajectory.opening
    messages = [openai_message(message) for message in trajectory.messages()] if trajectory.is_chat else _text_messages(trajectory)
    facts = [trajectory.step_facts(number) for number in range(len(trajectory.steps))]
    ended = rollout["end_reason"] == "done"
    task = {"type": "Task", "data": {"id": rollout["task_id"], "prompt": rollout["instruction"]}, "key": rollout["task_id"]}
    trace = {
        "id": rollout["rollout_id"],
        "verifiers": {"version": "unknown"},
        "task": task,
        "agent": {"name": rollout["agent"], "config": {"model": rollout["model"]} if rollout["model"] else {}},
        "nodes": [_node(number, message) for number, message in enumerate(messages)],
        "rewards": {} if rollout["score"] is None else {"score": {"score": rollout["score"], "weight": 1.0}},
        "info": trajectory.facts(opening) | ({"steps": facts} if any(facts) else {}),
        "is_completed": True,
        "ok": ended,
        "stop_condition": rollout["end_reason"],
        "timing": {"start": 0.0},
    }
    return {"id": rollout["rollout_id"], "env": {"id": rollout["environment"]}, "task": task, "ok": ended, "traces": [trace]}


def _text_messages(trajectory: Trajectory) -> list[dict[str, Any]]:
    rollout, opening = trajectory.rollout, trajectory.opening
    messages: list[dict[str, Any]] = [{"role": "system", "content": rollout["prompt"]}] if rollout["prompt"] else []
    for number, step in enumerate(trajectory.steps):
        messages.append({"role": "user", "content": (opening if number == 0 else "") + step["observation"]})
        thought = {"reasoning_content": step["thought"]} if step["thought"] else {}
        messages.append({"role": "assistant", "content": step["action"]} | thought)
    if rollout["end_observation"]:
        messages.append({"role": "user", "content": rollout["end_observation"]})
    return messages


def _node(number: int, message: dict[str, Any]) -> dict[str, Any]:
    parent = {"parent": number - 1} if number else {}
    return parent | {"message": message, "sampled": message["role"] == "assistant", "timestamp": 0.0}
