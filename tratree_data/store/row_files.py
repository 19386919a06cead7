"""Files of rows that accompany a log: CSV, JSON Lines or Parquet → rows, and values by trajectory or task.

    trajectory_id,score        task_id,score,success        trajectory_id,task_id

Ids are compared as texts: 17 and "17" are one trajectory.
"""

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.system.parquet_sizes import bounded_batches

KINDS = (".csv", ".jsonl", ".ndjson", ".parquet")
TRUE, FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no")
SHOWN = 3
ROWS_PER_BATCH = 1024


@dataclass(frozen=True)
class Value:
    """What a file says about one trajectory or task."""

    score: float | None = None
    success: bool | None = None
    task_id: str = ""
    reason: str = ""


@dataclass
class KeyedRows:
    """Values by id, and which of them were used: the others matched nothing."""

    name: str
    digest: str
    trajectories: dict[str, Value] = field(default_factory=dict)
    tasks: dict[str, Value] = field(default_factory=dict)
    used: set[tuple[str, str]] = field(default_factory=set)

    def find(self, trajectory: str, task: str) -> Value | None:
        """The value for a trajectory, for its session's id without the branch, or else for the task."""
        for kind, ids in (("trajectory", (trajectory, trajectory.partition("/")[0], trajectory.rpartition(":")[2])), ("task", (task,))):
            values = self.trajectories if kind == "trajectory" else self.tasks
            found = next((name for name in ids if name and name in values), None)
            if found is not None:
                self.used.add((kind, found))
                return values[found]
        return None

    @property
    def unmatched(self) -> list[str]:
        """Ids of the file that nothing in the log has."""
        ids = [("trajectory", name) for name in self.trajectories] + [("task", name) for name in self.tasks]
        return [name for kind, name in ids if (kind, name) not in self.used]


def read_scores(path: str | Path) -> KeyedRows:
    """Rows with a trajectory_id or task_id, and a score (or reward) or success."""
    return _keyed(path, "scores", ("score", "reward", "success"))


def read_tasks(path: str | Path) -> KeyedRows:
    """Rows with a trajectory_id and a task_id."""
    return _keyed(path, "tasks", ("task_id",))


def _keyed(path: str | Path, wanted: str, needs: Sequence[str]) -> KeyedRows:
    path = Path(path)
    rows = KeyedRows(path.name, file_digest(path))
    by_task = wanted == "scores"
    for number, row in enumerate(read_rows(path), 1):
        where = f"{path}, row {number}"
        trajectory, task = _identifier(row.get("trajectory_id")), _identifier(row.get("task_id"))
        if not trajectory and not (by_task and task):
            one_of = "trajectory_id or task_id" if by_task else "trajectory_id"
            raise BadInputError(
                f"{where} has no {one_of}.\nAvailable: {', '.join(map(str, row)) or 'no column'}.\nNext: name the column {one_of}"
            )
        if not any(row.get(name) not in (None, "") for name in needs):
            if not set(needs) & set(row) or wanted == "tasks":
                raise BadInputError(f"{where} has no {' or '.join(needs)}.\nNext: name the column {needs[0]}")
            continue  # a row without a value
        value = Value(
            _number(row.get("score", row.get("reward")), where), _truth(row.get("success"), where), task, str(row.get("reason") or "")
        )
        values = rows.trajectories if trajectory else rows.tasks
        name = trajectory or task
        if values.setdefault(name, value) != value:
            raise BadInputError(f"{where} gives {name} a different value than an earlier row.\nNext: keep one row per trajectory or task")
    if not rows.trajectories and not rows.tasks:
        raise BadInputError(f"{path} contains no {wanted}.\nNext: check the file")
    return rows


def file_digest(path: Path) -> str:
    """A hash of the rows, for the lineage: the file may have other rows tomorrow."""
    if not path.is_file():
        raise NotFoundError(f"No such file: {path}.\nNext: check the path")
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:16]


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix not in KINDS:
        raise BadInputError(f"{path} is not a readable table ({', '.join(KINDS)}).\nNext: save it as .csv")
    try:
        if path.suffix == ".parquet":
            with path.open("rb") as raw:
                for batch in bounded_batches(raw, path, ROWS_PER_BATCH):
                    yield from batch.to_pylist()
            return
        with path.open(encoding="utf-8-sig", newline="") as handle:
            if path.suffix == ".csv":
                yield from csv.DictReader(handle)
                return
            for line in handle:
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ValueError("a line is not an object")
                    yield row
    except (OSError, ValueError, RecursionError, csv.Error, pa.ArrowException) as error:
        raise BadInputError(f"{path} cannot be read: {str(error).splitlines()[0]}.\nNext: check the file") from error


def _identifier(value: Any) -> str:
    if value is None or isinstance(value, bool | list | dict):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _number(value: Any, where: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        truth = _truth(value, where)
        return None if truth is None else float(truth)
    if not math.isfinite(number):
        raise BadInputError(f"{where} has the score {value}, which is not a finite number.\nNext: correct the row")
    return number


def _truth(value: Any, where: str) -> bool | None:
    word = str(value).strip().lower() if value is not None else ""
    if word in ("", "none", "null"):
        return None
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise BadInputError(f"{where} has the value {str(value)[:40]!r}, which is neither a number nor true or false.\nNext: correct the row")


def name_some(names: Sequence[str]) -> str:
    """The first few of many, for an error message."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def recorded(rows: KeyedRows | None) -> Mapping[str, str] | None:
    """The file's name in the lineage."""
    return None if rows is None else {"file": rows.name, "sha256": rows.digest}
