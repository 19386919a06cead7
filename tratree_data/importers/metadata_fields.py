"""What a log's free metadata says under the names of our columns, as our exporters write it."""

import re
from collections.abc import Mapping
from typing import Any

from tratree_data.importers.log_records import Record, count, identifier, number, text, truth_or_number

EXPORTER = "tratree-data"
"""How our exporters sign their metadata."""
ROLLOUT_ID = re.compile("[0-9a-f]{16}")
METADATA_FIELDS = (
    "environment",
    "environment_version",
    "split",
    "instruction",
    "prompt",
    "agent",
    "model",
    "sampling",
    "end_reason",
    "end_observation",
)


def apply_metadata(record: Record, facts: Mapping[str, Any]) -> Record:
    """Copies values that a log's free metadata has under the names of our columns."""
    for name in METADATA_FIELDS:
        if facts.get(name) is not None and not (name == "environment" and record.environment):
            setattr(record, name, text(facts[name], name))
    if facts.get("task_id") is not None:
        record.task_id = identifier(facts["task_id"], "task_id")
    if facts.get("trajectory_id") is not None:
        record.trajectory_id = identifier(facts["trajectory_id"], "trajectory_id")
    known = facts.get("rollout_id")
    if facts.get("exporter") == EXPORTER and isinstance(known, str) and ROLLOUT_ID.fullmatch(known):
        record.rollout_id = known
    score = truth_or_number(facts.get("reward", facts.get("score")), "reward")
    record.reward = record.reward if score is None else score
    record.seconds = number(facts.get("seconds"), "seconds")
    record.prompt_tokens = count(facts.get("prompt_tokens"), "prompt_tokens")
    record.completion_tokens = count(facts.get("completion_tokens"), "completion_tokens")
    success = truth_or_number(facts.get("success"), "success")
    record.success = record.success if success is None else success == 1
    return record
