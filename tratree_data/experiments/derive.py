"""Everything that a dataset of an experiment derives from its rollouts, by the package's own stages."""

from pathlib import Path
from typing import Any

from tratree_data.preferences.demonstrations import demonstrations
from tratree_data.preferences.pairs import pairs
from tratree_data.results import StageResult
from tratree_data.state_graphs.states import states
from tratree_data.tree_search.replay import replay
from tratree_data.tree_search.search import search
from tratree_data.trees.build import build


def derive(out: Path, settings: dict[str, Any], environment: str) -> list[StageResult]:
    """Trees, and of the other stages those that the recipe has settings for."""
    notes = [build(out, **settings.get("build", {"embedder": "exact"}))]
    if "search" in settings:
        notes.append(search(out, **settings["search"]))
    if "states" in settings:
        notes.append(states(out, **settings["states"]))
    if "replay" in settings:
        classes = [environment] if ":" in environment else []  # the user's own recipe names it
        notes.append(replay(out, **({"environments": classes} | settings["replay"])))
    if "pairs" in settings:
        notes.append(pairs(out, **settings["pairs"]))
    if "demonstrations" in settings:
        notes.append(demonstrations(out, **settings["demonstrations"]))
    return notes
