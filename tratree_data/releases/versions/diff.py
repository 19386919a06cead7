"""Compares a release with the previous one: which rows changed, and which shards stay.

A shard stays if each of its rows is still there, unchanged and in the same split. All other rows go into new shards, so a dataset
that grew adds files, and readers of the old version download only those. When there are too many small shards, they are rewritten as one.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tratree_data.files import read_text
from tratree_data.releases.shards.ordering import BATCH_ROWS
from tratree_data.releases.shards.shards import write_shards
from tratree_data.store.published.manifest import Shard
from tratree_data.store.schemas import arrow_schema, quote, released_schema, table_schema

SMALL_SHARDS = 8
"""How many shards below a quarter of the size limit a split may have; the version that would add one more rewrites them as one."""

EVERY_ROW = "true"


@dataclass(frozen=True)
class Change:
    """Rows by their keys, between two versions of a table."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    moved: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.moved)


@dataclass(frozen=True)
class Files:
    """A table's shards and the release that holds them."""

    folder: Path
    shards: Sequence[Shard]

    def path(self, shard: Shard) -> Path:
        return self.folder / shard.path

    def without(self, paths: Set[str]) -> "Files":
        return Files(self.folder, [shard for shard in self.shards if shard.path not in paths])


@dataclass(frozen=True)
class Rows:
    """Which rows may have changed: those that match `condition`, and none in the old release's shards at `untouched`."""

    untouched: Set[str]
    condition: str
    bring: Callable[[Sequence[Shard]], None]
    """Makes sure that shards of the old release are in its folder, and intact."""
    ordered: Callable[[str, str], Iterator[pa.RecordBatch]]
    """(table, its rows as SQL) → the rows in the order of a release."""


def compare_rows(connection: duckdb.DuckDBPyConnection, table: str, old: Files, new: Files, rows: Rows) -> Change:
    """`new` holds the rows that may have changed. Leaves `old_rows` and `new_rows` (key, split, content, path) in the connection."""
    rows.bring(old.without(rows.untouched).shards)
    for name, files, condition in (("old_rows", old, rows.condition), ("new_rows", new, EVERY_ROW)):
        connection.execute(f"CREATE OR REPLACE TABLE {name} (key VARCHAR[], split VARCHAR, content UBIGINT, path VARCHAR)")
        for shard in files.without(rows.untouched).shards:
            keyed = f"{_keyed_rows(table, files.path(shard))} WHERE {condition}"
            connection.execute(f"INSERT INTO {name} {keyed}", {"split": shard.split, "path": shard.path})
    answer = connection.execute(read_text("publish/queries", "row_changes.sql")).fetchall()[0]
    return Change(*(int(count) for count in answer))


def keep_shards(
    connection: duckdb.DuckDBPyConnection, table: str, old: Files, new: Files, rows: Rows, change: Change, shard_bytes: int
) -> tuple[list[Shard], list[Shard]]:
    """After `compare_rows`: (the table's shards, those of them that are the old release's, and are not put into the new one here).

    Rows that no such shard holds are written into shards of their own. If nothing changed, all shards stay, so that the same dataset
    remains the same release.
    """
    whole = rows.untouched | {path for (path,) in connection.execute(read_text("publish/queries", "kept_shards.sql")).fetchall()}
    kept = [shard for shard in old.shards if shard.path in whole and (shard.path in rows.untouched or _is_current(table, old.path(shard)))]
    if change:
        kept = _without_too_many_small(kept, shard_bytes)
    staying = {shard.path for shard in kept}
    connection.execute(
        "CREATE OR REPLACE TABLE kept_rows AS SELECT key, split FROM old_rows WHERE list_contains($paths, path)", {"paths": [*staying]}
    )
    lost = [shard for shard in old.shards if shard.path not in staying] if rows.condition != EVERY_ROW else []
    mixed = {shard.split for shard in [*kept, *lost]}
    made = [shard for shard in new.shards if shard.split not in mixed]
    first: dict[str, int] = {}
    for shard in old.shards if kept else ():
        if any(other.split == shard.split for other in kept):
            first[shard.split] = max(first.get(shard.split, 0), shard_number(shard) + 1)
    others = Files(new.folder, [shard for shard in new.shards if shard.split in mixed]).without(staying)
    if lost:
        rows.bring(lost)
        batches = rows.ordered(table, _rows_to_write(table, Files(old.folder, lost), others, rows.condition))
    else:
        batches = _other_rows(connection, table, others)
    made += write_shards(batches, table, new.folder, first=first, shard_bytes=shard_bytes)
    for path in {shard.path for shard in new.shards} - {shard.path for shard in made} - staying:
        (new.folder / path).unlink()
    return sorted(kept + made, key=lambda shard: (shard.split, shard_number(shard), shard.path)), kept


def _is_current(table: str, path: Path) -> bool:
    return bool(pq.read_schema(path).equals(released_schema(table)))


def _keyed_rows(table: str, path: Path) -> str:
    """If an older format had another key, its rows match none, and count as removed."""
    there = set(pq.read_schema(path).names)
    keys = ", ".join(f"t.{key}::VARCHAR" if key in there else "NULL" for key in table_schema(table).primary_key)
    return f"SELECT [{keys}], $split, hash(t), $path FROM read_parquet({quote(str(path))}) AS t"


def _without_too_many_small(kept: list[Shard], shard_bytes: int) -> list[Shard]:
    """Decides which small shards to combine: a dataset that grows a thousand times must not end as a thousand files."""
    small = [shard for shard in kept if shard.bytes < shard_bytes // 4]
    crowded = {split for split, count in Counter(shard.split for shard in small).items() if count >= SMALL_SHARDS}
    return [shard for shard in kept if shard not in small or shard.split not in crowded]


def _other_rows(connection: duckdb.DuckDBPyConnection, table: str, new: Files) -> Iterator[pa.RecordBatch]:
    """The rows that no kept shard holds, in the order in which they were written, one shard after the other."""
    for shard in new.shards:
        yield from connection.sql(f"{_rows_of_no_kept_shard(table, new, shard)} ORDER BY file_row_number").to_arrow_reader(BATCH_ROWS)


def _rows_of_no_kept_shard(table: str, new: Files, shard: Shard) -> str:
    columns = ", ".join(f"t.{name}" for name in arrow_schema(table).names)
    keys = ", ".join(f"t.{key}::VARCHAR" for key in table_schema(table).primary_key)
    return (
        f"SELECT {columns}, {quote(shard.split)} AS release_split "
        f"FROM read_parquet({quote(str(new.path(shard)))}, file_row_number = true) AS t "
        f"ANTI JOIN kept_rows ON kept_rows.key = [{keys}] AND kept_rows.split = {quote(shard.split)}"
    )


def _rows_to_write(table: str, lost: Files, new: Files, condition: str) -> str:
    """The rows that did not change in shards that go, and those of `new` that no kept shard holds."""
    columns = ", ".join(arrow_schema(table).names)
    parts = [f"SELECT {columns} FROM read_parquet({quote(str(lost.path(shard)))}) WHERE NOT ({condition})" for shard in lost.shards]
    parts += [f"SELECT {columns} FROM ({_rows_of_no_kept_shard(table, new, shard)})" for shard in new.shards]
    return " UNION ALL ".join(parts)


def shard_number(shard: Shard) -> int:
    return int(Path(shard.path).stem.split("-")[-2])


def link(source: Path, target: Path) -> None:
    """One file takes the other's place at once, as a hard link to the file itself, or as a copy if links are impossible."""
    if target.exists() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), partial)
    except OSError:
        shutil.copyfile(source, partial)
    partial.replace(target)
