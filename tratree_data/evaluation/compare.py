"""Whether one model, or one way of training, is better than another: paired by run, task and seed."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tratree_data.errors import BadInputError
from tratree_data.evaluation.evaluate import BOUNDS, episodes
from tratree_data.evaluation.settings import CompareSettings
from tratree_data.evaluation.significance import (
    Interval,
    effect_size,
    over_runs,
    over_tasks,
    p_over_runs,
    pooled,
    runs_needed,
    sign_flip,
    spread_of,
)
from tratree_data.store.reader import open_store
from tratree_data.system.settings import takes

EPISODE = ("environment", "split", "task_id", "seed")
Episode = tuple[Any, ...]
Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Comparison:
    """How much better A is than B at the same tasks and seeds."""

    metric: str
    best_of: tuple[int, int]
    """Attempts per task of A and of B; the best counts."""
    a: float
    b: float
    difference: Interval
    """Over runs and tasks; with a single run over tasks only, so that it says nothing about another training run."""
    p_over_runs: float | None
    """Whether other runs would also differ, by Student's t; None with a single run, which cannot show that."""
    p_these_models: float
    """Whether these trained models differ on other tasks, by flipping the signs of the tasks' differences."""
    effect_size: float
    tasks: int
    episodes: int
    unpaired: int
    runs: tuple[float, ...]
    power: tuple[float, int | None] | None = None
    """A difference, and the runs per side that find it in 80 % of experiments; None where only more tasks would help."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinity: the effect size is null where every task differs by the same amount."""
        return {**asdict(self), "effect_size": self.effect_size if math.isfinite(self.effect_size) else None}


@takes(CompareSettings)
def compare(a: Paths, b: Paths, settings: CompareSettings) -> Comparison:
    """A against B over the tasks and seeds that both have; several stores per side are training runs, paired in the order given."""
    left, right = _runs("A", a), _runs("B", b)
    if len(left) != len(right):
        raise BadInputError(
            f"A has {len(left)} runs and B has {len(right)}, but each run of A needs one of B.\nNext: name equally many on both sides"
        )
    best_of = settings.best_of or (_recorded_best_of(left), _recorded_best_of(right))
    paired = [_pair(one, other, settings.metric, best_of) for one, other in zip(left, right, strict=True)]
    differences = [run.differences for run in paired]
    low, high = BOUNDS[settings.metric] or (0.0, math.inf)
    bounds = (low - high, high - low) if math.isfinite(high) else None
    several = len(differences) > 1
    by_task = pooled(differences)
    return Comparison(
        metric=settings.metric,
        best_of=best_of,
        a=float(np.mean([run.a for run in paired])),
        b=float(np.mean([run.b for run in paired])),
        difference=over_runs(differences, bounds) if several else over_tasks(by_task, bounds),
        p_over_runs=p_over_runs(differences) if several else None,
        p_these_models=sign_flip(by_task),
        effect_size=effect_size(by_task),
        tasks=len(by_task),
        episodes=sum(run.episodes for run in paired),
        unpaired=sum(run.unpaired for run in paired),
        runs=tuple(float(np.mean(list(run.values()))) for run in differences),
        power=None if settings.power is None else _power(differences, settings.power),
    )


@dataclass(frozen=True)
class Paired:
    """One run of A beside one of B."""

    a: float
    b: float
    differences: dict[Episode, float]
    """For each task, the mean difference over seeds."""
    episodes: int
    unpaired: int


def _pair(one: Path, other: Path, metric: str, best_of: tuple[int, int]) -> Paired:
    ours, theirs = _scores(one, metric, best_of[0]), _scores(other, metric, best_of[1])
    shared = sorted(set(ours) & set(theirs))
    if not shared:
        raise BadInputError(
            f"{one} and {other} have no task and seed in common.\nNext: evaluate both on the same tasks with the same --seeds"
        )
    by_task: dict[Episode, list[float]] = {}
    for episode in shared:
        by_task.setdefault(episode[:-1], []).append(ours[episode] - theirs[episode])
    return Paired(
        float(np.mean([ours[key] for key in shared])),
        float(np.mean([theirs[key] for key in shared])),
        {task: float(np.mean(values)) for task, values in by_task.items()},
        len(shared),
        len(ours) + len(theirs) - 2 * len(shared),
    )


