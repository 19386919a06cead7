"""One path in the environment: its actions in order, and what may be seen before each.

A node that was merged from similar observations represents all of them: what the environment shows must equal the observation of any
rollout at that node. The text after the last action is compared with what the path's own rollouts saw there, if the log says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from tratree_data.environments import Environment, EnvironmentFailure
from tratree_data.environments.tools import take_action
from tratree_data.errors import BadInputError, NotFoundError, quoted
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store

SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class PathStep:
    """A node of a path: what any rollout saw there, and what all of them did."""

    observations: frozenset[str]
    action: str


@dataclass(frozen=True)
class PlannedPath:
    """A path with everything that is needed to replay it."""

    path_id: str
    tree_id: str
    environment: str
    task_id: str
    steps: tuple[PathStep, ...]
    end_observations: frozenset[str] = frozenset()
    """What its rollouts saw after the last action; empty if the log does not say."""
    environment_seed: int = 0


@dataclass(frozen=True)
class ReplayedPath:
    """The outcome of a replay: `replayed` is None if the path could not be replayed; `reason` is empty only if everything came back."""

    path_id: str
    replayed: bool | None
    score: float | None = None
    reason: str = ""
    detail: str = ""
    differs_at: int | None = None


def replay_path(environment: Environment, path: PlannedPath) -> ReplayedPath:
    """Takes all actions even if an observation differs, so that the score is what these actions earn."""
    difference: tuple[str, str, int | None] = "", "", None
    try:
        observation, done = environment.reset(path.task_id, path.environment_seed).observation, False
        for number, step in enumerate(path.steps):
            if done:
                ended = "ended_early", f"the episode was over before step {number}", number
                return ReplayedPath(path.path_id, False, environment.score(), *ended)
            if not difference[0] and observation.strip() not in step.observations:
                difference = "observation_differs", _difference(f"step {number}", observation, step.observations), number
            outcome = take_action(environment, step.action)
            observation, done = outcome.observation, outcome.done
        if not difference[0] and path.end_observations and observation.strip() not in path.end_observations:
            difference = "observation_differs", _difference("the end", observation, path.end_observations), len(path.steps)
        return ReplayedPath(path.path_id, not difference[0], environment.score(), *difference)
    except EnvironmentFailure as failure:
        return ReplayedPath(path.path_id, None, None, failure.reason, failure.message)
    except NotFoundError as error:
        return ReplayedPath(path.path_id, None, None, "unknown_task", str(error).partition("\n")[0])


def read_paths(store: Store, rows: Sequence[Mapping[str, Any]]) -> list[PlannedPath]:
    steps: dict[str, list[PathStep]] = {row["path_id"]: [] for row in rows}
    table = query(store, "path_steps", path_ids=list(steps))
    if table.column("action").null_count:
        missing = table.filter(pc.is_null(table.column("action"))).column("node_id")[0]
        raise BadInputError(
            f"A path contains the node {missing}, which is not in the tree: the paths are older than the tree.\n"
            f"Next: tratree search {quoted(store.path)}"
        )
    for row in table.to_pylist():
        steps[row["path_id"]].append(PathStep(frozenset(text.strip() for text in row["observations"]), row["action"]))
    return [
        PlannedPath(
            row["path_id"],
            row["tree_id"],
            row["environment"],
            row["task_id"],
            tuple(steps[row["path_id"]]),
            frozenset(t.strip() for t in row["end_observations"]),
            row["environment_seed"],
        )
        for row in rows
    ]


def _difference(where: str, observation: str, expected: frozenset[str]) -> str:
    return f"{where}: the environment showed {observation.strip()[:SHOWN_CHARACTERS]!r}, the tree says {min(expected)[:SHOWN_CHARACTERS]!r}"
