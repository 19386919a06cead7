"""A table's rows in the order of a release: by split, then by tree, within bounded memory.

Rows stream once through DuckDB, which finds their place, a number, into chunks of consecutive places; a chunk fits in memory and is
sorted there, by Polars, which moves references to texts and not the texts. A table that fits in one chunk never touches the disk.
These chunks are not those of store/chunks/tree_chunks.py: rows of any table are sorted here, whole trees are found and read there.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

from tratree_data.errors import BadInputError
from tratree_data.files import read_text
from tratree_data.store.reader import Store
from tratree_data.store.schemas import arrow_schema, table_schema
from tratree_data.system.limits import STAGE_MEMORY

CHUNK_BYTES = 256 * 2**20
SPILL_BYTES = 32 * 2**20
BATCH_ROWS = 8 * 1024
UNSPLIT = "unknown"


def split_names(splits: Sequence[str], rename: Callable[[str], str] = str) -> dict[str, str]:
    """The name of each split on the Hub, where only letters, digits and underscores are allowed and 'all' has a meaning."""
    names: dict[str, str] = {}
    for split in sorted(splits):
        name = re.sub(r"\W", "_", rename(split), flags=re.ASCII) or UNSPLIT
        name = f"{name}_tasks" if name == "all" else name
        if name in names.values():
            raise BadInputError(
                f"Two splits would both be called {name!r} on the Hub, which allows only letters, digits and _; one is {rename(split)!r}.\n"
                "Next: rename one of them in the log and import it again"
            )
        names[split] = name
    return names


def work_connection(folder: Path, store: Store | None = None) -> duckdb.DuckDBPyConnection:
    """A private connection with bounded memory that spills into `folder`, and reads what `store.scan` names."""
    connection = duckdb.connect()
    if store is not None:
        store.let_read(connection)
    connection.execute("SET temp_directory = $folder", {"folder": str(folder)})
    connection.execute("SET memory_limit = $most", {"most": f"{STAGE_MEMORY // 2**20}MiB"})
    return connection


def load_splits(connection: duckdb.DuckDBPyConnection, store: Store, names: Mapping[str, str]) -> None:
    """Makes the tables by which every table is divided and ordered: each split's number, each tree's and rollout's place, from 0 to 1."""
    rollouts = store.read("rollouts", ["rollout_id", "tree_id", "split"])
    connection.register("rollouts", rollouts)
    connection.register("names", pa.table({"split": list(names), "name": list(names.values())}))
    connection.execute("CREATE TABLE splits AS SELECT split, name, row_number() OVER (ORDER BY name) - 1 AS number FROM names")
    connection.execute(
        "CREATE TABLE places_of_trees AS "
        "SELECT tree_id, name, number, (row_number() OVER (ORDER BY tree_id) - 1) / count(*) OVER () AS place "
        f"FROM ({read_text('publish/queries', 'task_splits.sql')}) JOIN splits USING (split)"
    )
    connection.execute(
        "CREATE TABLE places_of_rollouts AS "
        "SELECT r.rollout_id, s.name, s.number, (row_number() OVER (ORDER BY t.place, r.rollout_id) - 1) / count(*) OVER () AS place "
        "FROM rollouts AS r JOIN splits AS s USING (split) JOIN places_of_trees AS t USING (tree_id)"
    )


def ordered_batches(connection: duckdb.DuckDBPyConnection, scan: str, table: str, spill: Path) -> Iterator[pa.RecordBatch]:
    """The table's rows, which `scan` names, each with its `release_split`, those of a split together, therein those of a tree."""
    total = int(connection.cursor().execute(f"SELECT count(*) FROM {scan}").fetchall()[0][0])
    if not total:
        return
    reader = _all_placed(connection.cursor().sql(_placed_rows(scan, table)).to_arrow_reader(BATCH_ROWS), total, table)
    first = next(batches_of_size(reader, CHUNK_BYTES), [])
    keys = _keys(table)
    rows = sum(batch.num_rows for batch in first)
    if rows == total:
        yield from _sort(pa.Table.from_batches(first), keys)
        return
    chunks = total * sum(batch.nbytes for batch in first) // (rows * CHUNK_BYTES) + 1
    paths = _spill_chunks(chain(first, reader), chunks, spill, table)
    del first  # a chunk's worth of memory
    for path in paths:
        with pa.memory_map(str(path)) as source:
            yield from _sort(pa.ipc.open_file(source).read_all(), keys)
        path.unlink()


