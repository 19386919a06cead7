"""Some whole trees at a time: which row groups of which files hold which trees, so that no stage needs a whole dataset in memory.

Rows are stored more or less task by task, as they were explored, imported or built, but not in order of their ids. So we look up once
where each tree's rows are, cut the trees into chunks in that order, and read for each chunk those row groups only. Where the steps of a
tree are scattered so widely that each chunk would read everything, they are first sorted into chunks on disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.store.locations import open_parquet
from tratree_data.store.outcomes import later_scores, with_scores
from tratree_data.store.reader import Store
from tratree_data.store.schemas import empty_table, with_columns
from tratree_data.store.tree_arrays import NODE_COLUMNS, ROLLOUT_COLUMNS, STEP_COLUMNS, Ints, TreeArrays, read_tree_arrays

STEPS_PER_CHUNK = 150_000
NODES_PER_CHUNK = 300_000
BYTES_PER_CHUNK = 256 << 20
"""Of text: long observations make smaller chunks."""
ROWS_PER_READ = 50_000
READ_TWICE = 3.0
"""Sorting on disk pays when the chunks would together read this many times the steps."""
READ_AHEAD = 0.5
"""Up to this share of its rows, a row group is read only as far as it is needed."""

STRUCTURE = {"nodes": NODE_COLUMNS, "step_nodes": STEP_COLUMNS, "rollouts": ROLLOUT_COLUMNS}


@dataclass(frozen=True)
class RowGroup:
    """One row group of one file."""

    file: str
    number: int
    rows: int
    bytes: int  # all columns, uncompressed


@dataclass(frozen=True)
class Runs:
    """Neighbouring rows with one value of a column, in storage order."""

    values: pa.ChunkedArray  # [runs]
    group: Ints  # [runs] index of the row group
    rows: Ints  # [runs]
    end: Ints  # [runs] rows of the row group up to the run's last


Places = dict[int, list[tuple[RowGroup, int]]]
"""For each chunk the row groups that hold rows of its trees, and how many rows of each to read."""


@dataclass
class StepChunk:
    """Rollouts of some trees, and where their steps are."""

    rollouts: pa.Table
    places: list[tuple[RowGroup, int]] = field(default_factory=list)
    steps: int = 0


# ---- where rows are


def list_row_groups(files: Sequence[str]) -> list[RowGroup]:
    groups = []
    for file in files:
        with open_parquet(file) as parquet:
            metadata = parquet.metadata
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            size = sum(group.column(i).total_uncompressed_size for i in range(group.num_columns))
            groups.append(RowGroup(file, number, group.num_rows, size))
    return groups


def read_runs(groups: Sequence[RowGroup], column: str) -> Runs:
    values, ends, numbers = [pa.array([], pa.string())], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    lengths = [np.zeros(0, np.int64)]
    for number, group in enumerate(groups):
        with open_parquet(group.file) as parquet:
            rows = parquet.read_row_group(group.number, columns=[column])[column].cast(pa.string()).combine_chunks()
        runs = pc.run_end_encode(rows)
        end = runs.run_ends.to_numpy().astype(np.int64)
        values.append(runs.values)
        ends.append(end)
        lengths.append(np.diff(end, prepend=0))
        numbers.append(np.full(len(end), number, np.int64))
    return Runs(pa.chunked_array(values), np.concatenate(numbers), np.concatenate(lengths), np.concatenate(ends))


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
    """tree → chunk. A chunk ends with a row group, so that none is read twice, unless one alone holds more than a chunk may.

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
    """The first `rows` of a row group, and maybe more; where they are few, its later pages stay unread."""
    with open_parquet(group.file) as parquet:
        columns = [name for name in columns if name in parquet.schema_arrow.names]  # older files may lack one
        if batch_rows is None and rows > READ_AHEAD * group.rows:
            yield from parquet.read_row_group(group.number, columns=columns).to_batches()
            return
        for batch in parquet.iter_batches(batch_rows or rows, row_groups=[group.number], columns=columns):
            yield batch
            rows -= batch.num_rows
            if rows <= 0:
                return


# ---- built trees: nodes and what belongs to them


