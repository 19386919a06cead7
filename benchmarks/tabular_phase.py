"""Where does each method help? The tabular experiment with other numbers of expert tasks and of explored tasks, on seeds of its own.

    python benchmarks/tabular_phase.py WORK [--processes 2]

Everything but the two numbers and the seeds is as in pipelines/weak_to_strong_tabular.toml, doses included. Writes
benchmarks/results/tabular_phase.json after every cell; the same command resumes.
"""

import json
import sys
from itertools import product
from pathlib import Path

from tratree_data.experiments.recipe import Recipe, read_experiment
from tratree_data.experiments.settings import parse_seeds
from tratree_data.experiments.tabular.results import collect
from tratree_data.experiments.tabular.run import run_tabular

RESULTS = Path(__file__).parent / "results" / "tabular_phase.json"
EXPERT_TASKS, EXPLORED_TASKS = (20, 60, 180), (50, 200, 500)
SEEDS = "3000..3019"
AGAINST_CONTROL = ("mcts_sft_all", "mcts_sft", "mcts_sft_mixed", "tree_dpo", "own_successes_mixed")
ARMS = ("sft_weak", "sft_strong", "control", *AGAINST_CONTROL, "base_mcts_sft")
LABELS = {
    "mcts_sft_all": "all e*",
    "mcts_sft": "e* of solved tasks",
    "mcts_sft_mixed": "solved e*, half expert rows",
    "tree_dpo": "tree pairs",
    "own_successes_mixed": "own successes, half expert",
    "base_mcts_sft": "solved e* alone, from base",
}
"""All against the control but the last, which is against SFT strong."""
PAIRS = [*([arm, "control"] for arm in AGAINST_CONTROL), ["base_mcts_sft", "sft_strong"]]


def plan_of(experts: int, explored: int) -> Recipe:
    """The recipe with these numbers; explored tasks follow the largest number of the expert's, so that all cells explore the same ones."""
    plan = read_experiment("weak_to_strong_tabular")
    data = {name: dict(settings) for name, settings in plan["data"].items()}
    data["expert"]["tasks"] = experts
    for name in ("weak", "strong"):
        data[name] |= {"tasks": explored, "from_task": max(EXPERT_TASKS)}
    environment = plan["environment"] | {"block": 10}
    return {**plan, "environment": environment, "data": data, "compare": {"pairs": PAIRS}, "protocol": {"test_seeds": SEEDS}}


def main(work: Path, processes: int) -> None:
    cells = []
    for experts, explored in product(EXPERT_TASKS, EXPLORED_TASKS):
        plan, folder = plan_of(experts, explored), work / f"{experts}-{explored}"
        run_tabular(plan, folder, parse_seeds(SEEDS), processes, ARMS)
        results = collect(plan, folder)
        arms = {name: arm["reward"] for name, arm in results["arms"].items()}
        cells.append({"expert_tasks": experts, "explored_tasks": explored, "arms": arms, "comparisons": results["comparisons"]})
        RESULTS.write_text(json.dumps({"seeds": SEEDS, "labels": LABELS, "cells": cells}, indent=1) + "\n")
        print(experts, explored, {row["arm"]: round(100 * row["value"], 1) for row in results["comparisons"]}, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[3]) if sys.argv[2:3] == ["--processes"] else 1)