def _all_placed(batches: Iterable[pa.RecordBatch], total: int, table: str) -> Iterator[pa.RecordBatch]:
    """The batches, with an error at their end if rows are missing, which a join leaves out silently."""
    placed = 0
    for batch in batches:
        placed += batch.num_rows
        yield batch
    if placed != total:
        raise BadInputError(
            f"{total - placed:,} of {total:,} rows of {table} have a split, tree or rollout that the table rollouts lacks.\n"
            "Next: tratree check DIR, then run the stage that wrote them again"
        )


def _placed_rows(scan: str, table: str) -> str:
    """`release_place` counts splits before the decimal point, and trees or rollouts after it."""
    columns = arrow_schema(table).names
    if "split" in columns:
        split, placed = "s", "JOIN splits AS s ON s.split = t.split JOIN places_of_trees AS p USING (tree_id)"
    elif "tree_id" in columns:
        split, placed = "p", "JOIN places_of_trees AS p USING (tree_id)"
    else:
        split, placed = "p", "JOIN places_of_rollouts AS p USING (rollout_id)"
    selected = ", ".join(f"t.{column}" for column in columns)
    added = f"{split}.name AS release_split, {split}.number + p.place AS release_place"
    return f"SELECT {selected}, {added} FROM {scan} AS t {placed}"


def _keys(table: str) -> list[str]:
    """The place, and what distinguishes rows that share one; if no tree is named, the place is the rollout's."""
    keys = table_schema(table).primary_key
    if "tree_id" not in arrow_schema(table).names:
        keys = tuple(key for key in keys if key != "rollout_id")
    return ["release_place", *(["depth"] if table == "nodes" else []), *keys]


def batches_of_size(batches: Iterable[pa.RecordBatch], most_bytes: int) -> Iterator[list[pa.RecordBatch]]:
    taken: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        taken.append(batch)
        size += batch.nbytes
        if size > most_bytes:
            yield taken
            taken, size = [], 0
    if taken:
        yield taken


def _spill_chunks(batches: Iterable[pa.RecordBatch], count: int, spill: Path, table: str) -> list[Path]:
    """Files of rows, each of one stretch of places, `count` a split."""
    writers: dict[int, pa.ipc.RecordBatchFileWriter] = {}
    chunk_number = (pl.col("release_place") * count).floor().cast(pl.Int64).alias("chunk_number")
    for taken in batches_of_size(batches, SPILL_BYTES):
        frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(taken))).with_columns(chunk_number)
        for (number,), rows in frame.partition_by("chunk_number", as_dict=True, include_key=False).items():
            compact = _compact(rows)
            if number not in writers:
                writers[number] = pa.ipc.new_file(str(spill / f"{table}-{number:08}.arrow"), compact.schema)
            writers[number].write_table(compact)
    for writer in writers.values():
        writer.close()
    return [spill / f"{table}-{number:08}.arrow" for number in sorted(writers)]


def _sort(rows: pa.Table, keys: list[str]) -> Iterator[pa.RecordBatch]:
    """Polars moves references to texts; each text is copied once, when its batch goes out."""
    frame = pl.DataFrame(pl.from_arrow(rows))
    order = frame.select(keys).with_row_index("row").sort(keys)["row"]
    frame = frame.drop("release_place").rechunk().rechunk()
    for start in range(0, len(order), BATCH_ROWS):
        yield from _compact(frame[order.slice(start, BATCH_ROWS)]).to_batches()


def _compact(frame: pl.DataFrame) -> pa.Table:
    """With the texts of these rows only, not all those that the frame refers to."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
