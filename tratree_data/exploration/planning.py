"""The plan of an exploration as a table: one row per attempt, its rollout_id a hash of everything that defines it.

Finished attempts are subtracted from it, so a killed run resumes with exactly what is missing, and more attempts add only the new ones.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.agents import AgentHooks, AgentSpecification, make_agent
from tratree_data.environments.exploration_options import recorded_limits
from tratree_data.errors import BadInputError
from tratree_data.exploration.attempt import FAILURES, Attempt, Branch, Limits
from tratree_data.exploration.branching import BranchPoint
from tratree_data.exploration.pool import EpisodeSettings, open_environment
from tratree_data.ids import rollout_id
from tratree_data.store.reader import Store
from tratree_data.store.schemas import empty_table
from tratree_data.store.writing.rollout_writer import stream_table
from tratree_data.store.writing.storable_text import REPLACED
from tratree_data.store.writing.writer import commit

PLAN = pa.schema(
    [
        pa.field("rollout_id", pa.string(), False),
        pa.field("task_id", pa.string(), False),
        pa.field("attempt", pa.int32(), False),
        pa.field("agent", pa.int32(), False),
        pa.field("sampling", pa.string(), False),
        pa.field("branch_node_id", pa.string()),
    ]
)
FIXED = ("expert", "transcript")
"""Agents without sampling."""


class Schedule:
    """The sampling of each attempt of an agent: attempts cycle through lists."""

    def __init__(self, specification: AgentSpecification, temperature: str | float, top_p: str | float, max_tokens: int, seed: int) -> None:
        self.specification, self.seed = specification, seed
        own = specification.sampling
        self.cycles = {
            "temperature": numbers("temperature", str(own.get("temperature", temperature)), 0.0, 2.0),
            "top_p": numbers("top_p", str(own.get("top_p", top_p)), 0.0, 1.0),
        }
        self.fixed: dict[str, Any] = {
            "max_tokens": int(own.get("max_tokens", max_tokens)),
            **({"top_k": int(own["top_k"])} if "top_k" in own else {}),
        }
        named = make_agent(specification)
        self.agent, self.model = named.name, named.model
        if getattr(named, "calls_tools", AgentHooks.calls_tools):
            self.fixed["form"] = "chat"
        self.most_attempts = getattr(named, "most_attempts", AgentHooks.most_attempts) or sys.maxsize

    def sampling(self, attempt: int) -> str:
        """JSON, as it is stored with the rollout."""
        if self.specification.name in FIXED:
            return "{}"
        cycled = {name: values[attempt % len(values)] for name, values in self.cycles.items()}
        if self.specification.name == "scripted":  # a script does not use the rest
            return json.dumps({"temperature": cycled["temperature"], "seed": self.seed}, sort_keys=True)
        return json.dumps({**cycled, **self.fixed, "seed": self.seed}, sort_keys=True)


def numbers(name: str, text: str, low: float, high: float) -> list[float]:
    """'0.2,0.7' lists values; '0.2..1.4/7' is a ramp of seven. The length is explicit so that more attempts do not change earlier ones."""
    values: list[float] = []
    try:
        for part in text.split(","):
            ends, slash, count = part.partition("/")
            first, dots, last = ends.partition("..")
            if dots:
                stops = int(count) if slash else 0
                if stops < 2:
                    raise ValueError
                values += [round(float(first) + (float(last) - float(first)) * i / (stops - 1), 6) for i in range(stops)]
            else:
                values.append(float(part))
    except ValueError as error:
        raise BadInputError(
            f"{name} {text!r} is not a list of numbers.\nNext: --{name.replace('_', '-')} 0.7, or 0.2,0.7,1.0, or 0.2..1.4/7"
        ) from error
    for value in values:
        if not low <= value <= high:
            raise BadInputError(f"{name} must be from {low:g} to {high:g}, not {value:g}.\nNext: change --{name.replace('_', '-')}")
    return values


def choose_tasks(settings: EpisodeSettings, tasks: int | Sequence[str] | None, store: Store) -> tuple[str, list[str]]:
    """The environment's own name, and the task ids: all of the split, its first N, or those named."""
    environment, split = open_environment(settings), settings.limits.split
    try:
        _need_same_version(environment.name, environment.version, store)
        _need_same_limits(environment.name, settings.limits, store)
        splits = environment.splits()
        if split not in splits:
            raise BadInputError(
                f"{environment.name} has no split {split!r}. Available: {', '.join(splits)}.\nNext: --split {next(iter(splits), '…')}"
            )
        known = environment.tasks(split)
        if tasks is None:
            return environment.name, known
        if isinstance(tasks, int):
            if tasks < 1:
                raise BadInputError(f"tasks must be at least 1, not {tasks}.\nNext: --tasks 10, or leave it out for all {len(known)}")
            return environment.name, known[:tasks]
        unknown = [task for task in tasks if task not in set(known)]
        if unknown:
            raise BadInputError(f"{environment.name} has no task {unknown[0]!r} in {split!r}; one of its {len(known)} is {known[0]!r}.")
        return environment.name, list(tasks)
    finally:
        environment.close()


def _need_same_version(name: str, version: str, store: Store) -> None:
    """Refuses another version of the environment: it may show different things in the same task, and a tree would mix them."""
    if not store.has("rollouts"):
        return
    explored = store.sql(
        "SELECT DISTINCT environment_version AS v FROM rollouts WHERE source = 'explore' AND environment = $name", {"name": name}
    )
    other = sorted(set(explored.column("v").to_pylist()) - {version, None})
    if other:
        raise BadInputError(
            f"{store.path} was explored in another version of {name}, and a tree would mix the two.\n"
            f"  then: {other[0]}\n  now:  {version}\n"
            "Next: use the same options, data and packages as then, or explore into another folder"
        )


