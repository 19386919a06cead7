"""Whether a Parquet file is complete, and whether what it claims to hold is plausible: a file of a kilobyte may declare terabytes."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from tratree_data.errors import BadInputError

ENDS_WITH = b"PAR1"
HARMLESS_BYTES = 2**30
"""A file that declares less than this is read, however well it is compressed."""
BYTES_PER_CELL = 4
"""Bytes of a NULL text in memory; in a file, a million of them take a few bytes."""
LARGEST_GROWTH = 1_000
"""Real logs shrink to a tenth, repetitions of one text to a hundredth, and to nothing only if the text is stored once."""


def declares_too_much(file: Any) -> str:
    """Why a file must not be read: it claims to hold more than its size makes plausible; '' if it may be. Reads only the footer."""
    import pyarrow.parquet as pq

    file.seek(0, 2)
    size = file.tell()
    footer = pq.ParquetFile(file).metadata
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    declared = max(sum(max(group.total_byte_size, 0) for group in groups), BYTES_PER_CELL * footer.num_rows * footer.num_columns)
    if declared <= HARMLESS_BYTES or declared <= LARGEST_GROWTH * size:
        return ""
    return f"is {size:,} bytes long but claims to hold {declared:,}, which would fill the memory"


def refuse_too_much(file: Any, name: object) -> None:
    trouble = declares_too_much(file)
    if trouble:
        raise BadInputError(f"{name} {trouble}.\nNext: write it again in a tool that you trust, or leave it out")
    file.seek(0)


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
