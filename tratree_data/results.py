"""What every stage returns and the command line prints."""

from dataclasses import dataclass
from typing import Any


def counted(count: int, nouns: str) -> str:
    """'1 tree', '2,000 trees': a number and what it counts; `nouns` is the plural."""
    return f"{count:,} {nouns.removesuffix('s') if count == 1 else nouns}"


@dataclass(frozen=True)
class StageResult:
    """What a stage did; `changed` is False if it had nothing to do, because inputs and settings were those of its last run."""

    stage: str
    changed: bool
    counts: dict[str, int]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As the command line prints it."""
        counts = ", ".join(counted(count, name.replace("_", " ")) for name, count in self.counts.items())
        heading = f"{self.stage}: {counts}" if self.changed else f"{self.stage}: nothing to do ({counts})"
        return "\n".join([heading, *(f"  {note}" for note in self.notes)])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What a notebook displays."""
        printer.text(str(self))
