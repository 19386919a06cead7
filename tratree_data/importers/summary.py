"""What an import found, in a few figures, with warnings if they look wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.importers.log_records import Record, StreamedSteps
from tratree_data.results import counted

LOW_SCORES = 0.05
MANY_EMPTY = 0.05
MANY_DROPPED = 0.2
FEW_FOR_A_SHARE = 20
NAMED_FILES = 5


@dataclass
class ImportSummary:
    """Figures on every usable rollout of the log, new or already imported, and the files without any."""

    rollouts: int = 0
    steps: int = 0
    scored: int = 0
    lowest: float = float("inf")
    highest: float = float("-inf")
    empty_actions: int = 0
    longest: int = 0
    longest_source: str = ""
    duplicates: int = 0
    """Runs that the dataset already has in another format."""
    unusable: list[str] = field(default_factory=list)
    """Files of which nothing could be used, with the reason."""
    unread: Sequence[str] = ()
    """Files of the folder whose names do not end like a log's."""
    log_name: str = ""
    """The environment, if it was taken from the log's name."""
    unasked: int = 0
    """Rollouts that do not say what was asked."""
    is_of_sessions: bool = False
    """Whether what was asked is the task."""

    def add(self, record: Record, score: float | None) -> None:
        self.rollouts += 1
        self.unasked += not record.instruction
        self.steps += len(record.steps)
        steps = record.steps
        self.empty_actions += steps.empty_actions if isinstance(steps, StreamedSteps) else sum(not step.action.strip() for step in steps)
        if len(record.steps) > self.longest:
            self.longest, self.longest_source = len(record.steps), record.source
        if score is not None:
            self.scored += 1
            self.lowest, self.highest = min(self.lowest, score), max(self.highest, score)

    def add_rows(self, rollouts: pa.Table, empty_actions: int) -> None:
        """Rows of `rollouts`."""
        if not rollouts.num_rows:
            return
        scores, steps = pc.min_max(rollouts["score"]).as_py(), rollouts["step_count"]
        self.rollouts += rollouts.num_rows
        self.steps += pc.sum(steps).as_py()
        self.unasked += pc.sum(pc.equal(rollouts["instruction"], "")).as_py() or 0
        self.empty_actions += empty_actions
        self.scored += rollouts.num_rows - rollouts["score"].null_count
        if scores["min"] is not None:
            self.lowest, self.highest = min(self.lowest, scores["min"]), max(self.highest, scores["max"])
        longest = pc.max(steps).as_py()
        if longest > self.longest:
            self.longest, self.longest_source = longest, rollouts["source"][pc.index(steps, longest).as_py()].as_py()

    @property
    def skipped(self) -> list[str]:
        return [*self.unusable, *self.unread]

    def notes(self, dropped: int = 0) -> Iterator[str]:
        if self.unusable:
            yield f"Nothing in these files could be used: {_named(self.unusable)}"
        if self.unread:
            yield f"Not read, because their names do not end like a log's: {_named(self.unread)}"
        if not self.rollouts:
            return
        if self.log_name:
            yield f"Environment: {self.log_name}, after the log's file, because the log names none; --environment NAME changes it"
        span = f", from {self.lowest:g} to {self.highest:g}" if self.scored else ""
        yield f"Scores: {self.scored:,} of {counted(self.rollouts, 'rollouts')}{span}"
        longest = f"{counted(self.longest, 'steps')} ({self.longest_source})"
        yield f"Longest rollout: {longest}; empty actions: {self.empty_actions:,} of {self.steps:,}"
        if self.duplicates:
            yield f"{self.duplicates:,} rollouts were already imported in another format: kept with duplicate_of, and left out by build"
        yield from self._warnings(dropped)

    def _warnings(self, dropped: int) -> Iterator[str]:
        if not self.scored:
            yield "Warning: no rollout has a score, so pairs and values cannot distinguish success from failure"
        elif self.highest < LOW_SCORES:
            yield f"Warning: no score is above {self.highest:g}; check --score-scale"
        elif self.lowest == self.highest and self.scored >= FEW_FOR_A_SHARE:
            yield f"Warning: every score is {self.highest:g}, so no rollout is better than another; check the log's rewards"
        if self.is_of_sessions and self.unasked:
            unasked = counted(self.unasked, "rollouts")
            yield f"Warning: what was asked is unknown in {unasked}, each a task of its own; --tasks FILE groups attempts"
        if self.empty_actions > MANY_EMPTY * self.steps:
            yield "Warning: many actions are empty; check the format"
        if dropped > MANY_DROPPED * (self.rollouts + dropped) and dropped >= FEW_FOR_A_SHARE:
            yield f"Warning: {dropped / (self.rollouts + dropped):.0%} of the log was dropped; what is left may not be representative"


def _named(files: Sequence[str]) -> str:
    more = len(files) - NAMED_FILES
    return ", ".join(files[:NAMED_FILES]) + (f" and {more:,} more" if more > 0 else "")
