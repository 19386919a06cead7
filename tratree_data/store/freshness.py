"""Whether what a stage made is still what it would make: the settings and versions that its last commit recorded, against today's."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tratree_data.stages import LATER_SCORES
from tratree_data.store.log import Lineage, Tables
from tratree_data.store.reader import Store


def versions_read(store: Store, tables: Sequence[str]) -> dict[str, int]:
    """The versions of what a stage reads, for its lineage: these tables, and scores that were given later, if there are any."""
    return {table: store.version(table) for table in dict.fromkeys([*tables, *(LATER_SCORES if store.has(*LATER_SCORES) else ())])}


def is_current(store: Store, stage: str, writes: Sequence[str], settings: Mapping[str, Any], reads: Mapping[str, int]) -> bool:
    """Whether the stage's last commit had these settings and inputs, and its tables are still there."""
    if not all(store.has(table) for table in writes):
        return False
    lineage = last_lineage(store, stage, writes[-1])
    return lineage is not None and same_settings(lineage.settings, settings) and lineage.reads == dict(reads)


def last_lineage(store: Store, stage: str, table: str) -> Lineage | None:
    """The lineage of the newest visible commit that `stage` made to `table`."""
    if not store.has(table):
        return None
    source = store.sources[table]
    if source.lineage is not None and source.lineage.stage == stage:
        return source.lineage
    for version, lineage in Tables(store.path).lineages(table):
        if version < source.version and lineage is not None and lineage.stage == stage:
            return lineage
    return None


def same_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return bool(_given(before) == _given(now))


def _given(settings: Mapping[str, Any]) -> Any:
    """The settings as the log holds them, without None: a setting that older code did not have is None if it changes nothing."""
    return json.loads(json.dumps({name: value for name, value in settings.items() if value is not None}))
