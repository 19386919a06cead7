"""How a dataset's trees were built, and how to rebuild them in memory: for questions about what would have been."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.store.freshness import last_lineage
from tratree_data.store.reader import Store
from tratree_data.trees.embed import Cache, load_cache
from tratree_data.trees.embedders import embedder_called
from tratree_data.trees.rules.normalise import parse_rules
from tratree_data.trees.tree import STEP_COLUMNS, Trees, build_tree

TABLES = ("nodes", "edges", "step_nodes")


@dataclass(frozen=True)
class BuiltWith:
    """What decides which node a step joins: the lineage of a build, with the embedder and threshold that were chosen."""

    embedder: str
    min_similarity: float
    normalise: tuple[str, ...]
    normalise_actions: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        actions = {"normalise_actions": list(self.normalise_actions)} if self.normalise_actions else {}
        return {"embedder": self.embedder, "min_similarity": self.min_similarity, "normalise": list(self.normalise)} | actions


EXACT = BuiltWith("exact", 1.0, ())


def last_settings(store: Store) -> BuiltWith:
    """How the dataset's trees were built."""
    lineage = last_lineage(store, "build", TABLES[-1]) if store.has(TABLES[-1]) else None
    if lineage is None:
        return EXACT
    made = lineage.settings
    return BuiltWith(made["embedder"], made["min_similarity"], tuple(made["normalise"]), tuple(made.get("normalise_actions", ())))


def read_steps(store: Store, rollouts: pa.Table) -> pa.Table:
    """The columns of these rollouts' steps that a build reads."""
    return store.read("steps", STEP_COLUMNS, filter=pc.field("rollout_id").isin(rollouts["rollout_id"].combine_chunks()))


def cache_of(store: Store, settings: BuiltWith) -> Cache | None:
    """The embedder of these settings with the store's vectors; None where only equal texts merge."""
    model = embedder_called(settings.embedder)
    return load_cache(store, model) if model else None


def rebuild_in_memory(rollouts: pa.Table, steps: pa.Table, settings: BuiltWith, cache: Cache | None) -> Trees:
    """Trees of some rollouts, built as these settings say, for questions about what would have been."""
    return build_tree(
        rollouts,
        steps,
        lookup=cache.lookup if cache else None,
        min_similarity=settings.min_similarity,
        rules=parse_rules(settings.normalise),
        action_rules=parse_rules(settings.normalise_actions),
    )


def count_merges(step_nodes: pa.Table, merged_by: str) -> int:
    return int(pc.sum(pc.equal(step_nodes["merged_by"], merged_by)).as_py() or 0)
