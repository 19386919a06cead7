"""Which rollouts are of a benchmark's tasks: nobody should train on tasks that they evaluate on.

A task counts as the benchmark's if it has its id, or if its instruction contains most of the 8-word runs of one of the benchmark's
instructions, in whatever frame. Runs that many of the benchmark's instructions share are its template, and say nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.environments import environment_names, make_environment
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.store.row_files import KINDS, read_rows
from tratree_data.system.hashing import text_buffers
from tratree_data.trees.shingles import shingle_sets

WORDS = 8
MIN_CONTAINED = 0.7
TEMPLATE_FROM = 20
"""Instructions that share a run of words make it part of a template."""
TASKS_AT_ONCE = 20_000
INSTRUCTIONS = ("instruction", "problem_statement", "question", "prompt", "goal")
IDS = ("task_id", "instance_id", "id")


@dataclass(frozen=True)
class Item:
    """A task of a benchmark, as far as the benchmark's list describes it."""

    benchmark: str
    task_id: str = ""
    instruction: str = ""
    environment: str = ""
    """The environment in which the id is valid; '' if it is valid in any, which mere numbers are not."""


def find_contamination(rollouts: pa.Table, benchmarks: Sequence[str | Path]) -> dict[str, pa.ChunkedArray | list[object]]:
    """Columns with one row per rollout whose task is in one of the benchmarks."""
    items = [item for name in benchmarks for item in read_benchmark(str(name))]
    tasks = rollouts.group_by("tree_id").aggregate([(name, "min") for name in ("environment", "task_id", "instruction")])
    hits: dict[str, tuple[Item, float]] = {}
    by_id = {(item.environment, item.task_id): item for item in items if item.environment or not item.task_id.isdecimal()}
    for tree, environment, task in zip(*(tasks[name].to_pylist() for name in ("tree_id", "environment_min", "task_id_min")), strict=True):
        item = by_id.get((environment, task)) or by_id.get(("", task))
        if item is not None and task:
            hits[tree] = item, 1.0
    for tree, item, share in _contained(tasks, [item for item in items if item.instruction.strip()]):
        hits.setdefault(tree, (item, share))
    mine = rollouts.filter(pc.is_in(rollouts["tree_id"], pa.array(list(hits), pa.string())))
    found = [hits[tree] for tree in mine["tree_id"].to_pylist()]
    return {
        **{name: mine[name] for name in ("rollout_id", "task_id", "split", "source")},
        "kind": ["benchmark"] * len(found),
        "similarity": [round(share, 3) for _, share in found],
        "repeats": [""] * len(found),
        "other_task_id": [item.task_id or item.instruction[:80] for item, _ in found],
        "other_split": [""] * len(found),
        "other_source": [item.benchmark for item, _ in found],
    }


def _contained(tasks: pa.Table, items: Sequence[Item]) -> Iterator[tuple[str, Item, float]]:
    """(tree_id, the item that its instruction contains most of, how much)."""
    if not items:
        return
    hashes, starts = shingle_sets(*text_buffers(pa.array([item.instruction for item in items], pa.string())), WORDS)
    couples = np.unique(np.stack([hashes, np.repeat(np.arange(len(items)), np.diff(starts)).astype(np.uint64)], axis=1), axis=0)
    known, at, counts = np.unique(couples[:, 0], return_index=True, return_counts=True)
    telling = counts < TEMPLATE_FROM
    size = np.bincount(couples[:, 1][np.repeat(telling, counts)].astype(np.int64), minlength=len(items))
    for start in range(0, tasks.num_rows, TASKS_AT_ONCE):
        batch = tasks.slice(start, TASKS_AT_ONCE)
        hashes, starts = shingle_sets(*text_buffers(batch["instruction_min"]), WORDS)
        task = np.repeat(np.arange(batch.num_rows), np.diff(starts))
        place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        hit = (known[place] == hashes) & telling[place]
        seen = np.unique(np.stack([task[hit], place[hit]], axis=1), axis=0)
        times = counts[seen[:, 1]]
        offsets = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        item = couples[:, 1][np.repeat(at[seen[:, 1]], times) + offsets].astype(np.int64)
        pairs, shared = np.unique(np.repeat(seen[:, 0], times) * len(items) + item, return_counts=True)
        share = shared / size[pairs % len(items)]
        best = np.lexsort((-share, pairs // len(items)))
        best = best[share[best] >= MIN_CONTAINED]
        _, first = np.unique(pairs[best] // len(items), return_index=True)
        trees = batch["tree_id"].to_pylist()
        for row in best[first].tolist():
            yield trees[int(pairs[row]) // len(items)], items[int(pairs[row]) % len(items)], float(share[row])


def read_benchmark(name: str) -> list[Item]:
    """A file or a folder of tasks, or environment:split."""
    environment, _, split = name.partition(":")
    if split and environment in environment_names() and not Path(name).exists():
        return [Item(name, task, environment=environment) for task in make_environment(environment).tasks(split)]
    path = Path(name)
    if not path.exists():
        raise NotFoundError(
            f"No such benchmark: {name}.\n"
            f"Next: name a file with task_id or instruction ({', '.join((*KINDS, '.txt'))}), or environment:split"
        )
    files = sorted(file for file in path.rglob("*") if file.suffix in (*KINDS, ".txt")) if path.is_dir() else [path]
    items = [item for file in files for item in _read_items(file)]
    if not items:
        raise BadInputError(f"{name} lists no task: a task has {', '.join(IDS)} or {', '.join(INSTRUCTIONS)}.\nNext: rename the columns")
    return items


def _read_items(file: Path) -> Iterator[Item]:
    if file.suffix == ".txt":  # one task per line: its id or its instruction
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.strip():
                yield Item(file.name, "" if " " in line.strip() else line.strip(), line.strip())
        return
    for row in read_rows(file):
        task = next((str(row[name]) for name in IDS if row.get(name) not in (None, "")), "")
        instruction = next((str(row[name]) for name in INSTRUCTIONS if row.get(name)), "")
        if task or instruction:
            yield Item(file.name, task, instruction, str(row.get("environment") or ""))
