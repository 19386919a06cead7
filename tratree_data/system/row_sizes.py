"""How many bytes rows have, without writing them: lengths of texts are offsets that Arrow has anyway, and a text that a dictionary repeats
counts each time.

Sizes depend on the values alone, not on how they came into memory, so that a table is always cut at the same rows.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

BYTES_AS_JSON = len("\\u0000")
"""Bytes in JSON of one byte of text."""
BYTES_OF_A_VALUE = 200
"""Bytes in JSON of a number, a boolean or NULL, and of what surrounds a value."""
BYTES_IN_MEMORY = 8

Ints = npt.NDArray[np.int64]


def longest_row(rows: pa.Table) -> int:
    """An upper bound for the longest of them as JSON."""
    names = sum(map(len, rows.column_names))
    return names + int(_row_sizes(rows, BYTES_AS_JSON, BYTES_OF_A_VALUE).max(initial=0))


def row_bytes(rows: pa.Table) -> Ints:
    """The approximate size of each row in memory."""
    return _row_sizes(rows, 1, BYTES_IN_MEMORY)


def _row_sizes(rows: pa.Table, of_a_byte: int, of_a_value: int) -> Ints:
    parts = [np.sum([_sizes(column, of_a_byte, of_a_value) for column in batch.columns], axis=0) for batch in rows.to_batches()]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _is_text(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary))


def _sizes(values: pa.Array, of_a_byte: int, of_a_value: int) -> Ints:
    sizes = np.full(len(values), of_a_value, np.int64)
    if _is_text(values.type):
        sizes += of_a_byte * pc.fill_null(pc.binary_length(values), 0).to_numpy()
    elif pa.types.is_dictionary(values.type) and _is_text(values.type.value_type):
        lengths = pc.binary_length(values.dictionary)
        sizes += of_a_byte * pc.fill_null(lengths.take(values.indices), 0).to_numpy()
    elif pa.types.is_struct(values.type):
        for field, part in zip(values.type, values.flatten(), strict=True):
            sizes += (len(field.name) if of_a_byte > 1 else 0) + _sizes(part, of_a_byte, of_a_value)
    elif pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        before = np.concatenate([[0], np.cumsum(_sizes(values.flatten(), of_a_byte, of_a_value))])
        ends = np.cumsum(pc.fill_null(pc.list_value_length(values), 0).to_numpy())
        sizes += np.diff(before[ends], prepend=0)
    return sizes
