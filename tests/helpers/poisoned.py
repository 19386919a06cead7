"""A copy of a dataset in which every text of chosen columns is changed, ids included, as a stranger's hand-made dataset may be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.store.reader import open_store
from tratree_data.store.writing.writer import commit, create_store, writing

Change = Callable[[str, str], str]
"""(column, text) → text"""


def poisoned(source: Path, folder: Path, change: Change) -> Path:
    store = open_store(source)
    create_store(folder)
    with writing(folder):
        commit(folder, "test", {table: _changed(store.read(table), change) for table in sorted(store.sources)}, settings={}, reads={})
    return folder


def _changed(table: pa.Table, change: Change) -> pa.Table:
    columns = [
        pa.array([_value(value, field.type, lambda text, name=field.name: change(name, text)) for value in column.to_pylist()], field.type)
        for field, column in zip(table.schema, table.columns, strict=True)
    ]
    return pa.table(columns, schema=table.schema)


def _value(value: Any, type: pa.DataType, change: Callable[[str], str]) -> Any:
    if value is None:
        return None
    if pa.types.is_string(type):
        return change(value)
    if pa.types.is_list(type):
        return [_value(item, type.value_type, change) for item in value]
    if pa.types.is_struct(type):
        return {field.name: _value(value[field.name], field.type, change) for field in type}
    return value
