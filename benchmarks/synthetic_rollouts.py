"""Seeded rollouts of any number, shaped like real ones: a deterministic world per task, attempts that share prefixes, a little noise.

python benchmarks/synthetic_rollouts.py DIR --steps 1000000
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tratree_data.ids import content_id, rollout_id, tree_id
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.writing.writer import commit, create_store, writing

ATTEMPTS = 7
DEPTH = (5, 40)
LENGTH = (300, 500)
NOISE = 0.05
ACTIONS = ("open the next door", "look around", "take the key", "go back")
WEIGHTS = (0.82, 0.08, 0.06, 0.04)
STEPS_PER_COMMIT = 250_000


def rollouts(steps: int, seed: int = 0) -> Iterator[tuple[pa.Table, pa.Table]]:
    """(rollouts, steps) tables, a quarter of a million steps at a time, until at least `steps` steps are there."""
    rng = random.Random(seed)
    words = " ".join(
        rng.choice(["the", "a", "door", "key", "room", "shelf", "is", "open", "closed", "you", "see", "wooden", "box"])
        for _ in range(4_000)
    )
    rows: dict[str, list[dict[str, object]]] = {"rollouts": [], "steps": []}
    made = 0
    task = 0
    while made < steps:
        depth = rng.randint(*DEPTH)
        for attempt in range(ATTEMPTS):
            made += _attempt(rng, rows, words, f"task-{task:07}", attempt, depth)
        task += 1
        if len(rows["steps"]) >= STEPS_PER_COMMIT or made >= steps:
            yield tuple(pa.Table.from_pylist(rows[name], schema=arrow_schema(name)) for name in ("rollouts", "steps"))  # type: ignore[misc]
            rows = {"rollouts": [], "steps": []}


def _attempt(rng: random.Random, rows: dict[str, list[dict[str, object]]], words: str, task: str, attempt: int, depth: int) -> int:
    identity = rollout_id("synthetic", task, attempt)
    prefix = task
    length = max(1, depth + rng.randint(-2, 2))
    for step in range(length):
        place = int(content_id(prefix), 16)
        start = place % 3_000
        observation = f"[{place:016x}] {words[start : start + LENGTH[0] + place % (LENGTH[1] - LENGTH[0])]}"
        if rng.random() < NOISE:
            observation += f" ({rng.randint(0, 9)})"
        action = rng.choices(ACTIONS, WEIGHTS)[0]
        prefix += action[0]
        rows["steps"].append(
            {"rollout_id": identity, "step": step, "observation": observation, "thought": f"I should {action}.", "action": action}
        )
    score = rng.choice([0.0, 0.5, 1.0])
    rows["rollouts"].append(
        {
            "rollout_id": identity,
            "tree_id": tree_id("synthetic", task),
            "environment": "synthetic",
            "environment_version": "1",
            "split": "train",
            "task_id": task,
            "attempt": attempt,
            "prompt": "",
            "instruction": f"Find the way out of {task}.",
            "agent": "random",
            "score": score,
            "success": score == 1,
            "end_reason": "done",
            "end_observation": "",
            "step_count": length,
            "source": "synthetic",
        }
    )
    return length


def make_store(directory: Path, steps: int, seed: int = 0) -> None:
    create_store(directory)
    with writing(directory):
        for rollout_table, step_table in rollouts(steps, seed):
            tables = {"steps": step_table, "rollouts": rollout_table}
            commit(directory, "synthetic", tables, settings={"seed": seed}, reads={}, append=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    make_store(given.directory, given.steps, given.seed)
