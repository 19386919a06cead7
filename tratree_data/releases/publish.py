"""A dataset as a versioned release: in a folder laid out exactly like a Hub dataset repository, or on the Hub itself.

A release is made whole in a scratch folder and then put in its place in one move, so that a version is there or is not; a published
version never changes. How a release looks: publish/layout.md. What its number promises: publish/versioning.md.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import duckdb

from tratree_data.editing.derive import outside
from tratree_data.editing.reuse import stages_out_of_date
from tratree_data.errors import BadInputError, RefusedError, unwritten
from tratree_data.releases.card import ANYWHERE
from tratree_data.releases.diff import Files, compare_rows, keep_shards, link
from tratree_data.releases.draft import Draft, different_files, write_data, write_texts
from tratree_data.releases.ordering import work_connection
from tratree_data.releases.settings import PublishSettings
from tratree_data.releases.to_bucket import BucketTarget
from tratree_data.releases.to_folder import FolderTarget
from tratree_data.releases.traces import keep_sessions
from tratree_data.releases.version_numbers import (
    Diff,
    check_level,
    check_newer,
    check_not_withdrawn,
    check_version,
    compare_schemas,
    compare_splits,
    promises,
)
from tratree_data.results import StageResult
from tratree_data.stages import published_tables
from tratree_data.store.buckets import is_address
from tratree_data.store.locations import place
from tratree_data.store.manifest import MANIFEST, Manifest, Shard, file_hash, read_manifest
from tratree_data.store.query_files import STAGE_MEMORY
from tratree_data.store.reader import Store, open_store
from tratree_data.store.release import HUB, names_release, refuse_address
from tratree_data.store.withdrawals import Withdrawals
from tratree_data.system.safe_paths import need_local
from tratree_data.system.settings import takes

LISTED = 10


class Target(Protocol):
    """Where releases go: a folder or a repository on the Hub."""

    linked: bool
    """Whether `fetch` gives links: the Hub's client keeps its files elsewhere."""

    def versions(self) -> list[str]:
        """What is published, oldest first."""

    def withdrawals(self) -> Withdrawals:
        """Which versions were taken back; ask for `versions` first."""

    def fetch(self, version: str) -> Path:
        """A folder with that version's lineage, checksums and schemas in it."""

    def fetch_shards(self, version: str, shards: Sequence[Shard], same: Set[str]) -> Sequence[Shard]:
        """Brings shards into the folder of `fetch`, at least those whose path is not in `same`, and answers which are there."""

    def scratch(self, version: str) -> AbstractContextManager[Path]:
        """An empty folder to make a release in, gone afterwards."""

    def put(self, release: Path, version: str) -> None:
        """Publishes what was made in the scratch folder; all of it, or nothing."""


@takes(PublishSettings)
def publish(directory: str | Path, settings: PublishSettings) -> StageResult:
    """Publishes the dataset as a version that never changes, in a folder or on the Hub (`hub:org/name`).

    Secrets and personal data are redacted and leaks between splits are reported; `fail_on_findings` stops with a RefusedError instead.
    """
    target, version = str(settings.target), check_version(settings.version)
    store = _dataset(directory, target)
    place = find_target(target, private=settings.private, gated=settings.gated)
    with _explained(target):
        published = place.versions()
        withdrawals = place.withdrawals()
        check_not_withdrawn(version, withdrawals)
        if version not in published:
            check_newer(version, [*published, *withdrawals])
        with place.scratch(version) as folder:
            title = settings.title or store.path.resolve().name
            place_on_card = target if target.startswith(HUB) else ANYWHERE
            draft = write_data(store, folder, settings, title=title, place=place_on_card)
            if settings.fail_on_findings:
                _stop_if_found(draft)
            if published:
                since = version if version in published else published[-1]
                if _is_unchanged(draft, place, since, version, settings.shard_bytes):
                    note = f"the dataset is the same as version {since}, which is in {target}"
                    return StageResult("publish", False, draft.counts(), (note,))
            write_texts(draft, version)
            place.put(folder, version)
    return StageResult("publish", True, draft.counts(), _notes(draft, target, version))


def _dataset(named: str | Path, target: str) -> Store:
    """What is to be published, if it can be, and there."""
    refuse_address(target)
    directory = place(named)
    if names_release(str(named)):
        raise BadInputError(f"{directory} is already a release; only datasets can be published.\nNext: tratree publish DATASET {target}")
    if not target.startswith(HUB):
        outside(place(target), directory)
    store = open_store(directory)
    store.most_memory = STAGE_MEMORY
    store.need("rollouts", "steps")
    _need_current(store)
    if not store.count("rollouts"):
        raise BadInputError(f"{directory} has no rollouts to publish.\nNext: tratree import FILE {directory}")
    return store


def find_target(target: str, *, private: bool = False, gated: bool = False) -> Target:
    if target.startswith(HUB):
        from tratree_data.releases.to_hub import HubTarget

        return HubTarget(target.removeprefix(HUB), private=private, gated=gated)
    if private or gated:
        raise BadInputError(
            f"{target} is not on the Hub, and only a Hub repository can be private or gated.\nNext: name hub:org/name, or omit the flag"
        )
    where = place(target)
    return FolderTarget(need_local(where, "a release")) if isinstance(where, Path) else BucketTarget(where)


