"""Rollouts and their steps on their way into the store: the one writer of explore and import.

Rows wait in columns and are committed in batches, so a kill loses at most the last batch. Steps are written before rollouts and become
visible with them (log.py), so a kill between the two leaves nothing half-visible. `commit` checks every row against its schema, once.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa

from tratree_data.store.locations import Place
from tratree_data.store.parquet_files import new_file, write_parquet
from tratree_data.store.reader import Store, open_store
from tratree_data.store.schemas import arrow_schema, check, table_from_columns
from tratree_data.store.staged import dropped_rows
from tratree_data.store.writer import commit

CHARACTERS_PER_COMMIT = 64 * 2**20
STEPS_AT_ONCE = 5_000
MANY_FILES = 20
BYTES_PER_CHUNK = 256 * 2**20
STEP_TEXTS = ("observation", "thought", "action", "response", "metadata")
Step = TypeVar("Step")
Columns = dict[str, Sequence[Any]]


def columns_of_rows(rows: Sequence[Mapping[str, Any]]) -> Columns:
    return {name: [row.get(name) for row in rows] for name in arrow_schema("steps").names}


class RolloutWriter:
    """Appends rollouts to a dataset as one stage; call it inside `writing`."""

    def __init__(
        self,
        directory: Place,
        stage: str,
        settings: Mapping[str, Any],
        reads: Mapping[str, int] | None = None,
        *,
        most_steps: int,
        most_rollouts: int | None = None,
        most_seconds: float = float("inf"),
    ) -> None:
        self.directory, self.stage, self.settings, self.reads = directory, stage, settings, reads or {}
        self.most_steps, self.most_rollouts, self.most_seconds = most_steps, most_rollouts, most_seconds
        self.rollouts_committed = self.steps_committed = 0
        self.spilled: list[Place] = []
        self._clear()

    def _clear(self) -> None:
        self._rollouts: dict[str, list[Any]] = {name: [] for name in arrow_schema("rollouts").names}
        self._steps: dict[str, list[Any]] = {name: [] for name in arrow_schema("steps").names}
        self._dropped: list[tuple[str, str, str]] = []
        self._characters = 0
        self._since = time.monotonic()

    def add(self, rollout: Mapping[str, Any], steps: Iterable[Step], columns_of: Callable[[list[Step]], Columns] = columns_of_rows) -> None:
        """A rollout with its steps in order, which `columns_of` makes columns; those that are missing are NULL."""
        self._start_clock()
        _append(self._rollouts, rollout)
        waiting, number = iter(steps), 0
        while taken := list(islice(waiting, STEPS_AT_ONCE)):
            if number and self.is_full:
                self._spill()
            columns = columns_of(taken) | {"rollout_id": [rollout["rollout_id"]] * len(taken), "step": range(number, number + len(taken))}
            nothing = [None] * len(taken)
            for name, values in self._steps.items():
                values += columns.get(name, nothing)
            self._characters += _characters_in(columns)
            number += len(taken)

    def _spill(self) -> None:
        """Steps of a rollout that is too long to hold go to a file of their own, which the next commit takes along."""
        path = new_file(self.directory, "steps")
        write_parquet(check("steps", table_from_columns("steps", self._steps)), "steps", path)
        self.spilled.append(path)
        self.steps_committed += len(self._steps["step"])
        self._steps = {name: [] for name in self._steps}
        self._characters = 0

    def drop(self, subject: str, reason: str, detail: str) -> None:
        """A row of `dropped`, committed with the rollouts of the same batch."""
        self._start_clock()
        self._dropped.append((subject, reason, detail))

    def _start_clock(self) -> None:
        if not self._waiting:
            self._since = time.monotonic()

    @property
    def _waiting(self) -> int:
        return len(self._rollouts["rollout_id"]) + len(self._dropped)

    @property
    def is_full(self) -> bool:
        """Whether what waits should not grow further in memory."""
        return len(self._steps["step"]) >= self.most_steps or self._characters >= CHARACTERS_PER_COMMIT

    def commit_if_due(self) -> None:
        if self._waiting and (
            self.is_full
            or (self.most_rollouts is not None and self._waiting >= self.most_rollouts)
            or time.monotonic() - self._since >= self.most_seconds
        ):
            self.commit()

    def tables(self) -> dict[str, pa.Table]:
        """What the next commit writes; rollouts last, as steps count only once their rollout is visible."""
        tables = {"steps": table_from_columns("steps", self._steps)}
        if self._dropped:
            tables["dropped"] = dropped_rows(self.stage, self._dropped)
        return tables | {"rollouts": table_from_columns("rollouts", self._rollouts)}

    def commit(self) -> Store | None:
        """The dataset with this batch; None if nothing was waiting."""
        if not self._waiting:
            return None
        tables: dict[str, Any] = self.tables()
        self.rollouts_committed += tables["rollouts"].num_rows
        self.steps_committed += tables["steps"].num_rows
        tables["steps"] = [*self.spilled, tables["steps"]]
        self.spilled = []
        self._clear()  # before the commit: after a Ctrl-C right behind it, the last flush must not commit the same rows again
        return commit(self.directory, self.stage, tables, settings=self.settings, reads=self.reads, append=True)


def _characters_in(columns: Columns) -> int:
    """Of the texts; messages hold the same texts once more."""
    texts = sum(sum(map(len, filter(None, columns.get(name, ())))) for name in STEP_TEXTS)
    has_messages = any(value is not None for name in ("input_messages", "output_message") for value in columns.get(name, ()))
    return texts * (1 + has_messages)


def _append(columns: dict[str, list[Any]], row: Mapping[str, Any]) -> None:
    for name, values in columns.items():
        values.append(row.get(name))


def compact(writer: RolloutWriter) -> None:
    """Rewrites the many small files that many small commits leave as few large ones, in one commit."""
    store = open_store(writer.directory)
    if max(len(store.sources[table].files) for table in ("steps", "rollouts")) <= MANY_FILES:
        return
    tables = {table: stream_table(store, table) for table in ("steps", "rollouts")}
    commit(writer.directory, writer.stage, tables, settings=writer.settings, reads=writer.reads)


def stream_table(store: Store, table: str, keep: Any = None) -> Iterator[pa.Table]:
    """The table, or the rows for which `keep` holds, in chunks of a few hundred megabytes."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in store.dataset(table).to_batches(filter=keep):
        waiting.append(batch)
        size += batch.nbytes
        if size >= BYTES_PER_CHUNK:
            yield pa.Table.from_batches(waiting, arrow_schema(table))
            waiting, size = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting, arrow_schema(table))
