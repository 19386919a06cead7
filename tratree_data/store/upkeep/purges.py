"""A purge in progress: a mark in the dataset, so that one that was killed is finished by the same command, and `check` reports it.

The mark holds hashes only, because what a purge removes must not be found in the mark either.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tratree_data.ids import content_id
from tratree_data.store.locations import Place, below, read_plain, replace_text

MARK = ".purging"


@dataclass(frozen=True)
class Purge:
    """What is being purged: the trees, and the commands that asked for it."""

    trees: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()


def command_id(tasks: Sequence[str], environment: str) -> str:
    """An id of the command, the same for any order of its tasks."""
    return content_id("purge", environment, *sorted(set(tasks)))


def begun_purge(folder: Place) -> Purge | None:
    """The unfinished purge, if any. A corrupt mark still counts as one."""
    mark = below(folder, MARK)
    if not mark.exists():
        return None
    try:
        said = json.loads(read_plain(mark))
        return Purge(frozenset(map(str, said["trees"])), frozenset(map(str, said["commands"])))
    except (ValueError, KeyError, TypeError):
        return Purge()


def begin_purge(folder: Place, purge: Purge) -> None:
    """Marks the dataset, in one step, before anything in it changes. Call it inside `writing`."""
    replace_text(folder, MARK, json.dumps({"trees": sorted(purge.trees), "commands": sorted(purge.commands)}))


def end_purge(folder: Place) -> None:
    below(folder, MARK).unlink()
