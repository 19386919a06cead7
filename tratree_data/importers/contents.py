"""Recognises the same run in another format, by its actions and observations without white space.

Formats disagree about the prompt, the first message and thoughts, so these do not count; one request must equal or contain the other.
Two attempts in one log may be equal and still be two, so only runs of different formats are compared, the first with the first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import xxhash

WHITE_SPACE = b" \t\r\n\f\v"
SEEN, DONE = b"\x1e", b"\x1f"
HASHED_AT_ONCE = 1_024
FEW_STEPS = 3
"""Shorter runs are compared only if both have a request: they may be equal by chance."""


def content_id(observations: Sequence[bytes], actions: Sequence[bytes]) -> str:
    """Hash of the observation and the action of each step, in UTF-8; the first observation is left out."""
    seen, done = [SEEN] * len(actions), [DONE] * len(actions)
    return hash_content(b"".join(chain.from_iterable(zip(seen, (b"", *observations[1:]), done, actions, strict=True))))


class ContentHash:
    """The same, step by step."""

    def __init__(self) -> None:
        self.digest = xxhash.xxh3_64()
        self.waiting: list[bytes] = []
        self.began = False

    def add(self, observation: str, action: str) -> None:
        self.waiting += (SEEN, observation.encode() if self.began else b"", DONE, action.encode())
        self.began = True
        if len(self.waiting) >= HASHED_AT_ONCE:
            self._hash()

    def _hash(self) -> None:
        self.digest.update(b"".join(self.waiting).translate(None, WHITE_SPACE))
        self.waiting = []

    def hexdigest(self) -> str:
        self._hash()
        return self.digest.hexdigest()


def hash_content(text: bytes, before: bytes = b"") -> str:
    return xxhash.xxh3_64_hexdigest(before + text.translate(None, WHITE_SPACE))


def same_request(one: str, other: str, steps: int) -> bool:
    """Whether two instructions can belong to one run."""
    a, b = ("".join(text.split()) for text in (one, other))
    return a in b or b in a if a and b else steps >= FEW_STEPS


@dataclass
class Runs:
    """Runs with one content: those of each format in order, with their instructions."""

    originals: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class Contents:
    """The runs that a dataset has, by content; `find` says which of them a new run repeats."""

    format: str
    runs: dict[str, Runs] = field(default_factory=dict)
    has_others: bool = False
    """Whether the dataset has runs of another format; if not, nothing needs to be compared."""

    def load(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows of `rollouts`, in the order in which they were imported."""
        for row in rows:
            self.has_others = self.has_others or row["format"] != self.format
            if row["content_id"] and row["format"]:
                self._note(row["content_id"], row["format"], row["rollout_id"], row["instruction"], row["duplicate_of"] is not None)

    def find(self, content: str, rollout: str, instruction: str, steps: int) -> str | None:
        """The rollout_id of the same run in another format; the run is noted either way."""
        if not self.has_others:
            return None
        known = self.runs.get(content)
        place = known.counts.get(self.format, 0) if known else 0
        others: Sequence[list[tuple[str, str]]] = [runs for name, runs in known.originals.items() if name != self.format] if known else []
        found = next((runs[place][0] for runs in others if place < len(runs) and same_request(runs[place][1], instruction, steps)), None)
        self._note(content, self.format, rollout, instruction, found is not None)
        return found

    def _note(self, content: str, format: str, rollout: str, instruction: str, is_duplicate: bool) -> None:
        runs = self.runs.setdefault(content, Runs())
        runs.counts[format] = runs.counts.get(format, 0) + 1
        if not is_duplicate:
            runs.originals.setdefault(format, []).append((rollout, instruction))
