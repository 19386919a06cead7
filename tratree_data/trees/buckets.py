"""Steps of many trees in chunks that fit into memory: which row groups of which files hold which trees.

Rows lie in storage more or less task by task, as they were explored or imported. Where they do not, each chunk would read
everything; then the steps are sorted into chunks on disk first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tratree_data.store.reader import Store
from tratree_data.store.schemas import scan_sql
from tratree_data.trees.comparing import Ints

BUCKET_STEPS = 150_000
BUCKET_BYTES = 256 << 20
"""Of text: long observations make smaller buckets."""
READ_TWICE = 3.0
"""Sorting on disk pays when the chunks would together read this many times the steps."""
READ_AHEAD = 0.5
"""Up to this share of its rows a row group is read only as far as it is needed."""


@dataclass
class Bucket:
    """Some trees, and where their steps lie: of each file the row groups, and how many rows of each to read."""

    rollouts: pa.Table
    row_groups: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    steps: int = 0


@dataclass(frozen=True)
class Group:
    """One row group of one file."""

    file: str
    number: int
    rows: int
    bytes: int


def plan_buckets(store: Store, rollouts: pa.Table, scratch: Path, bucket_steps: int = BUCKET_STEPS) -> list[Bucket]:
    """Every tree of `rollouts` in exactly one bucket, in the order in which their steps lie."""
    codes = pc.dictionary_encode(rollouts["tree_id"]).combine_chunks()
    tree_of_rollout = codes.indices.to_numpy().astype(np.int64)
    groups = _row_groups(store.sources["steps"].files)
    places = _places(groups, rollouts["rollout_id"].combine_chunks(), tree_of_rollout)
    sizes = np.bincount(tree_of_rollout, weights=rollouts["step_count"].to_numpy(), minlength=len(codes.dictionary)).astype(np.int64)
    bucket_of_tree = _cut(groups, places, sizes, max(bucket_steps, 1))
    members = _parts(rollouts, bucket_of_tree[tree_of_rollout])
    buckets = [Bucket(part, steps=int(sizes[bucket_of_tree == i].sum())) for i, part in enumerate(members)]
    reads = places.append_column("bucket", pa.array(bucket_of_tree[places["tree"].to_numpy()]))
    spans = reads.group_by(["bucket", "group"]).aggregate([("rows", "max")]).sort_by([("bucket", "ascending"), ("group", "ascending")])
    if len(buckets) > 1 and pc.sum(spans["rows_max"]).as_py() > READ_TWICE * sum(group.rows for group in groups):
        return _sorted_on_disk(store.sources["steps"].files, buckets, scratch)
    for bucket, number, rows in zip(*(spans[name].to_pylist() for name in ("bucket", "group", "rows_max")), strict=True):
        buckets[bucket].row_groups.setdefault(groups[number].file, []).append((groups[number].number, rows))
    return buckets


def read_steps(bucket: Bucket, columns: Sequence[str]) -> pa.Table:
    """The bucket's steps; rows of other trees in the same row groups are left out."""
    parts = []
    for file, groups in bucket.row_groups.items():
        with pq.ParquetFile(file, memory_map=True) as parquet:
            parts += [_read_group(parquet, number, rows, list(columns)) for number, rows in groups]
    if not parts:
        return pa.table({name: pa.array([], pa.int32() if name == "step" else pa.string()) for name in columns})
    table = pa.concat_tables(parts)
    mine = np.flatnonzero(pc.is_in(table["rollout_id"], bucket.rollouts["rollout_id"].combine_chunks()).to_numpy())
    first, last = (int(mine[0]), int(mine[-1])) if len(mine) else (0, -1)
    if last - first + 1 == len(mine):  # stored together, as they mostly are: nothing is copied
        return table.slice(first, len(mine))
    return table.take(pa.array(mine))


def _read_group(parquet: pq.ParquetFile, number: int, rows: int, columns: list[str]) -> pa.Table:
    """The first `rows` of a row group; where they are few, its later pages stay unread."""
    if rows > READ_AHEAD * parquet.metadata.row_group(number).num_rows:
        return parquet.read_row_group(number, columns=columns)
    batches: list[pa.RecordBatch] = []
    for batch in parquet.iter_batches(batch_size=rows, row_groups=[number], columns=columns):
        batches.append(batch)
        if sum(part.num_rows for part in batches) >= rows:
            break
    return pa.Table.from_batches(batches)


