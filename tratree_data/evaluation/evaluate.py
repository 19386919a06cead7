"""A model in an environment → scores with intervals; and whether one model is better than another.

An evaluation is an exploration of held-out tasks in a store of its own, so it resumes, and every episode behind a number can be read.
Tasks are the unit of all statistics (statistics.py): seeds of one task are averaged first.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tratree_data.errors import BadInputError
from tratree_data.evaluation.significance import Floats, Interval, bootstrap, over_runs, pooled, sign_flip
from tratree_data.results import StageResult
from tratree_data.store.queries import query
from tratree_data.store.reader import Store, is_current, open_store
from tratree_data.store.schemas import table_from_rows
from tratree_data.store.writer import commit, writing

METRICS = ("reward", "success", "steps", "invalid_actions")
EPISODE = ("environment", "split", "task_id", "seed")
Episode = tuple[Any, ...]


@dataclass(frozen=True)
class Comparison:
    """How much better A is than B at the same tasks and seeds."""

    metric: str
    a: float
    b: float
    difference: Interval
    effect_size: float
    p_value: float
    tasks: int
    episodes: int
    unpaired: int
    runs: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(
    model: str | Path,
    environment: str,
    out: str | Path,
    *,
    split: str = "test",
    tasks: int | Sequence[str] | None = None,
    seeds: int | Sequence[int] = 1,
    best_of: int = 1,
    agent: str = "transformers",
    temperature: float | None = None,
    **exploration: Any,
) -> StageResult:
    """Plays the tasks of a split with each seed and writes the table `evaluations`; `model` may also be an agent, like expert."""
    from tratree_data.agents import agent_names
    from tratree_data.exploration.explore import explore

    numbers = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not numbers or best_of < 1:
        raise BadInputError("An evaluation needs at least one seed and one attempt.\nNext: --seeds 5 --best-of 1")
    sampled = len(numbers) > 1 or best_of > 1
    heat = temperature if temperature is not None else (1.0 if sampled else 0.0)
    if heat == 0 and sampled:
        raise BadInputError("At temperature 0 every seed and every attempt is the same.\nNext: --temperature 0.7, or --seeds 1 --best-of 1")
    specification = str(model) if str(model).partition(":")[0] in agent_names() else agent_specification(agent, str(model))
    changed = False
    for seed in numbers:
        arguments = {"split": split, "tasks": tasks, "temperature": heat, "seed": seed, **exploration}
        changed |= explore(out, environment, specification, best_of, **arguments).changed
    rows = summarise(out, best_of)
    counts = {"tasks": rows[0]["tasks"], "seeds": rows[0]["seeds"]}
    notes = tuple(f"{row['metric']:>16} {row['value']:.3f}  [{row['low']:.3f}, {row['high']:.3f}]" for row in rows)
    return StageResult("evaluate", changed, counts, (f"temperature {heat:g}, best of {best_of}", *notes))


def agent_specification(agent: str, model: str) -> str:
    """The agent that runs a model; vLLM is given an adapter beside its base, and the tokenizer that was trained with it."""
    config = Path(model) / "adapter_config.json"
    if agent == "vllm" and config.is_file():
        base = json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"]
        words = f",tokenizer={model}" if (Path(model) / "tokenizer_config.json").is_file() else ""
        return f"vllm:model={base},lora={model}{words}"
    return f"{agent}:model={model}"


def summarise(directory: str | Path, best_of: int = 1) -> list[dict[str, Any]]:
    """The rows of `evaluations` for what has been played so far, written to the store where they are not there yet."""
    store = open_store(directory)
    table = _episodes(store, directory, best_of)
    rows: list[dict[str, Any]] = []
    for key in sorted(set(zip(*(table[name].to_pylist() for name in ("environment", "split", "model")), strict=True))):
        scores = _of_model(table, key)
        for metric in METRICS:
            interval = bootstrap(task_means(scores, metric))
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


def _episodes(store: Store, directory: str | Path, best_of: int) -> pa.Table:
    """What each model earned at each task with each seed; episodes that cannot be told apart are refused."""
    store.need("rollouts", "steps")
    for bad in query(store, "evaluation_episodes", best_of=best_of).to_pylist():
        episode = f"{bad['model']} at task {bad['task_id']} with seed {bad['seed']}"
        if bad["times"] > 1:
            raise BadInputError(
                f"{directory} holds {bad['times']} episodes of {episode}, played with different settings.\n"
                "Next: evaluate each setting into a folder of its own"
            )
        raise BadInputError(
            f"{directory} holds {bad['attempts']} attempts of {episode}, so there is no best of {best_of}.\n"
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


def compare(
    a: str | Path | Sequence[str | Path], b: str | Path | Sequence[str | Path], *, metric: str = "reward", best_of: tuple[int, int] = (1, 1)
) -> Comparison:
    """A against B over the tasks and seeds that both have; several stores a side are runs, paired in the order given."""
    if metric not in METRICS:
        raise BadInputError(f"No metric is called {metric!r}. There is: {', '.join(METRICS)}.")
    left, right = _runs(a), _runs(b)
    if len(left) != len(right):
        raise BadInputError(f"A has {len(left)} runs and B has {len(right)}: they are paired one by one.\nNext: name as many on both sides")
    differences: list[dict[Episode, float]] = []
    sums, episodes, unpaired = np.zeros(2), 0, 0
    for one, other in zip(left, right, strict=True):
        ours, theirs = _scores(one, metric, best_of[0]), _scores(other, metric, best_of[1])
        shared = sorted(set(ours) & set(theirs))
        if not shared:
            raise BadInputError(
                f"{one} and {other} share no task and seed of one environment and split.\n"
                "Next: evaluate both on the same tasks with the same --seeds"
            )
        by_task: dict[Episode, list[float]] = {}
        for episode in shared:
            by_task.setdefault(episode[:-1], []).append(ours[episode] - theirs[episode])
        differences.append({task: float(np.mean(values)) for task, values in by_task.items()})
        sums += [np.mean([ours[key] for key in shared]), np.mean([theirs[key] for key in shared])]
        episodes += len(shared)
        unpaired += len(ours) + len(theirs) - 2 * len(shared)
    by_tasks = pooled(differences)
    spread = float(by_tasks.std(ddof=1)) if len(by_tasks) > 1 else 0.0
    return Comparison(
        metric,
        float(sums[0] / len(left)),
        float(sums[1] / len(left)),
        over_runs(differences),
        float(by_tasks.mean() / spread) if spread else 0.0,
        sign_flip(by_tasks),
        len(by_tasks),
        episodes,
        unpaired,
        tuple(float(np.mean(list(run.values()))) for run in differences),
    )


def describe(result: Comparison, as_json: bool = False) -> str:
    """The comparison in one line a number, or as JSON."""
    if as_json:
        return json.dumps(result.as_dict(), indent=1)
    runs = f", run by run {', '.join(f'{run:+.3f}' for run in result.runs)}" if len(result.runs) > 1 else ""
    lines = [
        f"{result.metric}: {result.a:.3f} against {result.b:.3f} over {result.tasks:,} tasks ({result.episodes:,} pairs of episodes{runs})",
        f"difference {result.difference.value:+.3f}  [{result.difference.low:+.3f}, {result.difference.high:+.3f}]",
        f"effect size (mean / standard deviation of the tasks' differences) {result.effect_size:+.3f}",
        f"p = {result.p_value:.4f} (two-sided, signs flipped task by task)",
    ]
    if result.unpaired:
        lines.append(f"{result.unpaired:,} episodes of one side have none beside them on the other and are left out")
    return "\n".join(lines)


def _runs(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    return [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]


def _scores(path: Path, metric: str, best_of: int) -> dict[Episode, float]:
    table = _episodes(open_store(path), path, best_of)
    models = sorted(set(table["model"].to_pylist()))
    if len(models) != 1:
        raise BadInputError(f"{path} holds {len(models)} models ({', '.join(models[:3])}).\nNext: evaluate each into a store of its own")
    return {tuple(row[key] for key in EPISODE): row[metric] for row in table.select([*EPISODE, metric]).to_pylist()}