def _power(differences: list[dict[Episode, float]], difference: float) -> tuple[float, int | None]:
    if len(differences) < 2:
        raise BadInputError(
            "One run per side does not show how much runs vary, so the number of runs needed cannot be estimated.\n"
            "Next: name at least two runs per side, separated by commas: tratree compare a0,a1 b0,b1 --power 0.03"
        )
    if difference == 0:
        raise BadInputError("No number of runs can detect a difference of 0.\nNext: --power 0.03")
    return difference, runs_needed(spread_of(differences), difference)


def describe(result: Comparison, as_json: bool = False) -> str:
    """The comparison in one line per number, or as JSON."""
    if as_json:
        return json.dumps(result.as_dict(), indent=1)
    several = len(result.runs) > 1
    runs = f", run by run {', '.join(f'{run:+.3f}' for run in result.runs)}" if several else ""
    attempts = "" if result.best_of == (1, 1) else f", best of {result.best_of[0]} against best of {result.best_of[1]}"
    over = (
        "over runs and tasks" if several else "over tasks, for these trained models; a single run does not show how other runs would differ"
    )
    size = f"{result.effect_size:+.3f}" if math.isfinite(result.effect_size) else "infinite: every task differs by the same amount"
    lines = [
        f"{result.metric}: {result.a:.3f} against {result.b:.3f} over {result.tasks:,} tasks "
        f"({result.episodes:,} pairs of episodes{runs}){attempts}",
        f"difference {result.difference.value:+.3f}  [{result.difference.low:+.3f}, {result.difference.high:+.3f}]  95 % {over}",
        f"effect size (mean / standard deviation of the tasks' differences) {size}",
    ]
    if result.p_over_runs is not None:
        lines.append(f"p = {result.p_over_runs:.4f} over runs and tasks (two-sided, Student's t)")
    lines.append(f"p = {result.p_these_models:.4f} for these trained models (two-sided, signs flipped task by task)")
    if result.power is not None:
        lines.append(_describe_power(*result.power))
    if result.unpaired:
        lines.append(f"{result.unpaired:,} episodes have no counterpart on the other side and are left out")
    return "\n".join(lines)


def _describe_power(difference: float, runs: int | None) -> str:
    if runs is None:
        return f"no number of runs on these tasks finds a difference of {abs(difference):g} four times in five: add tasks"
    return f"{runs:,} runs per side find a difference of {abs(difference):g} four times in five (at the 5 % level, on these tasks)"


def _runs(side: str, paths: Paths) -> list[Path]:
    found = [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]
    seen: set[Path] = set()
    for path in found:
        if path.resolve() in seen:
            raise BadInputError(f"{side} names {path} twice, but each training run counts once.\nNext: name every folder once")
        seen.add(path.resolve())
    return found


def _recorded_best_of(runs: list[Path]) -> int:
    """The attempts per task that these evaluations were made with; 1 where none is recorded."""
    recorded: dict[int, Path] = {}
    for path in runs:
        store = open_store(path)
        found = store.read("evaluations", ["best_of"])["best_of"].to_pylist() if store.has("evaluations") else []
        recorded |= dict.fromkeys(found or [1], path)
    if len(recorded) > 1:
        listed = ", ".join(f"{number} in {path}" for number, path in sorted(recorded.items()))
        raise BadInputError(f"The runs were evaluated with different --best-of: {listed}.\nNext: name both sides' attempts, --best-of 1 1")
    return next(iter(recorded))


def _scores(path: Path, metric: str, best_of: int) -> dict[Episode, float]:
    table = episodes(open_store(path), path, best_of)
    models = sorted(set(table["model"].to_pylist()))
    if len(models) != 1:
        raise BadInputError(
            f"{path} contains {len(models)} models ({', '.join(models[:3])}), so it is not one side of a comparison.\n"
            "Next: evaluate each into a folder of its own"
        )
    return {tuple(row[key] for key in EPISODE): row[metric] for row in table.select([*EPISODE, metric]).to_pylist()}