def _cut(groups: Sequence[Group], places: pa.Table, sizes: Ints, bucket_steps: int) -> Ints:
    """tree → bucket. A bucket ends with a row group, so that none is read twice, unless one alone holds more than a bucket may."""
    trees = places["tree"].to_numpy()
    found, at = np.unique(trees, return_index=True)
    home = np.full(len(sizes), len(groups), np.int64)  # where a tree begins; those without steps come last
    home[found] = places["group"].to_numpy()[at]
    began = np.full(len(sizes), len(trees), np.int64)
    began[found] = at
    order = np.argsort(began, kind="stable")
    weight = np.ones(len(groups) + 1)
    weight[:-1] = [max(1.0, group.bytes / max(group.rows, 1) * bucket_steps / BUCKET_BYTES) for group in groups]
    filled = np.cumsum(sizes[order] * weight[home[order]])
    ends = np.flatnonzero(np.append(np.diff(home[order]), 1))  # the last tree of each row group
    bucket_of_tree = np.empty(len(sizes), np.int64)
    bucket, start, before = 0, 0, 0.0
    for begin, end in zip([0, *(ends[:-1] + 1).tolist()], (ends + 1).tolist(), strict=True):
        if begin > start and filled[end - 1] - before > bucket_steps:
            bucket, start, before = bucket + 1, begin, float(filled[begin - 1])
        parts = ((filled[begin:end] - before) // bucket_steps).astype(np.int64) if filled[end - 1] - before > bucket_steps else 0
        bucket_of_tree[order[begin:end]] = bucket + parts
        bucket = int(bucket_of_tree[order[end - 1]])
    return np.unique(bucket_of_tree, return_inverse=True)[1]


def _parts(rollouts: pa.Table, bucket: Ints) -> list[pa.Table]:
    """Copies, not slices: a slice sent to a worker takes the whole table with it."""
    order = np.argsort(bucket, kind="stable")
    ends = np.cumsum(np.bincount(bucket)).tolist()
    rollouts = rollouts.combine_chunks()
    return [rollouts.take(pa.array(order[start:end])) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _row_groups(files: Sequence[str]) -> list[Group]:
    groups = []
    for file in files:
        metadata = pq.read_metadata(file)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            read = sum(group.column(i).total_uncompressed_size for i in range(group.num_columns))
            groups.append(Group(file, number, group.num_rows, read))
    return groups


def _places(groups: Sequence[Group], rollout_ids: pa.Array, tree_of_rollout: Ints) -> pa.Table:
    """(tree, group, rows) wherever a row group holds steps of a tree, in storage order; all of them lie within its first `rows`."""
    ids, ends = [pa.array([], pa.string())], [np.zeros(0, np.int64)]
    for group in groups:
        with pq.ParquetFile(group.file, memory_map=True) as parquet:
            runs = pc.run_end_encode(parquet.read_row_group(group.number, columns=["rollout_id"])["rollout_id"].combine_chunks())
        ids.append(runs.values)
        ends.append(runs.run_ends.to_numpy().astype(np.int64))
    found = pc.index_in(pa.chunked_array(ids), rollout_ids)  # once for all groups: each call hashes every rollout
    known = found.is_valid().to_numpy()
    number = np.repeat(np.arange(len(groups)), [len(part) for part in ends[1:]])[known]
    columns = {"tree": tree_of_rollout[found.drop_null().to_numpy()], "group": number, "rows": np.concatenate(ends)[known]}
    places = pa.table(columns).append_column("run", pa.array(np.arange(len(number))))
    spans = places.group_by(["tree", "group"]).aggregate([("rows", "max"), ("run", "min")]).sort_by("run_min")
    return spans.select(["tree", "group", "rows_max"]).rename_columns(["tree", "group", "rows"])


def _sorted_on_disk(files: Sequence[str], buckets: list[Bucket], scratch: Path) -> list[Bucket]:
    """Copies the steps into one file a bucket; DuckDB spills to disk where memory is short."""
    members = pa.concat_tables(
        [
            pa.table({"rollout_id": bucket.rollouts["rollout_id"], "bucket": np.full(bucket.rollouts.num_rows, i)})
            for i, bucket in enumerate(buckets)
        ]
    )
    target = scratch / "steps"
    target.mkdir(parents=True)
    with duckdb.connect(config={"temp_directory": str(scratch / "spill"), "memory_limit": "2GB"}) as connection:
        connection.register("members", members)
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(
            f"COPY (SELECT steps.*, bucket FROM {scan_sql('steps', files)} AS steps JOIN members USING (rollout_id)) "
            f"TO '{_quoted(target)}' "
            "(FORMAT parquet, PARTITION_BY (bucket), OVERWRITE_OR_IGNORE)",
        )
    for i, bucket in enumerate(buckets):
        for file in sorted((target / f"bucket={i}").glob("*.parquet")):
            bucket.row_groups[str(file)] = [(group.number, group.rows) for group in _row_groups([str(file)])]
    return buckets


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