def _need_same_limits(name: str, limits: Limits, store: Store) -> None:
    """Refuses another limit: a rollout that it cuts short is scored under other rules, and its id does not contain the limit."""
    if not store.has("rollouts"):
        return
    for other in recorded_limits(store, name):
        for limit, then in other.items():
            now = getattr(limits, limit)
            if then != now:
                raise BadInputError(
                    f"{store.path} was explored with {limit} {_limit(then)}, and a tree would mix those scores with {_limit(now)}.\n"
                    f"Next: {_option(limit, then)}, or explore into another folder"
                )


def _limit(value: int | None) -> str:
    return "left to the environment" if value is None else str(value)


def _option(limit: str, value: int | None) -> str:
    option = f"--{limit.replace('_', '-')}"
    return f"leave out {option}" if value is None else f"{option} {value}"


def plan(environment: str, task_ids: Sequence[str], schedules: Sequence[Schedule], attempts: int) -> pa.Table:
    """Every planned attempt, task by task, so that trees are completed one after the other."""
    rows: dict[str, list[Any]] = {name: [] for name in PLAN.names}
    samplings = [[schedule.sampling(attempt) for attempt in range(attempts)] for schedule in schedules]
    for task_id in task_ids:
        for attempt in range(attempts):
            for number, schedule in enumerate(schedules):
                if attempt >= schedule.most_attempts:
                    continue
                sampling = samplings[number][attempt]
                identity = rollout_id(environment, task_id, schedule.agent, schedule.model, sampling, attempt)
                for name, value in zip(PLAN.names, (identity, task_id, attempt, number, sampling, None), strict=True):
                    rows[name].append(value)
    return pa.table(rows, schema=PLAN)


def plan_branches(environment: str, points: Sequence[BranchPoint], schedules: Sequence[Schedule]) -> pa.Table:
    """The attempts from chosen nodes; agents and samplings take turns. Their numbers continue the tree's, so the plan is the same
    after a kill, and another one once the tree has grown."""
    rows: dict[str, list[Any]] = {name: [] for name in PLAN.names}
    for point in points:
        for i in range(point.attempts):
            turn = point.first_branch + i
            number, schedule = turn % len(schedules), schedules[turn % len(schedules)]
            sampling = {**json.loads(schedule.sampling(turn // len(schedules))), "environment_seed": point.branch.environment_seed}
            text = json.dumps(sampling, sort_keys=True)
            identity = rollout_id(environment, point.task_id, schedule.agent, schedule.model, text, "branch", point.branch.node_id, turn)
            row = (identity, point.task_id, point.first_attempt + i, number, text, point.branch.node_id)
            for name, value in zip(PLAN.names, row, strict=True):
                rows[name].append(value)
    return pa.table(rows, schema=PLAN)


def without_done(planned: pa.Table, store: Store) -> pa.Table:
    """The planned rows that have neither become rollouts nor been dropped."""
    done = [store.read("rollouts", ["rollout_id"]).column(0).combine_chunks()] if store.has("rollouts") else []
    if store.has("dropped"):
        done.append(store.read("dropped", ["subject"], filter=pc.field("stage") == "explore").column(0).combine_chunks())
    if not done:
        return planned
    return planned.filter(pc.invert(pc.is_in(planned.column("rollout_id"), value_set=pa.concat_arrays(done))))


def forget_failed(store: Store, planned: pa.ChunkedArray) -> Store:
    """The dataset without the planned rollouts that failed for technical reasons or were dropped, so that they are played again."""
    if not store.has("rollouts"):
        return store
    ids = planned.combine_chunks()
    failed = pc.field("end_reason").isin(list(FAILURES)) & pc.field("rollout_id").isin(ids)
    gone = store.read("rollouts", ["rollout_id"], filter=failed).column(0).combine_chunks()
    dropped = store.read("dropped") if store.has("dropped") else empty_table("dropped")
    kept_rollouts = pc.and_(pc.equal(dropped.column("reason"), REPLACED), pc.invert(pc.is_in(dropped.column("subject"), value_set=gone)))
    ours = pc.and_(pc.equal(dropped.column("stage"), "explore"), pc.is_in(dropped.column("subject"), value_set=ids))
    ours = pc.and_(ours, pc.invert(kept_rollouts))
    left = dropped.filter(pc.invert(ours))
    if not len(gone) and left.num_rows == dropped.num_rows:
        return store
    keep = ~pc.field("rollout_id").isin(gone)
    tables: dict[str, Any] = {"steps": stream_table(store, "steps", keep)}
    if left.num_rows < dropped.num_rows:
        tables["dropped"] = left
    tables["rollouts"] = stream_table(store, "rollouts", keep)
    settings = {"forgotten": len(gone) + dropped.num_rows - left.num_rows}
    return commit(store.path, "explore", tables, settings=settings, reads={})


def planned_attempts(missing: pa.Table, branches: Mapping[str, Branch]) -> Iterator[Attempt]:
    for part in missing.to_batches(max_chunksize=1000):
        for row in part.to_pylist():
            node_id = row.pop("branch_node_id")
            yield Attempt(**row, branch=branches.get(node_id))
