"""A path as a walk through its environment: the actions in order, and what may be seen before each.

A node that was merged from similar observations stands for all of them: what comes back must equal the observation of any rollout at that
node. The text after the last action is compared with what the path's own rollouts saw there, where the log says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from tratree_data.environments import Environment, EnvironmentFailure
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.store.queries import query
from tratree_data.store.reader import Store

SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class WalkStep:
    """A node of a path: what any rollout saw there, and what all of them did."""

    observations: frozenset[str]
    action: str


@dataclass(frozen=True)
class Walk:
    """A path with everything that is needed to walk it."""

    path_id: str
    environment: str
    task_id: str
    steps: tuple[WalkStep, ...]
    end_observations: frozenset[str] = frozenset()
    """What its rollouts saw after the last action; empty if the log does not say."""
    environment_seed: int = 0


@dataclass(frozen=True)
class Walked:
    """What came of it: `replayed` and `score` are None where the walk could not be made; a reason unless all came back."""

    path_id: str
    replayed: bool | None
    score: float | None = None
    reason: str = ""
    detail: str = ""


def walk_path(environment: Environment, walk: Walk) -> Walked:
    """All actions are taken even where an observation differs, so that the score is what these actions earn."""
    try:
        observation, done = environment.reset(walk.task_id, walk.environment_seed).observation, False
        reason, detail = "", ""
        for number, step in enumerate(walk.steps):
            if done:
                return Walked(walk.path_id, False, environment.score(), "ended_early", f"the episode was over before step {number}")
            if not reason and observation.strip() not in step.observations:
                reason, detail = "observation_differs", _difference(f"step {number}", observation, step.observations)
            outcome = environment.step(step.action)
            observation, done = outcome.observation, outcome.done
        if not reason and walk.end_observations and observation.strip() not in walk.end_observations:
            reason, detail = "observation_differs", _difference("the end", observation, walk.end_observations)
        return Walked(walk.path_id, not reason, environment.score(), reason, detail)
    except EnvironmentFailure as failure:
        return Walked(walk.path_id, None, None, failure.reason, failure.message)
    except NotFoundError as error:
        return Walked(walk.path_id, None, None, "unknown_task", str(error).partition("\n")[0])


def read_walks(store: Store, rows: Sequence[Mapping[str, Any]]) -> list[Walk]:
    steps: dict[str, list[WalkStep]] = {row["path_id"]: [] for row in rows}
    table = query(store, "path_steps", path_ids=list(steps))
    if table.column("action").null_count:
        missing = table.filter(pc.is_null(table.column("action"))).column("node_id")[0]
        raise BadInputError(
            f"A path names the node {missing}, which is not in the tree: the paths are older.\nNext: tratree search {store.path}"
        )
    for row in table.to_pylist():
        steps[row["path_id"]].append(WalkStep(frozenset(text.strip() for text in row["observations"]), row["action"]))
    return [
        Walk(
            row["path_id"],
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
