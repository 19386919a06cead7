"""A release against the one before: which rows changed, and which of its shards stay.

A shard stays when each of its rows is still there, unchanged and in the same split. All other rows go into new shards, so a dataset
that grew adds files, and readers of the old version download only those. Before small shards become many, they are rewritten as one.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tratree_data.files import read_text
from tratree_data.releases.ordering import BATCH_ROWS
from tratree_data.releases.shards import as_it_is, write_shards
from tratree_data.store.manifest import Shard
from tratree_data.store.schemas import arrow_schema, quote, released_schema, table_schema

SMALL_SHARDS = 8
"""How many shards below a quarter of the size limit a split may have; the version that would add one more rewrites them as one."""


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


def compare_rows(connection: duckdb.DuckDBPyConnection, table: str, old: Files, new: Files) -> Change:
    """Leaves `old_rows` and `new_rows` (key, split, content, path) in the connection."""
    for name, files in (("old_rows", old), ("new_rows", new)):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} (key VARCHAR[], split VARCHAR, content UBIGINT, path VARCHAR)")
        for shard in files.shards:
            connection.execute(f"INSERT INTO {name} {_keyed_rows(table, files.path(shard))}", {"split": shard.split, "path": shard.path})
    answer = connection.execute(read_text("publish/queries", "row_changes.sql")).fetchall()[0]
    return Change(*(int(count) for count in answer))


def _keyed_rows(table: str, path: Path) -> str:
    """Where an older format had another key, its rows are nobody's, and count as removed."""
    there = set(pq.read_schema(path).names)
    keys = ", ".join(f"t.{key}::VARCHAR" if key in there else "NULL" for key in table_schema(table).primary_key)
    return f"SELECT [{keys}], $split, hash(t), $path FROM read_parquet({quote(str(path))}) AS t"


def keep_shards(
    connection: duckdb.DuckDBPyConnection, table: str, old: Files, new: Files, change: Change, shard_bytes: int, same: Set[str]
) -> list[Shard]:
    """After `compare_rows`: links the shards that stay into the new release and writes the other rows into shards of their own.

    Where nothing changed all shards stay, so that the same dataset remains the same release. Shards in `same` are in both releases, byte
    for byte; they stay, and the old release's copies are not read.
    """
    both = [shard for shard in new.shards if shard.path in same]
    old_rest, new_rest = old.without(same), new.without(same)
    whole = {path for (path,) in connection.execute(read_text("publish/queries", "kept_shards.sql")).fetchall()}
    kept = [shard for shard in old_rest.shards if shard.path in whole and pq.read_schema(old.path(shard)).equals(released_schema(table))]
    if change:
        kept = _without_too_many_small(kept, shard_bytes)
    if not kept or not new_rest.shards:
        return list(new.shards)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE kept_rows AS SELECT key, split FROM old_rows WHERE list_contains($paths, path)",
        {"paths": [shard.path for shard in kept]},
    )
    first: dict[str, int] = {}
    for shard in old.shards:
        first[shard.split] = max(first.get(shard.split, 0), shard_number(shard) + 1)
    added = write_shards(_other_rows(connection, table, new_rest), table, new.folder, redact=as_it_is, first=first, shard_bytes=shard_bytes)
    stays = {shard.path for shard in kept + added}
    for shard in new_rest.shards:
        if shard.path not in stays:
            new.path(shard).unlink()
    for shard in kept:
        link(old.path(shard), new.path(shard))
    return sorted(both + kept + added, key=lambda shard: (shard.split, shard_number(shard), shard.path))


def _without_too_many_small(kept: list[Shard], shard_bytes: int) -> list[Shard]:
    """A dataset that grows a thousand times must not end as a thousand files."""
    small = [shard for shard in kept if shard.bytes < shard_bytes // 4]
    crowded = {split for split, count in Counter(shard.split for shard in small).items() if count >= SMALL_SHARDS}
    return [shard for shard in kept if shard not in small or shard.split not in crowded]


def _other_rows(connection: duckdb.DuckDBPyConnection, table: str, new: Files) -> Iterator[pa.RecordBatch]:
    """The rows that no kept shard holds, in the order in which they were written, one shard after the other."""
    columns = ", ".join(f"t.{name}" for name in arrow_schema(table).names)
    keys = ", ".join(f"t.{key}::VARCHAR" for key in table_schema(table).primary_key)
    for shard in new.shards:
        rows = (
            f"SELECT {columns}, $split AS release_split FROM read_parquet({quote(str(new.path(shard)))}, file_row_number = true) AS t "
            f"ANTI JOIN kept_rows ON kept_rows.key = [{keys}] AND kept_rows.split = $split ORDER BY file_row_number"
        )
        yield from connection.sql(rows, params={"split": shard.split}).to_arrow_reader(BATCH_ROWS)


def shard_number(shard: Shard) -> int:
    return int(Path(shard.path).stem.split("-")[-2])


def link(source: Path, target: Path) -> None:
    """One file takes the other's place at once, as a hard link to the file itself, or as a copy where links are not to be had."""
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
