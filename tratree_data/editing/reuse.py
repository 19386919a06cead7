"""Copies tables from one dataset to another: rollouts with their steps, and what stages made from them if it is still valid.

A tree is a function of its task's rollouts, and everything after it is a function of the tree. So a stage's tables are reused if every
task was taken whole, and the stage was up to date and had the same settings in every source. They are committed under the stage's own
name, so that the stage then finds nothing to do. Otherwise they are left out, and the result names the stages to run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tratree_data.stages import LATER_SCORES, Stage, stages_by_tree
from tratree_data.store.freshness import last_lineage
from tratree_data.store.locations import Place
from tratree_data.store.log import Lineage
from tratree_data.store.reader import Store
from tratree_data.store.schemas import arrow_schema, empty_table, table_schema
from tratree_data.store.writing.writer import commit

ROWS_PER_BATCH = 64 * 1024


@dataclass(frozen=True)
class Selection:
    """What is taken from one dataset: some of its rollouts, each with the split that it gets."""

    store: Store
    rollouts: pa.Table
    """rollout_id, tree_id, split of the rollouts that are kept."""
    whole: bool
    """Each task is taken with all of its rollouts or not at all."""


def write_rollouts(out: Place, stage: str, selections: Sequence[Selection], dropped: pa.Table, settings: Mapping[str, Any]) -> Store:
    """The rollouts and steps that are kept with their later scores, everything ever dropped, and the vectors that exist."""
    tables: dict[str, Any] = {"dropped": pa.concat_tables([*(_dropped(selection) for selection in selections), dropped])}
    if any(selection.store.has("embeddings") for selection in selections):
        tables["embeddings"] = _embeddings(selections)
    if any(selection.store.has("rollout_scores") for selection in selections):
        tables["rollout_scores"] = _all_rows([one for one in selections if one.store.has("rollout_scores")], "rollout_scores")
    tables["steps"] = _all_rows(selections, "steps")
    tables["rollouts"] = _all_rows(selections, "rollouts")
    return commit(out, stage, tables, settings=settings, reads={})


def reuse_stages(out: Place, store: Store, selections: Sequence[Selection], stale_as: str = "") -> tuple[list[str], list[str]]:
    """(stages whose tables were reused, stages to run again). With `stale_as`, the rows of the latter are kept too, under that name."""
    reused: list[str] = []
    stale: list[str] = []
    for stage in stages_by_tree():
        if not any(selection.store.has(table) or table in selection.store.outdated for selection in selections for table in stage.writes):
            continue
        made = None if stale else _made_alike(stage, selections)
        if made is not None:
            reads = {table: store.version(table) for table in made.reads}
            rows = {table: _all_rows(selections, table) for table in stage.commit_order}
            store = commit(out, stage.name, rows, settings=made.settings, reads=reads)
            reused.append(stage.name)
            continue
        stale.append(stage.name)
        kept = _stale_rows(stage, selections) if stale_as else {}
        if kept:
            store = commit(out, stale_as, kept, settings={}, reads={})
    return reused, stale


def _stale_rows(stage: Stage, selections: Sequence[Selection]) -> dict[str, Iterator[pa.Table]]:
    """The rows of the kept rollouts; none of a table in an older format, so that nothing deleted remains in it."""
    rows: dict[str, Iterator[pa.Table]] = {}
    for table in stage.commit_order:
        if all(selection.store.has(table) for selection in selections):
            rows[table] = _all_rows(selections, table)
        elif any(table in selection.store.outdated for selection in selections):
            rows[table] = iter([empty_table(table)])
    return rows


def _made_alike(stage: Stage, selections: Sequence[Selection]) -> Lineage | None:
    """What made these tables, if all tasks are whole and it was the same everywhere; pairs balanced over all tasks are never reused."""
    if not all(selection.whole and selection.store.has(table) for selection in selections for table in stage.writes):
        return None
    first, *others = [made_by(selection.store, stage) for selection in selections]
    if first is None or first.settings.get("balance"):
        return None
    return first if all(other is not None and other.settings == first.settings for other in others) else None


def made_by(store: Store, stage: Stage) -> Lineage | None:
    """What made the stage's tables, if it was the stage itself and nothing that it read has changed since."""
    lineage = _last_made_by(store, stage)
    return lineage if lineage is not None and _is_current(store, lineage) else None


