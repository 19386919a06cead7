"""The files of a release, as publish/layout.md shows them, and what they are made from."""

import json
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tratree_data import __version__
from tratree_data.files import file_names, read_text
from tratree_data.releases.card.about import About, read_about
from tratree_data.releases.card.card import write_card
from tratree_data.releases.leaks import Leak, find_leaks
from tratree_data.releases.redaction.redaction import Finding, Redactor
from tratree_data.releases.settings import PublishSettings
from tratree_data.releases.shards.by_workers import Workers, number_by_workers, write_by_workers
from tratree_data.releases.shards.ordering import split_names
from tratree_data.releases.shards.shards import write_tables
from tratree_data.releases.shards.traces import TABLE, write_traces
from tratree_data.releases.versions.grown import REPORT, Grown, joined, made_from
from tratree_data.releases.versions.version_numbers import Diff
from tratree_data.store.chunks.by_chunk import is_alone
from tratree_data.store.locations import Place, read_plain
from tratree_data.store.log import Lineage
from tratree_data.store.published.manifest import (
    CHECKSUMS,
    DROPPED,
    MANIFEST,
    Shard,
    file_hash,
    read_checksums,
    read_manifest,
    release_store,
)
from tratree_data.store.reader import Store
from tratree_data.store.schemas import FORMAT_VERSION
from tratree_data.store.writing.parquet_files import write_parquet
from tratree_data.system.limits import STAGE_MEMORY
from tratree_data.system.safe_paths import is_plain_file

WARNING = "Rules do not find every secret, and code and texts in sessions may be proprietary: publish only what you may."
CHANGES = "reports/changes.json"
OWN_TO_PER_VERSION = {MANIFEST, CHECKSUMS, CHANGES}
HELD_BYTES = 32 * 2**20
"""A release of at most this much is in memory while the card asks its forty questions."""


@dataclass
class Draft:
    """A release in preparation."""

    store: Store
    folder: Path
    license: str
    title: str
    place: str
    shards: dict[str, list[Shard]]
    split_names: dict[str, str]
    """The name on the Hub of each split of the dataset."""
    splits: dict[str, str]
    """The same for the splits of the release, whose names contain no secrets."""
    lineage: dict[str, Any]
    findings: list[Finding]
    leaks: list[Leak]
    about: About
    diff: Diff | None = None
    kept: list[Shard] = field(default_factory=list)
    """Shards of the previous version."""
    elsewhere: dict[str, str] = field(default_factory=dict)
    """The addresses of those that are not in the folder, and `filesystem` reads them if they are on the Hub."""
    filesystem: Any = None

    def counts(self) -> dict[str, int]:
        return {table: sum(shard.rows for shard in shards) for table, shards in self.shards.items()}

    def default_table(self) -> str:
        return "pairs" if self.shards.get("pairs") else "rollouts"

    @contextmanager
    def spill(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=".sorting-") as name:
            yield Path(name)


def write_data(store: Store, folder: Path, settings: PublishSettings, *, title: str, place: str, grown: Grown | None = None) -> Draft:
    """Makes everything that does not depend on the version's number; of a dataset that has grown, only the rows of changed trees."""
    redactor = Redactor()
    changed = grown.rows if grown else store
    workers = None if grown or is_alone(settings.engine, settings.workers) else Workers(settings.engine, settings.workers)
    if workers:
        number_by_workers(store, redactor, workers)
    else:
        redactor.number_secrets(store, changed)

    def rename(split: str) -> str:
        return redactor.redact_text(split, "split")

    with ThreadPoolExecutor(1) as beside:
        found = beside.submit(find_leaks, store)
        splits = split_names(store.read("rollouts", ["split"])["split"].unique().to_pylist(), rename)
        if workers:
            shards = write_by_workers(store, redactor, folder, splits, settings.shard_bytes, workers)
        else:
            shards = write_tables(changed, folder, redactor.redact_table, settings.shard_bytes, splits)
    names = {rename(split): name for split, name in splits.items()}
    if store.has("dropped"):
        (folder / DROPPED).parent.mkdir(exist_ok=True)
        dropped = redactor.redact_table("dropped", store.read("dropped"))
        write_parquet(dropped.sort_by([(name, "ascending") for name in dropped.column_names]), "dropped", folder / DROPPED)
    _copy_texts(store, folder, redactor)
    lineage = {table: redactor.redact_settings(_lineage(store, table), "lineage.json") for table in shards}
    leaks = [_redact_leak(leak, redactor) for leak in found.result()]
    title = redactor.redact_text(title, "title")
    about = read_about(settings, redactor.redact_settings)
    if settings.traces:
        shards[TABLE] = write_traces(folder, shards, names, settings.traces, settings.shard_bytes)
        lineage[TABLE] = asdict(Lineage("publish", {"traces": settings.traces}, {}, {}, TABLE, "", __version__, FORMAT_VERSION))
    findings = joined(grown.findings, redactor.findings()) if grown else redactor.findings()
    return Draft(store, folder, settings.license, title, place, shards, splits, names, lineage, findings, leaks, about)


