"""ADP, the Agent Data Protocol: {"id", "content": [actions and observations, distinguished by class_], "details"}.

`details` is free: task, environment and reward are read from it under the names of our columns. Rewards beside actions or
observations belong to their step.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import conversations, log_records
from tratree_data.importers.conversations import Turn
from tratree_data.importers.intercode import as_text
from tratree_data.importers.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable

ACTIONS = ("api_action", "code_action", "message_action")
OBSERVATIONS = ("text_observation", "web_observation", "json_observation", "image_observation")


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(json_records(file), lambda where, value: _parse(options, where, value))


def _parse(options: Options, where: str, value: Any) -> Record:
    entry = log_records.mapping(value, "the trajectory")
    facts = log_records.mapping(entry.get("details") or {}, "details")
    content = [
        log_records.mapping(item, f"content[{i}]")
        for i, item in enumerate(log_records.items_of(log_records.need(entry, "content"), "content"))
    ]
    record = conversations.record_of_turns(
        (_turn(item, f"content[{i}]") for i, item in enumerate(content)), facts, where, options.environment
    )
    record.trajectory_id = record.trajectory_id or log_records.identifier(log_records.need(entry, "id"), "id")
    if facts.get("task_id") is None and "instruction" not in facts:
        record.task_id = record.trajectory_id
    for step, reward in zip(record.steps, _rewards(content), strict=True):
        step.reward = reward
    conversations.apply_step_metadata(record, facts.get("steps"))
    return record


def _turn(item: dict[str, Any], name: str) -> Turn:
    class_name = log_records.text(item.get("class_"), f"{name}.class_")
    thought = "\n".join(
        text for key in ("reasoning_content", "description") if (text := log_records.optional_text(item.get(key), f"{name}.{key}"))
    )
    if class_name == "message_action":
        return Turn("assistant", log_records.text(item.get("content"), f"{name}.content"), thought)
    if class_name == "code_action":
        return Turn("assistant", "", thought, (log_records.text(item.get("content"), f"{name}.content"),))
    if class_name == "api_action":
        function = log_records.identifier(item.get("function"), f"{name}.function")
        return Turn("assistant", "", thought, (conversations.call_text(function, item.get("kwargs")),))
    if class_name not in OBSERVATIONS:
        raise Unusable("unknown_role", f"{name}.class_ is {class_name!r}")
    role = "system" if item.get("source") == "system" else "user"
    return Turn(role, next((as_text(item[key]) for key in ("content", "axtree", "html", "url") if item.get(key)), ""))


def _rewards(content: list[dict[str, Any]]) -> Iterator[float | None]:
    """The reward of each action: beside it, or beside what it led to."""
    for i, item in enumerate(content):
        if item.get("class_") in ACTIONS:
            follower = content[i + 1] if i + 1 < len(content) and content[i + 1].get("class_") in OBSERVATIONS else {}
            own = log_records.number(item.get("reward"), f"content[{i}].reward")
            yield own if own is not None else log_records.number(follower.get("reward"), f"content[{i + 1}].reward")
