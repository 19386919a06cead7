"""Tables from one dataset into another, with what was built on them where it still holds.

A tree is a function of its task's rollouts, and everything after it of the tree. So what a stage made is carried when every task came
over whole, and the stage was up to date and had the same settings wherever rows come from; it is committed under the stage's own name,
so that the stage then finds nothing to do. Otherwise it is left out, and the report names the stages to run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.stages import Stage, stages_by_tree
from tratree_data.store.log import Lineage
from tratree_data.store.reader import Store, last_lineage
from tratree_data.store.schemas import arrow_schema, empty_table, table_schema
from tratree_data.store.writer import commit

ROWS_PER_BATCH = 64 * 1024


@dataclass(frozen=True)
class Part:
    """What comes from one dataset: the rollouts that stay, the split that each task gets, and whether all its tasks come whole."""

    store: Store
    rollouts: pa.Table
    """rollout_id, tree_id, split of what stays."""
    whole: bool


def write_rollouts(out: Path, stage: str, parts: Sequence[Part], dropped: pa.Table, settings: Mapping[str, Any]) -> Store:
    """The rollouts and steps that stay, what was ever left out, and the vectors that are already there."""
    tables: dict[str, Any] = {"dropped": pa.concat_tables([*(_dropped(part) for part in parts), dropped])}
    if any(part.store.has("embeddings") for part in parts):
        tables["embeddings"] = _embeddings(parts)
    tables["steps"] = _all_rows(parts, "steps")
    tables["rollouts"] = _all_rows(parts, "rollouts")
    return commit(out, stage, tables, settings=settings, reads={})


def carry(out: Path, store: Store, parts: Sequence[Part], stale_as: str = "") -> tuple[list[str], list[str]]:
    """(stages whose tables were carried, stages to run again). With `stale_as`, the latter's rows come along too, under that name."""
    carried: list[str] = []
    stale: list[str] = []
    for stage in stages_by_tree():
        if not any(part.store.has(table) for part in parts for table in stage.writes):
            continue
        made = None if stale else _made_alike(stage, parts)
        if made is None:
            stale.append(stage.name)
            if not stale_as:
                continue
        there = [table for table in stage.commit_order if all(part.store.has(table) for part in parts)]
        rows = {table: _all_rows(parts, table) for table in there}
        reads = {table: store.version(table) for table in made.reads} if made else {}
        store = commit(out, stage.name if made else stale_as, rows, settings=made.settings if made else {}, reads=reads)
        if made:
            carried.append(stage.name)
    return carried, stale


def _made_alike(stage: Stage, parts: Sequence[Part]) -> Lineage | None:
    """What made these tables, if all tasks come whole and it was the same everywhere; a balance over all tasks does not carry over."""
    if not all(part.whole and part.store.has(table) for part in parts for table in stage.writes):
        return None
    first, *others = [made_by(part.store, stage) for part in parts]
    if first is None or first.settings.get("balance"):
        return None
    return first if all(other is not None and other.settings == first.settings for other in others) else None


def made_by(store: Store, stage: Stage) -> Lineage | None:
    """What made the stage's tables, if it was the stage itself and nothing that it read has changed since."""
    lineage = _last_made_by(store, stage)
    return lineage if lineage is not None and _is_current(store, lineage) else None


def stages_out_of_date(store: Store) -> list[str]:
    """The first stage whose tables were made from what has changed since, and the stages after it that this dataset has."""
    made = {stage.name: _last_made_by(store, stage) for stage in stages_by_tree() if all(store.has(table) for table in stage.writes)}
    stages = list(made)
    stale = [stage for stage, lineage in made.items() if lineage is not None and not _is_current(store, lineage)]
    return stages[stages.index(stale[0]) :] if stale else []


def _is_current(store: Store, lineage: Lineage) -> bool:
    return all(store.has(table) and store.version(table) == version for table, version in lineage.reads.items())


def _last_made_by(store: Store, stage: Stage) -> Lineage | None:
    """The stage's last work on its tables; replay or delete may have changed them since."""
    lineage = store.sources[stage.last].lineage
    if (lineage is None or lineage.stage != stage.name) and store.filesystem is None and (store.path / stage.last / "_delta_log").is_dir():
        lineage = last_lineage(store, stage.name, stage.last)
    return lineage if lineage is not None and lineage.stage == stage.name else None


def _all_rows(parts: Sequence[Part], table: str) -> Iterator[pa.Table]:
    for part in parts:
        if part.rollouts.num_rows:
            yield from _rows(part, table)
    yield empty_table(table)


def _rows(part: Part, table: str) -> Iterator[pa.Table]:
    """The rows that belong to what stays, with its splits."""
    cursor = part.store.connection.cursor()
    cursor.register("staying_rollouts", part.rollouts)
    schema = arrow_schema(table)
    columns = ", ".join("s.split" if name == "split" else f"t.{name}" for name in schema.names)
    if "rollout_id" in schema.names and table != "demonstrations":
        staying = "staying_rollouts AS s USING (rollout_id)"
    else:
        staying = "(SELECT DISTINCT tree_id, split FROM staying_rollouts) AS s USING (tree_id)"
    order = ", ".join([*(["tree_id"] if "tree_id" in schema.names else []), *table_schema(table).primary_key])
    for batch in cursor.sql(f"SELECT {columns} FROM {table} AS t JOIN {staying} ORDER BY {order}").to_arrow_reader(ROWS_PER_BATCH):
        yield pa.Table.from_batches([batch]).cast(schema)


def _embeddings(parts: Sequence[Part]) -> Iterator[pa.Table]:
    """Vectors are by content, so those of several datasets are one set."""
    seen = empty_table("embeddings").select(["model", "text_id"])
    for part in parts:
        if part.store.has("embeddings"):
            cursor = part.store.connection.cursor()
            cursor.register("seen", seen)
            query = "SELECT e.* FROM embeddings AS e ANTI JOIN seen USING (model, text_id) ORDER BY model, text_id"
            for batch in cursor.sql(query).to_arrow_reader(ROWS_PER_BATCH):
                yield pa.Table.from_batches([batch]).cast(arrow_schema("embeddings"))
            seen = pa.concat_tables([seen, part.store.read("embeddings", ["model", "text_id"])])


def _dropped(part: Part) -> pa.Table:
    """What stages left out, but for what was about rollouts and tasks that do not stay."""
    if not part.store.has("dropped"):
        return empty_table("dropped")
    cursor = part.store.connection.cursor()
    cursor.register("staying_rollouts", part.rollouts)
    gone = (
        "SELECT rollout_id AS subject FROM rollouts ANTI JOIN staying_rollouts USING (rollout_id) "
        "UNION SELECT tree_id FROM rollouts ANTI JOIN staying_rollouts USING (tree_id) "
        "UNION SELECT task_id FROM rollouts ANTI JOIN staying_rollouts USING (tree_id)"
    )
    rows = cursor.sql(f"SELECT d.* FROM dropped AS d ANTI JOIN ({gone}) AS gone USING (subject) ORDER BY ALL").to_arrow_table()
    return rows.cast(arrow_schema("dropped"))
