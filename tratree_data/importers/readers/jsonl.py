"""Our own plain format: one trajectory per line.

    {"task_id", "env", "trajectory_id"?, "instruction", "reward"?, "success"?, "steps": [{"observation", "thought"?, "action"}]}

`reward` is from 0 to 1; a trajectory without it, or with null, has no score.
Other keys are allowed; those that name a column of `rollouts` or `steps` are read.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_lines
from tratree_data.importers.log_records import LogStep, Options, Problem, Record, Unusable


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(json_lines(file), partial(parse, options))


def parse(options: Options, where: str, value: Any) -> Record:
    line = log_records.mapping(value, "the line")
    steps = log_records.items_of(log_records.need(line, "steps"), "steps")
    if not steps:
        raise Unusable("empty_steps", "steps is empty")
    trajectory_id = line.get("trajectory_id")
    return Record(
        source=where,
        environment=options.environment or log_records.identifier(log_records.need(line, "env"), "env"),
        environment_version=log_records.optional_text(line.get("environment_version"), "environment_version"),
        split=log_records.optional_text(line.get("split"), "split"),
        task_id=log_records.identifier(log_records.need(line, "task_id"), "task_id"),
        trajectory_id="" if trajectory_id is None else log_records.identifier(trajectory_id, "trajectory_id"),
        instruction=log_records.text(log_records.need(line, "instruction"), "instruction"),
        prompt=log_records.optional_text(line.get("prompt"), "prompt"),
        agent=log_records.optional_text(line.get("agent"), "agent"),
        model=log_records.optional_text(line.get("model"), "model") or None,
        reward=log_records.number(line.get("reward"), "reward"),
        success=log_records.truth(line.get("success"), "success"),
        steps=[_step(step, f"steps[{i}]") for i, step in enumerate(steps)],
        end_observation=log_records.optional_text(line.get("end_observation"), "end_observation"),
        end_reason=log_records.optional_text(line.get("end_reason"), "end_reason") or "unknown",
    )


def _step(value: Any, name: str) -> LogStep:
    step = log_records.mapping(value, name)
    return LogStep(
        observation=log_records.text(log_records.need(step, "observation", f"{name}.observation"), f"{name}.observation"),
        thought=log_records.optional_text(step.get("thought"), f"{name}.thought"),
        action=log_records.text(log_records.need(step, "action", f"{name}.action"), f"{name}.action"),
        response=log_records.optional_text(step.get("response"), f"{name}.response") or None,
        reward=log_records.number(step.get("reward"), f"{name}.reward"),
        valid=log_records.truth(step.get("valid"), f"{name}.valid"),
    )
