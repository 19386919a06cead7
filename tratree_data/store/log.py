"""Which versions a dataset's tables have, what made each, and which of them a reader sees.

A commit of several tables is one atomic Delta commit per table, in order. Each carries the lineage, and that of the last table also
the versions of all. A version is visible once the last table of its commit has it, so a process killed in between leaves nothing
half-visible.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from tratree_data import __version__
from tratree_data.errors import BadInputError, NotFoundError, StoreBusyError, TratreeError
from tratree_data.store.buckets.bucket_errors import comes_from_client, explain
from tratree_data.store.buckets.bucket_paths import BucketPath
from tratree_data.store.buckets.log_mirror import ENTRY, LOG, list_log, list_logs, mirror_logs, read_entry
from tratree_data.store.locations import Place, delta_address, place
from tratree_data.store.log_limits import need_plausible_checkpoint, need_understood
from tratree_data.store.schemas import FORMAT_VERSION, table_names
from tratree_data.store.shapes import ACTIONS, COMMITTED, REWRITTEN, need_shape
from tratree_data.system.safe_paths import inside, refuse_links_in

LINEAGE_KEY = "tratree"
Entries = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of every file of a log: if they are the same, so is the table."""
KNOWN = 256
_known: dict[tuple[Path, Entries], tuple[int, tuple[str, ...]]] = {}
"""(table, its log) → the newest version and its files: Delta Lake takes milliseconds to open a table, and a stage opens fifteen, often."""
MOST_OF_AN_ERROR = 200


@dataclass(frozen=True)
class Lineage:
    """What made a version of a table."""

    stage: str
    settings: dict[str, Any]
    reads: dict[str, int]
    writes: dict[str, int]
    last: str
    commit: str
    code: str = __version__
    format: int = FORMAT_VERSION
    rows_of: int | None = None
    """The version whose rows this one has, in other files (compact.py)."""


@dataclass(frozen=True)
class Source:
    """A table as a reader sees it; `number` is Delta's number of its version, which differs if files were compacted."""

    files: tuple[str, ...]
    version: int
    lineage: Lineage | None
    number: int = -1


