"""Rollouts and their steps as columns that grow row by row, within bounded memory: light to import, for worker processes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from tratree_data.store.locations import Place
from tratree_data.store.writing.parquet_files import new_file, write_parquet

MOST_CHARACTERS = 64 * 2**20
STEPS_AT_ONCE = 5_000
STEP_TEXTS = ("observation", "thought", "action", "response", "metadata")
Columns = dict[str, Any]
"""Of each name, one value per row."""
ColumnsOf = Callable[[Sequence[Any]], Columns]


def columns_of_rows(rows: Sequence[Mapping[str, Any]]) -> Columns:
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


class RolloutRows:
    """`tables` has what was added; steps of a rollout that is too long to hold are in the files of `spilled`."""

    def __init__(self, directory: Place, schemas: Mapping[str, pa.Schema], most_steps: int, most_characters: int = MOST_CHARACTERS) -> None:
        self.directory, self.schemas, self.most_steps, self.most_characters = directory, schemas, most_steps, most_characters
        self.clear()

    def clear(self) -> None:
        self.spilled: list[Place] = []
        self.steps_spilled = 0
        self._rollouts: dict[str, list[Any]] = {name: [] for name in self.schemas["rollouts"].names}
        self._steps: dict[str, list[Any]] = {name: [] for name in self.schemas["steps"].names}
        self._characters = 0

    def add(self, rollout: Mapping[str, Any], steps: Iterable[Any], columns_of: ColumnsOf = columns_of_rows) -> None:
        """A rollout with its steps in order, which `columns_of` makes columns; those that are missing are NULL."""
        for name, values in self._rollouts.items():
            values.append(rollout.get(name))
        waiting, number = iter(steps), 0
        while taken := list(islice(waiting, STEPS_AT_ONCE)):
            if number and self.is_full:
                self._spill()
            columns = columns_of(taken) | {"rollout_id": [rollout["rollout_id"]] * len(taken), "step": range(number, number + len(taken))}
            nothing = [None] * len(taken)
            for name, values in self._steps.items():
                values.extend(columns.get(name, nothing))
            self._characters += _characters_in(columns)
            number += len(taken)

    def _spill(self) -> None:
        path = new_file(self.directory, "steps")
        write_parquet(self._table("steps", self._steps), "steps", path)
        self.spilled.append(path)
        self.steps_spilled += len(self._steps["step"])
        self._steps = {name: [] for name in self._steps}
        self._characters = 0

    @property
    def is_full(self) -> bool:
        """Whether the waiting rows should be written now, to limit memory."""
        return len(self._steps["step"]) >= self.most_steps or self._characters >= self.most_characters

    def tables(self) -> dict[str, pa.Table]:
        """Rollouts last, as steps count only once their rollout is visible."""
        return {"steps": self._table("steps", self._steps), "rollouts": self._table("rollouts", self._rollouts)}

    def _table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
        return pa.table(dict(columns), schema=self.schemas[name])


def _characters_in(columns: Columns) -> int:
    """Bytes of the texts; messages hold the same texts again."""
    texts = sum(sum(map(len, filter(None, columns.get(name, ())))) for name in STEP_TEXTS)
    has_messages = any(value is not None for name in ("input_messages", "output_message") for value in columns.get(name, ()))
    return texts * (1 + has_messages)
