"""A long run in slices: each item that was tried is a line of a file, with its faults, and the next run takes the rest."""

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Slice:
    """What is done, and when this run ends; without a file, everything is done in one run."""

    file: Path | None = None
    minutes: float = float("inf")
    started: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        return time.monotonic() - self.started > 60 * self.minutes

    def faults(self, kind: str) -> dict[str, list[str]]:
        """Of every item of this kind that was tried."""
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file and self.file.exists() else []
        return {item: faults for of_kind, item, faults in map(json.loads, lines) if of_kind == kind}

    def left(self, kind: str, items: Iterable[int]) -> list[int]:
        done = self.faults(kind)
        return [item for item in items if str(item) not in done]

    def add(self, kind: str, item: int, faults: Sequence[str]) -> None:
        if self.file:
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps([kind, str(item), list(faults)]) + "\n")


def add_slice_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--done", type=Path, help="a file that lists what was tried; the same command takes the rest")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing new after so many")


def slice_of(arguments: argparse.Namespace) -> Slice:
    return Slice(arguments.done and arguments.done.resolve(), arguments.minutes)
