"""Readers open every file, so many small ones are slow: their rows move to large files, in the same order, in one commit per table.

A table's newest files come first. So the files that are rewritten are the first ones, up to the last for which it pays, and the new file
takes their place. No row changes: the commit repeats the lineage of the version that it rewrites and names it (`rows_of`), readers still
use that version's number, and no stage becomes out of date.
"""

import json
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from tratree_data.errors import StoreBusyError
from tratree_data.store.buckets.bucket_paths import BucketPath, put_if_absent
from tratree_data.store.buckets.lease import confirm_lease
from tratree_data.store.buckets.log_mirror import LOG
from tratree_data.store.chunks.row_groups import read_files
from tratree_data.store.locations import Place, open_parquet, place, size_at, sync
from tratree_data.store.log import LINEAGE_KEY, Lineage, Tables
from tratree_data.store.writing.staged import StagedFiles

LARGE = 32 * 2**20
"""Files of at least this many bytes are left alone."""
MOST_MEMORY = 256 * 2**20
FEW = 16
"""A table with fewer files opens quickly."""
WORTH = 4
"""Rewriting pays where it leaves a quarter of the files."""


def compact(folder: Place, *, dry_run: bool = False) -> tuple[int, int]:
    """(small files, the files that hold their rows now). Call it inside `writing`, after the leftovers of killed processes were removed."""
    opened = Tables(folder)
    before = after = 0
    for table in opened.names:
        source = opened.visible(table)
        if source is None or len(source.files) < FEW or source.lineage is None:
            continue
        sizes = [size_at(place(file)) for file in source.files]
        count = files_to_rewrite(sizes)
        if not count:
            continue
        before += count
        if dry_run:
            after += large_files(sum(sizes[:count]))
            continue
        with StagedFiles(folder, _memory_of_a_file(source.files[0], sizes[0])) as parts:
            for rows in read_files(table, source.files[:count]):
                parts.add(table, rows)
            new = parts.files(table)
            lineage = replace(source.lineage, rows_of=source.version)
            _replace(opened, table, [*zip(source.files[:count], sizes[:count], strict=True)], new, lineage)
        after += len(new)
    return before, after


def files_to_rewrite(sizes: Sequence[int]) -> int:
    """How many of the first files: as many as possible, if that leaves a quarter of them."""
    counts = np.arange(1, len(sizes) + 1)
    needed = np.ceil(np.maximum(np.cumsum(sizes), 1) / LARGE)
    worth = np.flatnonzero((counts >= WORTH * needed) & (counts >= FEW))
    return int(worth[-1]) + 1 if len(worth) else 0


def large_files(size: int) -> int:
    return max(1, -(-size // LARGE))


def _memory_of_a_file(file: str, size: int) -> int:
    """The size in memory of a large file, estimated from an existing one."""
    with open_parquet(file) as parquet:
        first = next(parquet.iter_batches(), None)
        taken = first.nbytes * parquet.metadata.num_rows / max(first.num_rows, 1) if first is not None else 0
    return min(MOST_MEMORY, max(LARGE, int(LARGE * taken / max(size, 1))))


def _replace(opened: Tables, table: str, gone: Sequence[tuple[str, int]], new: Sequence[Place], lineage: Lineage) -> None:
    """Writes one entry of the log; Delta's own compaction would change the order of rows."""
    now = int(time.time() * 1000)
    said = {"timestamp": now, "operation": "OPTIMIZE", "operationParameters": {}, LINEAGE_KEY: json.dumps(asdict(lineage), sort_keys=True)}
    actions: list[dict[str, Any]] = [{"commitInfo": said}]
    for file, size in gone:
        removed = {"path": file.rpartition("/")[2], "deletionTimestamp": now, "dataChange": False}
        actions.append({"remove": removed | {"extendedFileMetadata": True, "partitionValues": {}, "size": size}})
    for made in new:
        with open_parquet(str(made)) as parquet:
            stats = json.dumps({"numRecords": parquet.metadata.num_rows})
        added = {"path": made.name, "partitionValues": {}, "size": size_at(made), "modificationTime": now, "dataChange": False}
        actions.append({"add": added | {"stats": stats}})
        if isinstance(made, Path):
            sync(made)
    entry = f"{opened.writable(table).version() + 1:020}.json"
    confirm_lease(opened.folder)
    if not _put(opened.folder / table / LOG, entry, "".join(f"{json.dumps(action)}\n" for action in actions).encode()):
        raise StoreBusyError(f"Another process has just written to {opened.folder / table}.\nNext: run the same command again")
    opened.refresh(table)
    opened.writable(table).create_checkpoint()  # readers then do not parse an entry that names thousands of files


def _put(log: Place, name: str, data: bytes) -> bool:
    """Writes the whole entry or nothing; False if someone else has written one with that number."""
    if isinstance(log, BucketPath):
        return put_if_absent(log / name, data) is not None
    partial = log / f"_commit_{uuid.uuid4()}.json.tmp"
    partial.write_bytes(data)
    sync(partial)
    try:
        os.link(partial, log / name)
    except FileExistsError:
        return False
    finally:
        partial.unlink()
    sync(log)
    return True
