"""Some whole trees at a time: which row groups of which files hold which trees, so that no stage needs a whole dataset in memory.

Rows are stored more or less task by task, as they were explored, imported or built, but not in order of their ids. So we look up once
where each tree's rows are, cut the trees into chunks in that order, and read for each chunk those row groups only. Where the steps of a
tree are scattered so widely that each chunk would read everything, they are first sorted into chunks on disk.

A chunk is a plan: which rows of which files. It is small, so a worker anywhere can be sent one, and reads the rows itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.store.buckets.bucket_paths import BucketPath, write
from tratree_data.store.chunks.row_groups import (
    READ_AT_ONCE,
    RowGroup,
    cut_chunks,
    find_trees,
    list_row_groups,
    place_chunks,
    read_place,
    read_runs,
)
from tratree_data.store.chunks.tree_arrays import NODE_COLUMNS, ROLLOUT_COLUMNS, STEP_COLUMNS, Ints, TreeArrays, read_tree_arrays
from tratree_data.store.locations import Place
from tratree_data.store.outcomes import later_scores, with_scores
from tratree_data.store.reader import Store
from tratree_data.store.schemas import empty_table, with_columns

STEPS_PER_CHUNK = 150_000
NODES_PER_CHUNK = 300_000
ROWS_PER_READ = 50_000
READ_TWICE = 3.0
"""Sorting on disk pays if the chunks would otherwise read every step this many times."""

STRUCTURE = {"nodes": NODE_COLUMNS, "step_nodes": STEP_COLUMNS, "rollouts": ROLLOUT_COLUMNS}


@dataclass(frozen=True)
class TreeChunk:
    """Some whole built trees, and where their rows of each table are."""

    tree_ids: pa.Array
    nodes: int
    columns: Mapping[str, Sequence[str]]
    places: Mapping[str, list[tuple[RowGroup, int]]]
    later: pa.Table | None  # scores that rollouts of these trees got later


@dataclass
class StepChunk:
    """Rollouts of some trees, and where their steps are."""

    rollouts: pa.Table
    places: list[tuple[RowGroup, int]] = field(default_factory=list)
    steps: int = 0


# ---- built trees: nodes and what belongs to them


def plan_tree_chunks(
    store: Store, columns: Mapping[str, Sequence[str]] = STRUCTURE, nodes_per_chunk: int = 0, only: Sequence[str] | None = None
) -> list[TreeChunk]:
    """Chunks of about `nodes_per_chunk` nodes at most; every tree, or every tree of `only`, is whole in exactly one chunk."""
    tree_ids, sizes, chunk_of_tree = _divide_trees(store, columns["nodes"], nodes_per_chunk or NODES_PER_CHUNK, only)
    if not len(tree_ids):
        return []
    later = later_scores(store)
    rollouts = _rollouts_of(store, tree_ids) if "steps" in columns or later is not None else None
    places = {}
    for table in columns:
        groups = list_row_groups(store.sources[table].files)
        keys, tree_of_key = rollouts if rollouts is not None and table == "steps" else (tree_ids, np.arange(len(tree_ids)))
        found = find_trees(read_runs(groups, _named_by(table)), keys, tree_of_key)
        places[table] = place_chunks(groups, found, chunk_of_tree)
    order = np.argsort(chunk_of_tree, kind="stable")
    starts = np.searchsorted(chunk_of_tree[order], np.arange(int(chunk_of_tree.max()) + 2)).tolist()
    scores = _divide_scores(later, rollouts, chunk_of_tree) if later is not None and rollouts is not None else {}
    return [
        TreeChunk(
            tree_ids=tree_ids.take(pa.array(order[start:end])),
            nodes=int(sizes[order[start:end]].sum()),
            columns=columns,
            places={table: places[table].get(number, []) for table in columns},
            later=scores.get(number),
        )
        for number, (start, end) in enumerate(pairwise(starts))
    ]


def read_tree_chunk(chunk: TreeChunk) -> dict[str, pa.Table]:
    """The chunk's rows of each table. Steps do not name their tree, so theirs are those of the chunk's rollouts."""
    tables = {
        table: read_rows(table, chunk.places[table], names, chunk.tree_ids) for table, names in chunk.columns.items() if table != "steps"
    }
    if "steps" in chunk.columns:
        names = tables["rollouts"]["rollout_id"].combine_chunks()
        tables["steps"] = read_rows("steps", chunk.places["steps"], chunk.columns["steps"], names)
    if chunk.later is not None and "rollouts" in tables:
        tables["rollouts"] = with_scores(tables["rollouts"], chunk.later)
    return tables


def read_chunks(store: Store, columns: Mapping[str, Sequence[str]] = STRUCTURE, nodes_per_chunk: int = 0) -> Iterator[dict[str, pa.Table]]:
    return map(read_tree_chunk, plan_tree_chunks(store, columns, nodes_per_chunk))


def read_arrays(chunk: TreeChunk) -> TreeArrays:
    """The structure of the chunk's trees, without their texts."""
    tables = read_tree_chunk(chunk)
    return read_tree_arrays(tables["nodes"], tables["step_nodes"], tables["rollouts"])