class Tables:
    """The Delta tables of a dataset, each opened once, and as much of their histories as was asked for."""

    def __init__(self, folder: Place) -> None:
        self.folder = folder
        self._logs = list_logs(folder) if isinstance(folder, BucketPath) else {}
        self.names = list(self._logs) if isinstance(folder, BucketPath) else delta_tables(folder)
        if isinstance(folder, Path):
            for name in self.names:
                refuse_links_in(folder / name, folder)
                refuse_links_in(folder / name / LOG, folder)
        self._opened: dict[str, DeltaTable] = {}
        self._newest: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._writable: dict[str, DeltaTable] = {}
        self._lineages: dict[str, list[Lineage | None]] = {}
        self._commits: dict[str, set[str]] = {}

    def newest(self, table: str) -> DeltaTable:
        if table not in self._opened:
            self._opened[table] = self.at(table, self._newest[table][0] if table in self._newest else None)
        return self._opened[table]

    def version(self, table: str) -> int:
        """The newest version's number."""
        return self._opened[table].version() if table in self._opened else self._version_and_files(table)[0]

    def files(self, table: str) -> tuple[str, ...]:
        """The newest version's files."""
        return files_of(self.folder, table, self._opened[table]) if table in self._opened else self._version_and_files(table)[1]

    def _version_and_files(self, table: str) -> tuple[int, tuple[str, ...]]:
        if table not in self._newest:
            key = None if isinstance(self.folder, BucketPath) else ((self.folder / table).resolve(), _entries(self.folder / table / LOG))
            found = _known.get(key) if key else None
            if found is None:
                delta = self.newest(table)
                found = delta.version(), files_of(self.folder, table, delta)
                if key and f"{found[0]:020}.json" == max((name for name, *_ in key[1] if ENTRY.fullmatch(name)), default=""):
                    if len(_known) >= KNOWN:
                        _known.clear()
                    _known[key] = found
            self._newest[table] = found
        return self._newest[table]

    def at(self, table: str, version: int | None) -> DeltaTable:
        """Opens the tables for reading; of a bucket, fetches the entries of the log that are not on this machine yet."""
        if not isinstance(self.folder, BucketPath):
            return self._open(table, *delta_address(self.folder / table), version)
        here = mirror_logs(self.folder, {table: self._logs[table]}, whole=version is not None)
        return self._open(table, here[table].as_uri(), None, version)

    def writable(self, table: str) -> DeltaTable:
        """The newest version, to commit to."""
        if not isinstance(self.folder, BucketPath):
            return self.newest(table)
        if table not in self._writable:
            opened = self._open(table, *delta_address(self.folder / table), None)
            if opened.version() != self.newest(table).version():
                raise StoreBusyError(f"Another process has just written to {self.folder / table}.\nNext: run the same command again")
            self._writable[table] = opened
        return self._writable[table]

    def _open(self, table: str, address: str, options: dict[str, str] | None, version: int | None) -> DeltaTable:
        if isinstance(self.folder, Path):
            need_plausible_checkpoint(self.folder / table / LOG, version)
        try:
            opened = DeltaTable(address, version=version, storage_options=options)
        except (DeltaError, OSError) as error:
            raise _unreadable(self.folder / table, error) from error
        need_understood(self.folder / table, opened)
        return opened

    def refresh(self, table: str) -> None:
        """Forgets what was read of the table, after a commit to it."""
        if table not in self.names:
            self.names = sorted([*self.names, table])
        if isinstance(self.folder, BucketPath):
            self._list_again(table)
            if table in self._writable:
                self._writable[table].update_incremental()
        else:
            self._newest.pop(table, None)
            if table in self._opened:
                self._opened[table].update_incremental()
        self._forget_history(table)

    def _list_again(self, table: str) -> None:
        self._opened.pop(table, None)
        self._newest.pop(table, None)
        if isinstance(self.folder, BucketPath):
            self._logs[table] = list_log(self.folder, table)

    def _forget_history(self, table: str) -> None:
        self._lineages.pop(table, None)
        self._commits.pop(table, None)

    def lineages(self, table: str) -> Iterator[tuple[int, Lineage | None]]:
        """(version, lineage) from the newest back; None if a version is only a step of a commit.

        Read from the log itself: DeltaTable.history of a table opened before the last commit numbers its versions wrongly.
        """
        known = self._lineages.setdefault(table, [])
        newest = self.version(table)
        back = 0
        while back < len(known) or self._read_on(table):
            yield newest - back, known[back]
            back += 1

    def _read_on(self, table: str) -> bool:
        """Reads one more entry of the log; False where it ends."""
        known = self._lineages.setdefault(table, [])
        number = self.version(table) - len(known)
        try:
            lineage = read_lineage(self.folder, table, number) if number >= 0 else None
        except FileNotFoundError:  # another tool shortened the log
            return False
        if lineage is not None:
            self._commits.setdefault(table, set()).add(lineage.commit)
        known += [lineage] if number >= 0 else []
        return bool(number >= 0)

    def visible_versions(self, table: str) -> Iterator[tuple[int, Lineage]]:
        """Versions whose commit is complete, from the newest back."""
        for number, lineage in self.lineages(table):
            if lineage is not None and (lineage.last == table or self._is_complete(lineage)):
                yield number, lineage

    def visible(self, table: str, requested: int | None = None) -> Source | None:
        """The newest visible version, or the newest up to the requested one."""
        newest = self.version(table)
        compacted: dict[int, int] = {}
        if requested is not None and not 0 <= requested <= newest:
            raise NotFoundError(f"{table} has versions 0 to {newest}, not {requested}.\nNext: name one of them")
        for number, lineage in self.visible_versions(table):
            if lineage.rows_of is not None:
                compacted.setdefault(lineage.rows_of, number)
            if requested is None or number <= requested:
                version = number if lineage.rows_of is None else lineage.rows_of
                there = compacted.get(version, number)
                files = self.files(table) if there == newest else files_of(self.folder, table, self.at(table, there))
                if requested is not None and not all(place(file).exists() for file in self._removed(table, files)):
                    raise NotFoundError(
                        f"Version {requested} of {table} no longer exists: its files were removed.\nNext: name a newer one, up to {newest}"
                    )
                return Source(files, version, lineage, there)
        return None

    def _removed(self, table: str, files: Sequence[str]) -> set[str]:
        """The files that the newest version no longer has: only these may have been removed."""
        return set(files) - set(self.files(table))

    def _is_complete(self, lineage: Lineage) -> bool:
        if lineage.last not in self.names:
            return False
        while lineage.commit not in self._commits.get(lineage.last, ()):
            if not self._read_on(lineage.last):
                return False
        return True

    def sources(self, requested: Mapping[str, int] | None = None) -> dict[str, Source]:
        """Every table as a reader sees it. A commit that ends while the tables are being opened is seen in all of them or in none."""
        requested = requested or {}
        if isinstance(self.folder, BucketPath):
            mirror_logs(self.folder, self._logs)
        found = {table: self.visible(table, requested.get(table)) for table in self.names}
        again: set[str] = set()
        while behind := self._behind(found) - again:
            again |= behind
            for table in behind:
                self._list_again(table)
                self._forget_history(table)
            found |= {table: self.visible(table, requested.get(table)) for table in behind}
        return {table: source for table, source in found.items() if source is not None}

    def _behind(self, found: Mapping[str, Source | None]) -> set[str]:
        """Tables that were opened before the end of a commit whose last table was opened after it."""
        writes = [item for source in found.values() if source and source.lineage for item in source.lineage.writes.items()]
        return {table for table, version in writes if table in self.names and self.version(table) < version}


