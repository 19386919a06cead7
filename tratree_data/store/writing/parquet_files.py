"""Writes a table's Parquet files before a commit names them. Light to import, for worker processes."""

import re
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tratree_data.store.buckets.bucket_paths import BucketPath, write
from tratree_data.store.locations import Place, place

ROWS_PER_GROUP = 122_880
SCRATCH = ".building"
"""The folder in which workers write; while nobody holds the writer's lock, whatever it contains was left behind."""

OURS = re.compile(r"part-([0-9a-f]{32}|[0-9]{5}-[0-9a-f-]{36}-c[0-9]{3}(\.[a-z0-9]+)?)\.parquet")
"""Names that new_file and Delta give; a file with another name is not ours."""


def staging(path: str | Place) -> Place:
    """Where workers write what a commit then moves to its table.

    In a bucket, where nothing can be moved, they write it to the table's folder.
    """
    folder = place(path)
    return folder / SCRATCH if isinstance(folder, Path) else folder


def write_parquet(table: pa.Table, name: str, path: Place) -> None:
    """One file; identifiers are hashes, so a dictionary would only cost time. Arrow takes `a:b` for an address and `~` for home."""
    if isinstance(path, BucketPath):
        sink = pa.BufferOutputStream()
        _write(table, sink)
        write(path, memoryview(sink.getvalue()).cast("B"))
    else:
        _write(table, path.absolute())


def _write(table: pa.Table, target: "Path | pa.BufferOutputStream") -> None:
    texts = [column for column in table.column_names if not column.endswith("_id") and not column.endswith("_ids")]
    pq.write_table(
        table,
        target,
        compression="zstd",
        compression_level=1,
        use_dictionary=texts,
        write_page_index=True,
        row_group_size=ROWS_PER_GROUP,
    )


def new_file(path: str | Place, table: str) -> Place:
    """A name for a Parquet file that a worker writes for a later `commit`."""
    folder = place(path)
    if isinstance(folder, Path):
        folder = folder.absolute()
        (folder / table).mkdir(parents=True, exist_ok=True)
    return folder / table / f"part-{uuid.uuid4().hex}.parquet"


def is_ours(file: Place) -> bool:
    return OURS.fullmatch(file.name) is not None
