"""Writing to a dataset: one writer's lock, and commits of several tables that become visible together.

One process writes at a time (`writing` holds a lock that dies with the process, or a lease in a bucket); readers are never blocked. What a
killed process left half-done is invisible (log.py), and undone before the next commit that keeps rows.
"""

import errno
import fcntl
import json
import re
import signal
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction

from tratree_data.errors import BadInputError, StoreBusyError, TratreeError, unwritten
from tratree_data.stages import COLLECTED
from tratree_data.store.buckets.bucket_errors import comes_from_client, explain
from tratree_data.store.buckets.bucket_paths import BucketPath, entries_of
from tratree_data.store.buckets.lease import confirm_lease, leased
from tratree_data.store.locations import Place, is_far, open_parquet, place, size_at, sync
from tratree_data.store.log import LINEAGE_KEY, Lineage, Tables, delta_tables, read_lineage
from tratree_data.store.reader import Store, open_store
from tratree_data.store.schemas import arrow_schema, check, table_names
from tratree_data.store.writing.delta_tables import create_table, table_for_commit
from tratree_data.store.writing.parquet_files import SCRATCH, new_file, write_parquet
from tratree_data.system.safe_paths import inside, need_local, open_lock_file

ROWS_PER_FILE = 1_000_000
INTACT = "What was there before is intact."
DISK_TROUBLES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
Rows: TypeAlias = pa.Table | Iterable[pa.Table] | Sequence[Place]
"""What can be committed: a table, tables one after the other, or Parquet files already written, which are moved into place."""


def create_store(path: str | Place) -> Store:
    """The dataset at `path`, made if there is none."""
    folder = place(path)
    foreign = _foreign_in_bucket(folder) if isinstance(folder, BucketPath) else _create_folder(folder)
    if foreign:
        raise BadInputError(f"{folder} contains other files ({', '.join(sorted(foreign)[:3])}).\nNext: name an empty or a new folder")
    return open_store(folder) if delta_tables(folder) else Store(folder, {})


def _foreign_in_bucket(folder: BucketPath) -> list[str]:
    """What is already in a dataset's future place but does not belong to a dataset."""
    if delta_tables(folder):
        return []
    folders, objects = entries_of(folder)
    return [name for name in [*folders, *(one.path.name for one in objects)] if not name.startswith(".") and name not in table_names()]


def _create_folder(folder: Path) -> list[str]:
    """Makes the folder if there is none; returns the names in it that are not a dataset's."""
    if folder.exists() and not folder.is_dir():
        raise BadInputError(f"{folder} is a file, but a dataset is a folder.\nNext: name another folder")
    refuse_unusable_name(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"{folder} cannot be created: {error.strerror}.\nNext: name a folder that you may write to") from error
    if delta_tables(folder):
        return []
    return [entry.name for entry in folder.iterdir() if not entry.name.startswith(".") and not _is_begun(entry)]


def refuse_unusable_name(folder: Path) -> None:
    """Refuses, before anything is written, names that Delta would escape, cut or confuse, and those that mean another place."""
    need_local(folder, "a new dataset")
    if re.search(r"[#?%\\\x00-\x1f\x7f\ud800-\udfff]", str(folder.resolve())):
        raise BadInputError(
            f"Delta tables cannot be in a folder whose name contains '#', '?', '%', a backslash, a control character or bytes that "
            f"are not UTF-8: {str(folder)!r}.\nNext: name another folder"
        )


def _is_begun(entry: Path) -> bool:
    """Removes what a kill before the very first commit leaves: a table's folder without a table."""
    return entry.name in table_names() and all(file.match("part-*.parquet") or file.name == "_delta_log" for file in entry.iterdir())


@contextmanager
def writing(path: str | Place) -> Iterator[None]:
    """Holds the dataset's one writer's lock; it is released when the process ends, however it ends."""
    folder = place(path)
    with leased(folder) if isinstance(folder, BucketPath) else _locked(folder):
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    inside(folder, SCRATCH)
    delta_tables(folder)  # refuses links to other folders
    try:
        handle = open_lock_file(folder / ".lock", folder)  # closed below, and by the system on a kill
    except OSError as error:
        raise BadInputError(f"{folder} cannot be written: {error.strerror}.\nNext: check its permissions and the disk") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreBusyError(f"Another process is writing to {folder}.\nNext: wait for it to end, then run the same command") from error
        try:
            yield
        except OSError as error:  # from any library that wrote during the commit
            if error.errno not in DISK_TROUBLES:
                raise
            raise _unwritten(folder, error) from error
    finally:
        handle.close()


def _unwritten(folder: Place, error: Exception) -> TratreeError:
    """Delta spreads its errors over several lines; one of them holds the system's message."""
    if isinstance(folder, BucketPath) and comes_from_client(error):
        return explain(folder, error)
    said = re.search(r"([A-Z][\w ]*) \(os error \d+\)", str(error))
    return unwritten(folder, said[1] if said else error, INTACT)


