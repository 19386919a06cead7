"""Verified divergences: new attempts at both sides of a decision until their difference is certain, or the budget is spent.

A loop over two stages, so it is above them: the trees are rebuilt as they were built last, the sides that are still in doubt get attempts
(sql/branch_from_sides.sql), and so on. Every attempt is a rollout like any other.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from tratree_data.environments import EnvironmentChoice
from tratree_data.exploration.explore import explore
from tratree_data.exploration.settings import VerifySettings
from tratree_data.preferences.pair_filters import CERTAIN
from tratree_data.results import StageResult
from tratree_data.store.queries import query
from tratree_data.store.reader import Store, open_store
from tratree_data.system.settings import takes
from tratree_data.trees.build import build
from tratree_data.trees.built_with import last_settings


@takes(VerifySettings)
def verify(directory: str | Path, environment: EnvironmentChoice, settings: VerifySettings) -> StageResult:
    """Branches from both sides of each decision until the sides' scores are 1.96 standard errors apart, or the budget is spent.

    The result counts the decisions that were in doubt: confirmed, reversed, or still open.
    """
    store = open_store(directory)
    store.need("nodes", "step_nodes")
    built = last_settings(store).as_dict()
    store = _rebuilt(directory, built)
    doubted = _doubted(store)
    left = settings.budget
    while left and _doubted(store):
        before = store.count("rollouts")
        now = replace(settings, budget=left)
        explore(directory, environment, **{field.name: getattr(now, field.name) for field in fields(now) if field.init})
        store = _rebuilt(directory, built)
        played = store.count("rollouts") - before
        if not played:
            break
        left -= played
    verdicts = _verdicts(store, doubted)
    counts = {"decisions": len(doubted), **verdicts, "rollouts": settings.budget - left}
    return StageResult("verify", settings.budget > left, counts, _notes(store, verdicts, left))


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
