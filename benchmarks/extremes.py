"""Datasets of odd shapes: a few very long rollouts, one task with very many attempts, very many tasks of one step.

    python -m benchmarks.extremes --steps 50000 200000 [--shape long] [--out results/extremes.json]

Every verb runs as a command of its own, at two sizes or more; `growth` is the exponent of its processor time between the first and the
last, less what a command costs at SMALL steps: 1 is linear, 2 quadratic. Memory is that of all its processes.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from benchmarks.measuring import run

HERE = Path(__file__).parent
RESULT = HERE / "results/extremes.json"
SMALL = 400
VERBS: dict[str, list[str]] = {
    "build": ["--embedder", "exact"],
    "search": [],
    "states": [],
    "pairs": ["--kind", "step", "--kind", "divergence"],
    "demonstrations": ["--kind", "best"],
    "check": [],
    "show": [],
    "stats": [],
}


def long(steps: int) -> Iterator[dict[str, Any]]:
    """Two rollouts that part in the middle."""
    for attempt in range(2):
        yield rollout("one", attempt, [(f"room {n}", f"go {n % 7 + attempt * (n > steps // 4)}") for n in range(steps // 2)])


def wide(steps: int) -> Iterator[dict[str, Any]]:
    """One task, attempts of two steps: a thousand first actions, each followed by other ones."""
    for attempt in range(steps // 2):
        yield rollout("one", attempt, [("hall", f"door {attempt % 1_000}"), (f"room {attempt % 1_000}", f"box {attempt % 30}")])


def many(steps: int) -> Iterator[dict[str, Any]]:
    """A task for every step."""
    for task in range(steps):
        yield rollout(f"t{task}", 0, [(f"room {task}", "open")])


SHAPES = {"long": long, "wide": wide, "many": many}


def rollout(task: str, attempt: int, steps: list[tuple[str, str]]) -> dict[str, Any]:
    made = [{"observation": seen, "thought": "", "action": action} for seen, action in steps]
    return {
        "task_id": task,
        "env": "odd",
        "instruction": f"Do {task}.",
        "reward": attempt % 2,
        "trajectory_id": f"{task}-{attempt}",
        "steps": made,
    }


def measure(folder: Path, shape: str, steps: int) -> dict[str, dict[str, float]]:
    log, data = folder / f"{shape}-{steps}.jsonl", str(folder / f"{shape}-{steps}")
    with log.open("wb") as lines:
        lines.writelines(orjson.dumps(one) + b"\n" for one in SHAPES[shape](steps))
    commands = {"import": ["import", str(log), data], **{verb: [verb, data, *words] for verb, words in VERBS.items()}}
    commands["publish"] = ["publish", data, f"{data}-release", "--version", "1.0.0"]
    found = {}
    for verb, words in commands.items():
        cost = run(HERE.parent, *words)
        found[verb] = {"processor_seconds": round(cost["cpu"], 2), "peak_mb": round(cost["memory"] / 2**20)}
        print(shape, steps, verb, found[verb], file=sys.stderr, flush=True)
    log.unlink()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[50_000, 200_000])
    parser.add_argument("--shape", choices=SHAPES, action="append")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    result: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for shape in options.shape or SHAPES:
        with tempfile.TemporaryDirectory() as name:
            costs = {steps: measure(Path(name), shape, steps) for steps in (SMALL, *options.steps)}
        low, high = min(options.steps), max(options.steps)
        growth = {}
        for verb, least in costs[SMALL].items():
            parts = [max(costs[steps][verb]["processor_seconds"] - least["processor_seconds"], 0.1) for steps in (low, high)]
            growth[verb] = round(math.log(parts[1] / parts[0]) / math.log(high / low), 2)
        result[shape] = {"steps": {str(steps): found for steps, found in costs.items()}, "growth": growth}
        options.out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
