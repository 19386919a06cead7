"""The previous version: which of its shards the next one reuses, and what changed since, which decides the smallest honest number."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa

from tratree_data.errors import BadInputError
from tratree_data.releases.draft import Draft, different_files, write_texts
from tratree_data.releases.shards.ordering import load_splits, ordered_batches, work_connection
from tratree_data.releases.shards.traces import keep_sessions
from tratree_data.releases.targets.target import Target
from tratree_data.releases.versions.diff import EVERY_ROW, Files, Rows, compare_rows, keep_shards, link
from tratree_data.releases.versions.grown import Grown, key_of, shards_with
from tratree_data.releases.versions.version_numbers import Diff, check_level, compare_schemas, compare_splits, promises
from tratree_data.stages import published_tables
from tratree_data.store.published.manifest import MANIFEST, Manifest, Shard, file_hash, read_manifest
from tratree_data.store.reader import Store


@dataclass(frozen=True)
class Previous:
    """A published version; `folder` holds its texts, and those of its shards that were fetched."""

    place: Target
    version: str
    folder: Path
    manifest: Manifest

    def bring(self, shards: Sequence[Shard]) -> None:
        self.place.fetch_shards(self.version, shards)
        for shard in shards:
            self.need_whole(shard)

    def need_whole(self, shard: Shard) -> None:
        path = self.folder / shard.path
        if not path.is_file() or file_hash(path) != shard.sha256:
            raise _not_whole(path, self.version, "is truncated or changed" if path.is_file() else "is gone")

    def open(self) -> Store:
        return self.place.open(self.version, self.manifest)

    def need_there(self, shards: Sequence[Shard]) -> None:
        """Checks that files that are not read exist and have the right size."""
        trouble = self.place.trouble(self.version, shards)
        if trouble is not None:
            raise _not_whole(trouble[0], self.version, trouble[1])


def find_previous(place: Target, version: str) -> Previous:
    folder = place.fetch(version)
    return Previous(place, version, folder, read_manifest((folder / MANIFEST).read_text(encoding="utf-8"), f"version {version}"))


def _not_whole(path: object, version: str, trouble: str) -> BadInputError:
    return BadInputError(
        f"{path}, part of version {version}, {trouble}; nothing was published.\n"
        "Next: restore it from a copy of the release, or publish to a new place"
    )


def take_over(draft: Draft, previous: Previous, version: str, shard_bytes: int, grown: Grown | None) -> bool:
    """Keeps the previous version's shards whose rows all still exist, and refuses a number that contradicts what changed.

    Returns True if nothing changed at all.
    """
    before, old, since = previous.folder, previous.manifest, previous.version
    diff = Diff(since, schema=compare_schemas(before, old.tables, draft.shards, linked=previous.place.linked))
    keep_sessions(before, draft.folder)
    unread = _unread_shards(draft, previous, grown)
    with draft.spill() as spill, work_connection(spill) as connection:
        if grown is not None:
            load_splits(connection, draft.store, draft.split_names)
            connection.register("changed", grown.changed)
            connection.execute("CREATE TABLE changed_rollouts AS FROM changed")
        for table in published_tables():
            condition = EVERY_ROW if grown is None else f"{(key := key_of(table))} IN (SELECT {key} FROM changed_rollouts)"
            rows = Rows(unread, condition, previous.bring, partial(_ordered, connection, spill))
            files = Files(before, old.shards(table)), Files(draft.folder, draft.shards.get(table, []))
            change = compare_rows(connection, table, *files, rows)
            if change:
                diff.tables[table] = change
            if table in draft.shards:
                draft.shards[table], kept = keep_shards(connection, table, *files, rows, change, shard_bytes)
                draft.kept += kept
    previous.need_there([shard for shard in draft.kept if shard.path in unread])
    _place_kept(draft, previous)
    diff.schema += compare_splits(_splits({table: old.shards(table) for table in old.tables}), _splits(draft.shards))
    draft.diff = diff
    diff.files = _changed_files(draft, previous)
    if not diff.files and not promises(version, since):
        return True
    if version == since:
        raise BadInputError(
            f"Version {version} is already published and cannot change, but the dataset differs from it: {diff.summary()}.\n"
            f'Next: --version {diff.next_version()}, or version = "{diff.next_version()}" in the recipe'
        )
    check_level(version, diff)
    return False


def _ordered(connection: duckdb.DuckDBPyConnection, spill: Path, table: str, rows: str) -> Iterator[pa.RecordBatch]:
    return ordered_batches(connection, f"({rows})", table, spill)


def _place_kept(draft: Draft, previous: Previous) -> None:
    """Shards of the previous version are linked if they are on this disk; of others, only what the card needs is read."""
    for shard in draft.kept:
        if (previous.folder / shard.path).is_file():
            if (draft.folder / shard.path).is_file():
                previous.need_whole(shard)  # else a corrupt file could replace a good one
            link(previous.folder / shard.path, draft.folder / shard.path)
    away = {shard.path for shard in draft.kept if not (draft.folder / shard.path).is_file()}
    if away:
        release = previous.open()
        files, tables = previous.manifest.files, [table for table in previous.manifest.tables if release.has(table)]
        places = {path: file for table in tables for path, file in zip(files(table), release.sources[table].files, strict=True)}
        draft.elsewhere = {path: file for path, file in places.items() if path in away}
        draft.filesystem = release.filesystem


def _unread_shards(draft: Draft, previous: Previous, grown: Grown | None) -> set[str]:
    """The paths of the shards that are known to be right without reading or fetching them.

    These are the shards that the draft wrote exactly like the previous version, or those without a row of a changed tree.
    """
    old = previous.manifest
    if grown is None:
        hashes = {shard.path: shard.sha256 for shards in draft.shards.values() for shard in shards}
        return {shard.path for table in old.tables for shard in old.shards(table) if hashes.get(shard.path) == shard.sha256}
    release = previous.open()
    return {path for table in old.tables for path in set(old.files(table)) - shards_with(release, table, old.shards(table), grown.replaced)}


def _changed_files(draft: Draft, previous: Previous) -> list[str]:
    """The shards that are new or gone; if there are none, the texts that differ, rendered with the previous version's number."""
    assert draft.diff is not None
    old = previous.manifest
    shards = {shard.path for shards in draft.shards.values() for shard in shards} ^ {
        path for table in old.tables for path in old.files(table)
    }
    if shards or draft.diff.tables or draft.diff.schema:
        return sorted(shards) or sorted(draft.diff.tables) or [what for _, what in draft.diff.schema]
    write_texts(draft, draft.diff.since)
    return different_files(previous.folder, draft.folder)


def _splits(shards: Mapping[str, Sequence[Shard]]) -> dict[str, set[str]]:
    return {table: {shard.split for shard in of_table} for table, of_table in shards.items()}
