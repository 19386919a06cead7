"""agents × tasks × attempts → rollouts, steps: plans what is missing, has it played, and commits what is finished.

The plan is a table: one row per attempt, its rollout_id a hash of what defines it, minus what is already committed. So a killed run
resumes with exactly what is missing, and more attempts add only the new ones. Finished rollouts are committed in batches; a kill loses
only the batch that was not committed yet.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.agents import parse_specification
from tratree_data.environments import EnvironmentChoice, EnvironmentHooks, environment_class, is_adapted, is_environment
from tratree_data.errors import BadInputError, TratreeError, quoted, wrong_order
from tratree_data.exploration.attempt import FAILURES, Attempt, Branch, Finished, Limits
from tratree_data.exploration.branching import branch_points
from tratree_data.exploration.cluster import play_on_cluster
from tratree_data.exploration.live import Live
from tratree_data.exploration.planning import Schedule, choose_tasks, forget_failed, plan, plan_branches, planned_attempts, without_done
from tratree_data.exploration.player_process import play_in_processes
from tratree_data.exploration.pool import (
    EpisodeSettings,
    Results,
    default_concurrent,
    is_computed,
    is_in_process,
    play_attempts,
)
from tratree_data.exploration.settings import ExploreSettings
from tratree_data.results import StageResult
from tratree_data.store.reader import Store
from tratree_data.store.writing.rollout_writer import RolloutWriter, compact
from tratree_data.store.writing.storable_text import REPLACED, replacement_detail
from tratree_data.store.writing.writer import create_store, writing
from tratree_data.system.engine import is_cluster
from tratree_data.system.settings import takes

STEPS_PER_COMMIT = 20_000
FAILURES_IN_PER_ROW = 3
"""Times the number of concurrent episodes: after so many failures in a row the run is stopped."""


@takes(ExploreSettings)
def explore(directory: str | Path, environment: EnvironmentChoice, settings: ExploreSettings) -> StageResult:
    """Runs agents in an environment; every attempt becomes a rollout. The same call resumes where the last one stopped.

    `branch_from` starts new attempts from chosen nodes of the trees: divergences, uncertain, unsolved, or a query that returns node_id
    and priority. They share `budget` attempts, at most `attempts` per node. An agent may be an instance or a function of messages and
    tools, an environment a class or an instance.
    """
    if is_environment(str(directory)) and isinstance(environment, str) and ":" not in environment and not is_environment(environment):
        python, command = f"explore({environment!r}, {str(directory)!r}, …)", f"tratree explore {quoted(directory)} {quoted(environment)} …"
        raise wrong_order("the environment", python, command)
    if not isinstance(environment, str | type) and settings.concurrent not in (None, 1):
        raise BadInputError("An instance plays one episode at a time.\nNext: pass its class, or concurrent=1")
    specifications = tuple(parse_specification(text) for text in settings.agent)
    options = _environment_options(environment, settings)
    limits = Limits(settings.split, settings.max_steps, settings.max_invalid_actions)
    concurrent = settings.concurrent or default_concurrent(environment)
    episodes = EpisodeSettings(environment, options, specifications, limits, concurrent, settings.time_out)
    schedules = [
        Schedule(specification, settings.temperature, settings.top_p, settings.max_tokens, settings.seed)
        for specification in specifications
    ]
    create_store(directory)
    with writing(directory):
        return _explore(create_store(directory), settings, episodes, schedules)


def _explore(store: Store, settings: ExploreSettings, episodes: EpisodeSettings, schedules: Sequence[Schedule]) -> StageResult:
    """Plans, subtracts what is done, plays the rest and commits it."""
    name, task_ids = choose_tasks(episodes, settings.tasks, store)
    planned, branches = _plan(store, settings, name, task_ids, schedules)
    if settings.retry_failed:
        store = forget_failed(store, planned.column("rollout_id"))
    missing = without_done(planned, store)
    if not missing.num_rows:
        return StageResult("explore", False, {"rollouts": planned.num_rows}, ("All of these attempts were explored before.",))
    writer = RolloutWriter(
        store.path,
        "explore",
        _recorded(settings, name, episodes, schedules),
        {table: store.version(table) for table in ("nodes", "step_nodes") if settings.branch_from is not None},
        most_steps=STEPS_PER_COMMIT,
        most_rollouts=settings.commit_rollouts,
        most_seconds=settings.commit_seconds,
    )
    live = Live(missing.num_rows, planned.num_rows - missing.num_rows)
    _keep(_results(settings, episodes, planned_attempts(missing, branches), missing.num_rows), writer, live, episodes)
    compact(writer)
    return StageResult("explore", True, {"rollouts": writer.rollouts_committed, "steps": writer.steps_committed}, live.notes())


def _plan(
    store: Store, settings: ExploreSettings, environment: str, task_ids: Sequence[str], schedules: Sequence[Schedule]
) -> tuple[pa.Table, dict[str, Branch]]:
    """The whole plan, and the nodes that branches start from."""
    if settings.branch_from is None:
        return plan(environment, task_ids, schedules, settings.attempts), {}
    points = branch_points(store, settings.branch_from, environment, settings.split, budget=settings.budget, most=settings.attempts)
    return plan_branches(environment, points, schedules), {point.branch.node_id: point.branch for point in points}


def _environment_options(environment: EnvironmentChoice, settings: ExploreSettings) -> dict[str, Any]:
    """For branches, also what makes the environment show the same again when a prefix is repeated."""
    found = environment_class(environment)
    exact = getattr(found, "replay_options", EnvironmentHooks.replay_options) if settings.branch_from is not None else {}
    return {**exact, **settings.environment_options}


def _recorded(settings: ExploreSettings, name: str, episodes: EpisodeSettings, schedules: Sequence[Schedule]) -> dict[str, Any]:
    """What the commits record about how they were made."""
    return {
        "environment": _reference(episodes.environment, name),
        "environment_name": name,
        "environment_options": {name: _plain(value) for name, value in episodes.environment_options.items() if name != "data"},
        "agents": [{"agent": s.agent, "model": s.model, "sampling": {**s.cycles, **s.fixed, "seed": s.seed}} for s in schedules],
        **settings.recorded(),
    }


def _reference(environment: EnvironmentChoice, name: str) -> str:
    """The name that the user typed, or what names the class that was passed. A command or an address behind an adapter is not recorded."""
    if isinstance(environment, str):
        return name if is_adapted(environment) else environment
    found = environment_class(environment)
    return f"{found.__module__}:{found.__qualname__}"


def _plain(value: Any) -> Any:
    """The value unchanged if a log can hold it: `replay` passes it to the environment again."""
    return value if isinstance(value, str | int | float | None) else str(value)


def _results(settings: ExploreSettings, episodes: EpisodeSettings, attempts: Iterator[Attempt], count: int) -> Results:
    """The plan's attempts as they end, from whatever plays them."""
    stop = threading.Event()
    passed = not isinstance(episodes.environment, str) or any(agent.given is not None for agent in episodes.agents)
    if is_cluster(settings.engine) and passed:
        raise BadInputError(
            "The workers of a cluster cannot get an agent or environment that was passed as an object.\n"
            "Next: name it as module:Class, with the module on every machine"
        )
    if is_cluster(settings.engine):
        return play_on_cluster(settings.engine, episodes, attempts, settings.processes, stop)
    if is_computed(episodes.agents) and isinstance(episodes.environment, str):
        return play_in_processes(episodes, attempts, settings.processes or default_processes(episodes.environment, count), stop)
    return play_attempts(episodes, attempts, stop)


