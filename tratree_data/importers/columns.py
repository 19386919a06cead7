"""Lines of our own format as columns: does to many records at once what `jsonl.parse` and `record_storage` do to one.

A line is taken only if it is simple: known keys, the expected types, no key twice, nothing to replace, a score on its scale. Every other
line goes through the careful reader, which reports what is wrong with it. The result is the same, row by row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash
from msgspec import UNSET, UnsetType

from tratree_data import ids
from tratree_data.importers.files.quick_json import quotes_in
from tratree_data.importers.hashed_columns import content_ids, framed, joined
from tratree_data.importers.log_records import END_REASONS, Options, Unusable

Ints = npt.NDArray[np.int64]
Text = str | None | UnsetType
Schemas = dict[str, pa.Schema]
TEXTS = ("observation", "thought", "action")
OPTIONAL = ("split", "agent", "model", "prompt", "environment_version", "end_observation", "end_reason")
SOMETIMES = ("thought", "response", "reward", "valid")
"""Optional keys of a step, besides observation and action."""
ORIGIN = ("license", "source_url", "attribution")
ESCAPE = b"\\"
NUL = b"\\u0000"
LARGEST = 2**63


class LineStep(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    observation: str
    action: str
    thought: Text = UNSET
    response: Text = UNSET
    reward: float | UnsetType | None = UNSET
    valid: bool | UnsetType | None = UNSET


class Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    task_id: str | int
    env: str | int
    instruction: str
    reward: float | None
    steps: list[LineStep]
    trajectory_id: str | int | UnsetType | None = UNSET
    success: bool | UnsetType | None = UNSET
    split: Text = UNSET
    agent: Text = UNSET
    model: Text = UNSET
    prompt: Text = UNSET
    environment_version: Text = UNSET
    end_observation: Text = UNSET
    end_reason: Text = UNSET


@dataclass(frozen=True)
class Batch:
    """Rollouts and steps of the lines that were taken, and the numbers of those that need the careful reader."""

    rollouts: pa.Table
    steps: pa.Table
    taken: list[int]
    rest: list[int]


@dataclass(frozen=True)
class Columns:
    """Lines transposed: for each key, the values of all lines, and of all their steps."""

    lines: dict[str, list[Any]]
    steps: dict[str, list[Any]]
    starts: Ints  # [lines + 1] the first step of each line

    @property
    def quotes(self) -> int:
        """Counts the quotes around their keys and texts. The JSON text has at least as many, and more if a key appears twice."""
        own = [_quotes_of(values) for values in self.lines.values()]
        return sum(own) + 8 * len(self.steps["action"]) + sum(_quotes_of(self.steps[name]) for name in SOMETIMES)

    @property
    def has_empty_action(self) -> bool:
        return any(not action or action.isspace() for action in set(self.steps["action"]))


def read_block(block: bytes, source: str, first: int, options: Options, format: str, schemas: Schemas) -> Batch | None:
    """All lines at once, if each of them can be taken; else None, and `read_batch` then tries one after the other."""
    breaks = _line_breaks(block)
    inner = breaks[:-1] if block.endswith(b"\n") else breaks
    around = np.frombuffer(block, np.uint8)
    if (ESCAPE in block and NUL in block) or not ((around[inner - 1] == ord("}")) & (around[inner + 1] == ord("{"))).all():
        return None  # a line break between such braces is never within a value, so if there are as many values, each line is one
    sources = [f"{source}:{number}" for number in range(first, first + len(inner) + 1)]
    try:
        lines = _decoder().decode_lines(block)
        score = cache(options.score)
        scores = [score(line.reward) for line in lines]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Unusable):
        return None
    if len(lines) != len(sources) or not all(map(_is_plain, lines)):
        return None
    columns = _columns(lines)
    if columns.quotes != quotes_in(block) or columns.has_empty_action:
        return None
    return Batch(*_tables(columns, sources, scores, options, format, schemas), list(range(len(lines))), [])


def read_batch(lines: Sequence[tuple[str, bytes]], options: Options, format: str, schemas: Schemas) -> Batch:
    """Lines ('file:line', bytes) as tables; rollouts have neither attempts nor duplicates, which depend on the rest of the dataset."""
    parsed = {number: line for number, (_, data) in enumerate(lines) if (line := _parsed(data)) is not None}
    score = cache(options.score)
    taken, scores = [], []
    for number, line in parsed.items():
        try:
            if not _is_plain(line):
                continue
            scores.append(score(line.reward))
            taken.append(number)
        except Unusable:
            continue
    columns = _columns([parsed[number] for number in taken])
    if columns.has_empty_action or columns.quotes != sum(quotes_in(lines[number][1]) for number in taken):
        good = [place for place, number in enumerate(taken) if not _is_doubtful(parsed[number], lines[number][1])]
        taken, scores = [taken[place] for place in good], [scores[place] for place in good]
        columns = _columns([parsed[number] for number in taken])
    found = set(taken)
    rest = [number for number in range(len(lines)) if number not in found]
    return Batch(*_tables(columns, [lines[number][0] for number in taken], scores, options, format, schemas), taken, rest)


def _line_breaks(block: bytes) -> Ints:
    found, at = [], block.find(b"\n")
    while at >= 0:
        found.append(at)
        at = block.find(b"\n", at + 1)
    return np.array(found, np.int64)


@cache
def _decoder() -> "msgspec.json.Decoder[Line]":
    return msgspec.json.Decoder(Line)


def _parsed(data: bytes) -> Line | None:
    if NUL in data:
        return None
    try:
        return _decoder().decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _is_plain(line: Line) -> bool:
    return bool(line.steps) and all(map(_is_name, (line.task_id, line.env))) and (not line.trajectory_id or _is_name(line.trajectory_id))


def _is_name(value: Any) -> bool:
    return bool(value.strip()) if type(value) is str else abs(value) < LARGEST


def _is_doubtful(line: Line, data: bytes) -> bool:
    """Whether it has a key twice, or a step without an action."""
    columns = _columns([line])
    return columns.has_empty_action or columns.quotes != quotes_in(data)


def _quotes_of(values: list[Any]) -> int:
    kinds = list(map(type, values))
    texts = kinds.count(str)
    return 2 * (texts + len(kinds) - (kinds.count(UnsetType) if texts < len(kinds) else 0))


def _columns(lines: Sequence[Line]) -> Columns:
    steps = list(chain.from_iterable(line.steps for line in lines))
    starts = np.concatenate([[0], np.cumsum([len(line.steps) for line in lines])]).astype(np.int64)
    return Columns(
        {name: list(map(attrgetter(name), lines)) for name in Line.__struct_fields__},
        {name: list(map(attrgetter(name), steps)) for name in LineStep.__struct_fields__},
        starts,
    )


def _tables(
    read: Columns, sources: Sequence[str], scores: list[float | None], options: Options, format: str, schemas: Schemas
) -> tuple[pa.Table, pa.Table]:
    count, starts = len(sources), read.starts
    texts = {name: pa.array(_texts(read.steps[name]), pa.string()) for name in TEXTS}
    about = _about(read.lines, options)
    trees = cache(ids.tree_id)
    tree_ids = [trees(environment, task) for environment, task in zip(about["environment"], about["task_id"], strict=True)]
    names = _rollout_ids(about, [None if reward is None else float(reward) for reward in read.lines["reward"]], texts, starts)
    columns: dict[str, Any] = {
        **about, "tree_id": tree_ids, "rollout_id": names, "attempt": [0] * count, "score": scores, "source": sources,
        "success": list(map(_or_none, read.lines["success"])), "step_count": np.diff(starts).astype(np.int32), "format": [format] * count,
        "content_id": content_ids(texts, starts), "trajectory_id": [name or None for name in about["trajectory_id"]],
        "model": [name or None for name in about["model"]], **{name: [getattr(options, name) or None] * count for name in ORIGIN},
    }  # fmt: skip
    own: dict[str, Any] = {**texts, **step_places(names, starts)}
    for name in ("response", "reward", "valid"):
        values = read.steps[name]
        if values.count(UNSET) + values.count(None) < len(values):
            own[name] = [None if value is UNSET or value == "" else value for value in values]
    return table(schemas["rollouts"], columns, count), table(schemas["steps"], own, int(starts[-1]))


def step_places(names: Sequence[str], starts: Ints) -> dict[str, pa.Array]:
    """Of each step, its rollout and its number in it."""
    rollout = np.repeat(np.arange(len(names)), np.diff(starts))
    return {
        "rollout_id": pa.array(names, pa.string()).take(pa.array(rollout)),
        "step": pa.array(np.arange(len(rollout)) - starts[rollout], pa.int32()),
    }


def _texts(values: list[Any]) -> list[str]:
    """'' where the text is missing."""
    return values if {*map(type, values)} == {str} else [value or "" for value in values]


def _about(lines: dict[str, list[Any]], options: Options) -> dict[str, list[str]]:
    """The texts of the rollouts, completed with the user's options, as `validate` does."""
    found = {name: _texts(lines[name]) for name in (*OPTIONAL, "instruction")}
    found["environment"] = [options.environment or str(name) for name in lines["env"]]
    found["task_id"] = list(map(str, lines["task_id"]))
    found["trajectory_id"] = ["" if name in (None, UNSET) else str(name) for name in lines["trajectory_id"]]
    found["agent"] = [options.agent or name or "imported" for name in found["agent"]]
    found["model"] = [options.model or name for name in found["model"]]
    found["split"] = [options.split or name or "train" for name in found["split"]]
    found["end_reason"] = [name if name in END_REASONS else "unknown" for name in found["end_reason"]]
    return found


