"""What the blocks found: means over seeds, and paired differences with their tests, corrected for their number."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tratree_data import __version__
from tratree_data.evaluation.significance import holm, over_runs, p_over_runs
from tratree_data.experiments.artifacts import DONE
from tratree_data.experiments.recipe import Recipe

METRICS = ("reward", "success", "steps")
SECONDS = ("training_seconds", "playing_seconds", "exploring_seconds", "stages_seconds")


def collect(plan: Recipe, folder: Path) -> dict[str, Any]:
    """Every finished arm, seed by seed, and the comparisons that the recipe names."""
    blocks = sorted(folder.glob("block-*"), key=lambda path: int(path.name.removeprefix("block-")))
    runs: dict[str, dict[int, dict[str, float]]] = {name: {} for name in plan["arms"]}
    for block in blocks:
        seeds = _record(block)["settings"]["seeds"]
        for name, found in runs.items():
            if (block / "arms" / name / DONE).is_file():
                record = _record(block / "arms" / name)
                found.update({seed: {metric: record[metric][i] for metric in METRICS} for i, seed in enumerate(seeds)})
    arms = {
        name: {metric: summary([run[metric] for run in found.values()]) for metric in METRICS} | {"runs": len(found)}
        for name, found in runs.items()
        if found
    }
    comparisons = compare_arms(runs, plan.get("compare", {}).get("pairs", []))
    rewards = {name: {str(seed): run["reward"] for seed, run in sorted(found.items())} for name, found in runs.items() if found}
    return {
        "code": __version__,
        "recipe": plan,
        "arms": arms,
        "comparisons": comparisons,
        "seconds": _seconds(blocks),
        "rewards": rewards,
    }


def compare_arms(runs: dict[str, dict[int, dict[str, float]]], pairs: list[list[str]]) -> list[dict[str, Any]]:
    """Differences of the same seeds, the rewards' first; each metric's tests are corrected for the number of pairs."""
    found: list[dict[str, Any]] = []
    for a, b in pairs:
        seeds = sorted(runs[a].keys() & runs[b].keys())
        if len(seeds) > 1:
            difference = {metric: [runs[a][seed][metric] - runs[b][seed][metric] for seed in seeds] for metric in ("reward", "success")}
            row = {"arm": a, "against": b, "runs": len(seeds), **difference_of(difference["reward"])}
            found.append(row | {"success": difference_of(difference["success"])})
    for rows in (found, [row["success"] for row in found]):
        for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
            row["p_holm"] = corrected
    return found


def difference_of(values: list[float]) -> dict[str, float]:
    """The mean with its 95 % interval, the test, and in how many runs it is above zero; runs share no tasks."""
    runs = [{number: value} for number, value in enumerate(values)]
    interval = over_runs(runs)
    return {
        **{name: round(float(getattr(interval, name)), 6) for name in ("value", "low", "high")},
        "standard_error": summary(values)["standard_error"],
        "better_in": round(float(np.mean(np.array(values) > 0)), 4),
        "p": p_over_runs(runs),
    }


def summary(values: list[float]) -> dict[str, float]:
    """Mean, standard error and standard deviation over seeds."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {
        "mean": round(float(np.mean(values)), 6),
        "standard_error": round(deviation / len(values) ** 0.5, 6),
        "deviation": round(deviation, 6),
    }


def table(results: dict[str, Any]) -> str:
    """Arms and differences as Markdown, rewards and success × 100."""
    lines = ["| arm | reward | ± | success | steps | seeds |", "|---|---|---|---|---|---|"]
    for name, arm in results["arms"].items():
        reward, success, steps = (arm[metric] for metric in METRICS)
        numbers = f"{100 * reward['mean']:.1f} | {100 * reward['standard_error']:.2f} | {100 * success['mean']:.1f} | {steps['mean']:.1f}"
        lines.append(f"| `{name}` | {numbers} | {arm['runs']} |")
    if not results["comparisons"]:
        return "\n".join(lines)
    lines += [
        "",
        "| difference | reward | ± | 95 % interval | better in | p, Holm | success | ± | p, Holm |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["comparisons"]:
        value, error, low, high = (100 * row[key] for key in ("value", "standard_error", "low", "high"))
        reward = f"{value:+.2f} | {error:.2f} | {low:+.2f} … {high:+.2f} | {row['better_in']:.0%} | {readable_p(row['p_holm'])}"
        second = row["success"]
        success = f"{100 * second['value']:+.2f} | {100 * second['standard_error']:.2f} | {readable_p(second['p_holm'])}"
        lines.append(f"| `{row['arm']}` − `{row['against']}` | {reward} | {success} |")
    return "\n".join([*lines, "", "±: one standard error over seeds. Holm: p-values that hold for all rows together."])


def readable_p(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / DONE).read_text(encoding="utf-8"))
    return record


def _seconds(blocks: list[Path]) -> dict[str, float]:
    """Processor-clock seconds of all blocks together."""
    records = [_record(path.parent) for block in blocks for path in block.glob(f"*/*/{DONE}")]
    return {name: round(sum(record.get(name, 0.0) for record in records), 1) for name in SECONDS}