def _divide_scores(later: pa.Table, rollouts: tuple[pa.Array, Ints], chunk_of_tree: Ints) -> dict[int, pa.Table]:
    """Later scores, by the chunk of their rollout."""
    names, tree = rollouts
    place = pc.index_in(later["rollout_id"].combine_chunks(), names)
    known = later.filter(place.is_valid())
    chunk = chunk_of_tree[tree[place.drop_null().to_numpy()]]
    order = np.argsort(chunk, kind="stable")
    numbers, starts = np.unique(chunk[order], return_index=True)
    ends = [*starts.tolist(), len(order)][1:]
    return {int(number): known.take(pa.array(order[start:end])) for number, start, end in zip(numbers, starts.tolist(), ends, strict=True)}


def _named_by(table: str) -> str:
    return "rollout_id" if table == "steps" else "tree_id"


def _rollouts_of(store: Store, tree_ids: pa.Array) -> tuple[pa.Array, Ints]:
    """(rollout_ids of these trees, the index of each one's tree)."""
    rollouts = store.read("rollouts", ["rollout_id", "tree_id"])
    tree = pc.index_in(rollouts["tree_id"].combine_chunks(), tree_ids)
    known = tree.is_valid()
    return rollouts["rollout_id"].combine_chunks().filter(known), tree.filter(known).to_numpy().astype(np.int64)


def _divide_trees(store: Store, columns: Sequence[str], nodes_per_chunk: int, only: Sequence[str] | None) -> tuple[pa.Array, Ints, Ints]:
    """All tree_ids in the order in which their nodes are stored, and the nodes and the chunk of each."""
    groups = list_row_groups(store.sources["nodes"].files)
    runs = read_runs(groups, "tree_id")
    tree_ids = pc.unique(runs.values)
    if only is not None:
        tree_ids = tree_ids.filter(pc.is_in(tree_ids, pa.array(only, pa.string())))
    if not len(tree_ids):
        return tree_ids, np.zeros(0, np.int64), np.zeros(0, np.int64)
    tree = pc.index_in(runs.values, tree_ids)
    rows = runs.rows[tree.is_valid().to_numpy()]
    sizes = np.bincount(tree.drop_null().to_numpy(), weights=rows, minlength=len(tree_ids)).astype(np.int64)
    found = find_trees(runs, tree_ids, np.arange(len(tree_ids)))
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        used = set(found["group"].to_pylist())
        sizes_of = {number: pool.submit(sample_bytes_per_row, groups[number], columns) for number in used}
    bytes_per_row = [sizes_of[number].result() if number in used else 0.0 for number in range(len(groups))]
    return tree_ids, sizes, cut_chunks(groups, found, sizes, nodes_per_chunk, bytes_per_row)


def sample_bytes_per_row(group: RowGroup, columns: Sequence[str]) -> float:
    """Estimated from the first thousand rows: observations may be words or whole web pages."""
    batch = next(read_place(group, 1_000, columns, batch_rows=1_000), None)
    return batch.nbytes / max(batch.num_rows, 1) if batch is not None else 0.0


