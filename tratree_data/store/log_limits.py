"""What is refused of a Delta log before or after it is opened: checkpoints that would fill the memory, and features that change which rows
a table has, such as deletion vectors: we read its files whole, so rows that another tool deleted would reappear."""

import re
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from deltalake import DeltaTable

from tratree_data.errors import BadInputError
from tratree_data.system.parquet_sizes import HARMLESS_BYTES, bounded_batches, refuse_too_much

CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\..*parquet")
COLUMN_MAPPING = 2
"""The version of the protocol that renames columns; from the next on, features are listed by name."""
MOST_FILES, ROWS_AT_ONCE = 1_000_000, 2_048
UNDERSTOOD = {"timestampNtz", "vacuumProtocolCheck"}


def need_plausible_checkpoint(log: Path, version: int | None) -> None:
    """Refuses the checkpoint that opening this version reads, if it would fill the memory."""
    found = [match for match in map(CHECKPOINT.fullmatch, (path.name for path in log.iterdir())) if match]
    numbers = [int(match[1]) for match in found if version is None or int(match[1]) <= version]
    for match in (match for match in found if numbers and int(match[1]) == max(numbers)):
        try:
            with (log / match[0]).open("rb") as file:
                _need_plausible(file, log / match[0])
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise BadInputError(f"{log / match[0]} is not readable: {reason}.\nNext: restore the dataset from a copy") from error


def _need_plausible(file: BinaryIO, name: Path) -> None:
    """Counts texts that are stored once and repeated only where that could matter: each row could have all of the file's texts."""
    import pyarrow.parquet as pq  # not for datasets without checkpoints: it takes time to load

    refuse_too_much(file, name)
    footer = pq.read_metadata(file)
    stored = sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups))
    if footer.num_rows > MOST_FILES:
        raise BadInputError(f"{name} lists {footer.num_rows:,} files.\nNext: do not trust this dataset; restore it from a copy")
    if stored * footer.num_rows > HARMLESS_BYTES:
        for _ in bounded_batches(file, name, ROWS_AT_ONCE):
            pass


def need_understood(table: object, opened: DeltaTable) -> None:
    protocol = opened.protocol()
    features = {"columnMapping"} if protocol.min_reader_version == COLUMN_MAPPING else {*(protocol.reader_features or ())}
    if unknown := sorted(features - UNDERSTOOD):
        raise BadInputError(
            f"{table} was changed by another tool and now needs {', '.join(unknown)[:200]} of Delta, which tratree-data does not read: "
            "deleted rows could reappear.\nNext: restore the dataset from a copy, or rewrite the table in that tool without it"
        )
