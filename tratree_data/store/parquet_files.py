"""Parquet files of a table, as they are written before a commit names them: light to import, for worker processes."""

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_GROUP = 122_880


def write_parquet(table: pa.Table, name: str, path: Path) -> None:
    """One file; identifiers are hashes, so a dictionary would only cost time. Arrow takes `a:b` for an address and `~` for home."""
    texts = [column for column in table.column_names if not column.endswith("_id") and not column.endswith("_ids")]
    pq.write_table(
        table,
        path.absolute(),
        compression="zstd",
        compression_level=1,
        use_dictionary=texts,
        write_page_index=True,
        row_group_size=ROWS_PER_GROUP,
    )


def new_file(path: str | Path, table: str) -> Path:
    """A name for a Parquet file that a worker writes for a later `commit`."""
    folder = Path(path).absolute() / table
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"part-{uuid.uuid4().hex}.parquet"