def _redact_leak(leak: Leak, redactor: Redactor) -> Leak:
    tasks = {name: redactor.redact_task(getattr(leak, name)) for name in ("task_id", "other_task_id")}
    return Leak(**redactor.redact_settings(asdict(leak), "leaks") | tasks)


def write_texts(draft: Draft, version: str) -> None:
    """Writes card, lineage, reports and checksums for the release's number."""
    (draft.folder / "reports").mkdir(exist_ok=True)
    report = {
        "warning": WARNING,
        "redacted": [asdict(finding) for finding in draft.findings],
        "leaks": [asdict(leak) for leak in draft.leaks],
    }
    _write_json(draft.folder / REPORT, report)
    if draft.diff is not None:
        _write_json(draft.folder / CHANGES, asdict(draft.diff))
    _write_json(draft.folder / MANIFEST, _manifest(draft, version))
    write_card(draft.folder, draft.title, draft.license, report, draft.place, draft.about, open_draft(draft))
    write_checksums(draft)


def open_draft(draft: Draft) -> Store:
    """The release as its readers will see it, by the manifest in its folder."""
    manifest = read_manifest((draft.folder / MANIFEST).read_text(encoding="utf-8"), str(draft.folder))
    store = release_store(manifest, str(draft.folder.resolve()), draft.folder, draft.filesystem, draft.elsewhere)
    store.most_memory = STAGE_MEMORY
    store.held = sum(shard.memory_bytes for table in manifest.tables for shard in manifest.shards(table)) <= HELD_BYTES
    return store


def different_files(before: Path, now: Path) -> list[str]:
    """Compares two releases without the store's own version numbers, which say nothing about the content."""
    old, new = _checksums(before), _checksums(now)
    names = {name for name in set(old) | set(new) if old.get(name) != new.get(name)}
    return sorted(names | ({MANIFEST} if _content(before) != _content(now) else set()))


def _checksums(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in read_checksums(folder).items() if name not in OWN_TO_PER_VERSION}


def _content(folder: Path) -> Any:
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    content.pop("made_from", None)
    for entry in content["tables"].values():
        entry.pop("store_version")
        (entry["lineage"] or {}).pop("reads", None)
    return content


def _copy_texts(store: Store, folder: Path, redactor: Redactor) -> None:
    """Adds the meaning of every column, the named queries and the recipe to the data."""
    for source in ("schemas", "sql", "sql/views", "sql/checks"):
        (folder / source).mkdir(parents=True, exist_ok=True)
        for name in file_names(source, ".sql"):
            (folder / source / f"{name}.sql").write_text(read_text(source, f"{name}.sql"), encoding="utf-8")
        if not any((folder / source).iterdir()):
            shutil.rmtree(folder / source)
    recipe = _read_recipe(store.path / "recipe.toml")
    if recipe is not None:
        (folder / "recipe.toml").write_text(redactor.redact_text(recipe, "recipe.toml"), encoding="utf-8")


def _read_recipe(path: Place) -> str | None:
    """The recipe that made the dataset; anything else under its name, such as a link to another file, is not published."""
    if not (is_plain_file(path) if isinstance(path, Path) else path.is_file()):
        return None
    text = read_plain(path)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    return text


def _lineage(store: Store, table: str) -> dict[str, Any] | None:
    made = store.sources[table].lineage
    return {name: asdict(made)[name] for name in ("stage", "settings", "reads", "code", "format")} if made else None


def _manifest(draft: Draft, version: str) -> dict[str, Any]:
    tables = {
        table: {
            "rows": sum(shard.rows for shard in shards),
            "shards": [asdict(shard) for shard in shards],
            "store_version": draft.store.version(table) if draft.store.has(table) else 0,
            "lineage": draft.lineage[table],
        }
        for table, shards in draft.shards.items()
    }
    dropped = draft.store.version("dropped") if draft.store.has("dropped") else None
    return {
        "format": FORMAT_VERSION,
        "version": version,
        "code": __version__,
        "splits": draft.splits,
        "tables": tables,
        "dropped": dropped is not None,
        "made_from": made_from(draft.store),
    }


def write_checksums(draft: Draft) -> None:
    """`sha256sum -c SHA256SUMS` checks a copy; shards were hashed when they were written."""
    known = {shard.path: shard.sha256 for shards in draft.shards.values() for shard in shards}
    paths = {
        path.relative_to(draft.folder).as_posix(): path for path in draft.folder.rglob("*") if path.is_file() and path.name != CHECKSUMS
    }
    lines = [f"{known.get(name) or file_hash(paths[name])}  {name}\n" for name in sorted({*paths, *draft.elsewhere})]
    (draft.folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
