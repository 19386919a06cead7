"""Seeds of the experiment with drawn tasks, gathered from several runs: python benchmarks/drawn.py [RUN/results.json …]

`tratree reproduce RUN --scale weak_to_strong_drawn --seeds 106..111` plays some of the planned seeds. This adds those that all arms have
finished to results/drawn.json, and prints the tables of docs/weak_to_strong.md; without a file, those of the seeds that are there.
"""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tratree_data.experiments.tabular.results import compare_arms, readable_p, summary

HERE = Path(__file__).parent
RESULT = HERE / "results/drawn.json"
RECIPE = HERE.parent / "pipelines/weak_to_strong_drawn.toml"
METRICS = ("reward", "success")

Runs = dict[str, dict[int, dict[str, float]]]
"""By arm, seed and metric."""


def runs_of(found: dict[str, Any]) -> Runs:
    """Of a run's results.json, in which every arm has its own seeds, or of drawn.json."""
    runs: Runs = {}
    for arm, row in found["arms"].items():
        values = {metric: [value["value"] if isinstance(value, dict) else value for value in row[metric]] for metric in METRICS}
        seeds = row.get("seeds", found.get("seeds"))
        runs[arm] = {seed: {metric: round(values[metric][i], 4) for metric in METRICS} for i, seed in enumerate(seeds)}
    return runs


def added(known: Runs, new: Runs) -> Runs:
    """A seed counts once all arms have finished it, and what is known of it stays."""
    complete = set.intersection(*({*new.get(arm, {})} for arm in known))
    return {arm: dict(sorted(({seed: new[arm][seed] for seed in complete} | of_arm).items())) for arm, of_arm in known.items()}


def tables(runs: Runs, pairs: list[list[str]]) -> str:
    """Arms and differences as Markdown, × 100."""
    lines = ["| arm | reward | ± | success |", "|---|---|---|---|"]
    for arm, of_arm in runs.items():
        reward, success = (summary([run[metric] for run in of_arm.values()]) for metric in METRICS)
        lines.append(f"| `{arm}` | {100 * reward['mean']:.1f} | {100 * reward['standard_error']:.1f} | {100 * success['mean']:.1f} |")
    lines += [
        "",
        "| difference | reward | ± | 95 % interval | better in | p, Holm | success | ± | p, Holm |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in compare_arms(runs, pairs):
        second = row["success"]
        value, low, high, of_success = (
            f"{100 * number:+.1f}".replace("-", "−") for number in (row["value"], row["low"], row["high"], second["value"])
        )
        lines.append(
            f"| `{row['arm']}` − `{row['against']}` | {value} | {100 * row['standard_error']:.1f} | {low} … {high} | "
            f"{round(row['better_in'] * row['runs'])} of {row['runs']} | {readable_p(row['p_holm'])} | "
            f"{of_success} | {100 * second['standard_error']:.1f} | {readable_p(second['p_holm'])} |"
        )
    return "\n".join(lines)


def main(files: list[str]) -> None:
    known = json.loads(RESULT.read_text(encoding="utf-8"))
    runs = runs_of(known)
    for file in files:
        runs = added(runs, runs_of(json.loads(Path(file).read_text(encoding="utf-8"))))
    seeds = [*next(iter(runs.values()))]
    if seeds != known["seeds"]:
        arms = {arm: {metric: [run[metric] for run in of_arm.values()] for metric in METRICS} for arm, of_arm in runs.items()}
        RESULT.write_text(json.dumps(known | {"seeds": seeds, "arms": arms}, indent=1) + "\n", encoding="utf-8")
    pairs = tomllib.loads(RECIPE.read_text(encoding="utf-8"))["compare"]["pairs"]
    print(f"{len(seeds)} seeds: {', '.join(map(str, seeds))}\n\n{tables(runs, pairs)}")


if __name__ == "__main__":
    main(sys.argv[1:])