def _keep(results: Results, writer: RolloutWriter, live: Live, episodes: EpisodeSettings) -> None:
    """Commits what is finished, whatever ends the run."""
    in_a_row = 0
    try:
        with closing(results), live:
            for finished in results:
                if finished is not None:
                    _store(finished, writer)
                    live.add(finished)
                    in_a_row = in_a_row + 1 if finished.rollout.get("end_reason") in FAILURES else 0
                    _stop_if_hopeless(finished, in_a_row, episodes)
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


def default_processes(environment: EnvironmentChoice, attempts: int) -> int:
    """One process per core, but none for a few attempts that would end before it had started."""
    return max(1, min(os.cpu_count() or 1, attempts // 8 if is_in_process(environment) else attempts))


def _stop_if_hopeless(finished: Finished, in_a_row: int, episodes: EpisodeSettings) -> None:
    """Ends a run in which everything fails."""
    if finished.rollout.get("end_reason") == "server_unavailable":
        raise TratreeError(
            f"The agent's server does not answer: {finished.trouble}. Finished rollouts are kept.\n"
            "Next: start the server, then run the same command with --retry-failed"
        )
    if in_a_row >= FAILURES_IN_PER_ROW * episodes.concurrent:
        raise TratreeError(
            f"The last {in_a_row} attempts all failed, the last one with {finished.rollout['end_reason']}: {finished.trouble}. "
            "Finished rollouts are kept.\nNext: fix the cause, then run the same command with --retry-failed"
        )
