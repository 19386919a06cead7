"""What an import found, in a few figures, with warnings where they look wrong."""

from collections.abc import Iterator
from dataclasses import dataclass

from tratree_data.importers.log_records import Record

LOW_SCORES = 0.05
MANY_EMPTY = 0.05


@dataclass
class ImportSummary:
    """Figures of every usable rollout of the log, new or already there."""

    rollouts: int = 0
    steps: int = 0
    scored: int = 0
    lowest: float = float("inf")
    highest: float = float("-inf")
    empty_actions: int = 0
    longest: int = 0
    longest_source: str = ""

    def add(self, record: Record, score: float | None) -> None:
        self.rollouts += 1
        self.steps += len(record.steps)
        self.empty_actions += sum(not step.action.strip() for step in record.steps)
        if len(record.steps) > self.longest:
            self.longest, self.longest_source = len(record.steps), record.source
        if score is not None:
            self.scored += 1
            self.lowest, self.highest = min(self.lowest, score), max(self.highest, score)

    def notes(self) -> Iterator[str]:
        if not self.rollouts:
            return
        span = f", from {self.lowest:g} to {self.highest:g}" if self.scored else ""
        yield f"Scores: {self.scored:,} of {self.rollouts:,} rollouts{span}"
        yield f"Longest rollout: {self.longest:,} steps ({self.longest_source}); empty actions: {self.empty_actions:,} of {self.steps:,}"
        if not self.scored:
            yield "Warning: no rollout has a score, so pairs and values cannot distinguish success from failure"
        elif self.highest < LOW_SCORES:
            yield f"Warning: no score is above {self.highest:g}; check --score-scale"
        if self.empty_actions > MANY_EMPTY * self.steps:
            yield "Warning: many actions are empty; check the format"
