"""Writes rollouts and their steps to the store, for explore and import.

Rows wait in columns and are committed in batches, so a kill loses at most the last batch. Steps are written before rollouts and become
visible with them (log.py), so a kill between the two leaves nothing half-visible. `commit` checks every row against its schema, once.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tratree_data.store.locations import Place
from tratree_data.store.reader import Store, open_store
from tratree_data.store.schemas import arrow_schema, table_from_columns
from tratree_data.store.writing.rollout_rows import MOST_CHARACTERS, ColumnsOf, RolloutRows, columns_of_rows
from tratree_data.store.writing.staged import dropped_rows
from tratree_data.store.writing.writer import commit

CHARACTERS_PER_COMMIT = MOST_CHARACTERS
MANY_FILES = 20
BYTES_PER_CHUNK = 256 * 2**20


class RolloutWriter(RolloutRows):
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
        self.stage, self.settings, self.reads = stage, settings, reads or {}
        self.most_rollouts, self.most_seconds = most_rollouts, most_seconds
        self.rollouts_committed = self.steps_committed = 0
        super().__init__(directory, {name: arrow_schema(name) for name in ("rollouts", "steps")}, most_steps, CHARACTERS_PER_COMMIT)

    def clear(self) -> None:
        super().clear()
        self._dropped: list[tuple[str, str, str]] = []
        self._since = time.monotonic()

    def add(self, rollout: Mapping[str, Any], steps: Iterable[Any], columns_of: ColumnsOf = columns_of_rows) -> None:
        self._start_clock()
        super().add(rollout, steps, columns_of)

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

    def commit_if_due(self) -> None:
        if self._waiting and (
            self.is_full
            or (self.most_rollouts is not None and self._waiting >= self.most_rollouts)
            or time.monotonic() - self._since >= self.most_seconds
        ):
            self.commit()

    def tables(self) -> dict[str, pa.Table]:
        """What the next commit writes."""
        tables = super().tables()
        return tables if not self._dropped else {"dropped": dropped_rows(self.stage, self._dropped)} | tables

    def _table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
        return table_from_columns(name, columns)

    def commit(self) -> Store | None:
        """The dataset with this batch; None if nothing was waiting."""
        if not self._waiting:
            return None
        tables: dict[str, Any] = self.tables()
        self.rollouts_committed += tables["rollouts"].num_rows
        self.steps_committed += tables["steps"].num_rows + self.steps_spilled
        tables["steps"] = [*self.spilled, tables["steps"]]
        self.clear()  # before the commit: after a Ctrl-C right afterwards, the last flush must not commit the same rows again
        return commit(self.directory, self.stage, tables, settings=self.settings, reads=self.reads, append=True)


def compact(writer: RolloutWriter) -> None:
    """Rewrites the many small files that many small commits leave as few large ones, in one commit."""
    store = open_store(writer.directory)
    if max(len(store.sources[table].files) for table in ("steps", "rollouts")) <= MANY_FILES:
        return
    tables = {table: stream_table(store, table) for table in ("steps", "rollouts")}
    commit(writer.directory, writer.stage, tables, settings=writer.settings, reads=writer.reads)


def stream_table(store: Store, table: str, keep: Any = None) -> Iterator[pa.Table]:
    """The table, or the rows that match `keep`, in chunks of a few hundred megabytes."""
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
