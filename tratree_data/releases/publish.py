"""A dataset as a versioned release: in a folder laid out exactly like a Hub dataset repository, or on the Hub itself.

A release is completed in a scratch folder and then moved into place in one step, so a version exists whole or not at all; a published
version never changes. How a release looks: publish/layout.md. What its number promises: publish/versioning.md.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from tratree_data.editing.derive import outside
from tratree_data.editing.reuse import stages_out_of_date
from tratree_data.errors import BadInputError, RefusedError, quoted, unwritten
from tratree_data.releases.card.card import ANYWHERE
from tratree_data.releases.draft import Draft, write_data, write_texts
from tratree_data.releases.settings import PublishSettings
from tratree_data.releases.targets.target import Target, find_target
from tratree_data.releases.versions.grown import find_growth
from tratree_data.releases.versions.previous import find_previous, take_over
from tratree_data.releases.versions.version_numbers import check_newer, check_not_withdrawn, check_version
from tratree_data.results import StageResult, counted
from tratree_data.store.buckets.bucket_paths import is_address
from tratree_data.store.locations import place
from tratree_data.store.published.release import HUB, names_release, refuse_address
from tratree_data.store.reader import Store, open_store
from tratree_data.system.limits import STAGE_MEMORY
from tratree_data.system.settings import takes

LISTED = 10


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
        with place.scratch(version) as folder, tempfile.TemporaryDirectory(dir=folder.parent, prefix=".sorting-") as scratch:
            title = settings.title or store.path.resolve().name
            place_on_card = target if target.startswith(HUB) else ANYWHERE
            previous = find_previous(place, version if version in published else published[-1]) if published else None
            grown = None
            if previous is not None and not settings.traces:
                grown = find_growth(store, previous.manifest, previous.folder, Path(scratch), linked=place.linked)
            draft = write_data(store, folder, settings, title=title, place=place_on_card, grown=grown)
            if settings.fail_on_findings:
                _stop_if_found(draft)
            if previous is not None and take_over(draft, previous, version, settings.shard_bytes, grown):
                note = f"the dataset is the same as version {previous.version}, which is in {target}"
                return StageResult("publish", False, draft.counts(), (note,))
            write_texts(draft, version)
            place.put(folder, version, previous.version if previous else "", draft.kept)
    notes = (f"{counted(len(grown.trees), 'trees')} new or changed, the others not read",) if grown else ()
    return StageResult("publish", True, draft.counts(), (*_notes(draft, target, version), *notes))


def _dataset(named: str | Path, target: str) -> Store:
    """Opens what is to be published; refuses what cannot be published there."""
    refuse_address(target)
    directory = place(named)
    if names_release(str(named)):
        raise BadInputError(
            f"{directory} is already a release; only datasets can be published.\nNext: tratree publish DATASET {quoted(target)}"
        )
    if not target.startswith(HUB):
        outside(place(target), directory)
    store = open_store(directory)
    store.most_memory = STAGE_MEMORY
    store.need("rollouts", "steps")
    _need_current(store)
    if not store.count("rollouts"):
        raise BadInputError(f"{directory} has no rollouts to publish.\nNext: tratree import FILE {quoted(directory)}")
    return store


def _need_current(store: Store) -> None:
    """Refuses tables that are out of date: a version never changes, so one must not lack rollouts by an oversight."""
    stale = stages_out_of_date(store)
    if stale:
        old = ", ".join(sorted(store.outdated))
        why = f"{old} of {store.path} are in an older format" if old else f"{store.path} changed after {stale[0]}"
        raise BadInputError(
            f"{why}, so {', '.join(stale)} would be published out of date.\n"
            f"Next: {' && '.join(f'tratree {stage} {quoted(store.path)}' for stage in stale)}\n"
            f'with the earlier options; tratree sql {quoted(store.path)} "SELECT DISTINCT stage, settings FROM lineage" lists them'
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
    load = f"look at it: tratree stats {quoted(target)}@{version}" if is_address(target) else f"load it: datasets.load_dataset({where})"
    return (*notes, load)


@contextmanager
def _explained(target: str) -> Iterator[None]:
    """Rephrases what the system and DuckDB report about a full or read-only disk."""
    try:
        yield
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
        raise  # a mistake in our SQL
    except (OSError, duckdb.Error) as error:
        raise unwritten(target, error, "What was published before is intact.") from error


__all__ = ["RefusedError", "Target", "find_target", "publish"]
