"""The logs of a dataset in a bucket, copied to this machine entry by entry, so that Delta reads them here.

Delta's own client asks for each entry of each log twice, whenever a table is opened. An entry never changes once it is written (its tag
would), so a process fetches each once, and opening a dataset again costs the listing alone.
"""

import re
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from pathlib import Path
from threading import Lock

from tratree_data.store.buckets.bucket_paths import BucketPath, Found, entries_of, list_below, read
from tratree_data.store.schemas import table_names

LOG = "_delta_log"
ENTRY = re.compile(r"(\d{20})\.(?:json|checkpoint(?:\.[\w-]+)*\.parquet)")
LISTED_AT_ONCE = 1_000
"""Objects that servers name in one answer: a small dataset's logs are listed by one request."""
FETCHED_AT_ONCE = 16

Logs = dict[str, list[Found]]
"""The entries of each table's log; tables without entries are left out."""


def list_logs(folder: BucketPath) -> Logs:
    found = list(islice(list_below(folder), LISTED_AT_ONCE))
    if len(found) < LISTED_AT_ONCE:
        return {table: entries for table in table_names() if (entries := _entries(found, folder / table / LOG))}
    names = [name for name in entries_of(folder)[0] if name in table_names()]
    with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
        listed = dict(zip(names, pool.map(lambda table: list_log(folder, table), names), strict=True))
    return {table: listed[table] for table in table_names() if listed.get(table)}


def list_log(folder: BucketPath, table: str) -> list[Found]:
    return _entries(list_below(folder / table / LOG), folder / table / LOG)


def _entries(found: Iterable[Found], log: BucketPath) -> list[Found]:
    return sorted((one for one in found if one.path.parent == log and ENTRY.fullmatch(one.path.name)), key=lambda one: one.path.name)


def mirror_logs(folder: BucketPath, logs: Mapping[str, list[Found]], *, whole: bool = False) -> dict[str, Path]:
    """For each table a folder that Delta can open: with the entries since the last checkpoint, or all of them."""
    wanted = {table: entries if whole else since_checkpoint(entries) for table, entries in logs.items()}
    with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
        list(pool.map(_fetch, [one for entries in wanted.values() for one in entries]))
    for table, entries in logs.items():
        names = {one.path.name for one in entries}
        for file in _place_of(folder / table / LOG).iterdir():
            if file.name not in names and ENTRY.fullmatch(file.name):
                file.unlink(missing_ok=True)  # the table was removed and made again
    return {table: _place_of(folder / table / LOG).parent for table in logs}


def since_checkpoint(entries: list[Found]) -> list[Found]:
    newest = max((one.path.name[:20] for one in entries if one.path.name.endswith(".parquet")), default="")
    return [one for one in entries if one.path.name[:20] >= newest]


def read_entry(entry: BucketPath) -> str:
    """The text of a log entry, which may be on this machine already."""
    file = _place_of(entry.parent) / entry.name
    return (file.read_bytes() if file.exists() else read(entry)).decode()


_tags: dict[BucketPath, str] = {}
_one_at_a_time = Lock()


def _fetch(one: Found) -> None:
    file = _place_of(one.path.parent) / one.path.name
    if _tags.get(one.path) == one.tag and file.exists():
        return
    data = read(one.path)
    with _one_at_a_time:  # renamed once it is complete: another thread may be reading
        new = file.with_name(f"{file.name}-new")
        new.write_bytes(data)
        new.replace(file)
        _tags[one.path] = one.tag


def _home() -> "tempfile.TemporaryDirectory[str]":
    """The mirror's folder, removed when the process ends.

    With `lru_cache` alone, two threads could make one each, and one would be removed.
    """
    with _one_at_a_time:
        return _only_home()


@lru_cache(maxsize=1)
def _only_home() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="tratree-logs-")


@lru_cache
def _place_of(log: BucketPath) -> Path:
    place = Path(_home().name, *log.root.replace(":", "").split("/"), log.key)
    place.mkdir(parents=True, exist_ok=True)
    return place
