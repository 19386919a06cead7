"""agents × tasks × attempts → rollouts, steps: plans what is missing, has it played, and commits what is finished.

The plan is a table: one row per attempt, its rollout_id a hash of what defines it, minus what is already committed. So a killed run goes
on with exactly what is missing, and more attempts add only the new ones. Finished rollouts are committed in batches; a kill loses at most
the batch that was not.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.agents import AgentSpecification, parse_specification
from tratree_data.environments import environment_class
from tratree_data.errors import BadInputError, TratreeError
from tratree_data.exploration.branching import branch_points
from tratree_data.exploration.episode import FAILURES, Attempt, Branch, Finished, Limits
from tratree_data.exploration.live import Live
from tratree_data.exploration.planning import Schedule, choose_tasks, forget_failed, plan, plan_branches, planned_attempts, without_done
from tratree_data.exploration.player_process import play_in_processes
from tratree_data.exploration.pool import (
    Results,
    Setting,
    default_concurrent,
    is_computed,
    is_in_process,
    play_attempts,
)
from tratree_data.results import StageResult
from tratree_data.store.reader import Store
from tratree_data.store.rollout_writer import RolloutWriter, compact
from tratree_data.store.storable_text import REPLACED, replacement_detail
from tratree_data.store.writer import create_store, writing

STEPS_PER_COMMIT = 20_000
FAILURES_IN_PER_ROW = 3
"""Times the number of concurrent episodes: a run in which nothing else happens is stopped."""


def explore(
    directory: str | Path,
    environment: str,
    agent: str | Sequence[str] = "scripted",
    attempts: int = 7,
    *,
    tasks: int | Sequence[str] | None = None,
    split: str = "train",
    engine: str = "local",
    data: str | Path | None = None,
    options: dict[str, Any] | None = None,
    temperature: str | float = "1.0",
    top_p: str | float = "1.0",
    max_tokens: int = 512,
    seed: int = 0,
    max_steps: int | None = None,
    max_invalid_actions: int = 10,
    concurrent: int | None = None,
    processes: int | None = None,
    time_out: float = 120.0,
    commit_rollouts: int = 1000,
    commit_seconds: float = 10.0,
    retry_failed: bool = False,
    expand: str | None = None,
    budget: int = 100,
) -> StageResult:
    """Agents act in an environment; every attempt becomes a rollout. The same call goes on where the last one stopped.

    `expand` starts new attempts from chosen nodes of the trees: divergences, uncertain, unsolved, or a query that gives node_id and
    priority. They share `budget` attempts, at most `attempts` from one node.
    """
    specifications = _checked(agent, attempts, budget, engine)
    chosen = _environment_options(environment, options, data, exact=expand is not None)
    limits = Limits(split, max_steps, max_invalid_actions)
    setting = Setting(environment, chosen, specifications, limits, concurrent or default_concurrent(environment), time_out)
    schedules = [Schedule(specification, temperature, top_p, max_tokens, seed) for specification in specifications]
    order = Order(setting, schedules, attempts, tasks, expand, budget, engine, processes, retry_failed)
    return _carry_out(order, directory, commit_rollouts, commit_seconds)


@dataclass(frozen=True)
class Order:
    """Which attempts are wanted, and what is to play them."""

    setting: Setting
    schedules: Sequence[Schedule]
    attempts: int
    tasks: int | Sequence[str] | None
    expand: str | None
    budget: int
    engine: str
    processes: int | None
    retry_failed: bool


def _checked(agent: str | Sequence[str], attempts: int, budget: int, engine: str) -> tuple[AgentSpecification, ...]:
    for name, number in {"attempts": attempts, "budget": budget}.items():
        if number < 1:
            raise BadInputError(f"{name} must be at least 1, not {number}.\nNext: --{name} 7")
    if engine not in {"local", "ray"}:
        raise BadInputError(f"There is no engine {engine!r}.\nNext: --engine local, or --engine ray")
    specifications = tuple(parse_specification(text) for text in ([agent] if isinstance(agent, str) else agent))
    if not specifications:
        raise BadInputError("There is no agent to explore with.\nNext: --agent scripted")
    return specifications


def _carry_out(order: Order, directory: str | Path, commit_rollouts: int, commit_seconds: float) -> StageResult:
    """Plans, takes away what is done, plays and commits the rest."""
    create_store(directory)
    with writing(directory):
        store = create_store(directory)
        wanted, branches = _wanted(order, store)
        if order.retry_failed:
            store = forget_failed(store, wanted.column("rollout_id"))
        missing = without_done(wanted, store)
        if not missing.num_rows:
            return StageResult("explore", False, {"rollouts": wanted.num_rows}, ("All of it was explored before.",))
        reads = {table: store.version(table) for table in ("nodes", "step_nodes") if order.expand is not None}
        writer = RolloutWriter(
            Path(directory),
            "explore",
            _settings(order),
            reads,
            most_steps=STEPS_PER_COMMIT,
            most_rollouts=commit_rollouts,
            most_seconds=commit_seconds,
        )
        live = Live(missing.num_rows, wanted.num_rows - missing.num_rows)
        _keep(_results(order, planned_attempts(missing, branches), missing.num_rows), writer, live, order.setting)
        compact(writer)
    return StageResult("explore", True, {"rollouts": writer.rollouts_committed, "steps": writer.steps_committed}, live.notes())


def _wanted(order: Order, store: Store) -> tuple[pa.Table, dict[str, Branch]]:
    """The whole plan, and the nodes that branches start from."""
    name, task_ids = choose_tasks(order.setting, order.tasks, store)
    if order.expand is None:
        return plan(name, task_ids, order.schedules, order.attempts), {}
    points = branch_points(store, order.expand, name, order.setting.limits.split, budget=order.budget, most=order.attempts)
    return plan_branches(name, points, order.schedules), {point.branch.node_id: point.branch for point in points}


def _environment_options(environment: str, options: dict[str, Any] | None, data: str | Path | None, exact: bool) -> dict[str, Any]:
    """With `exact`, also what makes the environment show the same again when a prefix is repeated."""
    replay = getattr(environment_class(environment), "replay_options", {}) if exact else {}
    return {**replay, **(options or {}), **({"data": str(data)} if data is not None else {})}


def _settings(order: Order) -> dict[str, Any]:
    """What the commits say about how they came to be."""
    setting = order.setting
    return {
        "environment": setting.environment,
        "environment_options": {name: _plain(value) for name, value in setting.environment_options.items() if name != "data"},
        "agents": [{"agent": s.agent, "model": s.model, "sampling": {**s.cycles, **s.fixed, "seed": s.seed}} for s in order.schedules],
        "attempts": order.attempts,
        "expand": order.expand,
        **asdict(setting.limits),
    }


def _plain(value: Any) -> Any:
    """As it is where a log can hold it: `replay` gives it to the environment again."""
    return value if isinstance(value, str | int | float | None) else str(value)


def _results(order: Order, attempts: Iterator[Attempt], count: int) -> Results:
    """The plan's attempts as they end, from whatever plays them."""
    setting, stop = order.setting, threading.Event()
    if order.engine == "ray":
        from tratree_data.exploration.ray_engine import play_under_ray

        results: Results = play_under_ray(setting, attempts, order.processes, stop)
        return results
    if is_computed(setting.agents):
        return play_in_processes(setting, attempts, order.processes or default_processes(setting.environment, count), stop)
    return play_attempts(setting, attempts, stop)


