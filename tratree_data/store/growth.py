"""What a dataset gained or lost since a stage last ran: the trees that it has to work on again, where it works tree by tree.

Files say which rows may differ: a tree is unchanged if no added or removed file holds any of its rows. The rows of removed files are
compared with those of added ones, because Delta writes a whole file anew to replace one tree.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import TratreeError
from tratree_data.results import counted
from tratree_data.stages import LATER_SCORES
from tratree_data.store.chunks.row_groups import read_files
from tratree_data.store.freshness import last_lineage, same_settings
from tratree_data.store.locations import open_parquet
from tratree_data.store.log import Lineage, Source, Tables
from tratree_data.store.outcomes import later_scores
from tratree_data.store.reader import Store
from tratree_data.store.schemas import arrow_schema

ALL_FROM = 0.3
"""If at least this share of trees changed, working on all is cheaper than replacing some."""


@dataclass(frozen=True)
class Growth:
    """The trees to work on again, and the dataset as the stage last read it."""

    trees: Sequence[str]
    replaced: Sequence[str]
    """Those of `trees` that were there before, so that the stage may have rows of them."""
    before: Store
    every: int
    """The number of trees in the dataset."""

    def joined_by(self, trees: Iterable[str]) -> "Growth | None":
        """The same with these trees added; None if they are so many that working on all is cheaper."""
        found = {*self.trees, *trees}
        if len(found) >= ALL_FROM * max(self.every, 1):
            return None
        return replace(self, trees=sorted(found), replaced=sorted(found & set(_trees_of(self.before).to_pylist())))


def growth_notes(growth: Growth | None) -> tuple[str, ...]:
    return () if growth is None else (f"{counted(len(growth.trees), 'trees')} new or changed, the others kept",)


def grown_since(store: Store, stage: str, writes: Sequence[str], settings: Mapping[str, Any], reads: Mapping[str, int]) -> Growth | None:
    """What changed since `stage` last ran with these settings; None if it has to work on all trees."""
    last = last_lineage(store, stage, writes[-1])
    if last is None or not all(store.has(table) for table in writes) or not same_settings(last.settings, settings):
        return None
    return grown_from(store, last, reads)


def grown_from(store: Store, last: Lineage, reads: Mapping[str, int]) -> Growth | None:
    """What changed since the commit of this lineage read these tables; None if that is unknown, or if most trees changed."""
    before = store_before(store, last.reads)
    if before is None or set(last.reads) - set(reads) or set(reads) - set(last.reads) - set(LATER_SCORES):
        return None
    differing = [table for table in reads if reads[table] != last.reads.get(table)]
    found = [*_changed_trees(before, store, [table for table in differing if table not in LATER_SCORES])]
    if set(differing) & set(LATER_SCORES):
        found += _trees_of_rollouts(before, store, _rescored(before, store))
    return _growth(before, store, found)


def grown_between(before: Store, store: Store, tables: Iterable[str]) -> Growth | None:
    """The trees with other rows in these tables; None if they are so many that working on all is cheaper."""
    return _growth(before, store, _changed_trees(before, store, tables))


def _growth(before: Store, store: Store, trees: Iterable[str]) -> Growth | None:
    return Growth([], [], before, len(_trees_of(store))).joined_by(trees)


def store_before(store: Store, versions: Mapping[str, int]) -> Store | None:
    """The tables as they were at these versions; None if their files are gone."""
    opened = Tables(store.path)
    found: dict[str, Source] = {}
    try:
        for table, version in versions.items():
            here = store.sources.get(table)
            source = here if here is not None and here.version == version else opened.visible(table, version)
            if source is None or source.version != version:
                return None
            found[table] = source
    except (TratreeError, OSError, KeyError):
        return None
    before = Store(store.path, found, most_memory=store.most_memory)
    return None if before.outdated else before


def _trees_of(store: Store) -> pa.Array:
    return pc.unique(store.read("rollouts", ["tree_id"])["tree_id"].combine_chunks())


def _changed_trees(before: Store, now: Store, tables: Iterable[str]) -> Iterator[str]:
    """The trees that have other rows in one of the tables."""
    for table in tables:
        old, new = (store.sources[table].files for store in (before, now))
        keys = _differing_keys(table, [file for file in old if file not in set(new)], [file for file in new if file not in set(old)])
        yield from keys.to_pylist() if "tree_id" in arrow_schema(table).names else _trees_of_rollouts(before, now, keys)


def _trees_of_rollouts(before: Store, now: Store, rollouts: pa.Array) -> Iterator[str]:
    for store in (before, now) if len(rollouts) else ():
        named = store.read("rollouts", ["rollout_id", "tree_id"])
        yield from pc.unique(named.filter(pc.is_in(named["rollout_id"], rollouts))["tree_id"]).to_pylist()


def _rescored(before: Store, now: Store) -> pa.Array:
    """The rollouts whose later score changed."""
    scores = [later_scores(store) if store.has(*LATER_SCORES) else None for store in (before, now)]
    sides = [scored for scored in scores if scored is not None]
    if len(sides) == 1:
        return sides[0]["rollout_id"].combine_chunks()
    with duckdb.connect() as connection:
        for name, side in zip(("before", "now"), sides, strict=True):
            connection.register(f"{name}_scores", side)
        rows = connection.sql(
            "SELECT DISTINCT rollout_id FROM ((FROM before_scores EXCEPT FROM now_scores) "
            "UNION (FROM now_scores EXCEPT FROM before_scores))"
        )
        return pa.array(rows.to_arrow_table()["rollout_id"].to_pylist(), pa.string())


def _differing_keys(table: str, gone: Sequence[str], came: Sequence[str]) -> pa.Array:
    """The trees (or, if the table does not name trees, rollouts) whose rows in the added files differ from those in the removed ones."""
    key = "tree_id" if "tree_id" in arrow_schema(table).names else "rollout_id"
    if not gone:
        values = [_column_of(file, key) for file in came]
        return pc.unique(pa.chunked_array(values, pa.string())).cast(pa.string()) if values else pa.array([], pa.string())
    with duckdb.connect() as connection:
        for name, files in (("gone", gone), ("came", came)):
            batches = (batch for rows in read_files(table, files) for batch in rows.to_batches())
            connection.register(name, pa.RecordBatchReader.from_batches(arrow_schema(table), batches))
        rows = connection.sql(
            f"WITH compared AS (SELECT {key} AS key, hash(r) AS content, 1 AS number FROM gone AS r "
            f"UNION ALL SELECT {key}, hash(r), -1 FROM came AS r) "
            "SELECT DISTINCT key FROM (SELECT key FROM compared GROUP BY key, content HAVING sum(number) <> 0)"
        )
        return pa.array(rows.to_arrow_table()["key"].to_pylist(), pa.string())


def _column_of(file: str, name: str) -> pa.Array:
    with open_parquet(file) as parquet:
        return pc.unique(parquet.read(columns=[name])[name].cast(pa.string()))


def dropped_and_unchanged(
    store: Store, stage: str, now: pa.Table, growth: Growth | None, subjects: Mapping[str, str] | None = None
) -> pa.Table:
    """What a stage left out now, and what it left out before of trees that did not change.

    Subjects are trees, or what `subjects` names: a column of each table that the stage read.
    """
    if growth is None or not store.has("dropped"):
        return now
    gone = [pa.array(growth.trees, pa.string())]
    for table, column in (subjects or {}).items():
        if growth.replaced and growth.before.has(table):
            rows = growth.before.read(table, ["tree_id", column])
            gone.append(rows.filter(pc.is_in(rows["tree_id"], pa.array(growth.replaced, pa.string())))[column].combine_chunks())
    kept = (pc.field("stage") == stage) & ~pc.field("subject").isin(pa.concat_arrays(gone))
    return pa.concat_tables([store.read("dropped", filter=kept), now])
