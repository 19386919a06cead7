"""ATIF 1.8: a document for each trajectory; task, score and the like are in `extra`, because the format has no field for them."""

from typing import Any

from tratree_data.exporters.trajectories import Trajectory
from tratree_data.messages import INSTRUCTING, openai_message

SCHEMA_VERSION = "ATIF-v1.8"


def render(trajectory: Trajectory) -> dict[str, Any]:
    rollout, opening = trajectory.rollout, trajectory.opening
    steps: list[dict[str, Any]] = []
    if trajectory.is_chat:
        steps = _chat_steps(trajectory)
    else:
        if rollout["prompt"]:
            steps.append({"source": "system", "message": rollout["prompt"]})
        steps.append({"source": "user", "message": opening + trajectory.steps[0]["observation"]})
        steps += [_agent_step(trajectory, number) for number in range(len(trajectory.steps))]
    agent = {"name": rollout["agent"], "version": "unknown"} | ({"model_name": rollout["model"]} if rollout["model"] else {})
    agent |= {"tool_definitions": trajectory.tools} if trajectory.tools else {}
    document = {
        "schema_version": SCHEMA_VERSION,
        "session_id": rollout["rollout_id"],
        "trajectory_id": rollout["rollout_id"],
        "agent": agent,
        "steps": [{"step_id": number} | step for number, step in enumerate(steps, 1)],
        "extra": trajectory.facts(opening),
    }
    totals = {"total_prompt_tokens": rollout["prompt_tokens"], "total_completion_tokens": rollout["completion_tokens"]}
    metrics = {name: value for name, value in totals.items() if value is not None} | {"total_steps": len(steps)}
    return document | {"final_metrics": metrics}


def _chat_steps(trajectory: Trajectory) -> list[dict[str, Any]]:
    """Messages as steps: results are the observation of the step with their calls. What ATIF cannot express is in `extra`."""
    steps: list[dict[str, Any]] = []
    acts = iter(range(len(trajectory.steps)))
    for message in trajectory.messages():
        if message["role"] == "assistant":
            step: dict[str, Any] = {"source": "agent", "message": message["content"] or ""}
            step |= {"reasoning_content": message["reasoning_content"]} if "reasoning_content" in message else {}
            calls = message.get("tool_calls")
            step |= {"tool_calls": [_atif_call(call, i) for i, call in enumerate(calls)]} if calls else {}
            facts = trajectory.step_facts(next(acts))
        elif message["role"] == "tool" and steps and steps[-1]["source"] == "agent" and message.get("tool_call_id") in _calls_of(steps[-1]):
            result = {"source_call_id": message["tool_call_id"], "content": message["content"] or ""}
            steps[-1].setdefault("observation", {"results": []})["results"].append(result)
            steps[-1]["extra"]["results"] = [*steps[-1]["extra"].get("results", []), message]
            continue
        else:
            step, facts = {"source": "system" if message["role"] in INSTRUCTING else "user", "message": message["content"] or ""}, {}
        steps.append(step | {"extra": facts | {"message": openai_message(message)}})
    return steps


def _calls_of(step: dict[str, Any]) -> list[str]:
    return [call["tool_call_id"] for call in step.get("tool_calls", [])]


def _atif_call(call: dict[str, Any], number: int) -> dict[str, Any]:
    """ATIF accepts only objects as arguments; what the model wrote is in `extra`."""
    (said,) = openai_message({"tool_calls": [call]}, decode=True)["tool_calls"]
    arguments = said["function"]["arguments"]
    return {
        "tool_call_id": call["id"] or f"call_{number}",
        "function_name": call["name"],
        "arguments": arguments if isinstance(arguments, dict) else {"input": arguments},
    }


def _agent_step(trajectory: Trajectory, number: int) -> dict[str, Any]:
    step = trajectory.steps[number]
    rendered: dict[str, Any] = {"source": "agent", "message": step["action"]}
    if step["thought"]:
        rendered["reasoning_content"] = step["thought"]
    last = number + 1 == len(trajectory.steps)
    if not last or trajectory.rollout["end_observation"]:
        rendered["observation"] = {"results": [{"content": trajectory.observation_after(number)}]}
    facts = trajectory.step_facts(number)
    return rendered | ({"extra": facts} if facts else {})
