"""What an experiment found: scores of every arm, the paired tests, and what it cost."""

import json
from pathlib import Path
from typing import Any

from tratree_data import __version__
from tratree_data.evaluation.compare import compare
from tratree_data.evaluation.evaluate import summarise
from tratree_data.evaluation.settings import METRICS
from tratree_data.evaluation.significance import holm
from tratree_data.experiments.artifacts import DONE
from tratree_data.experiments.recipe import Recipe
from tratree_data.store.reader import open_store


def collect(plan: Recipe, folder: Path) -> dict[str, Any]:
    """Scores of every finished arm, seed by seed, and the comparisons that the recipe names, corrected for their number."""
    seeds = sorted(int(path.name.removeprefix("seed-")) for path in folder.glob("seed-*") if path.is_dir())
    arms: dict[str, Any] = {}
    for name, settings in plan["arms"].items():
        best_of = int(settings.get("best_of", 1))
        runs = {seed: folder / f"seed-{seed}" / "evaluations" / name for seed in seeds}
        finished = {seed: path for seed, path in runs.items() if (path / DONE).is_file()}
        scores = {seed: {row["metric"]: row for row in summarise(path, best_of)} for seed, path in finished.items()}
        if scores:
            arms[name] = {
                "seeds": sorted(scores),
                "best_of": best_of,
                **{metric: [_interval(scores[seed][metric]) for seed in sorted(scores)] for metric in METRICS},
                "tasks": [scores[seed]["reward"]["tasks"] for seed in sorted(scores)],
            }
    comparisons = []
    for a, b in plan.get("compare", {}).get("pairs", []):
        shared = [seed for seed in seeds if a in arms and b in arms and seed in arms[a]["seeds"] and seed in arms[b]["seeds"]]
        if shared:
            sides = [[folder / f"seed-{seed}" / "evaluations" / arm for seed in shared] for arm in (a, b)]
            result = compare(*sides, best_of=(arms[a]["best_of"], arms[b]["best_of"]))
            comparisons.append({"arm": a, "against": b, "seeds": shared, **result.as_dict()})
    for pair, p_value in zip(comparisons, holm([_main_p(pair) for pair in comparisons]), strict=True):
        pair["p_holm"] = p_value
    spent = {str(seed): budget(folder / f"seed-{seed}") for seed in seeds}
    return {"code": __version__, "recipe": plan, "arms": arms, "comparisons": comparisons, "budget": spent}


def _main_p(pair: dict[str, Any]) -> float:
    """Over runs and tasks where there are several runs; a single run is about its own models only."""
    return float(pair["p_these_models"] if pair["p_over_runs"] is None else pair["p_over_runs"])


def budget(folder: Path) -> dict[str, Any]:
    """What a seed cost: the steps, rows and seconds of each training, the episodes and tree quality of each dataset."""
    trained = {}
    for path in sorted(folder.glob("models/*/training.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["finished"]:
            losses = {key: round(record[key], 4) for key in ("first_loss", "last_loss")}
            trained[path.parent.name] = {**record["counts"], "rows": record["data"]["rows"], "seconds": record["seconds"], **losses}
    data = {path.parent.name: _dataset(path.parent) for path in sorted(folder.glob(f"data/*/{DONE}"))}
    return {"trainings": trained, "data": data}


def _dataset(folder: Path) -> dict[str, Any]:
    """Counts of a dataset, and how many of its tasks were both solved and failed."""
    store = open_store(folder)
    outcomes = store.sql(
        "SELECT count(*) AS tasks, sum(rollouts) AS rollouts, avg(mean) AS mean_score, avg(CAST(low < high AS INTEGER)) AS mixed FROM "
        "(SELECT count(*) AS rollouts, avg(score) AS mean, min(score) AS low, max(score) AS high FROM rollouts GROUP BY task_id)"
    ).to_pylist()[0]
    counts = {table: store.count(table) for table in ("nodes", "paths", "pairs", "demonstrations") if store.has(table)}
    return {**{key: round(float(value), 4) for key, value in outcomes.items()}, **counts}


def _interval(row: dict[str, Any]) -> dict[str, float]:
    return {key: row[key] for key in ("value", "low", "high")}
