"""Where does each method help? The tabular experiment with two of its numbers varied, on seeds of its own.

    python -m benchmarks.tabular_phase tasks|weak WORK [--processes 2]

`tasks` varies the expert's tasks and the explored tasks, `weak` the weak model's units and its attempts at each task. Everything else is as
in pipelines/weak_to_strong_tabular.toml, doses included. Writes benchmarks/results/tabular_phase_….json after every cell; the same command
resumes.
"""

import json
import sys
from copy import deepcopy
from itertools import product
from pathlib import Path

from tratree_data.experiments.recipe import Recipe, read_experiment
from tratree_data.experiments.settings import parse_seeds
from tratree_data.experiments.tabular.results import collect
from tratree_data.experiments.tabular.run import run_tabular

RESULTS = Path(__file__).parent / "results"
AXES: dict[str, dict[str, tuple[int, ...]]] = {
    "tasks": {"expert tasks": (20, 60, 180), "explored tasks": (50, 200, 500)},
    "weak": {"units of the weak network": (4, 8, 16), "attempts at a task": (3, 7)},
}
SEEDS = {"tasks": "3000..3019", "weak": "4000..4019"}
LABELS = {
    "mcts_sft_all": "all e*",
    "mcts_sft": "e* of solved tasks",
    "mcts_sft_mixed": "solved e*, half expert rows",
    "tree_dpo": "tree pairs",
    "own_successes_mixed": "own successes, half expert",
    "base_mcts_sft": "solved e* alone, from base",
}
"""All against the control but the last, which is against SFT strong."""
SHOWN = {"tasks": tuple(LABELS), "weak": ("mcts_sft_all", "mcts_sft", "mcts_sft_mixed", "tree_dpo")}


def plan_of(diagram: str, row: int, column: int) -> Recipe:
    """The recipe with these numbers; explored tasks follow the largest number of the expert's, so that all cells explore the same ones."""
    plan = deepcopy(read_experiment("weak_to_strong_tabular"))
    if diagram == "tasks":
        plan["data"]["expert"]["tasks"] = row
        for name in ("weak", "strong"):
            plan["data"][name] |= {"tasks": column, "from_task": max(AXES["tasks"]["expert tasks"])}
    else:
        plan["models"]["weak_base"]["units"] = row
        plan["data"]["weak"]["attempts"] = column
    plan["environment"]["block"] = 10
    pairs = [[arm, "sft_strong" if arm == "base_mcts_sft" else "control"] for arm in SHOWN[diagram]]
    return {**plan, "compare": {"pairs": pairs}, "protocol": {"test_seeds": SEEDS[diagram]}}


def main(diagram: str, work: Path, processes: int) -> None:
    cells = []
    for row, column in product(*AXES[diagram].values()):
        plan, folder = plan_of(diagram, row, column), work / f"{row}-{column}"
        run_tabular(plan, folder, parse_seeds(SEEDS[diagram]), processes, ("sft_weak", "sft_strong", "control", *SHOWN[diagram]))
        results = collect(plan, folder)
        arms = {name: arm["reward"] for name, arm in results["arms"].items()}
        cells.append({"at": [row, column], "arms": arms, "comparisons": results["comparisons"]})
        record = {"seeds": SEEDS[diagram], "axes": list(AXES[diagram]), "labels": LABELS, "cells": cells}
        (RESULTS / f"tabular_phase_{diagram}.json").write_text(json.dumps(record, indent=1) + "\n")
        print(row, column, {found["arm"]: round(100 * found["value"], 1) for found in results["comparisons"]}, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[4]) if sys.argv[3:4] == ["--processes"] else 1)
