"""Tunes the doses of `pipelines/weak_to_strong_tabular.toml` on its dev seeds: every candidate of [protocol.tuning], arm by arm.

    python benchmarks/tabular_doses.py WORK [GROUP …]

Each arm's best dose is the one with the highest mean reward; what was found is written to benchmarks/results/tabular_doses.json after
every candidate. The recipe is edited by hand.
"""

import json
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tratree_data.experiments.recipe import read_experiment
from tratree_data.experiments.settings import parse_seeds
from tratree_data.experiments.tabular.block import Block

RESULTS = Path(__file__).parent / "results" / "tabular_doses.json"


def main(work: Path, chosen: list[str]) -> None:
    plan = read_experiment("weak_to_strong_tabular")
    seeds = parse_seeds(plan["protocol"]["dev_seeds"])
    block = Block(plan, work / "dev", seeds)
    for name, group in plan["protocol"]["tuning"].items():
        if chosen and name not in chosen:
            continue
        rewards: dict[str, dict[str, dict[str, float]]] = {arm: {} for arm in group["arms"]}
        for dose in doses(group):
            for arm in group["arms"]:
                values = 100 * np.array(score(block, arm, dose))
                error = float(values.std(ddof=1)) / len(values) ** 0.5
                rewards[arm][json.dumps(dose)] = {"reward": round(float(values.mean()), 2), "standard_error": round(error, 2)}
            print(name, dose, {arm: tried[json.dumps(dose)]["reward"] for arm, tried in rewards.items()}, flush=True)
            found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
            found[name] = {"seeds": plan["protocol"]["dev_seeds"], "rewards": rewards, "best": best(rewards)}
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def doses(group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every combination of the group's lists."""
    names = [name for name, values in group.items() if isinstance(values, list) and name != "arms"]
    for values in product(*(group[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def score(block: Block, arm: str, dose: dict[str, Any]) -> list[float]:
    """The rewards of the dev seeds with an arm (or a training) at this dose; nothing is stored."""
    section = "arms" if arm in block.plan["arms"] else "training"
    trial = Block({**block.plan, section: {**block.plan[section], arm: {**block.plan[section][arm], **dose}}}, block.folder, block.seeds)
    trial.rows = block.rows
    trial.models = {name: weights for name, weights in block.models.items() if name != arm}
    weights = trial.make(arm)
    block.models.update({name: made for name, made in trial.models.items() if name != arm})
    return trial.scores(weights, 1, arm)["reward"]


def best(rewards: dict[str, dict[str, dict[str, float]]]) -> dict[str, str]:
    return {arm: max(tried, key=lambda dose: tried[dose]["reward"]) for arm, tried in rewards.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
