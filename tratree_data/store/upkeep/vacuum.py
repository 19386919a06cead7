"""Vacuum saves space and time: it removes the Parquet files that no kept version needs, and what killed processes
left behind; compact.py has rewritten the small ones before.

Delta's own vacuum looks at one table: where a commit of several tables was cut off, it would keep the half that nobody sees and remove what
everybody reads. Here a version's files are kept if a reader could see it within the last days; no other files are.
"""

import shutil
import time
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from tratree_data.errors import BadInputError, TratreeError
from tratree_data.results import StageResult
from tratree_data.store.buckets.bucket_paths import BucketPath, list_below
from tratree_data.store.locations import Place, parquet_files_in
from tratree_data.store.log import Tables, files_of, read_actions
from tratree_data.store.reader import open_store
from tratree_data.store.schemas import table_names
from tratree_data.store.upkeep.compact import compact
from tratree_data.store.writing.delta_tables import undo_leftovers
from tratree_data.store.writing.parquet_files import SCRATCH, is_ours
from tratree_data.store.writing.writer import writing
from tratree_data.system.safe_paths import plain_files_below

SECONDS_PER_DAY = 86_400


def vacuum(directory: str | Path, keep_days: float = 7, *, dry_run: bool = False) -> StageResult:
    """Removes what no version of the last `keep_days` days needs, and moves the rows of small files to large ones; `dry_run` only counts.

    The newest version is always kept.
    """
    if not 0 <= keep_days < float("inf"):
        raise BadInputError(f"keep_days must be at least 0, not {keep_days}.\nNext: --keep-days 7")
    folder = open_store(directory).path
    with writing(folder):
        if not dry_run:
            _undo_all(folder)
        small, large = compact(folder, dry_run=dry_run)
        files = unneeded_files(folder, keep_days) if dry_run else remove_unneeded(folder, keep_days)
    counts = {"files": len(files), "bytes": sum(files.values())}
    notes = [f"{small:,} small files {'would become' if dry_run else 'became'} {large:,}"] if small else []
    notes += ["Nothing was removed: this was a dry run."] if dry_run and (files or small) else []
    return StageResult("vacuum", bool(files or small), counts, tuple(notes))


def _undo_all(folder: Place) -> None:
    """Other tools read Delta's newest version, so its files must not be removed."""
    opened = Tables(folder)
    for table in opened.names:
        undo_leftovers(opened, table)


def remove_unneeded(folder: Place, keep_days: float) -> dict[Place, int]:
    """The removed files, with their sizes. Call it inside `writing`."""
    _undo_all(folder)
    files = unneeded_files(folder, keep_days)
    try:
        for file in files:
            file.unlink(missing_ok=True)
        if isinstance(folder, Path):
            shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    except OSError as error:
        raise TratreeError(
            f"{error.filename} could not be removed: {error.strerror}. Nothing that is still needed was removed.\n"
            "Next: fix the permissions, then run the same command"
        ) from error
    return files


def unneeded_files(folder: Place, keep_days: float) -> dict[Place, int]:
    """Parquet files of ours that no kept version needs, with their sizes. While we own the writer's lock, none of them is being written."""
    opened = Tables(folder)
    since = time.time() - keep_days * SECONDS_PER_DAY
    found: dict[Place, int] = {}
    if isinstance(folder, BucketPath):
        found |= {one.path: one.size for one in list_below(folder / SCRATCH)}
    else:
        found |= {file: file.stat().st_size for file in sorted(plain_files_below(folder / SCRATCH)) if file.suffix == ".parquet"}
    for table in table_names():  # a killed process may have written files of a table that has no commit
        needed = needed_files(opened, table, since) if table in opened.names else set()
        found |= {file: size for file, size in parquet_files_in(folder / table) if is_ours(file) and file.name not in needed}
    return found


def needed_files(opened: Tables, table: str, since: float) -> set[str]:
    """Names of the files of every version that a reader saw at `since` or later."""
    kept = kept_versions(opened, table, since)
    if not kept:
        return set()
    live = {Path(file).name for file in files_of(opened.folder, table, opened.at(table, kept[0]))}
    needed, waiting = set(live), set()
    for before, after in pairwise(kept):
        for number in range(before + 1, after + 1):
            for kind, action in read_actions(opened.folder, table, number, "add", "remove"):
                name = unquote(action["path"])
                (live.add if kind == "add" else live.discard)(name)
                waiting.add(name)
        needed |= waiting & live
        waiting.clear()
    return needed


def kept_versions(opened: Tables, table: str, since: float) -> list[int]:
    """From the version that was the newest at `since` to the newest, oldest first; cut-off commits are not among them."""
    kept = []
    for number, _ in opened.visible_versions(table):
        kept.append(number)
        if committed_at(opened.folder, table, number) <= since:
            break
    return kept[::-1]


def committed_at(folder: Place, table: str, version: int) -> float:
    (_, said), *_ = read_actions(folder, table, version, "commitInfo")
    return float(said["timestamp"]) / 1000
