"""A release of a dataset that has grown: only the rows of changed trees are read, redacted and compared; other shards are not read.

The result is the same, byte for byte, as if publish read every row. This requires that the previous version was made from earlier versions
of the same tables, by the same code with the same rules: `lineage.json` has a hash of all that (`made_from`), which includes secret ids of
commits. If something concerns all rows, publish reads all rows.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data import __version__
from tratree_data.releases.redaction.redaction import Finding, Redactor
from tratree_data.releases.redaction.redaction_rules import load_rules
from tratree_data.releases.versions.version_numbers import compare_schemas
from tratree_data.stages import published_tables
from tratree_data.store.chunks.row_groups import find_trees, list_row_groups, read_place, read_runs
from tratree_data.store.growth import grown_between, store_before
from tratree_data.store.log import Source
from tratree_data.store.published.manifest import Manifest, Shard
from tratree_data.store.reader import Store
from tratree_data.store.schemas import FORMAT_VERSION, arrow_schema, scan_sql, table_schema, with_columns
from tratree_data.store.shapes import need_shape
from tratree_data.store.writing.parquet_files import write_parquet

REPORT = "reports/release.json"
FINDING = {"kind": str, "table": str, "column": str, "count": int, "first": str}
ROWS_PER_READ = 10_000
OF_TASKS = "task_id"
"""Placeholders in names of tasks are needed for the leak report, wherever the task is."""


@dataclass(frozen=True)
class Grown:
    """What changed since a version: the changed trees' rows in a dataset of their own, and what redaction found in the others."""

    trees: Sequence[str]
    rows: Store
    changed: pa.Table
    """tree_id and rollout_id of every rollout that a changed tree has or had."""
    replaced: pa.Table
    """The changed trees that the previous version also has, so that its shards may hold rows of them."""
    findings: Sequence[Finding]


def made_from(store: Store) -> str:
    """Identifies what a release is made from; it reveals nothing to others, who do not know the ids of commits."""
    commits = {
        table: (source.version, source.lineage.commit if source.lineage else "")
        for table, source in sorted(store.sources.items())
        if table in published_tables()
    }
    return hashlib.sha256(json.dumps([commits, repr(load_rules()), __version__, FORMAT_VERSION]).encode()).hexdigest()


def find_growth(store: Store, manifest: Manifest, release: Path, scratch: Path, *, linked: bool) -> Grown | None:
    """None if the version may not come from this dataset, or if all rows must be read."""
    tables = [table for table in published_tables() if store.has(table)]
    report = _read_report(release)
    if not manifest.made_from or set(manifest.tables) != set(tables) or report is None:
        return None
    if compare_schemas(release, manifest.tables, tables, linked=linked) or any(finding.column == OF_TASKS for finding in report):
        return None
    before = store_before(store, {table: int(entry["store_version"]) for table, entry in manifest.tables.items()})
    if before is None or made_from(before) != manifest.made_from or not _shared_names_stay(before, store):
        return None
    growth = grown_between(before, store, tables)
    if growth is None:
        return None
    rollouts = pa.concat_tables([one.read("rollouts", ["tree_id", "rollout_id"]) for one in (before, store)])
    changed, replaced = (_rollouts_of(rollouts, trees) for trees in (growth.trees, growth.replaced))
    rows = _rows_of(store, before, tables, changed, replaced, scratch / "now")
    gone = _findings(before, tables, replaced, scratch / "before") if any(found.table in tables for found in report) else []
    findings = _without(report, tables, gone)
    if findings is None:
        return None
    return Grown(growth.trees, rows, changed, replaced, [*findings[0], *_with_examples(findings[1], store, changed)])


def key_of(table: str) -> str:
    return "tree_id" if "tree_id" in arrow_schema(table).names else "rollout_id"


def shards_with(release: Store, table: str, shards: Sequence[Shard], rollouts: pa.Table) -> set[str]:
    """The paths of the shards that hold a row of these trees; of the others, nothing but a column of identifiers is read."""
    key = key_of(table)
    wanted = {"keys": pc.unique(rollouts[key]).to_pylist()}
    if not wanted["keys"]:
        return set()
    files = zip(shards, release.addresses(table), strict=True)
    found = "SELECT count(*) AS n FROM {} WHERE {} IN (SELECT unnest($keys))"
    return {shard.path for shard, file in files if release.sql(found.format(scan_sql(table, [file]), key), wanted)["n"][0].as_py()}


def _rollouts_of(rollouts: pa.Table, trees: Sequence[str]) -> pa.Table:
    return rollouts.filter(pc.is_in(rollouts["tree_id"], pa.array(trees, pa.string()))).group_by(rollouts.column_names).aggregate([])


