"""New attempts at both sides of doubtful decisions, played on arrays: what `tratree verify` does, for all seeds of a block at once.

The decisions, the steps that lead to them and the verdicts are the package's own (sql/branch_from_sides.sql, exploration/branching.py,
`pairs.verified`). Each round, a seed's most different sides get so many attempts each, and the trees are built again.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tratree_data.environments.galley import SPLITS, Galley
from tratree_data.experiments.tabular.batch import Kitchens
from tratree_data.exploration.attempt import Attempt
from tratree_data.exploration.branching import BranchPoint, choose_nodes, points_of_nodes
from tratree_data.exploration.settings import ExploreSettings
from tratree_data.ids import rollout_id
from tratree_data.store.reader import Store, open_store
from tratree_data.trees.build import build

if TYPE_CHECKING:
    from tratree_data.experiments.tabular.networks import Weights

ROUNDS_PLAYED = "SELECT count(DISTINCT CAST(sampling ->> 'round' AS INTEGER)) AS n FROM rollouts WHERE branch_node_id IS NOT NULL"


def verify_block(
    out: Path, settings: dict[str, Any], seeds: Sequence[int], explorer: str, weights: "Weights", built: dict[str, Any]
) -> None:
    """`settings`: rounds, sides per seed and round, attempts per side. A killed run resumes with the round that is missing."""
    build(out, **built)
    for number in range(open_store(out).sql(ROUNDS_PLAYED)["n"][0].as_py(), settings["rounds"]):
        points = _points(open_store(out), int(settings["sides"]), int(settings["attempts"]))
        _play(out, points, seeds, explorer, weights, number)
        build(out, **built)


def _points(store: Store, sides: int, attempts: int) -> dict[int, list[BranchPoint]]:
    """Each seed's sides with the widest differences."""
    seed_of = {
        row["tree_id"]: int(row["task_id"].partition("/")[0])
        for row in store.sql("SELECT DISTINCT tree_id, task_id FROM rollouts").to_pylist()
    }
    tree_of = {row["node_id"]: row["tree_id"] for row in store.sql("SELECT node_id, tree_id FROM nodes").to_pylist()}
    chosen: dict[int, list[tuple[str, float]]] = defaultdict(list)
    for node, priority in choose_nodes(store, "sides", Galley.name, "train"):
        own = chosen[seed_of[tree_of[node]]]
        if len(own) < sides:
            own.append((node, priority))
    nodes = [node for own in chosen.values() for node in own]
    points: dict[int, list[BranchPoint]] = defaultdict(list)
    for point in points_of_nodes(store, nodes, Galley.name, "train", budget=len(nodes) * attempts, most=attempts):
        points[seed_of[point.tree_id]].append(point)
    return points


def _play(out: Path, points: dict[int, list[BranchPoint]], seeds: Sequence[int], explorer: str, weights: "Weights", number: int) -> None:
    """The attempts of a round, and one commit that holds them all."""
    from tratree_data.experiments.tabular.playing import continuing, play, sampling, store_branches

    sampled = {"temperature": 1.0, "round": number}
    attempts: list[list[Attempt]] = [[] for _ in seeds]
    for row, seed in zip(attempts, seeds, strict=True):
        for point in points[seed]:
            text = json.dumps(sampled | {"environment_seed": point.branch.environment_seed}, sort_keys=True)
            for i in range(point.attempts):
                turn = point.first_branch + i
                identity = rollout_id(Galley.name, point.task_id, "network", explorer, text, "branch", point.branch.node_id, turn)
                row.append(Attempt(identity, point.task_id, point.first_attempt + i, 0, text, point.branch))
    most = max(map(len, attempts))
    plans = [
        [[step.action for step in attempt.branch.steps] if attempt.branch else [] for attempt in row] + [[]] * (most - len(row))
        for row in attempts
    ]
    tasks = [[int(attempt.task_id.rpartition("/")[2]) for attempt in row] + [0] * (most - len(row)) for row in attempts]
    chooses = continuing(plans, sampling(weights, seeds, f"verify/{number}"))
    played = play(Kitchens(seeds, np.asarray(SPLITS["train"])[np.array(tasks)]), chooses)
    lineage = {
        "environment": Galley.name,
        "environment_name": Galley.name,
        "environment_options": {},
        "agents": [{"agent": "network", "model": explorer, "sampling": sampled}],
        **ExploreSettings(agent="network", branch_from="sides", budget=sum(map(len, attempts))).recorded(),
    }
    store_branches(out, played, attempts, explorer, lineage)