def read_chunks(
    store: Store, columns: Mapping[str, Sequence[str]] = STRUCTURE, nodes_per_chunk: int = NODES_PER_CHUNK
) -> Iterator[dict[str, pa.Table]]:
    """These columns of these tables, for at most about so many nodes at a time; every tree is in exactly one chunk, whole.

    Steps do not name their tree, so theirs are those of the chunk's rollouts.
    """
    if not store.count("nodes"):
        return
    tree_ids, chunk_of_tree = plan_chunks(store, columns["nodes"], nodes_per_chunk)
    later = later_scores(store)
    places = {}
    for table in columns:
        groups = list_row_groups(store.sources[table].files)
        keys, tree_of_key = _rollouts_of(store, tree_ids) if table == "steps" else (tree_ids, np.arange(len(tree_ids)))
        found = find_trees(read_runs(groups, _named_by(table)), keys, tree_of_key)
        places[table] = place_chunks(groups, found, chunk_of_tree)
    for number in range(int(chunk_of_tree.max()) + 1):
        mine = tree_ids.filter(pa.array(chunk_of_tree == number))
        chunk = {
            table: read_rows(table, places[table].get(number, []), names, mine) for table, names in columns.items() if table != "steps"
        }
        if "steps" in columns:
            names = chunk["rollouts"]["rollout_id"].combine_chunks()
            chunk["steps"] = read_rows("steps", places["steps"].get(number, []), columns["steps"], names)
        if later is not None and "rollouts" in chunk:
            chunk["rollouts"] = with_scores(chunk["rollouts"], later)
        yield chunk


def _named_by(table: str) -> str:
    return "rollout_id" if table == "steps" else "tree_id"


def _rollouts_of(store: Store, tree_ids: pa.Array) -> tuple[pa.Array, Ints]:
    """(rollout_ids of these trees, the index of each one's tree)."""
    rollouts = store.read("rollouts", ["rollout_id", "tree_id"])
    tree = pc.index_in(rollouts["tree_id"].combine_chunks(), tree_ids)
    known = tree.is_valid()
    return rollouts["rollout_id"].combine_chunks().filter(known), tree.filter(known).to_numpy().astype(np.int64)


def read_tree_arrays_by_chunk(store: Store) -> Iterator[TreeArrays]:
    """The structure of all trees, without their texts."""
    for tables in read_chunks(store):
        yield read_tree_arrays(tables["nodes"], tables["step_nodes"], tables["rollouts"])


def plan_chunks(store: Store, columns: Sequence[str], nodes_per_chunk: int) -> tuple[pa.Array, Ints]:
    """All tree_ids in the order in which their nodes are stored, and the chunk of each."""
    groups = list_row_groups(store.sources["nodes"].files)
    runs = read_runs(groups, "tree_id")
    tree_ids = pc.unique(runs.values)
    trees = pc.index_in(runs.values, tree_ids).to_numpy()
    sizes = np.bincount(trees, weights=runs.rows, minlength=len(tree_ids)).astype(np.int64)
    found = find_trees(runs, tree_ids, np.arange(len(tree_ids)))
    return tree_ids, cut_chunks(groups, found, sizes, nodes_per_chunk, [sample_bytes_per_row(group, columns) for group in groups])


def sample_bytes_per_row(group: RowGroup, columns: Sequence[str]) -> float:
    """By the first thousand rows: observations may be words or whole web pages."""
    batch = next(read_place(group, 1_000, columns, batch_rows=1_000), None)
    return batch.nbytes / max(batch.num_rows, 1) if batch is not None else 0.0


def read_rows(table: str, places: Sequence[tuple[RowGroup, int]], columns: Sequence[str], names: pa.Array) -> pa.Table:
    """As the schema has them: older files may lack a column, and those that Delta rewrote to delete a tree hold texts of another type."""
    kept = [empty_table(table).select(columns)]
    for group, needed in places:
        for batch in read_place(group, needed, columns, batch_rows=ROWS_PER_READ):
            rows = with_columns(table, pa.Table.from_batches([batch]), columns)
            kept.append(rows.filter(pc.is_in(rows[_named_by(table)], names)))
    return pa.concat_tables(kept)