def _read_report(release: Path) -> list[Finding] | None:
    """What was found when the version was made; None if its report is missing or differs."""
    try:
        content = json.loads((release / REPORT).read_text(encoding="utf-8"))
        need_shape(content, {"redacted": [FINDING]}, REPORT)
        return [Finding(**{field.name: found[field.name] for field in fields(Finding)}) for found in content["redacted"]]
    except (OSError, ValueError, RecursionError):
        return None


def _shared_names_stay(before: Store, store: Store) -> bool:
    """Whether names that are shared by tasks, which are numbered over all rollouts, keep their placeholders."""
    names = []
    for one in (before, store):
        redactor = Redactor()
        redactor.number_shared_secrets(one)
        names.append(redactor.names)
    return all(names[1].get(secret) == name for secret, name in names[0].items())


def _rows_of(store: Store, before: Store | None, tables: Sequence[str], changed: pa.Table, replaced: pa.Table, folder: Path) -> Store:
    """These trees' rows of every table, as a dataset of their own; files of `before` hold rows of `replaced` trees only."""
    sources = {}
    for table in tables:
        (folder / table).mkdir(parents=True)
        old = set(before.sources[table].files) if before is not None else set()
        here = store.sources[table].files
        files: list[str] = []
        for some, rollouts in (([file for file in here if file not in old], changed), ([file for file in here if file in old], replaced)):
            for rows in _read(table, some, pc.unique(rollouts[key_of(table)].combine_chunks())):
                files.append(str(folder / table / f"{len(files):05}.parquet"))
                write_parquet(rows, table, Path(files[-1]))
        sources[table] = Source(tuple(files), store.version(table), store.sources[table].lineage)
    return Store(folder, sources, most_memory=store.most_memory)


def _read(table: str, files: Sequence[str], keys: pa.Array) -> Iterator[pa.Table]:
    """Reads only the row groups that have such rows."""
    if not len(keys):
        return
    key, names = key_of(table), arrow_schema(table).names
    groups = list_row_groups(files)
    found = find_trees(read_runs(groups, key), keys, np.zeros(len(keys), np.int64))
    for number, rows in zip(found["group"].to_pylist(), found["rows"].to_pylist(), strict=True):
        for batch in read_place(groups[number], rows, names, ROWS_PER_READ):
            part = with_columns(table, pa.Table.from_batches([batch]), names)
            chosen = part.filter(pc.is_in(part[key], keys))
            if chosen.num_rows:
                yield chosen


def _findings(before: Store, tables: Sequence[str], rollouts: pa.Table, folder: Path) -> list[Finding]:
    """What redaction found in the rows that these rollouts had."""
    redactor = Redactor()
    rows = _rows_of(before, None, tables, rollouts, rollouts, folder)
    for table in tables:
        for batch in rows.dataset(table).to_batches():
            redactor.redact_table(table, pa.Table.from_batches([batch]))
    return redactor.findings()


def _without(report: Sequence[Finding], tables: Sequence[str], gone: Sequence[Finding]) -> tuple[list[Finding], list[Finding]] | None:
    """The findings in the tables less those in rows that changed: (as they are, those whose example is in such a row).

    None if that does not add up.
    """
    less = {_place(finding): finding for finding in gone}
    left: list[Finding] = []
    unknown: list[Finding] = []
    for finding in report:
        if finding.table in tables:
            found = less.pop(_place(finding), None)
            count = finding.count - (found.count if found else 0)
            if count < 0:
                return None
            if count:
                (unknown if found and found.first == finding.first else left).append(replace(finding, count=count))
    return None if less else (left, unknown)


def _with_examples(unknown: Sequence[Finding], store: Store, changed: pa.Table) -> list[Finding]:
    """Finds the first example in unchanged rows, by searching one column again."""
    found: list[Finding] = []
    for table, column in sorted({(finding.table, finding.column) for finding in unknown}):
        redactor, key = Redactor(), key_of(table)
        names = list(dict.fromkeys([key, *table_schema(table).primary_key, column]))
        ours = pc.unique(changed[key].combine_chunks())
        for batch in store.dataset(table).to_batches(columns=names):
            rows = pa.Table.from_batches([batch])
            redactor.redact_table(table, rows.filter(pc.invert(pc.is_in(rows[key], ours))))
        found += redactor.findings()
    first = {_place(finding): finding.first for finding in found}
    return [replace(finding, first=first[_place(finding)]) for finding in unknown]


def _place(finding: Finding) -> tuple[str, str, str]:
    return finding.kind, finding.table, finding.column


def joined(findings: Sequence[Finding], more: Sequence[Finding]) -> list[Finding]:
    """Findings in different rows, each with the first of its examples."""
    found = {_place(finding): finding for finding in findings}
    for one in more:
        there = found.get(_place(one))
        found[_place(one)] = one if there is None else replace(one, count=one.count + there.count, first=min(one.first, there.first))
    return [found[place] for place in sorted(found)]