def read_rows(table: str, places: Sequence[tuple[RowGroup, int]], columns: Sequence[str], names: pa.Array) -> pa.Table:
    """The schema's columns: older files may lack one, and files that Delta rewrote to delete a tree have another type of text."""
    kept = [empty_table(table).select(columns)]
    for group, needed in places:
        for batch in read_place(group, needed, columns, batch_rows=ROWS_PER_READ):
            rows = with_columns(table, pa.Table.from_batches([batch]), columns)
            kept.append(rows.filter(pc.is_in(rows[_named_by(table)], names)))
    return pa.concat_tables(kept)


# ---- trees to be built: rollouts and their steps


def plan_step_chunks(
    store: Store, rollouts: pa.Table, scratch: Path, steps_per_chunk: int = 0, shared: Place | None = None
) -> list[StepChunk]:
    """Every tree of `rollouts` in exactly one chunk, in the order in which their steps are stored.

    What has to be sorted is sorted in `scratch`, and then copied to `shared` for workers that do not see this disk.
    """
    if not rollouts.num_rows:
        return []
    codes = pc.dictionary_encode(rollouts["tree_id"]).combine_chunks()
    tree_of_rollout = codes.indices.to_numpy().astype(np.int64)
    groups = list_row_groups(store.sources["steps"].files)
    found = find_trees(read_runs(groups, "rollout_id"), rollouts["rollout_id"].combine_chunks(), tree_of_rollout)
    sizes = np.bincount(tree_of_rollout, weights=rollouts["step_count"].to_numpy(), minlength=len(codes.dictionary)).astype(np.int64)
    chunk_of_tree = cut_chunks(
        groups, found, sizes, steps_per_chunk or STEPS_PER_CHUNK, [group.bytes / max(group.rows, 1) for group in groups]
    )
    members = _divide_rollouts(rollouts, chunk_of_tree[tree_of_rollout])
    places = place_chunks(groups, found, chunk_of_tree)
    steps = np.bincount(chunk_of_tree, weights=sizes, minlength=len(members)).astype(np.int64).tolist()
    chunks = [StepChunk(mine, places.get(number, []), steps[number]) for number, mine in enumerate(members)]
    read = sum(rows for chunk in chunks for _, rows in chunk.places)
    if len(chunks) > 1 and read > READ_TWICE * sum(group.rows for group in groups):
        _sort_on_disk(store, chunks, scratch, shared)
    return chunks


def read_step_chunk(chunk: StepChunk, columns: Sequence[str]) -> pa.Table:
    """The chunk's steps; rows of other trees in the same row groups are left out."""
    batches = [batch for group, rows in chunk.places for batch in read_place(group, rows, columns)]
    if not batches:
        return pa.table({name: pa.array([], pa.int32() if name == "step" else pa.string()) for name in columns})
    table = pa.Table.from_batches(batches)
    mine = np.flatnonzero(pc.is_in(table["rollout_id"], chunk.rollouts["rollout_id"].combine_chunks()).to_numpy())
    first, last = (int(mine[0]), int(mine[-1])) if len(mine) else (0, -1)
    if last - first + 1 == len(mine):  # stored together, as usual: nothing is copied
        return table.slice(first, len(mine))
    return table.take(pa.array(mine))


def _divide_rollouts(rollouts: pa.Table, chunk: npt.NDArray[np.int64]) -> list[pa.Table]:
    """Copies, not slices: a slice that is sent to a worker takes the whole table with it."""
    order = np.argsort(chunk, kind="stable")
    ends = np.cumsum(np.bincount(chunk)).tolist()
    rollouts = rollouts.combine_chunks()
    return [rollouts.take(pa.array(order[start:end])) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _sort_on_disk(store: Store, chunks: Sequence[StepChunk], scratch: Path, shared: Place | None) -> None:
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
        files = sorted((target / f"chunk={i}").glob("*.parquet"))
        found = [str(file if shared is None else _copy(file, shared / f"{i}-{file.name}")) for file in files]
        chunk.places = [(group, group.rows) for group in list_row_groups(found)]


def _copy(file: Path, target: Place) -> Place:
    if isinstance(target, BucketPath):
        write(target, file)
    return target
