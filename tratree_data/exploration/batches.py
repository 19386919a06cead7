"""Finished rollouts on their way into the store: committed in batches, failed ones forgotten on request, small files made large.

Steps are written before rollouts and become visible with them (committing.py), so a kill between the two leaves nothing half-visible.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.exploration.episode import FAILURES, Finished
from tratree_data.store.reader import Store, open_store
from tratree_data.store.schemas import arrow_schema, empty_table, table_from_rows
from tratree_data.store.writer import commit

STEPS_PER_COMMIT = 20_000
MANY_FILES = 20
BYTES_PER_FILE = 256 * 2**20


class Batch:
    """What is finished and not yet committed."""

    def __init__(self, directory: Path, settings: dict[str, Any], reads: dict[str, int], most_rollouts: int, most_seconds: float) -> None:
        self.directory, self.settings, self.reads = directory, settings, reads
        self.most_rollouts, self.most_seconds = most_rollouts, most_seconds
        self.rollouts_committed = self.steps_committed = self.dropped_committed = 0
        self._clear()

    def _clear(self) -> None:
        self.rollouts: list[dict[str, object]] = []
        self.steps: list[dict[str, object]] = []
        self.dropped: list[dict[str, object]] = []
        self.since = time.monotonic()

    def add(self, finished: Finished) -> None:
        if not self.rollouts and not self.dropped:
            self.since = time.monotonic()
        if finished.dropped is not None:
            reason, detail = finished.dropped
            self.dropped.append({"stage": "explore", "subject": finished.attempt.rollout_id, "reason": reason, "detail": detail})
        else:
            self.rollouts.append(finished.rollout)
            self.steps += finished.steps

    def commit_if_due(self) -> None:
        count = len(self.rollouts) + len(self.dropped)
        if count and (
            count >= self.most_rollouts or len(self.steps) >= STEPS_PER_COMMIT or time.monotonic() - self.since >= self.most_seconds
        ):
            self.commit()

    def commit(self) -> None:
        if not self.rollouts and not self.dropped:
            return
        tables = {"steps": table_from_rows("steps", self.steps)}
        if self.dropped:
            tables["dropped"] = table_from_rows("dropped", self.dropped)
        tables["rollouts"] = table_from_rows("rollouts", self.rollouts)
        self.rollouts_committed += len(self.rollouts)
        self.steps_committed += len(self.steps)
        self.dropped_committed += len(self.dropped)
        self._clear()  # before the commit: if Ctrl-C comes right after it, the last flush must not commit the same rows again
        commit(self.directory, "explore", tables, settings=self.settings, reads=self.reads, append=True)


def forget_failed(store: Store, planned: pa.ChunkedArray) -> Store:
    """The dataset without those planned rollouts that failed for reasons other than the agent's skill, or were dropped: they are missing
    now, and are played again."""
    if not store.has("rollouts"):
        return store
    ids = planned.combine_chunks()
    failed = pc.field("end_reason").isin(list(FAILURES)) & pc.field("rollout_id").isin(ids)
    gone = store.read("rollouts", ["rollout_id"], filter=failed).column(0).combine_chunks()
    dropped = store.read("dropped") if store.has("dropped") else empty_table("dropped")
    ours = pc.and_(pc.equal(dropped.column("stage"), "explore"), pc.is_in(dropped.column("subject"), value_set=ids))
    left = dropped.filter(pc.invert(ours))
    if not len(gone) and left.num_rows == dropped.num_rows:
        return store
    keep = ~pc.field("rollout_id").isin(gone)
    tables: dict[str, Any] = {"steps": _stream(store, "steps", keep)}
    if left.num_rows < dropped.num_rows:
        tables["dropped"] = left
    tables["rollouts"] = _stream(store, "rollouts", keep)
    settings = {"forgotten": len(gone) + dropped.num_rows - left.num_rows}
    return commit(store.path, "explore", tables, settings=settings, reads={})


def compact(directory: Path, settings: dict[str, Any], reads: dict[str, int]) -> None:
    """Many small commits leave many small files; they are written again as few large ones, in one commit."""
    store = open_store(directory)
    if max(len(store.sources[table].files) for table in ("steps", "rollouts")) <= MANY_FILES:
        return
    tables = {table: _stream(store, table) for table in ("steps", "rollouts")}
    commit(directory, "explore", tables, settings=settings, reads=reads)


def _stream(store: Store, table: str, keep: Any = None) -> Iterator[pa.Table]:
    """The table in parts of a few hundred megabytes."""
    parts: list[pa.RecordBatch] = []
    size = 0
    for part in store.dataset(table).to_batches(filter=keep):
        parts.append(part)
        size += part.nbytes
        if size >= BYTES_PER_FILE:
            yield pa.Table.from_batches(parts, arrow_schema(table))
            parts, size = [], 0
    if parts:
        yield pa.Table.from_batches(parts, arrow_schema(table))
