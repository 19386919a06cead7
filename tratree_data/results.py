"""What every stage says when it is done."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StageResult:
    """What a stage did: `changed` is False when its inputs and settings were those of the last run."""

    stage: str
    changed: bool
    counts: dict[str, int]
    notes: tuple[str, ...] = ()
