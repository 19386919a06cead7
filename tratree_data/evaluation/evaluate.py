"""A model in an environment → scores with intervals.

An evaluation is an exploration of held-out tasks in its own store, so it resumes, and the episodes behind every number can be read.
Tasks are the unit of all statistics (significance.py): seeds of one task are averaged first.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.errors import BadInputError
from tratree_data.evaluation.settings import METRICS, EvaluateSettings
from tratree_data.evaluation.significance import Floats, over_tasks
from tratree_data.results import StageResult
from tratree_data.store.freshness import is_current
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store, open_store
from tratree_data.store.schemas import table_from_rows
from tratree_data.store.writing.writer import commit, writing
from tratree_data.system.settings import takes

BOUNDS: dict[str, tuple[float, float] | None] = {"reward": (0.0, 1.0), "success": (0.0, 1.0), "steps": None, "invalid_actions": None}
"""The scale of each metric that has an upper end."""


@takes(EvaluateSettings)
def evaluate(model: Any, environment: Any, out: str | Path, settings: EvaluateSettings) -> StageResult:
    """Plays the tasks of a split with each seed and writes the table `evaluations`.

    `model` is a model's name or folder, an agent like expert or file.py:function, or an agent itself: an instance or a function.
    """
    from tratree_data.exploration.explore import explore

    specification = chosen_agent(model, settings.agent)
    changed = False
    for seed in range(settings.seeds):
        changed |= explore(out, environment, specification, settings.best_of, seed=seed, **settings.exploration()).changed
    rows = summarise(out, settings.best_of)
    counts = {"tasks": rows[0]["tasks"], "seeds": rows[0]["seeds"]}
    notes = [f"{row['metric']:>16} {row['value']:.3f}  [{row['low']:.3f}, {row['high']:.3f}]" for row in rows]
    heading = f"temperature {settings.heat:g}, best of {settings.best_of}; 95 % intervals over tasks, for this trained model"
    return StageResult("evaluate", changed, counts, (heading, *notes))


def chosen_agent(model: Any, agent: str) -> Any:
    """The specification for `explore` of an agent or a model; `agent` runs models."""
    from tratree_data.agents import OWN, agent_names

    if not isinstance(model, str | Path):
        return model
    is_agent = str(model).partition(":")[0] in agent_names() or OWN.fullmatch(str(model))
    return str(model) if is_agent else agent_specification(agent, str(model))


def agent_specification(agent: str, model: str) -> str:
    """The agent that runs a model; vLLM needs an adapter's base named separately, and the tokenizer it was trained with."""
    config = Path(model) / "adapter_config.json"
    if agent == "vllm" and config.is_file():
        base = json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"]
        words = f",tokenizer={model}" if (Path(model) / "tokenizer_config.json").is_file() else ""
        return f"vllm:model={base},lora={model}{words}"
    return f"{agent}:model={model}"


def summarise(directory: str | Path, best_of: int = 1) -> list[dict[str, Any]]:
    """The rows of `evaluations` for what has been played so far, written to the store where they are not there yet."""
    store = open_store(directory)
    table = episodes(store, directory, best_of)
    rows: list[dict[str, Any]] = []
    for key in sorted(set(zip(*(table[name].to_pylist() for name in ("environment", "split", "model")), strict=True))):
        scores = _of_model(table, key)
        for metric in METRICS:
            interval = over_tasks(task_means(scores, metric), BOUNDS[metric])
            rows.append(
                {
                    **dict(zip(("environment", "split", "model"), key, strict=True)),
                    "best_of": best_of,
                    "metric": metric,
                    **asdict(interval),
                    "tasks": len(set(scores["task_id"].to_pylist())),
                    "seeds": len(set(scores["seed"].to_pylist())),
                }
            )
    settings, reads = {"best_of": best_of}, {"rollouts": store.version("rollouts"), "steps": store.version("steps")}
    if not is_current(store, "evaluate", ["evaluations"], settings, reads):
        with writing(directory):
            commit(directory, "evaluate", {"evaluations": table_from_rows("evaluations", rows)}, settings=settings, reads=reads)
    return rows


def episodes(store: Store, directory: str | Path, best_of: int) -> pa.Table:
    """What each model scored on each task with each seed; refuses two episodes of one task and seed."""
    store.need("rollouts", "steps")
    for bad in query(store, "evaluation_episodes", best_of=best_of).to_pylist():
        episode = f"{bad['model']} at task {bad['task_id']} with seed {bad['seed']}"
        if bad["times"] > 1:
            raise BadInputError(
                f"{directory} contains {bad['times']} episodes of {episode}, played with different settings.\n"
                "Next: evaluate each setting into a folder of its own"
            )
        raise BadInputError(
            f"{directory} contains {bad['attempts']} attempts of {episode}, too few for a best of {best_of}.\n"
            f"Next: --best-of {max(1, bad['attempts'])}, or tratree evaluate with --best-of {best_of}"
        )
    return query(store, "evaluation_scores", best_of=best_of)


def _of_model(table: pa.Table, key: tuple[str, str, str]) -> pa.Table:
    names = [table[name].to_pylist() for name in ("environment", "split", "model")]
    return table.filter(pa.array([found == key for found in zip(*names, strict=True)]))


def task_means(scores: pa.Table, metric: str) -> Floats:
    """The mean over seeds for each task, tasks in order."""
    grouped = scores.group_by("task_id").aggregate([(metric, "mean")]).sort_by("task_id")
    means: Floats = grouped[f"{metric}_mean"].to_numpy()
    return means
