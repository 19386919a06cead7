"""What every stage returns and the command line prints."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StageResult:
    """What a stage did; `changed` is False if its inputs and settings were the same as in its last run."""

    stage: str
    changed: bool
    counts: dict[str, int]
    notes: tuple[str, ...] = ()
