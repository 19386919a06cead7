"""The rollouts that count, each with the score that counts: what the views `outcomes` and `effective_scores` say, as Arrow tables.

A rollout's own score comes from its log or environment and is never overwritten; `tratree score` adds scores from elsewhere. Every stage
that needs a score takes it from here.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.stages import LATER_SCORES
from tratree_data.store.locations import Place
from tratree_data.store.reader import Store, open_store


def read_outcomes(store: Store, columns: Sequence[str]) -> pa.Table:
    """These columns of the rollouts that count: the same run in another format counts once."""
    rollouts = store.read("rollouts", columns, filter=pc.field("duplicate_of").is_null())
    later = later_scores(store)
    return rollouts if later is None else with_scores(rollouts, later)


def later_scores(store: Store) -> pa.Table | None:
    """rollout_id, score and success of the rollouts that `tratree score` gave another score."""
    return store.sql("SELECT rollout_id, score, success FROM effective_scores") if store.has(*LATER_SCORES) else None


def with_scores(rollouts: pa.Table, later: pa.Table) -> pa.Table:
    """The same rows, with the later scores and successes in place of their own."""
    row = pc.index_in(rollouts["rollout_id"], later["rollout_id"].combine_chunks()).combine_chunks()
    for name in ("score", "success"):
        if name in rollouts.column_names:
            place = rollouts.schema.get_field_index(name)
            field = rollouts.schema.field(name)
            rollouts = rollouts.set_column(
                place, field, pc.coalesce(later[name].combine_chunks().take(row), rollouts[name].combine_chunks())
            )
    return rollouts


def store_as_read(path: str | Place, reads: Mapping[str, int]) -> Store:
    """The dataset as a stage read it, going by its lineage."""
    there = {table: version for table, version in reads.items() if table in ("rollouts", *LATER_SCORES)}
    store = open_store(path, there)
    return Store(store.path, {table: source for table, source in store.sources.items() if table in there})
