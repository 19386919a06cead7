"""Secrets without numbers, as one worker finds them in some files, or all workers together."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Secrets:
    """What there is to number: where each secret of a scope first appears, and the highest numbers of earlier placeholders."""

    first: dict[tuple[str, str, str], tuple[int, str, int, int]] = field(default_factory=dict)
    """(scope, kind, secret) → (attempt, rollout_id, step, place in the row)."""
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, key: tuple[str, str, str], place: tuple[int, str, int, int]) -> None:
        self.first[key] = min(place, self.first.get(key, place))

    def join(self, more: "Secrets") -> None:
        for key, place in more.first.items():
            self.add(key, place)
        self.taken |= more.taken
