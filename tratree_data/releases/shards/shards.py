"""A table as sorted, redacted Parquet shards of a release: `data/<table>/<split>-<number>-<hash>.parquet`.

Rows come in order (ordering.py) and go out row group by row group, so memory is bounded. A shard's name holds the hash of its bytes and
never names different data: a new version keeps the shards whose rows all remain and adds new ones for the rest.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tratree_data.releases.shards.ordering import load_splits, ordered_batches, work_connection
from tratree_data.stages import published_tables
from tratree_data.store.published.manifest import Shard, file_hash
from tratree_data.store.reader import Store
from tratree_data.store.schemas import arrow_schema, released_schema
from tratree_data.system.row_sizes import longest_row, row_bytes

ROW_GROUP_BYTES = 32 * 2**20
ROW_GROUP_ROWS = 128 * 1024

Redact = Callable[[str, pa.Table], pa.Table]
"""(table's name, some rows) → the rows without secrets."""


def write_tables(store: Store, folder: Path, redact: Redact, shard_bytes: int, splits: Mapping[str, str]) -> dict[str, list[Shard]]:
    """Every table that is published; `splits` has the name of each split on the Hub. Two at a time, one read while the other is written."""
    tables = [table for table in published_tables() if store.has(table)]
    with sorting(store, folder.parent, splits) as (connection, spill), ThreadPoolExecutor(2) as pool:
        written = pool.map(lambda table: write_table(connection, spill, store, table, folder, redact, shard_bytes), tables)
        return dict(zip(tables, written, strict=True))


@contextmanager
def sorting(store: Store, near: Path, splits: Mapping[str, str]) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """What `write_table` needs to bring rows into order: (connection, folder for what does not fit into memory)."""
    with tempfile.TemporaryDirectory(dir=near, prefix=".sorting-") as spill, work_connection(Path(spill), store) as connection:
        load_splits(connection, store, splits)
        yield connection, Path(spill)


def write_table(
    connection: duckdb.DuckDBPyConnection, spill: Path, store: Store, table: str, folder: Path, redact: Redact, shard_bytes: int
) -> list[Shard]:
    if not store.sources[table].files:
        return []
    rows = ordered_batches(connection, store.scan(table), table, spill)
    return write_shards(rows, table, folder, redact=redact, first={}, shard_bytes=shard_bytes)


def as_it_is(_: str, rows: pa.Table) -> pa.Table:
    return rows


def write_shards(
    batches: Iterable[pa.RecordBatch], table: str, folder: Path, *, first: Mapping[str, int], shard_bytes: int, redact: Redact = as_it_is
) -> list[Shard]:
    """Writes rows with a `release_split`, one split after the other; `first` is the number of each split's first shard, 0 if unnamed.

    The same rows make the same shards, whatever batches they come in.
    """
    target = folder / "data" / table
    target.mkdir(parents=True, exist_ok=True)
    shards: list[Shard] = []
    writer: _Writer | None = None
    for split, rows in _row_groups(_redacted(_parts(batches, table), table, redact)):
        if writer is not None and (writer.split != split or writer.size() >= shard_bytes):
            shards.append(writer.finish(folder))
            writer = None
        if writer is None:
            number = first.get(split, 0) + sum(shard.split == split for shard in shards)
            writer = _Writer(table, target, split, number)
        writer.write(rows)
    if writer is not None:
        shards.append(writer.finish(folder))
    return shards


def _parts(batches: Iterable[pa.RecordBatch], table: str) -> Iterator[tuple[str, pa.Table]]:
    """(split, some of its rows): about as many as a row group has, because redacting a few at a time takes longer."""
    schema = arrow_schema(table)
    waiting: list[pa.RecordBatch] = []
    waiting_split = ""
    for batch in batches:
        column = batch.column("release_split")
        start = 0
        while start < batch.num_rows:
            split = column[start].as_py()
            end = batch.num_rows if column[batch.num_rows - 1].as_py() == split else _end_of(column, start, split)
            full = sum(b.nbytes for b in waiting) >= ROW_GROUP_BYTES or sum(b.num_rows for b in waiting) >= ROW_GROUP_ROWS
            if waiting and (split != waiting_split or full):
                yield waiting_split, pa.Table.from_batches(waiting).cast(schema)
                waiting = []
            waiting_split = split
            waiting.append(batch.slice(start, end - start).drop_columns(["release_split"]))
            start = end
    if waiting:
        yield waiting_split, pa.Table.from_batches(waiting).cast(schema)


def _redacted(parts: Iterable[tuple[str, pa.Table]], table: str, redact: Redact) -> Iterator[tuple[str, pa.Table]]:
    for split, rows in parts:
        yield split, redact(table, rows)


def _row_groups(parts: Iterable[tuple[str, pa.Table]]) -> Iterator[tuple[str, pa.Table]]:
    """(split, rows of one row group): it ends with the row that fills it, so the rows alone decide where, and with its split."""
    waiting: list[pa.Table] = []
    waiting_split, left_rows, left_bytes = "", ROW_GROUP_ROWS, ROW_GROUP_BYTES
    for split, rows in parts:
        if waiting and split != waiting_split:
            yield waiting_split, pa.concat_tables(waiting)
            waiting, left_rows, left_bytes = [], ROW_GROUP_ROWS, ROW_GROUP_BYTES
        waiting_split, filled, start = split, np.cumsum(row_bytes(rows)), 0
        while start < rows.num_rows:
            before = int(filled[start - 1]) if start else 0
            end = min(int(np.searchsorted(filled, before + left_bytes)) + 1, start + left_rows, rows.num_rows)
            waiting.append(rows.slice(start, end - start))
            left_rows, left_bytes, start = left_rows - (end - start), left_bytes - (int(filled[end - 1]) - before), end
            if left_rows <= 0 or left_bytes <= 0:
                yield split, pa.concat_tables(waiting)
                waiting, left_rows, left_bytes = [], ROW_GROUP_ROWS, ROW_GROUP_BYTES
    if waiting:
        yield waiting_split, pa.concat_tables(waiting)


def _end_of(column: pa.Array, start: int, split: str) -> int:
    end = start
    while end < len(column) and column[end].as_py() == split:
        end += 1
    return end


class _Writer:
    """A shard that is being written; it gets its name once its bytes are known."""

    def __init__(self, table: str, target: Path, split: str, number: int) -> None:
        self.split = split
        self.number = number
        self.partial = target / f"{split}-{number:05}.partial"
        self.sink = pa.OSFile(str(self.partial), "wb")
        self.schema = released_schema(table)
        self.writer = pq.ParquetWriter(self.sink, self.schema, **parquet_settings(table))
        self.rows = 0
        self.longest = 0

    def write(self, rows: pa.Table) -> None:
        self.longest = max(self.longest, longest_row(rows))
        self.writer.write_table(rows.cast(self.schema), row_group_size=max(1, rows.num_rows))
        self.rows += rows.num_rows

    def size(self) -> int:
        return int(self.sink.tell())

    def finish(self, folder: Path) -> Shard:
        self.writer.close()
        self.sink.close()
        digest = file_hash(self.partial)
        path = self.partial.with_name(f"{self.split}-{self.number:05}-{digest[:12]}.parquet")
        self.partial.rename(path)
        groups = pq.read_metadata(path)
        plain = sum(groups.row_group(i).total_byte_size for i in range(groups.num_row_groups))
        return Shard(path.relative_to(folder).as_posix(), self.split, self.rows, path.stat().st_size, plain, digest, self.longest)


def parquet_settings(table: str) -> dict[str, object]:
    """Options that suit the Hub: content-defined chunks, so that a changed row changes few bytes, and an index of the pages."""
    texts = [name for name in arrow_schema(table).names if not name.endswith("_id") and not name.endswith("_ids")]
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": texts,
        "use_content_defined_chunking": True,
        "write_page_index": True,
    }
