"""Prepares Delta tables for a commit: creates them, updates their schema, and removes what a killed process left behind."""

from typing import Any, Literal

import pyarrow as pa
from deltalake import DeltaTable
from deltalake import Schema as DeltaSchema

from tratree_data.store.locations import delta_address
from tratree_data.store.log import Tables, files_of
from tratree_data.store.schemas import arrow_schema, table_schema

CONSTRAINT = "delta.constraints."
COMMITS_PER_CHECKPOINT = 10
"""Opening a table reads its log from the last checkpoint on; Delta's own 100 makes that three times as slow."""


def table_for_commit(opened: Tables, table: str, keep: bool) -> DeltaTable:
    """If the table's rows are kept, what a killed process left behind is undone."""
    if keep:
        _add_columns(opened, table)
    elif not _fits(opened.writable(table), table):
        create_table(opened, table, mode="overwrite")
    _constrain(opened.writable(table), table)
    if keep:
        undo_leftovers(opened, table)
    return opened.writable(table)


def _fits(delta: DeltaTable, table: str) -> bool:
    """Whether Delta has exactly the columns of today's schema, including those inside messages."""
    return _columns(delta) == {field.name: field.type for field in DeltaSchema.from_arrow(arrow_schema(table)).fields}


def _columns(delta: DeltaTable) -> dict[str, Any]:
    return {field.name: field.type for field in delta.schema().fields}


def _add_columns(opened: Tables, table: str) -> None:
    """Adds the columns that were introduced after the table was made; older files then read as NULL there, in other tools too.

    Constraints are named by their position, so all are dropped first. After a kill in between, the next call adds what is missing.
    """
    delta = opened.writable(table)
    known = {field.name for field in delta.schema().fields}
    added = [field for field in arrow_schema(table) if field.name not in known]
    if added:
        for name in _constraint_names(delta):
            delta.alter.drop_constraint(name)
        delta.alter.add_columns(DeltaSchema.from_arrow(pa.schema(added)).fields)
        opened.refresh(table)


def _constraint_names(delta: DeltaTable) -> set[str]:
    return {name.removeprefix(CONSTRAINT) for name in delta.metadata().configuration if name.startswith(CONSTRAINT)}


def undo_leftovers(opened: Tables, table: str) -> None:
    """Undoes what a killed process committed to this table but not to the last table of its commit."""
    delta = opened.writable(table)
    source = opened.visible(table)
    if source is None and delta.file_uris():
        delta.restore(min(number for number, lineage in opened.lineages(table) if lineage is not None) - 1)
    elif source is not None and set(source.files) != set(files_of(opened.folder, table, delta)):
        delta.restore(source.number)


def create_table(opened: Tables, table: str, mode: Literal["ignore", "overwrite"] = "ignore") -> None:
    schema = table_schema(table)
    address, options = delta_address(opened.folder / table)
    DeltaTable.create(
        address,
        schema=schema.arrow,
        name=table,
        description=schema.comment,
        mode=mode,
        storage_options=options,
        configuration={"delta.checkpointInterval": str(COMMITS_PER_CHECKPOINT)},
    )
    opened.refresh(table)


def _constrain(delta: DeltaTable, table: str) -> None:
    """Adds the constraints that other writers must keep; a process may have been killed right after it made the table."""
    there = _constraint_names(delta)
    missing = {name: f"({expression}) IS NOT FALSE" for name, expression in table_schema(table).checks.items() if name not in there}
    if missing:
        delta.alter.add_constraint(missing)
