"""Texts within columns of any nesting, and the rows that they belong to."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ID_BYTES = 16

Rows = np.ndarray[Any, np.dtype[np.int64]]


def holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return holds_text(kind.value_type)
    if pa.types.is_struct(kind):
        return any(holds_text(field.type) for field in kind)
    return bool(pa.types.is_string(kind))


def are_identifiers(texts: pa.Array | pa.ChunkedArray) -> bool:
    """Whether all are our own ids (ids.py): sixteen hexadecimal digits, in which no rule finds anything."""
    for some in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        if some.null_count or pc.min_max(pc.binary_length(some)).as_py() != {"min": ID_BYTES, "max": ID_BYTES}:
            return False
        first = np.frombuffer(some.buffers()[1], np.int32)[some.offset]
        data = np.frombuffer(some.buffers()[2], np.uint8)[first : first + ID_BYTES * len(some)]
        if not np.all((data - ord("0") < 10) | (data - ord("a") < 6)):
            return False
    return True


def strings(column: Any, parents: Rows | None) -> Iterable[tuple[Any, Rows | None]]:
    """Every array of texts within a column, and the rows that they belong to."""
    if pa.types.is_list(column.type):
        yield from strings(column.flatten(), rows_of(column, parents))
    elif pa.types.is_struct(column.type):
        for i in range(column.type.num_fields):
            yield from strings(column.field(i), parents)
    elif pa.types.is_string(column.type):
        yield column, parents


def rows_of(column: pa.ListArray, parents: Rows | None) -> Rows:
    """For each value of the lists, the row."""
    lists = np.repeat(np.arange(len(column)), pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False))
    return lists if parents is None else parents[lists]


def offsets(column: pa.ListArray) -> pa.Array:
    """Offsets that start at 0, as `flatten` leaves the values."""
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    return pa.concat_arrays([pa.array([0], pa.int32()), pc.cast(pc.cumulative_sum(lengths), pa.int32())])


def mask(column: pa.Array) -> pa.Array | None:
    return column.is_null() if column.null_count else None
