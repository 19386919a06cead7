"""Whether a Parquet file is complete, and whether what it claims to hold is plausible: a file of a kilobyte may declare terabytes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError
from tratree_data.system.row_sizes import row_bytes

ENDS_WITH = b"PAR1"
HARMLESS_BYTES = 2**30
"""A file that declares less than this is read, however well it is compressed."""
BYTES_PER_CELL = 4
"""Bytes of a NULL text in memory; in a file, a million of them take a few bytes."""
LARGEST_GROWTH = 1_000
"""Real logs shrink to a tenth, repetitions of one text to a hundredth, and to nothing only if the text is stored once."""

MOST_REPEATED = 10_000
"""How often a file's own size its texts may fill when a dictionary repeats them: long instructions and lists of tools reach hundreds."""
BATCH_BYTES = 64 * 2**20
MOST_ROW_BYTES = 256 * 2**20
TEXT = "BYTE_ARRAY"
BY_NUMBER = {"RLE_DICTIONARY", "PLAIN_DICTIONARY"}
SHARING = "DELTA_BYTE_ARRAY"
"""Stores what a text shares with the one before once."""
NOT_BY_NUMBER = {SHARING, "DELTA_LENGTH_BYTE_ARRAY"}
"""What Arrow does not read as a dictionary."""


def declares_too_much(file: Any) -> str:
    """Why a file must not be read: it claims to hold more than its size makes plausible; '' if it may be. Reads only the footer."""
    import pyarrow.parquet as pq

    file.seek(0, 2)
    size = file.tell()
    footer = pq.ParquetFile(file).metadata
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    cells = sum(max(group.num_rows, group.column(number).num_values) for group in groups for number in range(group.num_columns))
    declared = max(sum(max(group.total_byte_size, 0) for group in groups), BYTES_PER_CELL * cells)
    if declared <= HARMLESS_BYTES or declared <= LARGEST_GROWTH * size:
        return ""
    return f"is {size:,} bytes long but claims to hold {declared:,}, which would fill the memory"


def refuse_too_much(file: Any, name: object) -> None:
    trouble = declares_too_much(file)
    if trouble:
        raise BadInputError(f"{name} {trouble}.\nNext: write it again in a tool that you trust, or leave it out")
    file.seek(0)


def bounded_batches(file: Any, name: object, most_rows: int) -> Iterator[pa.RecordBatch]:
    """The rows in batches that fit the memory; texts that may be repeated too often are counted before the first batch."""
    import pyarrow.parquet as pq

    refuse_too_much(file, name)
    file.seek(0, 2)
    most = max(HARMLESS_BYTES, MOST_REPEATED * file.tell())
    plain = pq.ParquetFile(file)
    repeating = pq.ParquetFile(file, read_dictionary=_dictionaries(plain.metadata))
    groups = [(number, _rows_at_once(plain.metadata.row_group(number), most_rows)) for number in range(plain.metadata.num_row_groups)]
    suspects = {number for number, rows in groups if rows < most_rows or _may_repeat_too_much(repeating, number)}
    taken = 0
    for number, rows in groups:
        for batch in repeating.iter_batches(rows, row_groups=[number]) if number in suspects else ():
            taken += _counted(batch, name)
            if taken > most:
                raise BadInputError(
                    f"{name} repeats its texts until they would fill more than {most:,} bytes.\n"
                    "Next: write it again in a tool that you trust, or leave it out"
                )
    for number, rows in groups:
        for batch in (repeating if number in suspects else plain).iter_batches(rows, row_groups=[number]):
            _counted(batch, name)
            yield from _slices(batch, plain.schema_arrow) if number in suspects else [batch]


def _counted(batch: pa.RecordBatch, name: object) -> int:
    sizes = row_bytes(pa.Table.from_batches([batch]))
    longest = int(sizes.max(initial=0))
    if longest > MOST_ROW_BYTES:
        raise BadInputError(
            f"{name} has a row of {longest:,} bytes; at most {MOST_ROW_BYTES:,} are read.\nNext: write the file without that row"
        )
    return int(sizes.sum())


def _slices(batch: pa.RecordBatch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Pieces of at most BATCH_BYTES, or of one row, with their texts repeated."""
    start = 0
    ends = np.cumsum(row_bytes(pa.Table.from_batches([batch])))
    while start < len(ends):
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + BATCH_BYTES, side="right")))
        yield batch.slice(start, end - start).cast(pa.schema(schema, metadata=batch.schema.metadata))
        start = end


def _dictionaries(footer: Any) -> list[str]:
    """Columns of texts that are stored once and repeated by number, as far as Arrow reads them so."""
    columns = list(_columns(footer))
    shared = {column.path_in_schema for column in columns if {*column.encodings} & NOT_BY_NUMBER}
    return sorted(
        {column.path_in_schema for column in columns if {*column.encodings} & BY_NUMBER and column.physical_type == TEXT} - shared
    )


def _columns(footer: Any) -> Iterator[Any]:
    for group in map(footer.row_group, range(footer.num_row_groups)):
        yield from map(group.column, range(group.num_columns))


def _may_repeat_too_much(parquet: Any, number: int) -> bool:
    """Whether the longest text of a dictionary, in every value of its group, fills the memory; only dictionaries and a row are read."""
    group = parquet.metadata.row_group(number)
    values = max((group.column(at).num_values for at in range(group.num_columns)), default=0)
    first = next(parquet.iter_batches(1, row_groups=[number]), None)
    return first is not None and values * max(map(_longest_in_dictionary, first.columns), default=0) > HARMLESS_BYTES


def _longest_in_dictionary(values: pa.Array) -> int:
    if pa.types.is_dictionary(values.type):
        return int(pc.max(pc.binary_length(values.dictionary)).as_py() or 0)
    parts = values.flatten() if pa.types.is_struct(values.type) else [values.values] if pa.types.is_nested(values.type) else []
    return max(map(_longest_in_dictionary, parts), default=0)


def _rows_at_once(group: Any, most_rows: int) -> int:
    """One text can have all bytes of its column, and where it shares a part with the one before, so can every text."""
    columns = [group.column(number) for number in range(group.num_columns)]
    longest = max((column.total_uncompressed_size for column in columns if SHARING in column.encodings), default=0)
    return 1 if group.total_byte_size > HARMLESS_BYTES else min(most_rows, max(1, BATCH_BYTES // longest)) if longest > 0 else most_rows


def trouble_of_file(open_file: Callable[[], Any]) -> str:
    """What is wrong with a Parquet file, '' if it is whole."""
    try:
        file = open_file()
        file.seek(max(file.size() - len(ENDS_WITH), 0))
        return declares_too_much(file) if file.read() == ENDS_WITH else "is truncated or not a Parquet file"
    except FileNotFoundError:
        return "is gone"
    except PermissionError:
        return "cannot be read: permission denied"
    except (OSError, pa.ArrowException):
        return "is truncated or not a Parquet file"