def delta_tables(folder: Place) -> list[str]:
    """The tables that the dataset has; on this machine a table, or its log, that is a link is refused."""
    if isinstance(folder, BucketPath):
        return list(list_logs(folder))
    return [name for name in table_names() if _has_entries(inside(folder, Path(name, LOG)))]


def _has_entries(log: Path) -> bool:
    """Whether the table has a log; not if a writer was killed before it renamed its first entry."""
    return log.is_dir() and any(ENTRY.fullmatch(name) for name in os.listdir(log))


def _entries(log: Path) -> Entries:
    with os.scandir(log) as found:
        return tuple(sorted((one.name, (seen := one.stat(follow_symlinks=False)).st_ino, seen.st_size, seen.st_mtime_ns) for one in found))


def files_of(folder: Place, table: str, delta: DeltaTable) -> tuple[str, ...]:
    """The paths of a version's files; they are not nested and have plain names, so only Delta's escapes of the folder are undone."""
    for path in delta.get_add_actions(flatten=True)["path"]:
        if "/" in unquote(name := str(path.as_py())):
            raise BadInputError(
                f"The log of {folder / table} names a file outside that folder: {name[:MOST_OF_AN_ERROR]!r}.\n"
                "Next: do not trust this dataset; restore it from a copy"
            )
    home = (folder / table).resolve()
    return tuple(str(home / uri.rpartition("/")[2]) for uri in delta.file_uris())


def read_actions(folder: Place, table: str, version: int, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
    """(kind, action) of a version's entry in the log: one action a line, as Delta's protocol has it."""
    path = folder / table / LOG / f"{version:020}.json"
    beginnings = tuple(f'{{"{kind}"' for kind in kinds)
    try:
        text = read_entry(path) if isinstance(path, BucketPath) else path.read_text(encoding="utf-8")
        actions = [item for line in text.split("\n") if line.startswith(beginnings) for item in json.loads(line).items()]
    except (ValueError, RecursionError) as error:
        raise _unreadable(folder / table, f"{path.name} in its log is cut off") from error
    if not text:  # to Delta it is a version that changes nothing, so rows would be missing silently
        raise _unreadable(folder / table, f"{path.name} in its log is empty")
    try:
        for kind, action in actions:
            need_shape(action, ACTIONS[kind], kind)
    except (ValueError, KeyError) as error:
        raise _unreadable(folder / table, f"{path.name} in its log is not as expected: {error}") from error
    return actions


def read_lineage(folder: Place, table: str, version: int) -> Lineage | None:
    try:
        for _, said in read_actions(folder, table, version, "commitInfo"):
            if LINEAGE_KEY in said:
                return _parse(folder, json.loads(str(said[LINEAGE_KEY])))
    except (ValueError, RecursionError) as error:
        raise _unreadable(folder / table, f"version {version} has a log entry that is not as expected: {error}") from error
    return None


def _parse(folder: Place, said: dict[str, Any]) -> Lineage:
    """Refuses a newer format before reading it: it may contain more than a Lineage holds."""
    need_shape(said, {"format": int, "code": str}, LINEAGE_KEY)
    if said["format"] > FORMAT_VERSION:
        raise BadInputError(
            f"{folder} was written in format {said['format']} by tratree-data {said['code']}; this version reads up to {FORMAT_VERSION}.\n"
            "Next: pip install --upgrade tratree-data"
        )
    need_shape(said, REWRITTEN if "rows_of" in said else COMMITTED, LINEAGE_KEY)
    return Lineage(**{field.name: said[field.name] for field in fields(Lineage) if field.name in said})


def _unreadable(folder: Place, error: Exception | str) -> TratreeError:
    if isinstance(folder, BucketPath) and isinstance(error, Exception) and comes_from_client(error):
        return explain(folder, error)
    first, *_ = str(error).splitlines() or [type(error).__name__]  # Delta's errors may continue with their own call stack
    said = first[:MOST_OF_AN_ERROR]
    return BadInputError(
        f"{folder} is not a readable Delta table: {said}.\nNext: restore it from a copy, or remove that folder and rebuild"
    )
