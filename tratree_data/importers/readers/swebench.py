"""Scores from reports of SWE-bench's evaluation next to a run's logs, as its harness, sb-cli, SWE-agent and OpenHands write them.

A report is a JSON object with a list `resolved_ids` (or `resolved`). It is searched for where runs leave it: in the log's folder; above it,
where each task has a folder of its own name; and in `../results` of a folder `trajs`.
"""

import json
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from tratree_data.importers.files.json_stream import MAX_RECORD_BYTES
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.log_records import Unusable

RESOLVED = ("resolved_ids", "resolved")
UNRESOLVED = ("unresolved_ids", "unresolved", "empty_patch_ids")
NOT_EVALUATED = ("error_ids", "incomplete_ids", "no_logs")
Lists = dict[str, frozenset[str]]
Listing = tuple[tuple[str, int, int], ...]


def reported_score(file: LogFile, task: str) -> float | None:
    """1 if the reports beside the file say resolved, 0 if unresolved, None if they say nothing."""
    verdicts: dict[float, str] = {}
    for folder in _folders(file.path.absolute(), task):
        for name, lists in _reports(folder, _listing(folder)).items():
            score = _score(lists, task)
            if score is not None:
                verdicts.setdefault(score, name)
    if len(verdicts) > 1:
        raise Unusable("ambiguous_score", f"{verdicts[1.0]} says that {task} was resolved, and {verdicts[0.0]} that it was not")
    return next(iter(verdicts), None)


def _folders(path: Path, task: str) -> list[Path]:
    folders = [path.parent]
    if path.parent.name == task:
        folders.append(path.parent.parent)
    if path.parent.name == "trajs":
        folders.append(path.parent.parent / "results")
    return folders


def _listing(folder: Path) -> Listing:
    """The folder's JSON files with time and size, so that a corrected report is read again."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.endswith(".traj.json") and entry.is_file():
                status = entry.stat()
                if status.st_size <= MAX_RECORD_BYTES:
                    found.append((entry.name, status.st_mtime_ns, status.st_size))
    return tuple(sorted(found))


@lru_cache(maxsize=8)
def _reports(folder: Path, listing: Listing) -> dict[str, Lists]:
    """Those files of the folder that are reports; a run's predictions and settings are JSON too."""
    found = {}
    for name, _, _ in listing:
        with suppress(OSError, ValueError, RecursionError):
            data = (folder / name).read_bytes()
            value = json.loads(data) if b'"resolved' in data else None
            if isinstance(value, dict) and any(isinstance(value.get(key), list) for key in RESOLVED):
                found[name] = {key: _texts(ids) for key, ids in value.items() if isinstance(ids, list)}
    return found


def _texts(ids: list[Any]) -> frozenset[str]:
    return frozenset(name for name in ids if isinstance(name, str))


def _score(lists: Lists, task: str) -> float | None:
    """A report that lists unresolved tasks says nothing about others; one that lists only resolved tasks covers all that it evaluated."""

    def named(keys: tuple[str, ...]) -> bool:
        return any(task in lists.get(key, ()) for key in keys)

    if named(RESOLVED):
        return 1.0
    complete = not any(key in lists for key in UNRESOLVED)
    return 0.0 if named(UNRESOLVED) or (complete and not named(NOT_EVALUATED)) else None
