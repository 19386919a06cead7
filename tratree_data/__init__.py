"""Trajectory trees from weak agents' rollouts: build them, question them in SQL, publish them, train on them.

Every verb of the command line is a function here; each is imported when it is first used.
"""

from importlib import import_module
from typing import Any

VERBS = {
    "audit": "trees.audit",
    "build": "trees.build",
    "check": "store.checks",
    "compare": "evaluation.evaluate",
    "create_store": "store.writer",
    "delete": "editing.derive",
    "demonstrations": "preferences.demonstrations",
    "evaluate": "evaluation.evaluate",
    "explore": "exploration.explore",
    "export": "exporters",
    "figure": "viewing.figures",
    "filter": "editing.derive",
    "import_log": "importers",
    "merge": "editing.derive",
    "open_dataset": "store.release",
    "open_release": "store.release",
    "open_store": "store.reader",
    "pairs": "preferences.pairs",
    "publish": "releases.publish",
    "replay": "tree_search.replay",
    "reproduce": "experiments.reproduce",
    "run": "pipelines",
    "search": "tree_search.search",
    "show": "viewing.show",
    "split": "editing.derive",
    "stats": "trees.stats",
    "stats_by_attempts": "trees.stats",
    "train": "training.train",
    "vacuum": "store.vacuum",
    "view": "viewing.view",
}
__all__ = sorted(VERBS)  # noqa: PLE0605 - the list is computed so that it cannot go stale


def __getattr__(name: str) -> Any:
    if name not in VERBS:
        raise AttributeError(f"module 'tratree_data' has no attribute {name!r}")
    value = getattr(import_module(f"tratree_data.{VERBS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
