"""What every importer yields: one Record per trajectory, one Problem for each thing that could not be used.

A reader never guesses and never raises for bad data: the helpers below raise `Unusable` with a reason that can be counted and a detail
for a reader, and `each` turns that into a Problem that names file and line.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

LONGEST_KEY = 80
Scale = tuple[float, float]
UNIT: Scale = (0.0, 1.0)
PERCENT: Scale = (0.0, 100.0)
END_REASONS = {
    "done", "max_steps", "agent_stopped", "context_overflow", "invalid_actions", "agent_error", "environment_error", "time_out",
    "server_unavailable", "unknown",
}  # fmt: skip


@dataclass(slots=True)
class LogStep:
    observation: str
    thought: str
    action: str
    response: str | None = None
    reward: float | None = None
    valid: bool | None = None
    input_messages: list[dict[str, Any]] | None = None
    output_message: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


@dataclass(slots=True)
class Record:
    """One trajectory as a log describes it: `reward` on the log's own scale, `source` 'file:line', `rollout_id` only if we exported it."""

    source: str
    environment: str
    task_id: str
    steps: list[LogStep]
    reward: float | None = None
    success: bool | None = None
    trajectory_id: str = ""
    rollout_id: str = ""
    instruction: str = ""
    prompt: str = ""
    agent: str = ""
    model: str | None = None
    split: str = ""
    environment_version: str = ""
    sampling: str | None = None
    end_observation: str = ""
    end_reason: str = "unknown"
    seconds: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    end_messages: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """What was left out: 'file:line', a reason that can be counted, and what exactly was wrong."""

    subject: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class TooLong(Problem):
    """A line that is too long to hold, and where it is: some formats can read it piece by piece."""

    start: int
    length: int


class StreamedSteps(list[LogStep]):
    """Steps that are read anew at every iteration, because they do not fit into memory; a list only by its type."""

    def __init__(self, length: int, empty_actions: int, replaced: int, content: str, read: Callable[[], Iterator[LogStep]]) -> None:
        super().__init__()
        self.length, self.empty_actions, self.replaced, self.content, self.read = length, empty_actions, replaced, content, read

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[LogStep]:
        return self.read()


@dataclass(frozen=True)
class Options:
    """What the user adds to what a log says."""

    environment: str = ""
    split: str = ""
    agent: str = ""
    model: str = ""
    score_scale: Scale | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    mapped_rewards: Mapping[float, float] = field(default_factory=dict)
    clamp_scores: bool = False
    license: str = ""
    source_url: str = ""
    attribution: str = ""
    log_name: str = ""
    """The environment of records that name none, if the user named none either."""
    only_columns: bool = False
    """Whether columns with our names must be named too, because they may mean something else."""

    def score(self, reward: float | None) -> float | None:
        """The reward as a score from 0 to 1. A reward outside its scale is refused, not guessed."""
        if reward is None:
            return None
        reward = self.mapped_rewards.get(reward, reward)
        low, high = self.score_scale or UNIT
        if self.clamp_scores:
            reward = min(max(reward, low), high)
        if not low <= reward <= high:
            hint = "" if self.score_scale else "; name its scale with --score-scale low,high, or map it with --score-map=FROM=TO"
            raise Unusable("score_out_of_range", f"the reward {reward:g} is outside {low:g} to {high:g}{hint}")
        return (reward - low) / (high - low)


class Unusable(Exception):
    """A record that cannot be used; becomes a Problem."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class KeyWatch:
    """For `object_pairs_hook`: remembers a key that appears twice in one object, of which JSON readers silently keep one."""

    def __init__(self) -> None:
        self.repeated: str | None = None

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self.repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        return found


Item = tuple[str, Any]
"""'file:line' and a JSON value, or a Problem in its place."""


def each(items: Iterable[Item], parse: Callable[[str, Any], Record]) -> Iterator[Record | Problem]:
    """One record for each value; what `parse` refuses becomes a Problem."""
    for where, value in items:
        if isinstance(value, Problem):
            yield value
            continue
        try:
            yield parse(where, value)
        except Unusable as refusal:
            yield Problem(where, refusal.reason, refusal.detail)
        except RecursionError:
            yield Problem(where, "not_json", "nested too deeply")


def repeated_key(where: str, key: str) -> Problem:
    return Problem(where, "repeated_key", f"the key {key[:LONGEST_KEY]!r} appears twice in one object, so its value is ambiguous")


def mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unusable("wrong_type", f"{name} is {kind(value)}, but must be an object")
    return value


def items_of(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise Unusable("wrong_type", f"{name} is {kind(value)}, but must be a list")
    return value


def mappings(value: Any, name: str) -> list[dict[str, Any]]:
    """A list of objects; null is none."""
    return [mapping(item, f"{name}[{i}]") for i, item in enumerate(items_of([] if value is None else value, name))]


def need(record: Mapping[str, Any], key: str, name: str = "") -> Any:
    if key not in record:
        raise Unusable("missing_field", f"there is no {name or key!r}")
    return record[key]


def at(value: Any, *keys: str) -> Any:
    """The value below the keys, None where they lead nowhere."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise Unusable("wrong_type", f"{name} is {kind(value)}, but must be text")
    return value


def optional_text(value: Any, name: str) -> str:
    """Absent and null are ''."""
    return "" if value is None else text(value, name)


def identifier(value: Any, name: str) -> str:
    """A text or a whole number, not empty."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    if not text(value, name).strip():
        raise Unusable("missing_field", f"{name} is empty")
    return str(value)


def number(value: Any, name: str) -> float | None:
    """A finite number, of a table also a decimal; null is None.

    True and false are not numbers: formats that write them use `truth_or_number`.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unusable("wrong_type", f"{name} is {kind(value)}, but must be a number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise Unusable("score_not_finite", f"{name} is {'NaN' if math.isnan(found) else 'infinite'}")
    return found


def truth_or_number(value: Any, name: str) -> float | None:
    """Logs that write true, 1 and 1.0 for the same thing."""
    return float(value) if isinstance(value, bool) else number(value, name)


def truth(value: Any, name: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise Unusable("wrong_type", f"{name} is {kind(value)}, but must be true or false")
    return value


def count(value: Any, name: str) -> int | None:
    found = number(value, name)
    return int(found) if found is not None and 0 <= found < 2**53 else None


def kind(value: Any) -> str:
    """The type's name in JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {dict: "an object", list: "a list", str: "a text", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
