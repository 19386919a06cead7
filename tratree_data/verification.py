"""Verified divergences: new attempts at both sides of a decision until their difference is certain, or the budget is spent.

A loop over two stages, so it is above them: the trees are rebuilt as they were built last, the decisions that should be settled soonest
get attempts at both sides (sql/branch_from_sides.sql), again and again, spending a tenth of the budget each time. Every attempt is a
rollout like any other. Looking often finds differences where none are, so a decision is settled by 2.58 standard errors, not by 1.96
(benchmarks/verifying.py says how often level sides are confirmed).
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from tratree_data.environments import EnvironmentChoice
from tratree_data.exploration.branching import choose_nodes
from tratree_data.exploration.explore import explore
from tratree_data.exploration.settings import VerifySettings
from tratree_data.preferences.pair_filters import CERTAIN
from tratree_data.results import StageResult
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store, open_store
from tratree_data.system.settings import takes
from tratree_data.trees.build import build
from tratree_data.trees.built_with import last_settings

ROUNDS = 10
"""The budget is divided into this many rounds."""


@takes(VerifySettings)
def verify(directory: str | Path, environment: EnvironmentChoice, settings: VerifySettings) -> StageResult:
    """Branches from both sides of decisions until their scores are 2.58 standard errors apart, the cheapest to settle first.

    The result counts the decisions that were in doubt: confirmed, reversed, or still open once the budget is spent.
    """
    store = open_store(directory)
    store.need("nodes", "step_nodes")
    built = last_settings(store).as_dict()
    store = _rebuilt(directory, built)
    doubted = _doubted(store)
    better = [better for better, _ in doubted]
    stuck: set[str] = set()
    left = settings.budget
    while left:
        budget = min(left, max(2 * settings.attempts, settings.budget // ROUNDS))
        chosen = [node for node in _sides(store, settings.split, better) if node not in stuck][: -(-budget // settings.attempts)]
        if not chosen:
            break
        before = _branches(store)
        now = replace(settings, budget=budget, branch_from=f"SELECT unnest({chosen}) AS node_id")
        explore(directory, environment, **{field.name: getattr(now, field.name) for field in fields(now) if field.init})
        store = _rebuilt(directory, built)
        after = _branches(store)
        stuck |= {node for node in chosen if after.get(node) == before.get(node)}
        left -= sum(after.values()) - sum(before.values())
    verdicts = _verdicts(store, doubted)
    certain = store.sql("SELECT count(*) AS n FROM decisions WHERE is_divergence AND margin_z >= $z", {"z": CERTAIN})["n"][0].as_py()
    counts = {"decisions": len(doubted), **verdicts, "certain divergences": certain, "rollouts": settings.budget - left}
    return StageResult("verify", settings.budget > left, counts, _notes(store, verdicts, left))


def _sides(store: Store, split: str, better: Sequence[str]) -> list[str]:
    """Sides of these decisions, given by their better children, the most promising first.

    Decisions that the new attempts create are left alone. Those of other environments get no attempts the first time, and are then skipped.
    """
    names = store.sql("SELECT DISTINCT environment FROM rollouts ORDER BY environment")["environment"].to_pylist()
    siblings = "SELECT node_id FROM nodes WHERE parent_id IN (SELECT parent_id FROM nodes WHERE node_id IN (SELECT unnest($better)))"
    asked = set(store.sql(siblings, {"better": list(better)})["node_id"].to_pylist())
    return [node for name in names for node, _ in choose_nodes(store, "sides", name, split) if node in asked]


def _branches(store: Store) -> dict[str, int]:
    """{node: rollouts that branched from it}."""
    rows = store.sql("SELECT branch_node_id, count(*) AS n FROM rollouts WHERE branch_node_id IS NOT NULL GROUP BY 1")
    return dict(zip(rows["branch_node_id"].to_pylist(), rows["n"].to_pylist(), strict=True))


def _rebuilt(directory: str | Path, built: Mapping[str, Any]) -> Store:
    build(directory, **built)
    return open_store(directory)


def _doubted(store: Store) -> list[tuple[str, str]]:
    """(better child, worse child) of each divergence that is not certain."""
    rows = store.sql(
        "SELECT best_id, worst_id FROM decisions WHERE is_divergence AND margin_z < $z ORDER BY best_id, worst_id", {"z": CERTAIN}
    )
    return list(zip(rows["best_id"].to_pylist(), rows["worst_id"].to_pylist(), strict=True))


def _verdicts(store: Store, doubted: list[tuple[str, str]]) -> dict[str, int]:
    sides = {"better": [better for better, _ in doubted], "worse": [worse for _, worse in doubted], "z": CERTAIN}
    found = query(store, "verdicts", **sides).to_pylist()[0]
    return {name: int(found[name]) for name in ("confirmed", "reversed", "open")}


def _notes(store: Store, verdicts: Mapping[str, int], left: int) -> tuple[str, ...]:
    notes = ["The trees include the new attempts. Next: tratree search, then tratree pairs, whose column `verified` says which are certain"]
    if verdicts["open"] and left:
        why = "nothing follows one of their sides, or it could not be repeated"
        notes.insert(0, f"{verdicts['open']:,} decisions cannot be settled by more attempts: {why}")
    elif verdicts["open"]:
        notes.insert(0, f"The budget is spent; a larger --budget continues with the {verdicts['open']:,} that are open")
    return tuple(notes)
