"""Row groups of Parquet files: which of them hold rows of which trees, and how to read no more than those.

The places are sent to workers, on this machine or another, which then read their chunk by themselves.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.store.chunks.tree_arrays import Ints
from tratree_data.store.locations import open_parquet
from tratree_data.store.schemas import arrow_schema, with_columns

BYTES_PER_CHUNK = 256 << 20
"""Of text: long observations make smaller chunks."""
READ_AT_ONCE = 8
"""In a bucket, each file takes a request."""
READ_AHEAD = 0.5
"""If only up to this share of its rows is needed, a row group is read only that far."""


@dataclass(frozen=True)
class RowGroup:
    """One row group of one file."""

    file: str
    number: int
    rows: int
    bytes: int  # all columns, uncompressed


@dataclass(frozen=True)
class Runs:
    """Runs of neighbouring rows with the same value of a column, in storage order."""

    values: pa.ChunkedArray  # [runs]
    group: Ints  # [runs] index of the row group
    rows: Ints  # [runs]
    end: Ints  # [runs] rows of the row group up to the run's last


Places = dict[int, list[tuple[RowGroup, int]]]
"""For each chunk the row groups that hold rows of its trees, and how many rows of each to read."""


def list_row_groups(files: Sequence[str]) -> list[RowGroup]:
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        return [group for groups in pool.map(_row_groups_of, files) for group in groups]


def _row_groups_of(file: str) -> list[RowGroup]:
    with open_parquet(file) as parquet:
        metadata = parquet.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    sizes = [sum(group.column(i).total_uncompressed_size for i in range(group.num_columns)) for group in groups]
    return [RowGroup(file, number, group.num_rows, size) for number, (group, size) in enumerate(zip(groups, sizes, strict=True))]


def read_runs(groups: Sequence[RowGroup], column: str) -> Runs:
    values, ends, numbers = [pa.array([], pa.string())], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    lengths = [np.zeros(0, np.int64)]
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        for number, runs in enumerate(pool.map(lambda group: _runs_of(group, column), groups)):
            end = runs.run_ends.to_numpy().astype(np.int64)
            values.append(runs.values)
            ends.append(end)
            lengths.append(np.diff(end, prepend=0))
            numbers.append(np.full(len(end), number, np.int64))
    return Runs(pa.chunked_array(values), np.concatenate(numbers), np.concatenate(lengths), np.concatenate(ends))


def _runs_of(group: RowGroup, column: str) -> pa.RunEndEncodedArray:
    with open_parquet(group.file) as parquet:
        return pc.run_end_encode(parquet.read_row_group(group.number, columns=[column])[column].cast(pa.string()).combine_chunks())


def find_trees(runs: Runs, keys: pa.Array, tree_of_key: Ints) -> pa.Table:
    """(tree, group, rows) wherever a row group holds rows of a tree, in storage order; all of them are within its first `rows`."""
    found = pc.index_in(runs.values, keys)  # once for all groups: each call hashes every key
    known = found.is_valid().to_numpy()
    columns = {"tree": tree_of_key[found.drop_null().to_numpy()], "group": runs.group[known], "rows": runs.end[known]}
    places = pa.table(columns).append_column("run", pa.array(np.arange(int(known.sum()))))
    spans = places.group_by(["tree", "group"]).aggregate([("rows", "max"), ("run", "min")]).sort_by("run_min")
    return spans.select(["tree", "group", "rows_max"]).rename_columns(["tree", "group", "rows"])


# ---- which trees go together


def cut_chunks(groups: Sequence[RowGroup], found: pa.Table, sizes: Ints, rows_per_chunk: int, bytes_per_row: Sequence[float]) -> Ints:
    """tree → chunk. A chunk ends with a row group, so that none is read twice, unless one alone exceeds the size of a chunk.

    `found` is what `find_trees` returns, `sizes` are rows per tree, `bytes_per_row` those of each row group.
    """
    trees = found["tree"].to_numpy()
    present, at = np.unique(trees, return_index=True)
    home = np.full(len(sizes), len(groups), np.int64)  # the row group in which a tree begins; those without rows come last
    home[present] = found["group"].to_numpy()[at]
    began = np.full(len(sizes), len(trees), np.int64)
    began[present] = at
    order = np.argsort(began, kind="stable")
    weight = np.ones(len(groups) + 1)
    weight[:-1] = [max(1.0, size * rows_per_chunk / BYTES_PER_CHUNK) for size in bytes_per_row]
    filled = np.cumsum(sizes[order] * weight[home[order]])
    ends = np.flatnonzero(np.append(np.diff(home[order]), 1))  # the last tree of each row group
    chunk_of_tree = np.empty(len(sizes), np.int64)
    chunk, start, before = 0, 0, 0.0
    for begin, end in zip([0, *(ends[:-1] + 1).tolist()], (ends + 1).tolist(), strict=True):
        if begin > start and filled[end - 1] - before > rows_per_chunk:
            chunk, start, before = chunk + 1, begin, float(filled[begin - 1])
        offsets = ((filled[begin:end] - before) // rows_per_chunk).astype(np.int64) if filled[end - 1] - before > rows_per_chunk else 0
        chunk_of_tree[order[begin:end]] = chunk + offsets
        chunk = int(chunk_of_tree[order[end - 1]])
    return np.unique(chunk_of_tree, return_inverse=True)[1].astype(np.int64)


def place_chunks(groups: Sequence[RowGroup], found: pa.Table, chunk_of_tree: Ints) -> Places:
    reads = found.append_column("chunk", pa.array(chunk_of_tree[found["tree"].to_numpy()]))
    spans = reads.group_by(["chunk", "group"]).aggregate([("rows", "max")]).sort_by([("chunk", "ascending"), ("group", "ascending")])
    places: Places = {}
    for chunk, number, rows in zip(*(spans[name].to_pylist() for name in ("chunk", "group", "rows_max")), strict=True):
        places.setdefault(chunk, []).append((groups[number], rows))
    return places


def read_place(group: RowGroup, rows: int, columns: Sequence[str], batch_rows: int | None = None) -> Iterator[pa.RecordBatch]:
    """At least the first `rows` of a row group; if they are few, its later pages are not read."""
    with open_parquet(group.file) as parquet:
        columns = [name for name in columns if name in parquet.schema_arrow.names]  # older files may lack a column
        if batch_rows is None and rows > READ_AHEAD * group.rows:
            yield from parquet.read_row_group(group.number, columns=columns).to_batches()
            return
        for batch in parquet.iter_batches(batch_rows or rows, row_groups=[group.number], columns=columns):
            yield batch
            rows -= batch.num_rows
            if rows <= 0:
                return


def read_files(table: str, files: Sequence[str]) -> Iterator[pa.Table]:
    """All rows of some files, a batch at a time, with today's columns."""
    names = arrow_schema(table).names
    for file in files:
        with open_parquet(file) as parquet:
            there = [name for name in names if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(columns=there):
                yield with_columns(table, pa.Table.from_batches([batch]), names)