def _is_unchanged(draft: Draft, place: Target, since: str, version: str, shard_bytes: int) -> bool:
    """Keeps the shards of the version before whose rows are all still there, and refuses a number that contradicts what changed."""
    before = place.fetch(since)
    old = read_manifest((before / MANIFEST).read_text(encoding="utf-8"), f"version {since}")
    same = _same_shards(draft, old)
    fetched = place.fetch_shards(since, [shard for table in old.tables for shard in old.shards(table)], same)
    _need_whole(before, old, fetched)
    for shard in (shard for shard in fetched if shard.path in same):
        link(before / shard.path, draft.folder / shard.path)
    diff = Diff(since, schema=compare_schemas(before, old.tables, draft.shards, linked=place.linked))
    diff.schema += compare_splits(_splits({table: old.shards(table) for table in old.tables}), _splits(draft.shards))
    keep_sessions(before, draft.folder)
    with draft.spill() as spill, work_connection(spill) as connection:
        for table in published_tables():
            files = Files(before, old.shards(table)), Files(draft.folder, draft.shards.get(table, []))
            change = compare_rows(connection, table, *(each.without(same) for each in files))
            if change:
                diff.tables[table] = change
            if table in draft.shards:
                draft.shards[table] = keep_shards(connection, table, *files, change, shard_bytes, same)
    draft.diff = diff
    diff.files = _changed_files(draft, old, before)
    if not diff.files and not promises(version, since):
        return True
    if version == since:
        raise BadInputError(
            f"Version {version} is already published and cannot change, but the dataset differs from it: {diff.summary()}.\n"
            f'Next: --version {diff.next_version()}, or version = "{diff.next_version()}" in the recipe'
        )
    check_level(version, diff)
    return False


def _changed_files(draft: Draft, old: Manifest, before: Path) -> list[str]:
    """The shards that are new or gone; where there are none, the texts that differ, rendered under the number of the version before."""
    assert draft.diff is not None
    shards = {shard.path for shards in draft.shards.values() for shard in shards} ^ {
        path for table in old.tables for path in old.files(table)
    }
    if shards or draft.diff.tables or draft.diff.schema:
        return sorted(shards) or sorted(draft.diff.tables) or [what for _, what in draft.diff.schema]
    write_texts(draft, draft.diff.since)
    return different_files(before, draft.folder)


def _splits(shards: Mapping[str, Sequence[Shard]]) -> dict[str, set[str]]:
    return {table: {shard.split for shard in of_table} for table, of_table in shards.items()}


def _need_current(store: Store) -> None:
    """A version never changes, so trees that do not hold all rollouts must not become one by an oversight."""
    stale = stages_out_of_date(store)
    if stale:
        old = ", ".join(sorted(store.outdated))
        why = f"{old} of {store.path} are in an older format" if old else f"{store.path} changed after {stale[0]}"
        raise BadInputError(
            f"{why}, so {', '.join(stale)} would be published out of date.\n"
            f"Next: {' && '.join(f'tratree {stage} {store.path}' for stage in stale)}\n"
            f'with the earlier options; tratree sql {store.path} "SELECT DISTINCT stage, settings FROM lineage" lists them'
        )


def _same_shards(draft: Draft, old: Manifest) -> set[str]:
    """The paths of the shards that the draft wrote exactly as the version before did: they need not be read, nor fetched."""
    hashes = {shard.path: shard.sha256 for shards in draft.shards.values() for shard in shards}
    return {shard.path for table in old.tables for shard in old.shards(table) if hashes.get(shard.path) == shard.sha256}


def _need_whole(release: Path, manifest: Manifest, shards: Sequence[Shard]) -> None:
    """The next version takes over shards of this one, so corrupt ones are reported before anything is compared."""
    for shard in shards:
        path = release / shard.path
        if not path.is_file() or file_hash(path) != shard.sha256:
            trouble = "is truncated or changed" if path.is_file() else "is gone"
            raise BadInputError(
                f"{path}, part of version {manifest.version}, {trouble}; nothing was published.\n"
                "Next: restore it from a copy of the release, or publish to a new place"
            )


def _stop_if_found(draft: Draft) -> None:
    lines = [f"{finding.count} × {finding.kind} in {finding.table}.{finding.column}: {finding.first}" for finding in draft.findings]
    lines += [f"{leak.kind} leak: {leak.task_id} ({leak.split}) and {leak.other_task_id} ({leak.other_split})" for leak in draft.leaks]
    if lines:
        more = [f"… and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
        listed = "\n".join("  " + line for line in lines[:LISTED] + more)
        raise RefusedError(
            f"{len(lines)} findings, so nothing was published:\n{listed}\nNext: fix the data, or publish without --fail-on-findings"
        )


def _notes(draft: Draft, target: str, version: str) -> tuple[str, ...]:
    notes = [f"version {version} is in {target}"]
    if draft.diff is not None:
        notes.append(f"since {draft.diff.since}: {draft.diff.summary()}")
    if draft.findings:
        kinds = ", ".join(sorted({finding.kind for finding in draft.findings}))
        count = sum(finding.count for finding in draft.findings)
        notes.append(f"redacted {count:,} secrets and personal data ({kinds}); reports/release.json says where")
    if draft.leaks:
        notes.append(
            f"warning: leaks between splits: {len(draft.leaks):,}, the first {draft.leaks[0].task_id!r}; reports/release.json lists them"
        )
    where = f'"{target.removeprefix(HUB)}", "{draft.default_table()}"' + (f', revision="v{version}"' if target.startswith(HUB) else "")
    load = f"look at it: tratree stats {target}@{version}" if is_address(target) else f"load it: datasets.load_dataset({where})"
    return (*notes, load)


@contextmanager
def _explained(target: str) -> Iterator[None]:
    """What the system and DuckDB say of a full or read-only disk, in our words."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        raise unwritten(target, error, "What was published before is intact.") from error


__all__ = ["RefusedError", "Target", "find_target", "publish"]