# ---- trees to be built: rollouts and their steps


def plan_step_chunks(store: Store, rollouts: pa.Table, scratch: Path, steps_per_chunk: int = STEPS_PER_CHUNK) -> list[StepChunk]:
    """Every tree of `rollouts` in exactly one chunk, in the order in which their steps are stored."""
    codes = pc.dictionary_encode(rollouts["tree_id"]).combine_chunks()
    tree_of_rollout = codes.indices.to_numpy().astype(np.int64)
    groups = list_row_groups(store.sources["steps"].files)
    found = find_trees(read_runs(groups, "rollout_id"), rollouts["rollout_id"].combine_chunks(), tree_of_rollout)
    sizes = np.bincount(tree_of_rollout, weights=rollouts["step_count"].to_numpy(), minlength=len(codes.dictionary)).astype(np.int64)
    chunk_of_tree = cut_chunks(groups, found, sizes, steps_per_chunk, [group.bytes / max(group.rows, 1) for group in groups])
    members = _divide_rollouts(rollouts, chunk_of_tree[tree_of_rollout])
    places = place_chunks(groups, found, chunk_of_tree)
    chunks = [
        StepChunk(mine, places.get(number, []), steps=int(sizes[chunk_of_tree == number].sum())) for number, mine in enumerate(members)
    ]
    read = sum(rows for chunk in chunks for _, rows in chunk.places)
    if len(chunks) > 1 and read > READ_TWICE * sum(group.rows for group in groups):
        _sort_on_disk(store, chunks, scratch)
    return chunks


def read_step_chunk(chunk: StepChunk, columns: Sequence[str]) -> pa.Table:
    """The chunk's steps; rows of other trees in the same row groups are left out."""
    batches = [batch for group, rows in chunk.places for batch in read_place(group, rows, columns)]
    if not batches:
        return pa.table({name: pa.array([], pa.int32() if name == "step" else pa.string()) for name in columns})
    table = pa.Table.from_batches(batches)
    mine = np.flatnonzero(pc.is_in(table["rollout_id"], chunk.rollouts["rollout_id"].combine_chunks()).to_numpy())
    first, last = (int(mine[0]), int(mine[-1])) if len(mine) else (0, -1)
    if last - first + 1 == len(mine):  # stored together, as they mostly are: nothing is copied
        return table.slice(first, len(mine))
    return table.take(pa.array(mine))


def _divide_rollouts(rollouts: pa.Table, chunk: npt.NDArray[np.int64]) -> list[pa.Table]:
    """Copies, not slices: a slice sent to a worker takes the whole table with it."""
    order = np.argsort(chunk, kind="stable")
    ends = np.cumsum(np.bincount(chunk)).tolist()
    rollouts = rollouts.combine_chunks()
    return [rollouts.take(pa.array(order[start:end])) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _sort_on_disk(store: Store, chunks: Sequence[StepChunk], scratch: Path) -> None:
    """Copies the steps into files of their own for each chunk; DuckDB spills to disk where memory is short."""
    members = pa.concat_tables(
        [
            pa.table({"rollout_id": chunk.rollouts["rollout_id"], "chunk": np.full(chunk.rollouts.num_rows, i)})
            for i, chunk in enumerate(chunks)
        ]
    )
    target = scratch / "steps"
    target.mkdir(parents=True)
    with duckdb.connect(config={"temp_directory": str(scratch / "spill"), "memory_limit": "2GB"}) as connection:
        connection.register("members", members)
        store.let_read(connection)
        connection.execute("SET preserve_insertion_order = false")
        quoted = str(target).replace("'", "''")
        connection.execute(
            f"COPY (SELECT steps.*, chunk FROM {store.scan('steps')} AS steps JOIN members USING (rollout_id)) TO '{quoted}' "
            "(FORMAT parquet, PARTITION_BY (chunk), OVERWRITE_OR_IGNORE)",
        )
    for i, chunk in enumerate(chunks):
        sorted_files = sorted(str(file) for file in (target / f"chunk={i}").glob("*.parquet"))
        chunk.places = [(group, group.rows) for group in list_row_groups(sorted_files)]
