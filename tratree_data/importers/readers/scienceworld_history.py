"""ScienceWorld histories (Retrospex, SwiftSage): {"history": [{"action", "observation", "score", …}]}, bare, listed, or by episode number.

Observation and score come AFTER the action, numbers may be text, and there are no thoughts. As in ScienceWorld itself, the score is the
highest of the episode, and a negative one only means that the agent made the task impossible. Scores are 0–100 or 0–1: --score-scale says.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, is_one_object, json_members, json_records
from tratree_data.importers.log_records import Item, LogStep, Options, Problem, Record, Unusable

ENVIRONMENT = "scienceworld"
MOST_FIELDS = 1_000


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(_episodes(file), lambda where, value: _parse(file, options, where, value))


def _episodes(file: LogFile) -> Iterator[Item]:
    """Records, or the members of an object of episodes, with their key."""
    if not is_one_object(file):
        yield from ((where, value if isinstance(value, Problem) else ("", value)) for where, value in json_records(file))
        return
    record: dict[str, Any] = {}
    for where, item in json_members(file):
        if isinstance(item, Problem) or (isinstance(item[1], dict) and "history" in item[1] and item[0] != "history"):
            yield where, item
        elif item[0] in record:
            yield where, log_records.repeated_key(where, item[0])
            return
        elif len(record) < MOST_FIELDS:
            record[item[0]] = item[1]
    if "history" in record:
        yield f"{file.name}:1", ("", record)
    elif record:
        yield f"{file.name}:1", Problem(f"{file.name}:1", "missing_field", f"no 'history' beside or below {sorted(record)[:3]}")


def _parse(file: LogFile, options: Options, where: str, item: Any) -> Record:
    key, value = item
    entry = log_records.mapping(value, "the record")
    history = log_records.need(entry, "history")
    facts = dict(entry)
    if isinstance(history, dict):
        facts |= {name: value for name, value in history.items() if name not in ("history", "properties")}
        facts |= log_records.mapping(history.get("properties") or {}, "properties")
        history = log_records.need(history, "history")
    turns = [log_records.mapping(turn, f"history[{i}]") for i, turn in enumerate(log_records.items_of(history, "history"))]
    if not turns:
        raise Unusable("empty_steps", "history is empty")
    task = log_records.optional_text(facts.get("taskDescription", facts.get("task_description", facts.get("task"))), "taskDescription")
    steps = _steps(turns, task)
    scores = [score for i, turn in enumerate(turns) if (score := numeric(turn.get("score"), f"history[{i}].score")) is not None]
    final = numeric(entry.get("finalScore", entry.get("score")), "finalScore")
    best = max([score for score in [*scores, final] if score is not None], default=None)
    if options.score_scale is None:
        highest = "" if best is None else f"; the highest of this episode is {best:g}"
        raise Unusable("no_score_scale", f"the log does not say on which scale its scores are{highest}")
    ruined = bool(scores) and scores[-1] < 0
    return Record(
        source=where,
        environment=options.environment or ENVIRONMENT,
        task_id=_task_id(file, facts, key),
        trajectory_id=f"{file.stem}:{key}" if key else "",
        instruction=task,
        reward=None if best is None else max(best, 0.0),
        success=None if best is None else best >= options.score_scale[1] and not ruined,
        steps=steps,
        end_observation=_observation(turns[-1], f"history[{len(turns) - 1}]"),
        end_reason="done" if ruined or truth_word(turns[-1].get("isCompleted", turns[-1].get("done"))) else "unknown",
    )


def _steps(turns: list[dict[str, Any]], opening: str) -> list[LogStep]:
    """Moves each observation to the action that answered it."""
    seen = [opening] + [_observation(turn, f"history[{i}]") for i, turn in enumerate(turns)]
    return [
        LogStep(
            observation=seen[i],
            thought=log_records.optional_text(turn.get("thought"), f"history[{i}].thought"),
            action=log_records.text(log_records.need(turn, "action", f"history[{i}].action"), f"history[{i}].action"),
            reward=numeric(turn.get("reward"), f"history[{i}].reward"),
        )
        for i, turn in enumerate(turns)
    ]


def _observation(turn: dict[str, Any], name: str) -> str:
    return log_records.optional_text(turn.get("observation"), f"{name}.observation")


def numeric(value: Any, name: str) -> float | None:
    """A number, or a text that is one."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError as error:
            raise Unusable("wrong_type", f"{name} is {value[:40]!r}, but must be a number") from error
    return log_records.number(value, name)


def truth_word(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _task_id(file: LogFile, facts: dict[str, Any], key: str) -> str:
    """Task and variation where the log names them, else the file and the episode."""
    task, variation = facts.get("taskName", facts.get("taskIdx", facts.get("task_id"))), facts.get("variationIdx", facts.get("variation"))
    if task is not None and variation is not None:
        return f"{log_records.identifier(task, 'task')}/{log_records.identifier(variation, 'variation')}"
    if task is not None:
        return log_records.identifier(task, "task")
    return f"{file.stem}:{key}" if key else file.stem