def _keep(results: Results, writer: RolloutWriter, live: Live, setting: Setting) -> None:
    """Commits what is finished, whatever ends the run."""
    in_a_row = 0
    try:
        with closing(results), live:
            for finished in results:
                if finished is not None:
                    _store(finished, writer)
                    live.add(finished)
                    in_a_row = in_a_row + 1 if finished.rollout.get("end_reason") in FAILURES else 0
                    _stop_if_hopeless(finished, in_a_row, setting)
                writer.commit_if_due()
    finally:
        writer.commit()


def _store(finished: Finished, writer: RolloutWriter) -> None:
    if finished.dropped is not None:
        writer.drop(finished.attempt.rollout_id, *finished.dropped)
        return
    writer.add(finished.rollout, finished.steps)
    if finished.replaced:
        writer.drop(finished.attempt.rollout_id, REPLACED, replacement_detail(finished.replaced))


def default_processes(environment: str, attempts: int) -> int:
    """One per core, but none for a handful of attempts that would be over before it had started."""
    return max(1, min(os.cpu_count() or 1, attempts // 8 if is_in_process(environment) else attempts))


def _stop_if_hopeless(finished: Finished, in_a_row: int, setting: Setting) -> None:
    """Ends a run that would only burn through its tasks."""
    if finished.rollout.get("end_reason") == "server_unavailable":
        raise TratreeError(
            f"The agent's server does not answer: {finished.trouble}. What was finished is kept.\n"
            "Next: start the server, then run the same command with --retry-failed"
        )
    if in_a_row >= FAILURES_IN_PER_ROW * setting.concurrent:
        raise TratreeError(
            f"The last {in_a_row} attempts all failed, the last one with {finished.rollout['end_reason']}: {finished.trouble}. "
            "What was finished is kept.\nNext: mend the cause, then run the same command with --retry-failed"
        )
