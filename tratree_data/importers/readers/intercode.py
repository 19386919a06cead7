"""InterCode's data/results/**: an object of task number → {"query", "turn_history": parallel arrays, "summary"}, or that below "logs".

The arrays may differ by one in length; observations may be other values than texts; the reward is the maximum over the turns.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_members
from tratree_data.importers.log_records import LogStep, Options, Problem, Record, Unusable

HEADER = ("meta",)
TASKS = re.compile(r"nl2(?P<kind>bash|sql)_(?P<part>\w+?)\.json|(?P<other>[^/]+?)\.jsonl?\Z")


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    def parse(where: str, item: Any) -> Record:
        key, value = item
        return _parse(file, options, where, key, value)

    members = ((where, item) for where, item in json_members(file, inside=("logs",)) if isinstance(item, Problem) or item[0] not in HEADER)
    return log_records.each(members, parse)


def _parse(file: LogFile, options: Options, where: str, key: str, value: Any) -> Record:
    entry = log_records.mapping(value, "the entry")
    history = log_records.mapping(log_records.need(entry, "turn_history"), "turn_history")
    query = log_records.text(log_records.need(entry, "query"), "query")
    summary = log_records.mapping(entry.get("summary") or {}, "summary")
    rewards = [log_records.number(reward, "rewards") for reward in log_records.items_of(history.get("rewards") or [], "rewards")]
    best = log_records.number(summary.get("max_reward"), "max_reward")
    if best is None:
        best = max((reward for reward in rewards if reward is not None), default=None)
    steps, end = _steps(history, query, rewards)
    environment = log_records.text(entry.get("environment", "ic_bash"), "environment").removeprefix("ic_")
    return Record(
        source=where,
        environment=options.environment or f"intercode-{environment}",
        task_id=f"{environment}-{_part(entry)}{key}",
        trajectory_id=f"{file.stem}:{key}",
        instruction=query,
        reward=best,
        success=None if best is None else best == 1,
        steps=steps,
        end_observation=end,
    )


def _steps(history: dict[str, Any], query: str, rewards: list[float | None]) -> tuple[list[LogStep], str]:
    actions = log_records.items_of(log_records.need(history, "actions"), "actions")
    if not actions:
        raise Unusable("empty_steps", "turn_history.actions is empty")
    seen = [query] + [as_text(observation) for observation in log_records.items_of(history.get("observations") or [], "observations")]
    thoughts = log_records.items_of(history.get("thoughts") or [], "thoughts")
    valid = log_records.items_of(history.get("valid_action") or [], "valid_action")
    steps = [
        LogStep(
            observation=_at(seen, i, ""),
            thought=log_records.optional_text(_at(thoughts, i, None), "thoughts"),
            action=as_text(action),
            reward=_at(rewards, i, None),
            valid=log_records.truth(_at(valid, i, None), "valid_action"),
        )
        for i, action in enumerate(actions)
    ]
    return steps, _at(seen, len(actions), "")


def _at(values: list[Any], index: int, otherwise: Any) -> Any:
    """Pads arrays that are one element too short."""
    return values[index] if index < len(values) else otherwise


def as_text(value: Any) -> str:
    """Observations may be lists, numbers or null: they become the JSON that they were."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def _part(entry: dict[str, Any]) -> str:
    """Task numbers are unique only within a data file: 'fs_1-' of ./data/nl2bash/nl2bash_fs_1.json."""
    match = TASKS.search(log_records.optional_text(entry.get("dataset"), "dataset"))
    part = (match["part"] or match["other"]) if match else ""
    return f"{part}-" if part else ""
