"""Lines of our own format as columns: what `jsonl.parse` and `record_storage` do to one record after the other, done to many at once.

A line is taken only if nothing about it needs a second look: known keys, the expected types, no key twice, nothing to replace, a score on
its scale. Every other line goes through the careful reader, which says what is wrong with it. The result is the same, row by row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from msgspec import UNSET, UnsetType

from tratree_data import ids
from tratree_data.importers.contents import DONE, SEEN, hash_content
from tratree_data.importers.log_records import END_REASONS, Options, Unusable
from tratree_data.importers.quick_json import quotes_in

Ints = npt.NDArray[np.int64]
Text = str | None | UnsetType
TEXTS = ("observation", "thought", "action")
OPTIONAL = ("split", "agent", "model", "prompt", "environment_version", "end_observation", "end_reason")
ORIGIN = ("license", "source_url", "attribution")
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


def read_batch(lines: Sequence[tuple[str, bytes]], options: Options, format: str, schemas: dict[str, pa.Schema]) -> Batch:
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
    doubtful = _doubtful([parsed[number] for number in taken], [lines[number][1] for number in taken])
    if doubtful:
        scores = [value for place, value in enumerate(scores) if place not in doubtful]
        taken = [number for place, number in enumerate(taken) if place not in doubtful]
    found = set(taken)
    rest = [number for number in range(len(lines)) if number not in found]
    chosen = [parsed[number] for number in taken]
    rollouts, steps = _tables(chosen, [lines[number][0] for number in taken], scores, options, format, schemas)
    return Batch(rollouts, steps, taken, rest)


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


def _doubtful(lines: Sequence[Line], data: Sequence[bytes]) -> set[int]:
    """Places of lines with a key twice, or with a step that has no action.

    A text of JSON has at least the quotes of the keys and texts that came out, so if the sums are equal, each line's are.
    """
    steps = list(chain.from_iterable(line.steps for line in lines))
    blank = [step for step in steps if not step.action or step.action.isspace()]
    if not blank and sum(map(quotes_in, data)) == sum(map(_quotes_around, lines)) + _quotes_within(steps):
        return set()
    empty = set(map(id, blank))
    return {
        place
        for place, (line, text) in enumerate(zip(lines, data, strict=True))
        if quotes_in(text) != _quotes_around(line) + _quotes_within(line.steps) or any(id(step) in empty for step in line.steps)
    }


def _quotes_around(line: Line) -> int:
    values = [line.task_id, line.env, line.trajectory_id, *(getattr(line, name) for name in OPTIONAL)]
    texts = sum(type(value) is str for value in values) + 1  # the instruction
    keys = sum(value is not UNSET for value in values) + 3 + (line.success is not UNSET)
    return 2 * (texts + keys)


def _quotes_within(steps: Sequence[LineStep]) -> int:
    count = 4 * len(steps)
    for values in (list(map(attrgetter(name), steps)) for name in ("thought", "response")):
        unset, null = values.count(UNSET), values.count(None)
        count += 2 * (len(values) - unset) - null
    others = (list(map(attrgetter(name), steps)) for name in ("reward", "valid"))
    return 2 * (count + sum(len(steps) - values.count(UNSET) for values in others))


def _tables(
    lines: Sequence[Line], sources: list[str], scores: list[float | None], options: Options, format: str, schemas: dict[str, pa.Schema]
) -> tuple[pa.Table, pa.Table]:
    count = len(lines)
    steps = list(chain.from_iterable(line.steps for line in lines))
    starts = np.concatenate([[0], np.cumsum([len(line.steps) for line in lines])]).astype(np.int64)
    texts = {
        "observation": pa.array([step.observation for step in steps], pa.string()),
        "thought": pa.array([step.thought or "" for step in steps], pa.string()),
        "action": pa.array([step.action for step in steps], pa.string()),
    }
    about = _about(lines, options)
    trees = cache(ids.tree_id)
    tree_ids = [trees(environment, task) for environment, task in zip(about["environment"], about["task_id"], strict=True)]
    names = _rollout_ids(about, [None if line.reward is None else float(line.reward) for line in lines], texts, starts)
    columns: dict[str, Any] = {
        **about, "tree_id": tree_ids, "rollout_id": names, "attempt": [0] * count, "score": scores, "source": sources,
        "success": [_or_none(line.success) for line in lines], "step_count": np.diff(starts).astype(np.int32), "format": [format] * count,
        "content_id": _content_ids(texts, starts), "trajectory_id": [name or None for name in about["trajectory_id"]],
        "model": [name or None for name in about["model"]], **{name: [getattr(options, name) or None] * count for name in ORIGIN},
    }  # fmt: skip
    rollout = np.repeat(np.arange(count), np.diff(starts))
    own: dict[str, Any] = {**texts, "rollout_id": pa.array(names, pa.string()).take(pa.array(rollout))}
    own["step"] = pa.array(np.arange(len(rollout)) - starts[rollout], pa.int32())
    for name in ("response", "reward", "valid"):
        values = list(map(attrgetter(name), steps))
        if values.count(UNSET) + values.count(None) < len(values):
            own[name] = [None if value is UNSET or value == "" else value for value in values]
    return _table(schemas["rollouts"], columns, count), _table(schemas["steps"], own, len(rollout))


def _about(lines: Sequence[Line], options: Options) -> dict[str, list[str]]:
    """The texts of the rollouts, completed with what the user said, as `validate` does."""
    found = {name: [getattr(line, name) or "" for line in lines] for name in OPTIONAL}
    found["environment"] = [options.environment or str(line.env) for line in lines]
    found["task_id"] = [str(line.task_id) for line in lines]
    found["trajectory_id"] = ["" if line.trajectory_id in (None, UNSET) else str(line.trajectory_id) for line in lines]
    found["instruction"] = [line.instruction for line in lines]
    found["agent"] = [options.agent or name or "imported" for name in found["agent"]]
    found["model"] = [options.model or name for name in found["model"]]
    found["split"] = [options.split or name or "train" for name in found["split"]]
    found["end_reason"] = [name if name in END_REASONS else "unknown" for name in found["end_reason"]]
    return found


def _rollout_ids(about: dict[str, list[str]], rewards: list[float | None], texts: dict[str, pa.Array], starts: Ints) -> list[str]:
    """As ids.rollout_id hashes the identity of a record: each part behind its length."""
    same = len(rewards)
    facts = [
        ["rollout"] * same, about["environment"], about["task_id"], ["import"] * same, about["trajectory_id"], about["agent"],
        about["model"], list(map(str, rewards)), about["instruction"], about["end_observation"],
    ]  # fmt: skip
    before, from_here = _joined(_framed(pa.array(fact, pa.string()) for fact in facts))
    within, step_from = _joined(_framed(texts[name] for name in TEXTS))
    names = []
    for i in range(same):
        digest = xxhash.xxh3_64(before[from_here[i] : from_here[i + 1]])
        digest.update(within[step_from[starts[i]] : step_from[starts[i + 1]]])
        names.append(digest.hexdigest())
    return names


def _content_ids(texts: dict[str, pa.Array], starts: Ints) -> list[str]:
    """As contents.content_id: the first observation is left out."""
    observations = texts["observation"].cast(pa.binary())
    joined, offsets = _joined([SEEN, observations, DONE, texts["action"].cast(pa.binary())])
    lengths = pc.binary_length(observations).to_numpy()
    first, last = starts[:-1], starts[1:]
    begin = offsets[first].astype(np.int64) + len(SEEN) + (lengths[first] if len(first) else 0)
    return [hash_content(SEEN + bytes(joined[start:end])) for start, end in zip(begin.tolist(), offsets[last].tolist(), strict=True)]


def _framed(columns: Iterable[pa.Array]) -> list[pa.Array]:
    """Each column behind a column of its lengths in bytes, eight bytes each."""
    framed = []
    for texts in columns:
        lengths = pc.binary_length(texts).cast(pa.int64()).to_numpy(zero_copy_only=False).astype("<i8")
        framed += [
            pa.Array.from_buffers(pa.binary(8), len(texts), [None, pa.py_buffer(lengths)]).cast(pa.binary()),
            texts.cast(pa.binary()),
        ]
    return framed


def _joined(parts: Sequence[pa.Array | bytes]) -> tuple[memoryview, npt.NDArray[np.int32]]:
    """The parts of each row one after the other, and where each row begins."""
    rows = pc.binary_join_element_wise(*parts, b"")
    _, offsets, data = rows.buffers()
    where = np.frombuffer(offsets, np.int32)[rows.offset : rows.offset + len(rows) + 1] if len(rows) else np.zeros(1, np.int32)
    return memoryview(data if data is not None else b""), where


def _or_none(value: Any) -> Any:
    return None if value is UNSET else value


def _table(schema: pa.Schema, columns: dict[str, Any], rows: int) -> pa.Table:
    arrays = []
    for column in schema:
        values = columns.get(column.name)
        if values is None:
            arrays.append(pa.nulls(rows, column.type))
        else:
            arrays.append(values if isinstance(values, pa.Array) else pa.array(values, column.type))
    return pa.table(arrays, schema=schema)