def _rollout_ids(about: dict[str, list[str]], rewards: list[float | None], texts: dict[str, pa.Array], starts: Ints) -> list[str]:
    """Hashes the identity of a record like ids.rollout_id: each part after its length."""
    same = len(rewards)
    facts = [
        ["rollout"] * same, about["environment"], about["task_id"], ["import"] * same, about["trajectory_id"], about["agent"],
        about["model"], list(map(str, rewards)), about["instruction"], about["end_observation"],
    ]  # fmt: skip
    before, from_here = joined(framed(pa.array(fact, pa.string()) for fact in facts))
    within, step_from = joined(framed(texts[name] for name in TEXTS))
    names = []
    for i in range(same):
        digest = xxhash.xxh3_64(before[from_here[i] : from_here[i + 1]])
        digest.update(within[step_from[starts[i]] : step_from[starts[i + 1]]])
        names.append(digest.hexdigest())
    return names


def _or_none(value: Any) -> Any:
    return None if value is UNSET else value


def table(schema: pa.Schema, columns: dict[str, Any], rows: int) -> pa.Table:
    arrays = []
    for column in schema:
        values = columns.get(column.name)
        if values is None:
            arrays.append(pa.nulls(rows, column.type))
        else:
            arrays.append(values if isinstance(values, pa.Array) else pa.array(values, column.type))
    return pa.table(arrays, schema=schema)
