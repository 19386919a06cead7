"""A file of tasks for environments that have tools but no tasks of their own: one JSON object per line.

    {"task_id": "sum", "instruction": "Add 2 and 3.", "answer": "5", "split": "test"}

Without `answer` the episode has no score, and `tratree score` can give it one; without `split` the task is in `train`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.ids import content_id


@dataclass(frozen=True)
class FileTask:
    task_id: str
    instruction: str
    answer: str | None = None
    split: str = "train"


def read_task_file(path: str | Path) -> dict[str, FileTask]:
    if not Path(path).is_file():
        raise NotFoundError(f"No such file of tasks: {str(path)!r}.\nNext: --data tasks.jsonl")
    tasks: dict[str, FileTask] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            answer = None if row.get("answer") is None else str(row["answer"])
            task = FileTask(
                str(row.get("task_id") or content_id(str(row["instruction"]))), str(row["instruction"]), answer, row.get("split", "train")
            )
        except (ValueError, KeyError, AttributeError, RecursionError) as error:
            raise BadInputError(
                f'{path}, line {number} is not a task: {error}.\nNext: write {{"task_id": …, "instruction": …, "answer": …}} on each line'
            ) from error
        if task.task_id in tasks:
            raise BadInputError(f"{path}, line {number} names the task {task.task_id!r} again.\nNext: give every task its own task_id")
        tasks[task.task_id] = task
    return tasks


def same_answer(given: str, expected: str) -> bool:
    """Equal but for case, white space, and a full stop at the end; numbers by their value."""
    ours, theirs = (" ".join(text.split()).casefold().rstrip(".") for text in (given, expected))
    try:
        return float(ours.replace(",", "")) == float(theirs.replace(",", ""))
    except ValueError:
        return ours == theirs
