"""What a dataset gained since a stage last ran: the trees that it has to work on again, where it works tree by tree.

Files say it: a tree none of whose rows is in a file that came or went is unchanged. Where a tree is rebuilt, Delta writes the whole file
anew that held it, so more trees than that may be named, and never fewer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import TratreeError
from tratree_data.stages import LATER_SCORES
from tratree_data.store.locations import open_parquet
from tratree_data.store.log import Tables
from tratree_data.store.reader import Store, same_settings

ALL_FROM = 0.3
"""From this share of changed trees on, working on all is cheaper than replacing some."""


def changed_trees(
    store: Store, stage: str, writes: Sequence[str], settings: Mapping[str, Any], reads: Mapping[str, int]
) -> list[str] | None:
    """Trees whose rows are not those that the last run of `stage` read; None where all have to be worked on."""
    if not all(store.has(table) for table in writes):
        return None
    last = store.sources[writes[-1]].lineage
    if last is None or last.stage != stage or not same_settings(last.settings, settings) or set(last.reads) != set(reads):
        return None
    differing = [table for table in reads if reads[table] != last.reads[table]]
    if set(differing) & set(LATER_SCORES):
        return None
    opened = Tables(store.path)
    found = []
    for table in differing:
        try:
            before = opened.visible(table, last.reads[table])
        except TratreeError:  # its files are gone, so nobody knows what changed
            return None
        if before is None or before.version != last.reads[table]:
            return None
        found += [_trees_in(file) for file in set(before.files) ^ set(store.sources[table].files)]
    trees = pc.unique(pa.chunked_array(found, pa.string())) if found else pa.array([], pa.string())
    every = pc.count_distinct(store.read("rollouts", ["tree_id"])["tree_id"]).as_py()
    return sorted(trees.to_pylist()) if len(trees) < ALL_FROM * every else None


def _trees_in(file: str) -> pa.Array:
    with open_parquet(file) as parquet:
        return pc.unique(parquet.read(columns=["tree_id"])["tree_id"].cast(pa.string()))