def commit(
    path: str | Place,
    stage: str,
    tables: Mapping[str, Rows],
    *,
    settings: Mapping[str, Any],
    reads: Mapping[str, int],
    append: bool = False,
    replace_trees: Sequence[str] | None = None,
) -> Store:
    """Writes the tables in the given order and makes them visible together with the last one. Call it inside `writing`.

    Existing rows are removed, unless `append` keeps all of them, or `replace_trees` all but those of these trees (in tables that name
    trees).
    """
    folder = place(path)
    opened = Tables(folder)
    last = list(tables)[-1]
    commit_id = uuid.uuid4().hex
    writes: dict[str, int] = {}
    try:
        if append:
            _need_collected(opened)
        files = {table: _write_files(folder, table, rows) for table, rows in tables.items()}
        with _uninterrupted():
            for table in [table for table in tables if table not in opened.names]:
                create_table(opened, table)  # all before the first commit: a folder that is missing later was therefore removed by hand
            for table in tables:
                keep = append or (replace_trees is not None and "tree_id" in arrow_schema(table).names)
                delta = table_for_commit(opened, table, keep)
                if replace_trees and keep:
                    delta.delete(f"tree_id IN ({', '.join(repr(tree) for tree in replace_trees)})")
                writes[table] = delta.version() + 1
                lineage = Lineage(stage, dict(settings), dict(reads), dict(writes), last, commit_id)
                confirm_lease(folder)
                _commit_files(delta, table, files[table], lineage, keep, folder)
                opened.refresh(table)
    except (OSError, DeltaError) as error:
        raise _unwritten(folder, error) from error
    return Store(folder, opened.sources())


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delays Ctrl-C until the end of a commit, so that the code that catches it knows what is in the store."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, Any]] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: waiting.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if waiting and callable(handler):
            handler(*waiting[0])


def with_dropped(store: Store, stage: str, rows: pa.Table) -> pa.Table:
    """The `dropped` table with this stage's rows replaced."""
    if not store.has("dropped"):
        return rows
    others = store.read("dropped", filter=pc.field("stage") != stage)
    return pa.concat_tables([others, rows])


def _write_files(folder: Place, table: str, rows: Rows) -> list[Place]:
    if isinstance(rows, pa.Table):
        rows = [rows]
    files: list[Place] = []
    for part in rows:
        if isinstance(part, Path | BucketPath):
            files.append(_in_place(folder, table, part))
            continue
        checked = check(table, part)
        for start in range(0, checked.num_rows, ROWS_PER_FILE):
            file = new_file(folder, table)
            try:
                write_parquet(checked.slice(start, ROWS_PER_FILE), table, file)
            except OSError:
                file.unlink(missing_ok=True)
                raise
            files.append(file)
    return files


def _in_place(folder: Place, table: str, file: Place) -> Place:
    """Moves a finished file to its table. In a bucket, where nothing can be moved, it was written there."""
    target = new_file(folder, table)
    if isinstance(file, BucketPath) or isinstance(target, BucketPath) or file.parent == target.parent:
        return file
    return file.rename(target)


def _need_collected(opened: Tables) -> None:
    """Refuses rows whose other half was removed by hand: they look like what a kill leaves, and no stage can make them again."""
    for table in [table for table in COLLECTED if table in opened.names]:
        lineage = next((lineage for _, lineage in opened.lineages(table) if lineage is not None), None)
        gone = {*lineage.writes, lineage.last} & set(COLLECTED) - set(opened.names) if lineage else set()
        if gone:
            missing, there = opened.folder / min(gone), opened.folder / table
            raise BadInputError(
                f"{missing} is missing, and {there} contains the other half of its rows.\n"
                f"Next: restore it from a copy, or remove {there} too, then import or explore again"
            )


def _commit_files(delta: DeltaTable, table: str, files: Sequence[Place], lineage: Lineage, append: bool, folder: Place) -> None:
    actions = [
        AddAction(
            path=file.name,
            size=size_at(file),
            partition_values={},
            modification_time=int(time.time() * 1000),
            data_change=True,
            stats=json.dumps({"numRecords": _rows_of(file)}),
        )
        for file in files
    ]
    for file in files:
        if isinstance(file, Path):
            sync(file)
    said = {LINEAGE_KEY: json.dumps(asdict(lineage), sort_keys=True)}
    try:
        delta.create_write_transaction(
            actions,
            "append" if append else "overwrite",
            arrow_schema(table),
            [],
            commit_properties=CommitProperties(custom_metadata=said, max_commit_retries=0 if is_far(folder) else None),
            post_commithook_properties=PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False),
        )
    except (OSError, DeltaError):
        if not (is_far(folder) and _is_committed(folder, table, lineage)):
            raise


def _is_committed(folder: Place, table: str, lineage: Lineage) -> bool:
    """Whether a commit whose answer was lost arrived after all."""
    try:
        there = read_lineage(folder, table, lineage.writes[table])
    except FileNotFoundError:
        return False
    return there is not None and there.commit == lineage.commit


def _rows_of(file: Place) -> int:
    with open_parquet(str(file if isinstance(file, BucketPath) else file.absolute())) as parquet:
        return int(parquet.metadata.num_rows)