def stages_out_of_date(store: Store) -> list[str]:
    """The first stage whose inputs or format changed since it ran, and the stages after it that this dataset has."""
    there = [stage for stage in stages_by_tree() if all(store.has(table) or table in store.outdated for table in stage.writes)]
    for number, stage in enumerate(there):
        if not all(store.has(table) for table in stage.writes):
            return [stage.name for stage in there[number:]]
        lineage = _last_made_by(store, stage)
        if lineage is not None and not _is_current(store, lineage):
            return [stage.name for stage in there[number:]]
    return []


def _is_current(store: Store, lineage: Lineage) -> bool:
    if store.has(*LATER_SCORES) and not set(LATER_SCORES) <= set(lineage.reads):
        return False  # scores came after it
    return all(store.has(table) and store.version(table) == version for table, version in lineage.reads.items())


def _last_made_by(store: Store, stage: Stage) -> Lineage | None:
    """The stage's last work on its tables; replay or delete may have changed them since."""
    lineage = store.sources[stage.last].lineage
    if (lineage is None or lineage.stage != stage.name) and store.filesystem is None and not store.label:
        lineage = last_lineage(store, stage.name, stage.last)
    return lineage if lineage is not None and lineage.stage == stage.name else None


def _all_rows(selections: Sequence[Selection], table: str) -> Iterator[pa.Table]:
    for selection in selections:
        if selection.rollouts.num_rows:
            yield from _rows(selection, table)
    yield empty_table(table)


def _rows(selection: Selection, table: str) -> Iterator[pa.Table]:
    """The rows that belong to the kept rollouts, with their splits."""
    cursor = selection.store.connection.cursor()
    cursor.register("kept_rollouts", selection.rollouts)
    schema = arrow_schema(table)
    columns = ", ".join("s.split" if name == "split" else f"t.{name}" for name in schema.names)
    if "rollout_id" in schema.names and table != "demonstrations":
        joined = "kept_rollouts AS s USING (rollout_id)"
    else:
        joined = "(SELECT DISTINCT tree_id, split FROM kept_rollouts) AS s USING (tree_id)"
    order = ", ".join([*(["tree_id"] if "tree_id" in schema.names else []), *table_schema(table).primary_key])
    for batch in cursor.sql(f"SELECT {columns} FROM {table} AS t JOIN {joined} ORDER BY {order}").to_arrow_reader(ROWS_PER_BATCH):
        yield pa.Table.from_batches([batch]).cast(schema)


def _embeddings(selections: Sequence[Selection]) -> Iterator[pa.Table]:
    """Vectors belong to texts, so those of several datasets form one set."""
    seen = empty_table("embeddings").select(["model", "text_id"])
    for selection in selections:
        if selection.store.has("embeddings"):
            cursor = selection.store.connection.cursor()
            cursor.register("seen", seen)
            query = "SELECT e.* FROM embeddings AS e ANTI JOIN seen USING (model, text_id) ORDER BY model, text_id"
            for batch in cursor.sql(query).to_arrow_reader(ROWS_PER_BATCH):
                yield pa.Table.from_batches([batch]).cast(arrow_schema("embeddings"))
            seen = pa.concat_tables([seen, selection.store.read("embeddings", ["model", "text_id"])])


def _dropped(selection: Selection) -> pa.Table:
    """What stages left out, except what concerned rollouts and tasks that are not kept."""
    if not selection.store.has("dropped"):
        return empty_table("dropped")
    cursor = selection.store.connection.cursor()
    cursor.register("kept_rollouts", selection.rollouts)
    gone = (
        "SELECT rollout_id AS subject FROM rollouts ANTI JOIN kept_rollouts USING (rollout_id) "
        "UNION SELECT tree_id FROM rollouts ANTI JOIN kept_rollouts USING (tree_id) "
        "UNION SELECT task_id FROM rollouts ANTI JOIN kept_rollouts USING (tree_id)"
    )
    for table, name in (("nodes", "node_id"), ("paths", "path_id")):
        if selection.store.has(table):
            gone += f" UNION SELECT {name} FROM {table} ANTI JOIN kept_rollouts USING (tree_id)"
    rows = cursor.sql(f"SELECT d.* FROM dropped AS d ANTI JOIN ({gone}) AS gone USING (subject) ORDER BY ALL").to_arrow_table()
    return rows.cast(arrow_schema("dropped"))
