"""A stage that works on changed trees only leaves the rows of a run from scratch: random growth, deletion, scores and settings."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tratree_data import build, delete, demonstrations, import_log, pairs, score, search, states, vacuum
from tratree_data.store import growth
from tratree_data.store.checks import check
from tratree_data.store.reader import Store, open_store
from tratree_data.store.writing.writer import commit, create_store, writing

PAIRS: dict[str, Any] = {"kinds": ["divergence", "siblings", "unstructured", "anchor"], "siblings": "all", "max_pairs_per_node": 2}
RANDOM = {"method": ["gigpo", "grpo", "return"], "history": ["0", "1"]}
DERIVED = ("nodes", "edges", "step_nodes", "node_values", "paths", "states", "transitions", "step_credits", "pairs", "step_labels",
           "demonstrations")  # fmt: skip
COLLECTED = ("steps", "rollout_scores", "rollouts")


def attempts(chance: random.Random, tasks: list[int], number: int) -> Iterator[dict[str, Any]]:
    """Rollouts that share beginnings; some answer in messages, so that trees take both forms, some see what says nothing."""
    for task in tasks:
        for _ in range(chance.randint(1, 3)):
            number += 1
            steps = [
                {
                    "observation": chance.choice(["hall", "attic", f"room {task}", "", "Nothing happens."]),
                    "action": f"go {chance.randrange(6)}",
                }
                for _ in range(chance.randint(1, 4))
            ]
            yield {"task_id": f"t{task}", "env": "e", "instruction": f"Find {task}.", "steps": steps, "trajectory_id": f"x{number}",
                   "reward": chance.choice([None, 0.0, 0.5, 1.0])}  # fmt: skip


def talks(chance: random.Random, tasks: list[int], number: int) -> Iterator[dict[str, Any]]:
    """The same in OpenAI's form, with a tool."""
    for task in tasks:
        for attempt in range(2):
            call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": json.dumps({"at": chance.randrange(3)})}}
            messages = [
                {"role": "user", "content": f"Find {task}."},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "hall"},
                {"role": "assistant", "content": f"done {attempt}"},
            ]
            yield {
                "task_id": f"t{task}",
                "env": "e",
                "messages": messages,
                "reward": float(attempt),
                "trajectory_id": f"m{number}-{task}-{attempt}",
            }


def add(directory: Path, lines: Iterator[dict[str, Any]]) -> None:
    log = directory.with_suffix(".jsonl")
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_log(directory, log)


def work(directory: Path, discount: float = 0.95) -> list[str]:
    """All stages; returns their notes."""
    done = [build(directory, embedder="exact"), search(directory, simulations=4), states(directory, discount=discount, **RANDOM)]
    done += [pairs(directory, **PAIRS), demonstrations(directory, kinds=["path", "best", "success"], min_score=0.5)]
    return [f"{one.stage}: {note}" for one in done for note in one.notes]


def rows_of(store: Store) -> dict[str, list[str]]:
    found = {table: store.read(table).to_pylist() for table in DERIVED}
    found["dropped"] = (
        [row for row in store.read("dropped").to_pylist() if row["stage"] not in ("import", "score")] if store.has("dropped") else []
    )
    return {table: sorted(map(repr, rows)) for table, rows in found.items()}


def from_scratch(directory: Path, discount: float) -> dict[str, list[str]]:
    """What the stages make of a copy of the rollouts, steps and scores."""
    store = open_store(directory)
    copy = directory.with_name(f"{directory.name}-copy")
    create_store(copy)
    tables = {name: store.read(name) for name in COLLECTED if store.has(name)}
    with writing(copy):
        commit(copy, "import", tables, settings={}, reads={})
    work(copy, discount)
    return rows_of(open_store(copy))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_whatever_changed_the_rows_are_those_of_a_run_from_scratch(tmp_path: Path, seed: int) -> None:
    print("seed", seed)
    chance, directory = random.Random(seed), tmp_path / "d"
    add(directory, attempts(chance, list(range(6)), 0))
    add(directory, talks(chance, [6, 7], 0))
    discount = 0.95
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growth, "ALL_FROM", 1.1)
        work(directory)
        for number in range(1, 4):
            what = chance.choice(["new tasks", "old tasks", "talks", "delete", "score", "settings"])
            print(what)
            if what == "new tasks":
                add(directory, attempts(chance, [10 * number, 10 * number + 1], 1000 * number))
            elif what == "old tasks":
                add(directory, attempts(chance, [1, 2], 1000 * number))
            elif what == "talks":
                add(directory, talks(chance, [chance.choice([2, 6, 70])], number))
            elif what == "delete":
                delete(directory, [f"t{chance.choice([3, 4, 7])}"] if number == 1 else ["t5"] if number == 2 else ["t0"])
            elif what == "score":
                table = directory.with_name("scores.csv")
                table.write_text(f"trajectory_id,score\nx1,{chance.random()}\nx3,{chance.random()}\n")
                score(directory, str(table), override=chance.random() < 0.7)
            else:
                discount = chance.choice([0.5, 0.9])
            if chance.random() < 0.7 or number == 3:
                work(directory, discount)
        found, expected = rows_of(open_store(directory)), from_scratch(directory, discount)
        for table, rows in expected.items():
            assert found[table] == rows, table
    assert not [row for row in check(directory).to_pylist() if row["offending_rows"]]


def test_only_what_changed_is_worked_on_and_only_its_files_are_new(tmp_path: Path) -> None:
    chance, directory = random.Random(1), tmp_path / "d"
    add(directory, attempts(chance, list(range(40)), 0))
    work(directory)
    before = {table: set(open_store(directory).sources[table].files) for table in DERIVED}
    add(directory, attempts(chance, [100, 101], 1000))
    notes = work(directory)
    for stage in ("search", "states", "pairs", "demonstrations"):
        assert f"{stage}: 2 trees new or changed, the others kept" in notes
    for table, files in before.items():
        assert files < set(open_store(directory).sources[table].files), table
    add(directory, attempts(chance, [5], 2000))
    assert "pairs: 1 tree new or changed, the others kept" in work(directory), "a file that Delta rewrote names no other tree"
    assert rows_of(open_store(directory)) == from_scratch(directory, 0.95)
    assert not any("kept" in note for note in work(directory, 0.5) if note.startswith("states")), "other settings, other rows"


def test_without_the_files_of_before_all_is_worked_on(tmp_path: Path) -> None:
    chance, directory = random.Random(2), tmp_path / "d"
    add(directory, attempts(chance, list(range(20)), 0))
    work(directory)
    add(directory, attempts(chance, [3], 1000))
    build(directory, embedder="exact")
    vacuum(directory, 0)
    assert not any("kept" in note for note in search(directory, simulations=4).notes)
    assert isinstance(open_store(directory).read("paths"), pa.Table)
