"""All tables of a dataset, some whole trees at a time: what keeps search, pairs and demonstrations within memory.

Build writes a tree's rows next to each other, but not by tree_id, and rollouts lie as they were explored. So we look up once which row
groups of which files hold which trees, and read for each chunk those row groups only.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tratree_data.store.reader import Store
from tratree_data.store.schemas import empty_table, with_columns
from tratree_data.store.tree_arrays import NODE_COLUMNS, ROLLOUT_COLUMNS, STEP_COLUMNS, Ints, TreeArrays, read_tree_arrays

NODES_PER_PORTION = 300_000
BYTES_PER_PORTION = 256 * 2**20
ROWS_PER_READ = 50_000
RowGroup = tuple[str, int]

STRUCTURE = {"nodes": NODE_COLUMNS, "step_nodes": STEP_COLUMNS, "rollouts": ROLLOUT_COLUMNS}


def read_chunks(
    store: Store, columns: Mapping[str, Sequence[str]] = STRUCTURE, nodes_per_chunk: int = NODES_PER_PORTION
) -> Iterator[dict[str, pa.Table]]:
    """These columns of these tables, for about so many nodes at a time; every tree is in exactly one chunk, whole."""
    if not store.count("nodes"):
        return
    tree_ids, chunk = plan_chunks(store, columns["nodes"], nodes_per_chunk)
    places = {table: find_places(store, table, tree_ids, chunk) for table in columns}
    for number in range(int(chunk.max()) + 1):
        wanted = tree_ids.filter(pa.array(chunk == number))
        yield {table: read_rows(table, places[table].get(number, []), names, wanted) for table, names in columns.items()}


def read_tree_arrays_by_chunk(store: Store) -> Iterator[TreeArrays]:
    """The structure of all trees, without their texts."""
    for tables in read_chunks(store):
        yield read_tree_arrays(tables["nodes"], tables["step_nodes"], tables["rollouts"])


def plan_chunks(store: Store, columns: Sequence[str], nodes_per_chunk: int) -> tuple[pa.Array, Ints]:
    """All tree_ids as their nodes lie in storage, and the chunk of each: a row group, or an even part of a large one."""
    names, chunks, last = [], [], 0
    for place in row_groups(store, "nodes"):
        counts = count_trees(place)
        nodes = counts.field("count").to_numpy(zero_copy_only=False)
        rows = int(nodes.sum())
        parts = max(-(-rows // nodes_per_chunk), -(-rows * bytes_a_row(place, columns) // BYTES_PER_PORTION))
        names.append(counts.field("tree_id"))
        chunks.append(last + (np.cumsum(nodes) - 1) * parts // max(rows, 1))
        last += parts
    tree_ids = pa.concat_arrays(names)
    known = pc.unique(tree_ids)  # a tree that lies in two row groups goes with the first
    chunk = np.concatenate(chunks)[pc.index_in(known, tree_ids).to_numpy()]
    return known, np.unique(chunk, return_inverse=True)[1].astype(np.int64)


def bytes_a_row(place: RowGroup, columns: Sequence[str]) -> int:
    """By the first thousand rows: observations may be words or whole web pages."""
    file, group = place
    with pq.ParquetFile(file, memory_map=True) as parquet:
        batch = next(parquet.iter_batches(1_000, row_groups=[group], columns=list(columns)), None)
    return batch.nbytes // max(batch.num_rows, 1) if batch is not None else 0


def row_groups(store: Store, table: str) -> Iterator[RowGroup]:
    for file in store.sources[table].files:
        for group in range(pq.read_metadata(file).num_row_groups):
            yield file, group


def count_trees(place: RowGroup) -> pa.StructArray:
    """(tree_id, count) of the trees in a row group, in order of appearance."""
    file, group = place
    with pq.ParquetFile(file, memory_map=True) as parquet:
        names = parquet.read_row_group(group, columns=["tree_id"])["tree_id"].cast(pa.string()).combine_chunks()
    counts = pc.value_counts(names)
    return pa.StructArray.from_arrays([counts.field("values"), counts.field("counts")], names=["tree_id", "count"])


def find_places(store: Store, table: str, tree_ids: pa.Array, chunk: Ints) -> dict[int, list[RowGroup]]:
    """For each chunk the row groups of `table` that hold some of its trees."""
    places: dict[int, list[RowGroup]] = {}
    for place in row_groups(store, table):
        known = pc.index_in(count_trees(place).field("tree_id"), tree_ids).drop_null().to_numpy()
        for number in np.unique(chunk[known]).tolist():
            places.setdefault(number, []).append(place)
    return places


def read_rows(table: str, places: list[RowGroup], columns: Sequence[str], tree_ids: pa.Array) -> pa.Table:
    """As the schema has them: older files may lack a column, and those that Delta rewrote to delete a tree hold texts of another type."""
    parts = [empty_table(table).select(columns)]
    for file, group in places:
        with pq.ParquetFile(file, memory_map=True) as parquet:
            stored = [name for name in columns if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(ROWS_PER_READ, row_groups=[group], columns=stored):
                rows = with_columns(table, pa.Table.from_batches([batch]), columns)
                parts.append(rows.filter(pc.is_in(rows["tree_id"], tree_ids)))
    return pa.concat_tables(parts)
