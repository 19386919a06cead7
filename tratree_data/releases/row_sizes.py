"""How many bytes the rows of a table have as JSON, at most, without writing them: lengths of texts are offsets that Arrow has anyway."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

BYTES_AS_JSON = len("\\u0000")
"""Of one byte of text."""
BYTES_OF_A_VALUE = 200
"""Of a number, a truth or NULL, and of what surrounds a value."""

Ints = npt.NDArray[np.int64]


def longest_row(rows: pa.Table) -> int:
    """An upper bound for the longest of them."""
    names = sum(map(len, rows.column_names))
    return max((names + int(np.sum([_sizes(column) for column in batch.columns], axis=0).max()) for batch in rows.to_batches()), default=0)


def _sizes(values: pa.Array) -> Ints:
    sizes = np.full(len(values), BYTES_OF_A_VALUE, np.int64)
    if pa.types.is_string(values.type):
        sizes += BYTES_AS_JSON * pc.fill_null(pc.binary_length(values), 0).to_numpy()
    elif pa.types.is_struct(values.type):
        for i, field in enumerate(values.type):
            sizes += len(field.name) + _sizes(values.field(i))
    elif pa.types.is_list(values.type):
        before = np.concatenate([[0], np.cumsum(_sizes(values.flatten()))])
        ends = np.cumsum(pc.fill_null(pc.list_value_length(values), 0).to_numpy())
        sizes += np.diff(before[ends], prepend=0)
    return sizes
