"""A purge in progress: a mark in the dataset, so that one that was killed is finished by the same command, and `check` reports it.

The mark holds hashes only, because what a purge removes must not be found in the mark either.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tratree_data.ids import content_id
from tratree_data.store.writer import sync
from tratree_data.system.safe_paths import inside, read_plain_text

MARK = ".purging"


@dataclass(frozen=True)
class Purge:
    """What is being purged: the trees, and the commands that asked for it."""

    trees: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()


def command_id(tasks: Sequence[str], environment: str) -> str:
    """The same for a command that is repeated, whatever the order of its tasks."""
    return content_id("purge", environment, *sorted(set(tasks)))


def begun_purge(folder: Path) -> Purge | None:
    """The purge that did not finish. A corrupt mark still says that there was one."""
    mark = inside(folder, MARK)
    if not mark.exists():
        return None
    try:
        said = json.loads(read_plain_text(mark))
        return Purge(frozenset(map(str, said["trees"])), frozenset(map(str, said["commands"])))
    except (ValueError, KeyError, TypeError):
        return Purge()


def begin_purge(folder: Path, purge: Purge) -> None:
    """Marks the dataset, in one replacement, before anything of it changes. Call it inside `writing`."""
    new = inside(folder, f"{MARK}-new")
    new.unlink(missing_ok=True)
    new.write_text(json.dumps({"trees": sorted(purge.trees), "commands": sorted(purge.commands)}), encoding="utf-8")
    sync(new)
    new.replace(inside(folder, MARK))
    sync(folder)


def end_purge(folder: Path) -> None:
    inside(folder, MARK).unlink()
