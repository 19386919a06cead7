"""Text columns of a chunk: taken and compared as bytes, in chunks that Arrow's narrow offsets can address."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tratree_data.system.compiling import compiled
from tratree_data.system.hashing import Bytes, Offsets, equal_slices, text_buffers

Ints = npt.NDArray[np.int64]

CHUNK_BYTES = 1 << 30
NO_ROW = -1
NO_TEXT = pa.array([""], pa.large_string())


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array with wide offsets: a chunk may contain more than 2 GB of text."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.cast(pa.large_string()).combine_chunks()
    return column.cast(pa.large_string())


def take_texts(texts: pa.Array, rows: Ints, others: pa.Array | None = None, other_rows: Ints | None = None) -> pa.ChunkedArray:
    """The text of each row; where a row is NO_ROW, that of `others` at `other_rows`, or NULL if there are no others."""
    data, offsets = text_buffers(texts)
    other_data, other_offsets = text_buffers(NO_TEXT if others is None else others)
    other_rows = np.zeros(len(rows), np.int64) if other_rows is None else other_rows
    ends = _ends(offsets, rows, other_offsets, other_rows)
    cuts = np.searchsorted(ends, np.arange(CHUNK_BYTES, int(ends[-1]), CHUNK_BYTES)).tolist()
    chunks = []
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        places = ends[start : end + 1] - ends[start]
        copied = np.empty(int(places[-1]), np.uint8)
        _copy(data, offsets, rows[start:end], other_data, other_offsets, other_rows[start:end], copied, places)
        valid = np.packbits(rows[start:end] >= 0, bitorder="little") if others is None else None
        buffers = [None if valid is None else pa.py_buffer(valid), pa.py_buffer(places.astype(np.int32)), pa.py_buffer(copied)]
        chunks.append(pa.Array.from_buffers(pa.string(), end - start, buffers))
    return pa.chunked_array(chunks, pa.string())


def where_different(texts: pa.Array, founder: Ints) -> pa.ChunkedArray:
    """Each text where it is not that of its founder, else NULL."""
    return take_texts(texts, _own_row(*text_buffers(texts), founder))


@compiled()
def _ends(offsets: Offsets, rows: Ints, other_offsets: Offsets, other_rows: Ints) -> Any:
    """Where each copied text begins, and the last one ends."""
    ends = np.zeros(len(rows) + 1, np.int64)
    for i in range(len(rows)):
        row = rows[i]
        if row >= 0:
            ends[i + 1] = ends[i] + offsets[row + 1] - offsets[row]
        else:
            ends[i + 1] = ends[i] + other_offsets[other_rows[i] + 1] - other_offsets[other_rows[i]]
    return ends


@compiled()
def _copy(
    data: Bytes, offsets: Offsets, rows: Ints, other_data: Bytes, other_offsets: Offsets, other_rows: Ints, target: Bytes, places: Ints
) -> None:
    for i in range(len(rows)):
        row = rows[i]
        if row >= 0:
            target[places[i] : places[i + 1]] = data[offsets[row] : offsets[row + 1]]
        else:
            target[places[i] : places[i + 1]] = other_data[other_offsets[other_rows[i]] : other_offsets[other_rows[i] + 1]]


@compiled()
def _own_row(data: Bytes, offsets: Offsets, founder: Ints) -> Any:
    """A text's row where it differs from its founder's, else NO_ROW."""
    rows = np.empty(len(founder), np.int64)
    for i in range(len(founder)):
        rows[i] = NO_ROW if equal_slices(data, offsets, i, founder[i]) else i
    return rows
