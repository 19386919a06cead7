"""What files that accompany a log say about its records: scores for those without any, and the task of each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tratree_data.importers.log_records import Record
from tratree_data.store.row_files import KeyedRows, name_some, recorded


@dataclass
class Beside:
    """The two files, and the records of the log that they do not mention."""

    scores: KeyedRows | None = None
    tasks: KeyedRows | None = None
    unscored: list[str] = field(default_factory=list)
    ungrouped: list[str] = field(default_factory=list)
    scored: int = 0
    own: int = 0

    def recorded(self) -> dict[str, Any]:
        return {name: files for name, files in (("scores", recorded(self.scores)), ("tasks", recorded(self.tasks))) if files}

    def group(self, record: Record) -> None:
        """The task that the file names; set before the record gets its id, which depends on the task."""
        if self.tasks is not None:
            found = self.tasks.find(record.trajectory_id, "")
            if found is None:
                self.ungrouped.append(record.trajectory_id or record.source)
            else:
                record.task_id = found.task_id

    def score(self, record: Record) -> None:
        """The score that the file has, set after the record got its id; the log's own is never replaced."""
        if self.scores is None:
            return
        found = self.scores.find(record.trajectory_id, record.task_id)
        if record.reward is not None:
            self.own += found is not None
        elif found is None:
            self.unscored.append(record.trajectory_id or record.source)
        else:
            self.scored += 1
            record.reward = found.score if found.score is not None else float(found.success or 0)
            record.success = found.success if record.success is None else record.success

    def notes(self) -> Iterator[str]:
        if self.scores is not None:
            yield f"{self.scores.name}: scores for {self.scored:,} rollouts"
            yield from _unmatched(self.scores, self.unscored, "rollouts without a score there")
            if self.own:
                yield f"{self.own:,} rollouts already had a score, which was kept"
        if self.tasks is not None:
            yield from _unmatched(self.tasks, self.ungrouped, "rollouts without a task there, which keep their own")


def _unmatched(rows: KeyedRows, missing: list[str], called: str) -> Iterator[str]:
    if rows.unmatched:
        yield f"{rows.name}: {len(rows.unmatched):,} rows match nothing in the log: {name_some(rows.unmatched)}"
    if missing:
        yield f"{rows.name}: {len(missing):,} {called}: {name_some(missing)}"
